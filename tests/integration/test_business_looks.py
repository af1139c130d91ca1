"""Each look of `business:` on a real PostgreSQL, with rows as the stores may have them."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from decided import DecidedChain
from harness import fresh_warehouse
from psycopg import sql

from conflict.policy import EMPTY_POLICY
from sinks import sold
from sinks.business import Goods, Stores, searches
from sinks.evolution import Catalog
from sinks.sold import Sold
from sinks.statements import anomalies as anomaly_statements
from sinks.statements import business as statements
from sinks.statements import mirror
from sinks.warehouse import Transaction, Warehouse
from sinks.watching import business as watching
from sinks.watching.business import business_looks
from sinks.watching.watch import Watch
from tillstream.business_file import Business, SaleLinesEntry, SalesEntry
from tillstream.errors import RefusedError
from tillstream.metrics import REGISTRY

STOCK = {"table": "stock", "sku": "sku", "quantity": "qty"}
POINTS = {
    "table": "cards", "balance": "points", "ledger": {"table": "moves", "row": "card", "change": "delta"},
}  # fmt: skip
LINES = {"table": "lines", "sku": "sku", "quantity": "qty"}
PLACES = {"s1": (31.23, 121.47), "s2": (31.24, 121.47), "s3": (31.50, 121.47)}
INSERT = sql.SQL("""\
INSERT INTO stores.{} (_store, _pk, _epoch, _file, _pos, _row, _order, _event_at, _op, _deleted, {})
VALUES (%s, %s, 1, 1, 1, 0, 0, now(), 'c', false, {})""")
READ = "INSERT INTO tillstream.ledger (store, snapshot_done) VALUES ('s1', true) ON CONFLICT DO NOTHING"


@pytest.fixture(scope="module")
def kept(warehouse_url: str) -> Iterator[Warehouse]:
    made = Warehouse(fresh_warehouse(warehouse_url, f"looks_{os.getpid()}"))
    made.migrate()
    yield made
    made.dispose()


@pytest.fixture
def warehouse(kept: Warehouse) -> Iterator[Warehouse]:
    """A store has been read, and nothing of it is there yet."""
    with kept.transaction() as tx:
        tx.execute(READ)
    yield kept
    with kept.transaction() as tx:
        for (table,) in tx.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'stores'"):
            tx.execute(sql.SQL("DROP TABLE stores.{}").format(sql.Identifier(table)))
        tx.execute(
            "TRUNCATE tillstream.ledger, tillstream.store_orders, tillstream.store_states, "
            "tillstream.sold, tillstream.found_anomalies"
        )


def put(warehouse: Warehouse, table: str, types: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Rows of stores.<table>, as they would stand there: store, primary key, and the columns."""
    place = sql.Identifier(table)
    with warehouse.transaction() as tx:
        tx.execute(mirror.CREATE.format(table=place))
        for name, kind in types.items():
            tx.execute(
                mirror.ADD_COLUMN.format(
                    schema=sql.Identifier("stores"), table=place, column=sql.Identifier(name), type=sql.SQL(kind)
                )
            )
        columns = sql.SQL(", ").join(map(sql.Identifier, types))
        for store, pk, *values in rows:
            tx.execute(
                INSERT.format(place, columns, sql.SQL(", ").join([sql.Placeholder()] * len(values))),
                [store, pk, *values],
            )


def goods(warehouse: Warehouse, *rows: tuple[str, str, str, str]) -> None:
    """Stock: store, code, place and quantity."""
    types = {"sku": "text", "place": "text", "qty": "numeric"}
    put(warehouse, "stock", types, [(store, f"{sku}/{place}", sku, place, Decimal(n)) for store, sku, place, n in rows])


def told(warehouse: Warehouse, business: Business, most: int = 100) -> list[tuple[str, str, str]]:
    """What is found now: store, key and words."""
    with warehouse.transaction() as tx:
        catalog = loaded(tx)
        return [
            (*each.stores, each.key or "", each.told)
            for search in searches(EMPTY_POLICY, business, Stores(locations=dict(PLACES)))
            for each in search.find(tx, catalog, most)
        ]


def loaded(tx: Transaction) -> Catalog:
    catalog = Catalog()
    catalog.load(tx)
    return catalog


def business_of(**said: Any) -> Business:
    return Business.model_validate(said)


