"""One member under different ids in two stores: where the ids lead, and what a person says of two keys that are one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Chain, assert_no_difference
from invocation import PASSWORD, write_config

from conflict.policy_file import parse_policy
from tillstream.checked_yaml import load
from tillstream.commands import main
from tillstream.rehearsal.mysql import MySQLServer

Call = Callable[..., str]
POLICIES = """\
version: 1
tables:
  member: {scope: shared, key: {phone: phone_cn}, columns: {points: {rule: sum}}}
  sale: {references: {member_id: member, seller_id: member}}
"""
SALES = "SELECT _store, id, _member_id_key, _seller_id_key FROM chain.sale ORDER BY _store, id"
WANG, LI = "+8613800138000", "+8613900139000"
ONE, TWO = "+8613500135000", "+8613500135001"


@pytest.fixture(scope="module")
def chain(make_chain: Callable[..., Chain], mysql56: MySQLServer, mysql97: MySQLServer) -> Chain:
    """王 is 1 in the east and 7 in the west, where 1 is 李; 2 in the east has no phone."""
    chain = make_chain({"east": mysql56, "west": mysql97}, database="identity", policies=POLICIES)
    chain.on_all(
        "CREATE TABLE member (id INT PRIMARY KEY, phone VARCHAR(20), name VARCHAR(40), birthday DATE, points INT)",
        "CREATE TABLE sale (id INT PRIMARY KEY, member_id INT, seller_id VARCHAR(9), amount INT)",
    )
    chain.on("east", "INSERT INTO member VALUES (1, '13800138000', '王', NULL, 10), (2, NULL, '无', NULL, 1)")
    chain.on("west", "INSERT INTO member VALUES (7, '138 0013 8000', '王', NULL, 5), (1, '13900139000', '李', NULL, 2)")
    chain.on("east", "INSERT INTO sale VALUES (1, 1, NULL, 9), (2, 2, 1, 9), (3, 99, NULL, 9)")
    chain.on("west", "INSERT INTO sale VALUES (1, 1, 7, 9)")
    chain.start()
    chain.settle()
    return chain


def test_a_stores_own_ids_lead_to_the_central_key(chain: Chain) -> None:
    """Equal ids of two stores are two members, different ids one; where there is no key, no such row or no id, NULL."""
    assert chain.rows("SELECT _store, _pk, _key FROM central.member_ids ORDER BY 1, 2") == [
        ("east", "1", WANG), ("west", "1", LI), ("west", "7", WANG),
    ]  # fmt: skip
    assert chain.rows(SALES) == [
        ("east", 1, WANG, None), ("east", 2, None, WANG), ("east", 3, None, None), ("west", 1, LI, WANG),
    ]  # fmt: skip


def test_a_changed_phone_leaves_one_member_and_joins_the_other(chain: Chain) -> None:
    """The old key's row is decided without it and the new one's with it, and sales follow."""
    central = "SELECT phone, points, _stores FROM central.member ORDER BY 1"
    before = chain.rows(central)
    assert before == [(WANG, 15, ["east", "west"]), (LI, 2, ["west"])]
    chain.on("west", "UPDATE member SET phone = '139-0013-9000' WHERE id = 7")
    chain.settle()
    assert chain.rows(central) == [(WANG, 10, ["east"]), (LI, 7, ["west"])]
    assert ("west", 1, LI, LI) in chain.rows(SALES)
    assert_no_difference(chain)
    chain.on("west", "UPDATE member SET phone = NULL WHERE id = 7")
    chain.settle()
    assert chain.rows(central) == [(WANG, 10, ["east"]), (LI, 2, ["west"])]
    chain.on("west", "UPDATE member SET phone = '13800138000' WHERE id = 7")
    chain.settle()
    assert chain.rows(central) == before
    assert_no_difference(chain)


def test_the_views_outlive_changed_tables(chain: Chain) -> None:
    """A column that is added shows in the view, with what was granted on it; one that is widened has its new type."""
    with chain.warehouse.transaction() as tx:
        tx.execute("GRANT SELECT ON chain.sale TO pg_monitor")
    chain.on_all("ALTER TABLE sale ADD COLUMN note VARCHAR(10)", "ALTER TABLE member ADD COLUMN email VARCHAR(40)")
    chain.on("west", "INSERT INTO sale VALUES (2, 7, NULL, 9, 'new')")
    chain.settle()
    assert chain.rows("SELECT note, _member_id_key FROM chain.sale WHERE _store = 'west' AND id = 2") == [("new", WANG)]
    assert chain.rows("SELECT has_table_privilege('pg_monitor', 'chain.sale', 'SELECT')") == [(True,)]
    chain.on(
        "west", "ALTER TABLE sale MODIFY amount BIGINT, MODIFY member_id BIGINT", "ALTER TABLE member MODIFY id BIGINT"
    )
    chain.on("west", f"INSERT INTO sale VALUES (3, 1, NULL, {2**40}, NULL)")
    chain.settle()
    assert chain.rows("SELECT amount, _member_id_key FROM chain.sale WHERE _store = 'west' AND id = 3") == [(2**40, LI)]
    assert_no_difference(chain)


def test_deleted_rows_are_in_no_view(chain: Chain) -> None:
    chain.on(
        "east", "DELETE FROM sale WHERE id = 3", "INSERT INTO member VALUES (5, '13700137000', '赵', NULL, 1, NULL)"
    )
    chain.settle()
    assert ("east", "5") in chain.rows("SELECT _store, _pk FROM central.member_ids")
    chain.on("east", "DELETE FROM member WHERE id = 5")
    chain.settle()
    assert ("east", "5") not in chain.rows("SELECT _store, _pk FROM central.member_ids")
    assert chain.rows("SELECT count(*) FROM chain.sale WHERE _store = 'east'") == [(2,)]


def test_the_views_are_those_of_the_policies(chain: Chain, tmp_path: Path) -> None:
    """A reference taken out or another key: at the next start of `run`; without a shared table there is none left."""
    _restart_with(chain, tmp_path, POLICIES.replace("member_id: member, ", "").replace("phone_cn", "digits"))
    assert chain.rows("SELECT _key FROM central.member_ids WHERE _store = 'east'") == [("13800138000",)]
    columns = [name for (name,) in chain.rows("SELECT attname FROM pg_attribute WHERE attrelid = 'chain.sale'::regclass"
                                              " AND attnum > 0 ORDER BY attnum")]  # fmt: skip
    assert columns[:4] == ["_store", "_pk", "_event_at", "_seller_id_key"]
    _restart_with(chain, tmp_path, "version: 2\ntables: {}\n")
    assert chain.rows("SELECT count(*) FROM pg_views WHERE schemaname IN ('central', 'chain')") == [(0,)]
    _restart_with(chain, tmp_path, POLICIES)
    assert ("west", 1, LI, WANG) in chain.rows(SALES)
    assert_no_difference(chain)


def _restart_with(chain: Chain, directory: Path, policies: str) -> None:
    chain.stop()
    (directory / "policies.yaml").write_text(policies)
    chain.policy = parse_policy(load(directory / "policies.yaml"), {store: {} for store in chain.stores})
    chain.start()
    chain.settle()


def test_a_typing_error_is_suggested_merged_and_taken_back(chain: Chain, call: Call) -> None:
    """Two members with one name and birthday, a digit of the phone apart: found; as one they have all points, also
    those of later changes; explained by either key; and two again when it is undone."""
    insert = "INSERT INTO member (id, phone, name, birthday, points) VALUES"
    chain.on("east", f"{insert} (21, '13500135000', '欧阳娜', '1990-02-03', 30)")
    chain.on("east", f"{insert} (22, '13500135999', '马腾', '1985-05-05', 1)")
    chain.on("west", f"{insert} (31, '13500135001', '欧阳娜', '1990-02-03', 12)")
    chain.on("east", f"{insert} (23, '13611112222', '诸葛亮', '1977-07-07', 1)")
    chain.on("west", f"{insert} (33, '15898761234', '诸葛亮', '1977-07-07', 1)")
    chain.on("west", "INSERT INTO sale (id, member_id) VALUES (31, 31)")
    chain.settle()
    found = _suggested(call)
    assert [each["keys"] for each in found] == [[ONE, TWO], ["+8613611112222", "+8615898761234"]]
    assert {tuple(each["likeness"]["same"]) for each in found} == {("name", "birthday")}
    assert f"tillstream identity accept member {ONE} {TWO}" in call("identity", "suggest", "member")

    shown = call("identity", "accept", "member", ONE, "135-0013-5001", "--reason", "asked her", code=1)
    assert [line.split() for line in shown.splitlines() if "points" in line] == [["points", "30", "12", "42"]]
    assert "Nothing was changed" in shown
    assert _points(chain, ONE, TWO) == [(ONE, 30), (TWO, 12)]

    call("identity", "accept", "member", ONE, TWO, "--reason", "asked her", "--yes")
    chain.settle()
    assert _points(chain, ONE, TWO) == [(ONE, 42)]
    assert chain.rows("SELECT _member_id_key FROM chain.sale WHERE id = 31") == [(ONE,)]
    assert_no_difference(chain)
    assert len(_suggested(call)) == 1

    chain.on("west", "UPDATE member SET points = 20 WHERE id = 31")
    chain.settle()
    assert _points(chain, ONE, TWO) == [(ONE, 50)]
    assert_no_difference(chain)
    told = call("explain", "member", TWO)
    assert told.startswith(f"member {ONE}: stores east and west have it")
    assert f"identity 1: {TWO} counts under {ONE}, said" in told
    assert "asked her" in told

    call("identity", "undo", "1", "--reason", "her sister")
    chain.settle()
    assert _points(chain, ONE, TWO) == [(ONE, 30), (TWO, 20)]
    assert_no_difference(chain)
    assert "her sister" in call("identity", "list", "--all")
    assert call("identity", "list") == "no two keys were said to be one\n"
    assert len(_suggested(call)) == 1, "nobody is asked again what was taken back"


def _suggested(call: Call) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(call("identity", "suggest", "member", "--output", "json"))["duplicates"]
    return found


def _points(chain: Chain, *keys: str) -> list[tuple[Any, ...]]:
    return chain.rows("SELECT phone, points FROM central.member WHERE _key = ANY(%s) ORDER BY 1", [list(keys)])


@pytest.fixture
def call(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a verb in this process; all that it prints."""
    monkeypatch.setenv("POS_PASSWORD", PASSWORD)
    url = chain.warehouse.url.render_as_string(hide_password=False)
    write_config(tmp_path, url, {store: server.port for store, server in chain.stores.items()}, policies=POLICIES)

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([*arguments, "--config", str(tmp_path / "tillstream.yaml")])
        told = capsys.readouterr()
        assert int(left.value.code or 0) == code, told.err
        return told.out + told.err

    return run
