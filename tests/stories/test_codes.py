"""Shops that have codes of their own for what the chain sells."""

from decimal import Decimal
from typing import Any

from decided import DecidedChain, agreed_right
from tea_shops import later

PRICES = "SELECT _key, price, _stores FROM central.products ORDER BY 1"
MAPPED = """\
version: 1
tables:
  products: {scope: shared, key: {sku: upper}, map: {sku: sku_map.csv}}
"""
CODES = "store,code,chain_code\ns1,T-1,tea-1\ns2,900,tea-1\n"


def write_codes(chain: Any, codes: str) -> None:
    (chain.directory / "sku_map.csv").write_text(codes)


def sells(chain: DecidedChain, store: str, sku: str, price: str) -> None:
    chain.stores[store].insert("products", {"sku": sku, "region": None, "price": price})
    later(chain)


def test_a_tea_under_three_codes(open_chain: Any, tmp_path: Any, say: Any, explains: Any) -> None:
    """One tea is T-1 in s1, 900 in s2 and TEA-1 in s3, which is what the chain calls it; 900 in s1 is something else. A
    line forgotten in the map is added, and what it changes is shown first. Gone back from, the old map holds, although
    the file has the new one, and then is lost."""
    (tmp_path / "sku_map.csv").write_text(CODES)
    chain = open_chain(MAPPED, "s1", "s2", "s3")
    for store, sku, price in (("s1", "t-1", "18"), ("s1", "900", "5"), ("s2", "900", "17"), ("s3", "Tea-1", "16"),
                              ("s3", "7", "15")):  # fmt: skip
        sells(chain, store, sku, price)
    chain.take_in()
    before = [("7", Decimal(15), ["s3"]), ("900", Decimal(5), ["s1"]), ("TEA-1", Decimal(16), ["s1", "s2", "s3"])]
    assert chain.rows(PRICES) == before
    explains(chain, "products", "tea-1", "price", shows="""\
        products TEA-1: stores s1, s2 and s3 have it
        ...
          store s3  row Tea-1  16  ...  wins
          store s1  row t-1    18  ...
          store s2  row 900    17  ...
        ...
        """)  # fmt: skip
    agreed_right(chain)

    write_codes(chain, CODES + "s3,7,TEA-1\n")
    told = say(chain, "policy", "diff")
    assert "products: another key" in told
    assert "1 row would disappear: 7" in told
    say(chain, "policy", "apply", "--yes")
    chain.take_up()
    assert chain.rows(PRICES) == [before[1], ("TEA-1", Decimal(15), ["s1", "s2", "s3"])]
    chain.stores["s3"].update("products", ("7",), price="14.00")
    chain.take_in()
    assert chain.rows(PRICES)[1][1] == Decimal(14)
    agreed_right(chain)

    say(chain, "policy", "rollback", "--yes")
    chain.take_up()
    assert chain.rows(PRICES) == [("7", Decimal(14), ["s3"]), *before[1:]]
    agreed_right(chain)
    assert '"files": {"sku_map.csv": "store,code,chain_code\\ns1,' in say(
        chain, "policy", "history", "--output", "json"
    )
    (tmp_path / "sku_map.csv").unlink()
    assert "sku_map.csv: there is no such file" in say(chain, "policy", "apply", "--yes", code=1)