class TestStock:
    def test_the_nearest_store_that_has_enough_is_named(self, warehouse: Warehouse) -> None:
        """Not one that has little itself, nor one that has less than is low there, nor one that is closed."""
        goods(
            warehouse,
            ("s1", "TEA", "a", "1"),
            ("s1", "TEA", "b", "1.5"),
            ("s2", "TEA", "a", "2.6"),
            ("s3", "TEA", "a", "90"),
        )
        found = told(warehouse, business_of(stock={**STOCK, "low": 3}))
        assert found == [
            ("s1", "TEA", "2.5 in stock, less than 3; store s3, 30.0 km away, has 90"),
            ("s2", "TEA", "2.6 in stock, less than 3; store s3, 28.9 km away, has 90"),
        ]
        with warehouse.transaction() as tx:
            tx.execute("INSERT INTO tillstream.store_orders (store, retired) VALUES ('s3', true)")
        assert [words for *_, words in told(warehouse, business_of(stock={**STOCK, "low": 3}))] == [
            "2.5 in stock, less than 3; no other store has enough",
            "2.6 in stock, less than 3; no other store has enough",
        ]

    def test_stores_without_a_place_are_told_by_what_they_have(self, warehouse: Warehouse) -> None:
        """Of those the one with most."""
        goods(warehouse, ("s9", "TEA", "a", "1"), ("s1", "TEA", "a", "50"), ("s2", "TEA", "a", "70"))
        found = told(warehouse, business_of(stock={**STOCK, "low": 3}))
        assert found == [("s9", "TEA", "1 in stock, less than 3; store s2 has 70")]

    def test_a_threshold_of_each_of_the_goods(self, warehouse: Warehouse) -> None:
        """Where the column is empty nothing is low; a code is the same with blanks around it."""
        types = {"sku": "text", "qty": "integer", "least": "integer"}
        rows = [
            ("s1", "1", "TEA ", 5, 6),
            ("s1", "2", "MUG", 5, None),
            ("s1", "3", "CUP", 5, 5),
            ("s2", "1", "TEA", 9, 1),
            ("s3", "1", "TEA", 99, 1),
        ]
        put(warehouse, "stock", types, rows)
        found = told(warehouse, business_of(stock={**STOCK, "low": "least"}))
        assert found == [("s1", "TEA", "5 in stock, less than 6; store s2, 1.1 km away, has 9")]

    def test_negative_stock_is_not_low_too(self, warehouse: Warehouse) -> None:
        """It is told once, and counted once; a deleted row is no stock."""
        goods(
            warehouse,
            ("s1", "TEA", "a", "-3"),
            ("s1", "MUG", "a", "-2"),
            ("s1", "MUG", "b", "50"),
            ("s1", "OLD", "a", "-9"),
        )
        with warehouse.transaction() as tx:
            tx.execute("UPDATE stores.stock SET _deleted = true WHERE sku = 'OLD'")
        assert told(warehouse, business_of(stock={**STOCK, "low": 3})) == [
            ("s1", "MUG", "-2 in one of its 2 places, 48 in all"),
            ("s1", "TEA", "-3 in stock"),
        ]
        ignored = business_of(stock={**STOCK, "low": 3}, ignore=["stock_negative"])
        assert told(warehouse, ignored) == []

    def test_a_column_that_holds_no_number(self, warehouse: Warehouse) -> None:
        """Told with what it holds, and so is one that is not there."""
        put(warehouse, "stock", {"sku": "text", "qty": "text"}, [])
        with pytest.raises(RefusedError, match=r"stock\.qty, which is text and no number; correct it"):
            told(warehouse, business_of(stock=STOCK))
        with pytest.raises(
            RefusedError, match=r"`business\.stock` names stock\.quantty, which is not in the warehouse"
        ):
            told(warehouse, business_of(stock={**STOCK, "quantity": "quantty"}))


