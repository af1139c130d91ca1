"""HQ has a price list, and shops have their own minds."""

from decimal import Decimal
from typing import Any

from decided import agreed_right
from tea_shops import HOUR, later

PRICE = "SELECT price FROM central.products WHERE _key = 'TEA-1'"
HELD = "SELECT _store, price FROM stores.products WHERE NOT _deleted ORDER BY 1"
BY_LIST = """\
version: 1
tables:
  products: {scope: shared, key: {sku: upper}, columns: {price: {rule: priority, stores: [hq], then: latest}}}
"""
BY_DISTANCE = """\
version: 1
tables:
  products: {scope: shared, key: {sku: upper}, columns: {price: {rule: priority, by: distance_to_hq, then: latest}}}
"""
SHANGHAI, SUZHOU, BEIJING = (31.23, 121.47), (31.30, 120.58), (39.90, 116.41)


def tea(price: str) -> dict[str, str | None]:
    return {"sku": "Tea-1", "region": None, "price": price}


def test_hqs_price_against_a_shops(open_chain: Any, explains: Any) -> None:
    """HQ sells a tea at 18; a shop marks it down at night, later than HQ's last change. The chain's price is HQ's. When
    HQ takes the tea off its list while shops go on selling it, their last change stands; the shop's own row was its own
    all along."""
    chain = open_chain(BY_LIST, "hq", "s1", "s2")
    hq, one, two = chain.stores.values()
    for store in (hq, one, two):
        store.insert("products", tea("18.00"))
        later(chain)
    later(chain, HOUR)
    one.update("products", ("Tea-1",), price="9.00")
    chain.take_in()
    assert chain.rows(PRICE) == [(Decimal("18.00"),)]
    assert chain.rows(HELD) == [("hq", Decimal("18.00")), ("s1", Decimal("9.00")), ("s2", Decimal("18.00"))]
    explains(chain, "products", "tea-1", "price", shows="""\
        products TEA-1: stores hq, s1 and s2 have it
        ...
        price: 18.00 of store hq, first in the list of stores
          rule: priority, stores: hq, then latest
          store hq  row Tea-1  18.00  ...  wins
          store s1  row Tea-1  9.00   ...
          store s2  row Tea-1  18.00  ...
        ...
        """)  # fmt: skip
    later(chain)
    two.update("products", ("Tea-1",), region="north")
    hq.delete("products", ("Tea-1",))
    later(chain)
    one.update("products", ("Tea-1",), price="10.00")
    chain.take_in()
    assert chain.rows(PRICE) == [(Decimal("10.00"),)]
    assert chain.rows(HELD) == [("s1", Decimal("10.00")), ("s2", Decimal("18.00"))]
    explains(chain, "products", "tea-1", "price", shows="""\
        products TEA-1: stores s1 and s2 have it; store hq deleted it, but it was changed since (deletes: latest)
        ...
        price: 10.00 of store s1, no row in store hq, so latest decides: changed last
        ...
        store hq deleted its row Tea-1, at 2026-01-01 13:04:00 UTC

        ... UTC  price was "18.00" of store hq, became "10.00" of store s1: store hq, s1, s2
        ...
        """)  # fmt: skip
    agreed_right(chain)


def test_the_nearest_shop_has_the_say(open_chain: Any, explains: Any) -> None:
    """Shops are ranked by their way to HQ in Shanghai. Beijing changes a price last, and it is HQ's that counts; when
    HQ deletes the tea, and Beijing is busy changing it again, it is Suzhou's that counts, the nearest that has it."""
    chain = open_chain(
        BY_DISTANCE, "beijing", "hq", "suzhou", locations={"hq": SHANGHAI, "suzhou": SUZHOU, "beijing": BEIJING}
    )
    beijing, hq, suzhou = chain.stores.values()
    for store, price in ((hq, "18.00"), (suzhou, "17.00"), (beijing, "16.00")):
        store.insert("products", tea(price))
        later(chain)
    later(chain, HOUR)
    beijing.update("products", ("Tea-1",), price="9.00")
    chain.take_in()
    assert chain.rows(PRICE) == [(Decimal("18.00"),)]
    later(chain)
    hq.delete("products", ("Tea-1",))
    later(chain)
    beijing.update("products", ("Tea-1",), price="8.00")
    chain.take_in()
    assert chain.rows(PRICE) == [(Decimal("17.00"),)]
    assert chain.rows(HELD) == [("beijing", Decimal("8.00")), ("suzhou", Decimal("17.00"))]
    explains(chain, "products", "tea-1", "price", shows="""\
        products TEA-1: stores beijing and suzhou have it; store hq deleted it, but it was changed since...
        ...
        price: 17.00 of store suzhou, ...
          rule: priority, by: distance_to_hq, then latest
          store suzhou   row Tea-1  17.00  ...  wins
          store beijing  row Tea-1  8.00   ...
        ...
        """)  # fmt: skip
    agreed_right(chain)


def test_a_price_that_is_each_shops_own(open_chain: Any) -> None:
    """Rents differ, so do the prices: the chain has none. They stand side by side in a view, which follows a column
    that is widened, and goes with the rule."""
    own = BY_LIST.replace("{rule: priority, stores: [hq], then: latest}", "{rule: per_store}")
    chain = open_chain(own, "hq", "s1")
    for name, price in (("hq", "18.00"), ("s1", "16.00")):
        chain.stores[name].insert("products", {"sku": "Tea-1", "region": None, "price": price})
    chain.take_in()
    side_by_side = "SELECT _key, _store, price FROM central.products_by_store ORDER BY 1, 2"
    assert chain.rows(side_by_side) == [("TEA-1", "hq", Decimal("18.00")), ("TEA-1", "s1", Decimal("16.00"))]
    assert chain.rows("SELECT price FROM central.products") == [(None,)]
    chain.stores["s1"].widen_column("products", "region", "TEXT")
    chain.stores["s1"].update("products", ("Tea-1",), price="15.00")
    chain.take_in()
    assert chain.rows(side_by_side)[1] == ("TEA-1", "s1", Decimal("15.00"))
    agreed_right(chain)
    chain.apply(BY_LIST)
    assert chain.rows("SELECT to_regclass('central.products_by_store')") == [(None,)]
    assert chain.rows("SELECT price FROM central.products") == [(Decimal("18.00"),)]
    agreed_right(chain)
