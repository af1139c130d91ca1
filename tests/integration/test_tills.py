"""Tills at work on real servers, with nobody listening."""

from pathlib import Path

from tillstream.commands.config import load_all
from tillstream.rehearsal.chain import Chain
from tillstream.rehearsal.mysql import find_install
from tillstream.rehearsal.tills import LOGGED, Tills


def test_a_till_logs_exactly_what_its_shop_has(server_directory: Path) -> None:
    """On MySQL 9.7, through a power cut: every logged row is there, and none that was not logged."""
    with Chain(server_directory / "chain", find_install("9.7"), stores=2, seed=7) as chain:
        chain.start()
        config, policy = load_all(chain.config_path)
        assert [store.name for store in config.stores] == ["中山路店", "人民广场店"]
        assert set(policy.tables) == {"members", "products"}
        before = {(shop.id, table): _keys(chain, shop.index, table) for shop in chain.shops for table in LOGGED}
        told: list[str] = []
        tills = Tills(chain.shops, seconds=3, rate=200, seed=7, tell=told.append)
        tills.open()
        tills.join()
        for shop in chain.shops:
            for table in LOGGED:
                logged = {row.pk for row in tills.log if (row.store, row.table) == (shop.id, table)}
                assert logged == _keys(chain, shop.index, table) - before[shop.id, table]
        assert "人民广场店 is back" in told
        assert tills.row_changes > len(tills.log) > 0


def _keys(chain: Chain, index: int, table: str) -> set[str]:
    key = "id" if table == "payments" else """CONCAT('["', sale_id, '","', line, '"]')"""
    return {str(found) for (found,) in chain.shops[index].server.execute(f"SELECT {key} FROM pos.{table}")}