class TestSold:
    def rates(self, warehouse: Warehouse, lines: Mapping[str, str], **sales: str) -> list[tuple[str, str, Decimal]]:
        stores = Stores(timezones={"s1": "Asia/Shanghai", "s2": "UTC"})
        header = SalesEntry.model_validate(sales) if sales else None
        with warehouse.transaction() as tx:
            Sold(SaleLinesEntry.model_validate(lines), header, stores).keep(tx, loaded(tx))
            return tx.rows("SELECT store, sku, round(per_day, 3) FROM tillstream.sold ORDER BY 1, 2")

    def test_by_its_own_time(self, warehouse: Warehouse) -> None:
        """Over four weeks, or since the first sale of a store; by the store's own clock; what is older does not count,
        and goods of which more came back than went have no rate."""
        types = {"sku": "text", "qty": "integer", "at": "timestamp"}
        put(warehouse, "lines", types, [])
        ago = "(now() AT TIME ZONE %s - %s * interval '1 day')"
        with warehouse.transaction() as tx:
            for number, (store, zone, sku, qty, days) in enumerate((
                ("s1", "Asia/Shanghai", "TEA", 28, 27.99), ("s1", "Asia/Shanghai", "TEA", 28, 1),
                ("s1", "Asia/Shanghai", "TEA", 900, 60), ("s1", "Asia/Shanghai", "MUG", -1, 2),
                ("s2", "UTC", "TEA", 8, 4), ("s2", "UTC", "MUG", 3, 0.1),
            )):  # fmt: skip
                tx.execute(
                    "INSERT INTO stores.lines"
                    " (_store, _pk, _epoch, _file, _pos, _row, _order, _op, _deleted, sku, qty, at)"
                    f" VALUES (%s, %s, 1, 1, 1, 0, 0, 'r', false, %s, %s, {ago})",
                    [store, str(number), sku, qty, zone, days],
                )
        assert self.rates(warehouse, {**LINES, "at": "at"}) == [
            ("s1", "TEA", Decimal("2.000")),
            ("s2", "MUG", Decimal("0.750")),
            ("s2", "TEA", Decimal("2.000")),
        ]

    def test_by_its_sale(self, warehouse: Warehouse) -> None:
        """Of the same store; a line whose sale is not there was sold at no time."""
        put(warehouse, "sales", {"at": "timestamptz", "total": "numeric"}, [])
        with warehouse.transaction() as tx:
            tx.execute(
                "INSERT INTO stores.sales (_store, _pk, _epoch, _file, _pos, _row, _order, _op, _deleted, at)"
                " SELECT 's1', '7', 1, 1, 1, 0, 0, 'r', false, now() - interval '2 days'"
            )
        types = {"sku": "text", "qty": "integer", "sale": "bigint"}
        put(warehouse, "lines", types, [("s1", "a", "TEA", 4, 7), ("s2", "a", "TEA", 4, 7), ("s1", "b", "TEA", 4, 8)])
        sales = {"table": "sales", "at": "at", "amount": "total"}
        assert self.rates(warehouse, {**LINES, "sale": "sale"}, **sales) == [("s1", "TEA", Decimal("2.000"))]

    def test_where_nothing_says_when(self, warehouse: Warehouse) -> None:
        """What was there when the store was read was sold at some time; what came since is known to have been sold."""
        put(warehouse, "lines", {"sku": "text", "qty": "integer"}, [("s1", "1", "TEA", 3), ("s1", "2", "TEA", 900)])
        with warehouse.transaction() as tx:
            tx.execute("UPDATE stores.lines SET _op = 'r' WHERE _pk = '2'")
        assert self.rates(warehouse, LINES) == [("s1", "TEA", Decimal("3.000"))]

    def test_stores_have_their_turns(self, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where there is no time for all the next look goes on with the others; what is known of one stays."""
        monkeypatch.setattr(sold, "TURN_SECONDS", -1)
        put(warehouse, "lines", {"sku": "text", "qty": "integer"}, [(f"s{n}", "1", "TEA", n) for n in (1, 2, 3)])
        rates = Sold(
            SaleLinesEntry.model_validate(LINES), None, Stores(timezones=dict.fromkeys(("s1", "s2", "s3"), "UTC"))
        )
        told = []
        for _ in range(4):
            with warehouse.transaction() as tx:
                rates.keep(tx, loaded(tx))
                told.append(tx.rows("SELECT store, per_day::int FROM tillstream.sold ORDER BY 1"))
                tx.execute("UPDATE stores.lines SET qty = 10 * qty")
        assert told == [
            [("s1", 1)],
            [("s1", 1), ("s2", 20)],
            [("s1", 1), ("s2", 20), ("s3", 300)],
            [("s1", 1000), ("s2", 20), ("s3", 300)],
        ]

    def test_a_store_that_cannot_be_worked_out_holds_up_no_other(
        self, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
    ) -> None:
        put(warehouse, "lines", {"sku": "text", "qty": "integer"}, [("s1", "1", "TEA", 1), ("s2", "1", "TEA", 2)])
        zones = {"s1": "Nowhere/AtAll", "s2": "UTC"}
        with warehouse.transaction() as tx:
            tx.execute("ALTER TABLE stores.lines ADD COLUMN at timestamp")
            tx.execute("UPDATE stores.lines SET at = now() AT TIME ZONE 'UTC'")
            lines = SaleLinesEntry.model_validate({**LINES, "at": "at"})
            Sold(lines, None, Stores(timezones=zones)).keep(tx, loaded(tx))
            assert tx.rows("SELECT store, per_day::int FROM tillstream.sold") == [("s2", 2)]
        assert "looking at what store s1 sells: the warehouse refuses a value" in caplog.text

    def test_it_tells_how_long_the_stock_lasts(self, warehouse: Warehouse) -> None:
        """In the sentence, and of the scarcest goods of each store."""
        goods(
            warehouse,
            ("s1", "TEA", "a", "2"),
            ("s1", "MUG", "a", "40"),
            ("s2", "TEA", "a", "1"),
            ("s3", "TEA", "a", "0"),
        )
        with warehouse.transaction() as tx:
            tx.execute(
                "INSERT INTO tillstream.sold VALUES"
                " ('s1', 'TEA', 0.25), ('s1', 'MUG', 10), ('s2', 'TEA', 12), ('s3', 'TEA', 1)"
            )
        business = business_of(stock={**STOCK, "low": 3})
        assert told(warehouse, business) == [
            ("s1", "TEA", "2 in stock, less than 3; at 0.25 a day it lasts 8 days; no other store has enough"),
            ("s2", "TEA", "1 in stock, less than 3; at 12 a day it lasts less than a day; no other store has enough"),
            ("s3", "TEA", "0 in stock, less than 3; no other store has enough"),
        ]
        assert business.stock is not None
        with warehouse.transaction() as tx:
            rows = Goods(loaded(tx), business.stock).rows(tx, statements.STOCK)
        assert sorted(rows) == [("s1", 0, 1, 1, 4.0), ("s2", 0, 1, 0, pytest.approx(1 / 12)), ("s3", 0, 1, 0, 0.0)]


PRODUCTS = {"table": "products", "sku": "sku", "price": "price"}
SHARED = """\
version: 1
tables:
  products: {scope: shared, key: [sku], columns: {price: {rule: priority, stores: [s1], then: latest}}}
"""


class TestPrices:
    @pytest.fixture
    def chain(self, tmp_path: Path, fresh_database: str, request: pytest.FixtureRequest) -> Iterator[DecidedChain]:
        """Three stores with prices of their own."""
        with closing(DecidedChain(tmp_path, fresh_database, request.param, ids=("s1", "s2", "s3"))) as made:
            for store, price in zip(made.stores.values(), ("5.00", "5.05", "6.00"), strict=True):
                store.snapshot()
                store.insert("products", {"sku": "T-1", "region": None, "price": price})
            made.stores["s2"].insert("products", {"sku": "T-2", "region": None, "price": "1.00"})
            made.take_in()
            yield made

    def found(self, chain: DecidedChain, **price: Any) -> list[tuple[str, ...]]:
        (search,) = searches(chain.policy, business_of(price={**PRODUCTS, **price}), Stores())
        with chain.warehouse.transaction() as tx:
            return [(*each.stores, each.told) for each in search.find(tx, loaded(tx), 100)]

    @pytest.mark.parametrize("chain", [SHARED], indirect=True)
    def test_they_are_compared_with_what_was_agreed(self, chain: DecidedChain) -> None:
        """And whose that is, is told; within the tolerance they are the same; mended, nothing is left to tell."""
        assert self.found(chain) == [
            ("s2", "price is 5.05, agreed is 5.00 of store s1"),
            ("s3", "price is 6.00, agreed is 5.00 of store s1"),
        ]
        assert [store for store, _ in self.found(chain, tolerance=0.05)] == ["s3"]
        chain.stores["s3"].update("products", ("T-1",), price="5.00")
        chain.take_in()
        assert [store for store, _ in self.found(chain)] == ["s2"]

    @pytest.mark.parametrize("chain", ["version: 1\ntables: {}\n"], indirect=True)
    def test_they_are_compared_with_headquarters(self, chain: DecidedChain) -> None:
        """Where no price is agreed on; without a word of who sets them there is nothing to compare."""
        assert self.found(chain, headquarters="s3") == [
            ("s1", "price is 5.00, is 6.00 in store s3"),
            ("s2", "price is 5.05, is 6.00 in store s3"),
        ]
        with pytest.raises(RefusedError, match=r"products is not shared by the policies, .* `headquarters: STORE`"):
            self.found(chain)


class TestLooking:
    def look(self, warehouse: Warehouse, business: Business, name: str = "anomalies") -> None:
        (look,) = [each for each in business_looks(business, Stores(locations=dict(PLACES))) if each.name == name]
        with warehouse.transaction() as tx:
            look.tell(tx)

    def found(self, warehouse: Warehouse) -> list[tuple[Any, ...]]:
        with warehouse.transaction() as tx:
            return tx.rows(
                "SELECT kind, store, key, told, gone_at IS NULL FROM tillstream.found_anomalies ORDER BY 1, 2, id"
            )

    def test_since_when_is_kept(self, warehouse: Warehouse) -> None:
        """As long as it is there its words follow; gone and back it is another one; what is ignored is gone."""
        business = business_of(stock={**STOCK, "low": 3})
        goods(warehouse, ("s1", "TEA", "a", "2"))
        self.look(warehouse, business)
        for quantity in (1, 8, 2):
            with warehouse.transaction() as tx:
                tx.execute("UPDATE stores.stock SET qty = %s", [quantity])
            self.look(warehouse, business)
        words = "in stock, less than 3; no other store has enough"
        assert self.found(warehouse) == [
            ("stock_low", "s1", "TEA", f"1 {words}", False),
            ("stock_low", "s1", "TEA", f"2 {words}", True),
        ]
        self.look(warehouse, business_of(stock={**STOCK, "low": 3}, ignore=["stock_low"]))
        assert [is_open for *_, is_open in self.found(warehouse)] == [False, False]

    def test_what_has_been_gone_for_long_is_let_go(self, warehouse: Warehouse) -> None:
        goods(warehouse, ("s1", "TEA", "a", "2"))
        self.look(warehouse, business_of(stock={**STOCK, "low": 3}))
        with warehouse.transaction() as tx:
            tx.execute("UPDATE tillstream.found_anomalies SET gone_at = now() - interval '31 days'")
        self.look(warehouse, business_of(stock=STOCK))
        assert self.found(warehouse) == []

    def test_of_more_than_it_keeps_none_is_taken_for_gone(
        self, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A look that does not see all cannot tell what is no more."""
        monkeypatch.setattr(watching, "MOST_SAMPLES", 2)
        business = business_of(stock=STOCK)
        goods(warehouse, ("s1", "C", "a", "-1"), ("s1", "D", "a", "-1"))
        self.look(warehouse, business)
        goods(warehouse, ("s1", "A", "a", "-1"), ("s1", "B", "a", "-1"))
        self.look(warehouse, business)
        assert [(key, is_open) for _, _, key, _, is_open in self.found(warehouse)] == [
            (key, True) for key in ("C", "D", "A", "B")
        ]
        with warehouse.transaction() as tx:
            tx.execute("UPDATE stores.stock SET qty = 1 WHERE sku <> 'C'")
        self.look(warehouse, business)
        assert [key for _, _, key, _, is_open in self.found(warehouse) if is_open] == ["C"]

    def test_a_store_with_many_hides_no_others(self, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
        """All are counted, of each store as many are kept; one that was mended is gone where its store has no more."""
        monkeypatch.setattr(watching, "MOST_SAMPLES", 2)
        business = business_of(stock=STOCK)
        goods(warehouse, *[("s1", sku, "a", "-1") for sku in "ABCDE"], ("s2", "A", "a", "-1"), ("s2", "B", "a", "-1"))
        self.look(warehouse, business)
        assert [(store, key) for _, store, key, *_ in self.found(warehouse)] == [
            ("s1", "A"),
            ("s1", "B"),
            ("s2", "A"),
            ("s2", "B"),
        ]
        counted = {"s1": 5, "s2": 2}
        for store, count in counted.items():
            labels = {"kind": "stock_negative", "store": store}
            assert REGISTRY.get_sample_value("tillstream_anomalies", labels) == count
        with warehouse.transaction() as tx:
            tx.execute("UPDATE stores.stock SET qty = 1 WHERE sku = 'A'")
        self.look(warehouse, business)
        assert [(store, key) for _, store, key, _, is_open in self.found(warehouse) if not is_open] == [("s2", "A")]

    def test_a_store_that_is_no_longer_listed(self, warehouse: Warehouse) -> None:
        """Its rows stay, but what is odd in them is no one's any more, as in those of a retired store."""
        business = business_of(stock=STOCK, points=POINTS)
        goods(warehouse, ("s1", "TEA", "a", "-1"), ("s2", "TEA", "a", "-1"))
        put(warehouse, "cards", {"points": "integer"}, [("s1", "1", 3), ("s2", "1", 3)])
        put(warehouse, "moves", {"card": "text", "delta": "integer"}, [])
        with warehouse.transaction() as tx:
            for store in ("s1", "s2"):
                tx.execute("INSERT INTO tillstream.store_states (store, state) VALUES (%s, 'live')", [store])
        for look in ("anomalies", "stock"):
            self.look(warehouse, business, look)
        assert {store for _, store, *_ in self.found(warehouse)} == {"s1", "s2"}
        with warehouse.transaction() as tx:
            tx.execute("UPDATE tillstream.store_states SET listed = false WHERE store = 's2'")
        for look in ("anomalies", "stock"):
            self.look(warehouse, business, look)
        assert {store for _, store, _, _, is_open in self.found(warehouse) if is_open} == {"s1"}
        for name, labels in (("anomalies", {"kind": "balance"}), ("stock_rows", {"stock": "negative"})):
            assert REGISTRY.get_sample_value(f"tillstream_{name}", {**labels, "store": "s1"}) == 1
            assert REGISTRY.get_sample_value(f"tillstream_{name}", {**labels, "store": "s2"}) is None

    def test_one_bad_search_stops_no_other(
        self, warehouse: Warehouse, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A typing error, and a statement that PostgreSQL refuses, are told and counted; the rest is found."""
        goods(warehouse, ("s1", "TEA", "a", "-2"))
        put(warehouse, "products", {"sku": "text", "price": "numeric"}, [])
        put(warehouse, "members", {"points": "numeric"}, [("s1", "1", 5)])
        put(warehouse, "point_log", {"member": "text", "delta": "numeric"}, [("s1", "1", "1", 5)])
        monkeypatch.setattr(anomaly_statements, "BALANCE", sql.SQL("SELECT 1 / (0 * %s)"))
        failed = REGISTRY.get_sample_value("tillstream_look_failures_total", {"look": "anomalies"}) or 0
        business = business_of(
            stock=STOCK,
            price={**PRODUCTS, "price": "prize"},
            points={"table": "members", "balance": "points",
                    "ledger": {"table": "point_log", "row": "member", "change": "delta"}},
        )  # fmt: skip
        with caplog.at_level(logging.WARNING):
            self.look(warehouse, business)
        assert [(kind, store, key) for kind, store, key, *_ in self.found(warehouse)] == [
            ("stock_negative", "s1", "TEA")
        ]
        assert REGISTRY.get_sample_value("tillstream_look_failures_total", {"look": "anomalies"}) == failed + 2
        assert "products.prize, which is not in the warehouse" in caplog.text
        assert "looking for balance in members: the warehouse refuses" in caplog.text

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("sold", {"stock": STOCK, "sale_lines": {**LINES, "at": "att"}}),
            ("points", {"points": {"table": "lines", "balance": "att"}}),
        ],
    )
    def test_a_typing_error_is_told(
        self, warehouse: Warehouse, caplog: pytest.LogCaptureFixture, name: str, said: dict[str, Any]
    ) -> None:
        """A figure that is missing would not say why."""
        put(warehouse, "lines", {"sku": "text", "qty": "integer"}, [])
        looks = business_looks(business_of(**said), Stores(locations=dict(PLACES)))
        Watch(warehouse, [look for look in looks if look.name == name]).look()
        assert f"looking at {name}: `business." in caplog.text
        assert "lines.att, which is not in the warehouse" in caplog.text

    def test_nothing_is_looked_for_before_a_store_was_read(self, warehouse: Warehouse) -> None:
        """What is not there yet is no fault."""
        with warehouse.transaction() as tx:
            tx.execute("DELETE FROM tillstream.ledger")
        goods(warehouse, ("s1", "TEA", "a", "-2"))
        self.look(warehouse, business_of(stock=STOCK, price=PRODUCTS))
        assert self.found(warehouse) == []

    def test_a_look_that_takes_long_is_taken_seldom(
        self, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One of ten seconds not again before it comes to two percent of the time."""
        now = [1000.0]
        monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])
        taken: list[float] = []

        def slow(tx: Transaction, catalog: Catalog, policy: object) -> None:
            taken.append(now[0])
            now[0] += 10

        look: Callable[[Transaction], None] = watching._Paced(slow, EMPTY_POLICY)
        with warehouse.transaction() as tx:
            for _ in range(100):
                look(tx)
                now[0] += 10
        assert taken == [1000.0, 1500.0, 2000.0]


class TestFloatingPoint:
    """MySQL's FLOAT is `real` here."""

    def test_a_cent_more_is_no_other_price_than_it_is(self, warehouse: Warehouse) -> None:
        """Of seven digits none is lost."""
        rows = [("s1", "1", "TEA", 12345.67), ("s2", "1", "TEA", 12345.72)]
        put(warehouse, "items", {"sku": "text", "price": "real"}, rows)
        price = {"table": "items", "sku": "sku", "price": "price", "tolerance": 0.01, "headquarters": "s1"}
        assert told(warehouse, business_of(price=price)) == [
            ("s2", "TEA", "price is 12345.72, is 12345.67 in store s1")
        ]

    def test_a_balance_that_its_changes_come_to(self, warehouse: Warehouse) -> None:
        """As near as such numbers come; a cent beside it is told."""
        rows = [("s1", "1", 12345.67), ("s1", "2", 12345.68), ("s2", "1", 0.3)]
        put(warehouse, "cards", {"points": "real"}, rows)
        changes = [("s1", "1", "1", 12345.6), ("s1", "2", "1", 0.07), ("s1", "3", "2", 12345.67)]
        changes += [("s2", "1", "1", 0.1), ("s2", "2", "1", 0.2001)]
        put(warehouse, "moves", {"card": "text", "delta": "double precision"}, changes)
        assert told(warehouse, business_of(points=POINTS)) == [
            ("s1", "", "points of row 2 is 12345.68, its changes in moves come to 12345.67")
        ]

    def test_changes_that_are_no_numbers(self, warehouse: Warehouse) -> None:
        """Told with the remedy."""
        put(warehouse, "cards", {"points": "integer"}, [("s1", "1", 3)])
        put(warehouse, "moves", {"card": "text", "delta": "text"}, [("s1", "1", "1", "three")])
        with pytest.raises(RefusedError, match=r"`business.points` names moves.delta, which is text and no number"):
            told(warehouse, business_of(points=POINTS))

    def test_sales_add_up_as_in_the_store(self, warehouse: Warehouse) -> None:
        """MySQL adds FLOAT up as doubles."""
        put(warehouse, "sales", {"at": "date", "total": "real"}, [("s1", "1", "2026-11-29", 12345.67)])
        statement = statements.SALES_OF_DAY.format(
            table=sql.Identifier("sales"), at=sql.Identifier("at"), amount=sql.Identifier("total"),
            kind=sql.SQL("float8"),
        )  # fmt: skip
        with warehouse.transaction() as tx:
            rows = tx.rows(statement, {"begins": "2026-11-29", "ends": "2026-11-30"})
            tx.execute("INSERT INTO tillstream.business VALUES ('sales', 'at', 'total', '0:00', 'UTC')")
            by_day = tx.rows("SELECT store, sales, amount FROM tillstream.sales_by_day()")
            tx.execute("DELETE FROM tillstream.business")
        assert rows == by_day == [("s1", 1, Decimal("12345.669921875"))]
