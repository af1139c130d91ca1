"""Business figures of two real stores: the README's example, found and gone again, and the close of a day."""

import datetime as dt
import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from harness import Chain, unseen
from psycopg import sql
from shown import require_shown

from sinks import business_days
from sinks.business_days import AskedStore, BusinessDay, Total, close_day
from sinks.statements import mirror
from sinks.store_session import StoreSource
from sinks.warehouse import Warehouse
from sinks.watching import business as watching
from tillstream.business_file import SalesEntry
from tillstream.commands import main
from tillstream.config import load_config
from tillstream.free_ports import free_port
from tillstream.metrics import REGISTRY
from tillstream.rehearsal.mysql import MySQLServer

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```(\w+) business\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
POLICIES = """\
version: 1
tables:
  members: {scope: shared, key: {phone: phone_cn}, columns: {points: {rule: sum}}}
  products: {scope: shared, key: [sku], columns: {price: {rule: priority, stores: [s001], then: latest}}}
"""
TABLES = (
    "CREATE TABLE members (id INT PRIMARY KEY, phone VARCHAR(20), points DECIMAL(8,2))",
    "CREATE TABLE point_log (id INT PRIMARY KEY, member_id INT, delta DECIMAL(8,2))",
    "CREATE TABLE products (sku VARCHAR(20) PRIMARY KEY, price DECIMAL(8,2))",
    "CREATE TABLE stock (sku VARCHAR(20), location VARCHAR(20), qty DECIMAL(12,3), PRIMARY KEY (sku, location))",
    "CREATE TABLE sales (id INT PRIMARY KEY, sold_at DATETIME, total DECIMAL(8,2))",
    "CREATE TABLE sale_lines (sale_id INT, line INT, sku VARCHAR(20), qty INT, PRIMARY KEY (sale_id, line))",
)
# Whatever the clock says, no day ends within three hours of it, and so none while these tests run.
NOW = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
DAY_ENDS_AT = dt.timedelta(hours=0 if 3 <= NOW.hour < 21 else 6)
ENDED = (NOW - DAY_ENDS_AT).replace(hour=0, minute=0, second=0) + DAY_ENDS_AT
TODAY = ENDED.date()
YESTERDAY = TODAY - dt.timedelta(days=1)
SOLD_YESTERDAY = f"'{ENDED - dt.timedelta(hours=12)}'"
ROWS = {
    "s001": (
        "INSERT INTO members VALUES (1, '138 0013 8000', 40)",
        "INSERT INTO point_log VALUES (1, 1, 30), (2, 1, 5)",
        "INSERT INTO products VALUES ('TEA-1', 18), ('MUG', 30)",
        "INSERT INTO stock VALUES ('TEA-1', 'front', 4), ('MUG', 'front', 8)",
        f"INSERT INTO sales VALUES (1, {SOLD_YESTERDAY}, 9.5), (2, {SOLD_YESTERDAY}, 18), (3, '{NOW}', 36),"
        f" (4, '{ENDED}', 1)",  # the first of today
        "INSERT INTO sale_lines VALUES (3, 1, 'TEA-1', 2)",
    ),
    "s002": (
        "INSERT INTO members VALUES (9, '+86 13800138000', 2)",
        "INSERT INTO point_log VALUES (1, 9, 2)",
        "INSERT INTO products VALUES ('TEA-1', 20), ('MUG', 30)",
        "INSERT INTO stock VALUES ('TEA-1', 'front', 60), ('MUG', 'front', -3), ('MUG', 'storage', 12)",
        f"INSERT INTO sales VALUES (1, {SOLD_YESTERDAY}, 20)",
    ),
}
OPEN = "SELECT kind, store, key FROM tillstream.found_anomalies WHERE gone_at IS NULL"
GONE = "SELECT kind, store, key FROM tillstream.found_anomalies WHERE gone_at > found_at"
WRONG = {
    ("stock_negative", "s002", "MUG"),
    ("stock_low", "s001", "TEA-1"),
    ("price_differs", "s002", "TEA-1"),
    ("balance", "s001", "+8613800138000"),
}


@pytest.fixture(scope="module")
def chain(make_chain: Callable[..., Chain], mysql56: MySQLServer, mysql97: MySQLServer) -> Iterator[Chain]:
    """Two stores with names and places, `business:` as in the README, and looks each second, however long they take."""
    stores = {"s001": mysql56, "s002": mysql97}
    made = make_chain(stores, database="business_figures", policies=POLICIES)
    made.on_all(*TABLES)
    for store, statements in ROWS.items():
        made.on(store, *statements)
    file = made.config.directory / "tillstream.yaml"
    text = file.read_text().replace("defaults: {", f'defaults: {{day_ends_at: "{ENDED:%H:%M}", ')
    for store, said in (
        ("s001", "中山路店, location: [31.23, 121.47]"),
        ("s002", "人民广场店, location: [31.24, 121.47]"),
    ):
        text = text.replace(f"{{id: {store},", f"{{id: {store}, name: {said},")
    language, business = BLOCKS[0]
    assert language == "yaml"
    url = made.warehouse.url.render_as_string(hide_password=False)
    file.write_text(f"{text}{business}  every: 1s\npolicies: policies.yaml\nwarehouse: {{url: '{url}'}}\n")
    made.config = load_config(file)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(watching, "SHARE", 1.0)
        made.start()
        made.settle()
        since = "SELECT store FROM tillstream.watermarks WHERE complete_at >= %s ORDER BY store"
        made.wait_until(lambda: made.rows(since, [f"{NOW}+00"]) == [("s001",), ("s002",)])
        yield made


def tillstream(chain: Chain, *arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--config", str(chain.config.directory / "tillstream.yaml")])
    return int(left.value.code or 0)


def await_figure(chain: Chain, name: str, labels: dict[str, str], value: float | None) -> None:
    """Once its look has been taken: each has a pace of its own."""
    chain.wait_until(lambda: REGISTRY.get_sample_value(f"tillstream_{name}", labels) == value)


def test_what_looks_wrong_is_told_until_it_is_mended(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    """The README's blocks do what it says; each kind is found by `run` and counted, and gone once the store has put it
    right."""
    for name, labels, value in (
        ("anomalies", {"kind": "stock_low", "store": "s001"}, 1),
        ("stock_rows", {"store": "s001", "stock": "low"}, 1),
        ("stock_rows", {"store": "s002", "stock": "negative"}, 1),
        ("stock_cover_days", {"store": "s001"}, 2),
        ("price_differences", {"store": "s002"}, 1),
        ("price_differences", {"store": "s001"}, 0),
        ("points", {"side": "agreed"}, 42),
        ("points", {"side": "stores"}, 42),
    ):
        await_figure(chain, name, labels, value)
    chain.wait_until(lambda: set(chain.rows(OPEN)) == WRONG)
    with unseen(chain, "s002") as execute:
        execute(f"INSERT INTO sales VALUES (2, {SOLD_YESTERDAY}, 36)")
    for language, text in BLOCKS[1:]:
        if language == "sh":
            assert tillstream(chain, *shlex.split(text)[1:]) == 1
        elif language == "text":
            require_shown(text, capsys.readouterr().out)
        else:
            assert language == "sql"
            for statement in filter(None, (part.strip() for part in text.split(";"))):
                assert chain.rows(statement)
    today = "SELECT store FROM tillstream.days WHERE day = %s AND NOT complete ORDER BY 1"
    assert chain.rows(today, [TODAY]) == [("s001",), ("s002",)], "it is not over"
    tillstream(chain, "status")
    assert "4 things in the stores' rows look wrong, the first since " in capsys.readouterr().out

    chain.on("s001", "UPDATE stock SET qty = 5 WHERE sku = 'TEA-1'", "INSERT INTO point_log VALUES (3, 1, 5)")
    chain.on("s002", "UPDATE stock SET qty = 0 WHERE qty < 0", "UPDATE products SET price = 18 WHERE sku = 'TEA-1'")
    chain.settle()
    chain.wait_until(lambda: not chain.rows(OPEN))
    # a look between two changes that arrive may have seen more
    assert set(chain.rows(GONE)) >= WRONG
    assert tillstream(chain, "anomalies") == 0
    assert capsys.readouterr().out == "nothing looks wrong\n"
    await_figure(chain, "anomalies", {"kind": "stock_low", "store": "s001"}, None)
    await_figure(chain, "stock_rows", {"store": "s001", "stock": "low"}, 0)
    await_figure(chain, "price_differences", {"store": "s002"}, 0)


def test_a_day_is_closed(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    """What the warehouse has and what the stores say; the view says the same of the warehouse's side; a day that is not
    over is incomplete, and so is one with a store of which something is set aside; a dark store cannot be asked."""
    with unseen(chain, "s002") as execute:
        execute("DELETE FROM sales WHERE id = 2")
    chain.on("s002", f"INSERT INTO sales VALUES (2, {SOLD_YESTERDAY}, 36)")
    chain.settle()
    assert tillstream(chain, "day-close", str(YESTERDAY), "--output", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    assert [(each["id"], each["sales"], each["amount"], each["differs"]) for each in told["stores"]] == [
        ("s001", 2, "27.50", False),
        ("s002", 2, "56.00", False),
    ]
    view = (
        f"SELECT store, name, sales, amount::text, complete FROM tillstream.days WHERE day = '{YESTERDAY}' ORDER BY 1"
    )
    assert chain.rows(view) == [("s001", "中山路店", 2, "27.50", True), ("s002", "人民广场店", 2, "56.00", True)]

    assert tillstream(chain, "day-close", str(TODAY)) == 1
    assert "s001 中山路店: incomplete, the warehouse has all of it up to " in capsys.readouterr().out

    file = chain.config.directory / "tillstream.yaml"
    settings = file.read_text()
    try:
        file.write_text(settings.replace(f"port: {chain.stores['s002'].port}", f"port: {free_port()}"))
        assert tillstream(chain, "day-close", str(YESTERDAY)) == 3
        said = capsys.readouterr().out.splitlines()
        assert said[0].endswith("the store says the same")
        assert "s002 人民广场店: complete; 2 sales, 56.00; not asked: store s002 at " in said[1]
    finally:
        file.write_text(settings)

    with chain.warehouse.transaction() as tx:
        tx.execute(
            """INSERT INTO tillstream.dead_letters
            (store, database, table_name, pk, epoch, file, pos, row, ord, op, reason, event)
            VALUES ('s001', 'pos', 'sales', '7', 1, 1, 1, 1, 1, 'c', 'a test', '')"""
        )
    assert tillstream(chain, "day-close", str(YESTERDAY)) == 1
    assert "s001 中山路店: incomplete, 1 of its events is set aside; 2 sales" in capsys.readouterr().out
    with chain.warehouse.transaction() as tx:
        tx.execute("DELETE FROM tillstream.dead_letters")


def test_what_differs_is_looked_at_twice(
    chain: Chain, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of just now is in the store before it is in the warehouse: that is no difference."""
    looks: list[float] = []
    with unseen(chain, "s002") as execute:
        execute(f"INSERT INTO sales VALUES (7, {SOLD_YESTERDAY}, 1)")

        def meanwhile(seconds: float) -> None:
            looks.append(seconds)
            execute("DELETE FROM sales WHERE id = 7")

        monkeypatch.setattr(business_days, "sleep", meanwhile)
        assert tillstream(chain, "day-close", str(YESTERDAY)) == 0
        assert len(looks) == 1
    assert capsys.readouterr().out.count("the store says the same") == 2


SHANGHAI = BusinessDay(date=dt.date(2026, 11, 29), ends_at=dt.time(4), timezone="Asia/Shanghai")
IN_UTC = ("2026-11-28 19:59:59", "2026-11-28 20:00:00", "2026-11-29 19:59:59", "2026-11-29 20:00:00")
IN_SHANGHAI = ("2026-11-29 03:59:59", "2026-11-29 04:00:00", "2026-11-30 03:59:59", "2026-11-30 04:00:00")


@pytest.mark.parametrize(
    ("in_store", "in_warehouse", "times"),
    [
        ("TIMESTAMP", "timestamptz", IN_UTC),
        ("DATETIME", "timestamp", IN_SHANGHAI),
        ("DATE", "date", ("2026-11-28", "2026-11-29", "2026-11-29", "2026-11-30")),
    ],
)
def test_a_day_begins_and_ends_by_the_stores_own_clock(
    mysql56: MySQLServer, store_database: Callable[[MySQLServer], str], fresh_database: str,
    in_store: str, in_warehouse: str, times: tuple[str, ...],
) -> None:  # fmt: skip
    """However the POS keeps a sale's time: of four sales the first was of the day before and the last of the day after,
    for the store, for the warehouse and for its view. A day is over when it is by a clock that is slow, too. Of a
    retired store no day is closed."""
    database = store_database(mysql56)
    values = ", ".join(f"({number}, '{time}', {2**number})" for number, time in enumerate(times))
    with closing(mysql56.connect(database)) as store, store.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute(f"CREATE TABLE sales (id INT PRIMARY KEY, at {in_store} NULL, paid DECIMAL(8,2))")
        cursor.execute(f"INSERT INTO sales VALUES {values}")
        store.commit()
    warehouse = Warehouse(fresh_database)
    warehouse.migrate()
    with warehouse.transaction() as tx:
        tx.execute("SET LOCAL TimeZone = 'UTC'")
        tx.execute(mirror.CREATE.format(table=sql.Identifier("sales")))
        tx.execute(f"ALTER TABLE stores.sales ADD COLUMN at {in_warehouse}, ADD COLUMN paid numeric")
        for number, time in enumerate(times):
            tx.execute(
                "INSERT INTO stores.sales (_store, _pk, _epoch, _file, _pos, _row, _order, _op, _deleted, at, paid)"
                " VALUES ('s1', %s, 1, 1, 1, 0, 0, 'c', false, %s, %s)",
                [str(number), time, 2**number],
            )
        tx.execute(
            "INSERT INTO tillstream.store_states (store, name, state, complete_at) VALUES ('s1', 'One', 'live', %s)",
            [SHANGHAI.ends],
        )
        tx.execute("INSERT INTO tillstream.business VALUES ('sales', 'at', 'paid', '4 hours', 'Asia/Shanghai')")
    source = StoreSource(id="s1", connect=lambda: closing(mysql56.connect(database)), head=lambda: (1, 4))
    asked = AskedStore(source=source, name="One", database=database, day=SHANGHAI)
    (found,) = close_day(warehouse, SalesEntry(table="sales", at="at", amount="paid"), [asked])
    expected = Total(sales=2, amount=Decimal(6))
    assert (found.here, found.asked, found.missing) == (expected, expected, "")
    with warehouse.transaction() as tx:
        tx.execute("UPDATE tillstream.store_states SET clock_offset_seconds = -2400")
    (slow,) = close_day(warehouse, SalesEntry(table="sales", at="at", amount="paid"), [asked])
    assert slow.missing == "the warehouse has all of it up to 2026-11-30 03:20 only"
    complete = "SELECT day::text FROM tillstream.days WHERE complete ORDER BY 1"
    with warehouse.transaction() as tx:
        assert tx.rows(complete) == [("2026-11-28",)]
        tx.execute("UPDATE tillstream.store_states SET clock_offset_seconds = NULL")
        days = tx.rows("SELECT day::text, amount::int, ends_at, complete FROM tillstream.days ORDER BY 1")
    assert [(day, amount) for day, amount, *_ in days] == [("2026-11-28", 1), ("2026-11-29", 6), ("2026-11-30", 8)]
    assert days[1][2:] == (SHANGHAI.ends, True)
    assert [complete for *_, complete in days] == [True, True, False]

    def never() -> closing[Any]:
        raise AssertionError("a retired store is asked nothing")

    with warehouse.transaction() as tx:
        tx.execute("INSERT INTO tillstream.store_orders (store, retired) VALUES ('s1', true)")
    retired = replace(asked, source=replace(source, connect=never))
    assert close_day(warehouse, SalesEntry(table="sales", at="at", amount="paid"), [retired]) == []
    warehouse.dispose()


def test_a_day_cannot_be_closed_where_nobody_said_what_sales_are(
    chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused with what to write; a date that is none is used wrongly."""
    assert tillstream(chain, "day-close", "yesterday") == 2
    assert '"yesterday" is not a date such as 2026-11-29' in capsys.readouterr().err
    for date in ("0001-01-01", "9999-12-31"):
        assert tillstream(chain, "day-close", date) == 2
        assert f'"{date}" is out of range' in capsys.readouterr().err
    file = chain.config.directory / "tillstream.yaml"
    settings = file.read_text()
    try:
        file.write_text(re.sub(r"^  sales: .*\n|^  sale_lines: .*\n", "", settings, flags=re.MULTILINE))
        assert tillstream(chain, "day-close") == 1
        assert "write `business: {sales: {table: sales" in capsys.readouterr().err
    finally:
        file.write_text(settings)
