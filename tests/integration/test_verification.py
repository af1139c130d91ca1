"""`verify` against a real MySQL 5.6 and a real PostgreSQL: clean where they agree, and every single fault is named.

The warehouse is filled from what pymysql answers, not by Tillstream's own decoders, so the two do not err alike.
"""

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness import Chain, fresh_warehouse
from psycopg import sql

from conflict.policy import EMPTY_POLICY, Policy
from conflict.policy_file import parse_policy
from connectors.preflight import read_head, store_connection
from sinks import columns
from sinks.central import Central
from sinks.evolution import Catalog
from sinks.ledger import Ledger
from sinks.names import identifier, in_warehouse_names
from sinks.policy_switch import switch_policy
from sinks.row_codec import RowCodec, Shapes
from sinks.verification import both_sides
from sinks.verification.run import Kind, Patience, StoreSource, Verification, VerificationResult
from sinks.warehouse import Warehouse
from tillstream import checked_yaml
from tillstream.commands import verify as verify_command
from tillstream.config import Secret, Store
from tillstream.envelope import DeclaredColumn, Stamp, TableVersion
from tillstream.errors import RefusedError
from tillstream.free_ports import free_port
from tillstream.rehearsal.mysql import MySQLServer
from tillstream.verifying import verification_for

PASSWORD = "verify & %20"
FAST = Patience(settle_seconds=0.0, follow_seconds=0.3)
STAMP = Stamp(1, 1, 4, 0, 1)


@dataclass(kw_only=True)
class Shop:
    """One database of a MySQL server as a store, and the warehouse as capture would have left it."""

    server: MySQLServer
    database: str
    warehouse: Warehouse
    store: Store
    policy: Policy = EMPTY_POLICY
    versions: dict[str, TableVersion] = field(default_factory=dict)

    def on(self, *statements: str) -> None:
        with self.server.connect(self.database, init_command="SET time_zone='+00:00'") as connection:
            for statement in statements:
                connection.cursor().execute(statement)

    def declare(self, table: str, declared: list[DeclaredColumn], key: tuple[str, ...]) -> RowCodec:
        version = TableVersion(
            store=self.store.id, database=self.database, table=table, since=STAMP,
            columns=tuple(declared), primary_key=key,
        )  # fmt: skip
        self.versions[table] = version
        codec = RowCodec(version, in_warehouse_names(self.policy).tables.get(identifier(table)))
        with self.warehouse.transaction() as tx:
            catalog = Catalog()
            catalog.load(tx)
            catalog.ensure(tx, codec)
            Ledger().keep_version(tx, codec)
        return codec

    def mirror(self, table: str) -> None:
        """Everything the store has now, as the warehouse should have it."""
        codec = RowCodec(self.versions[table], in_warehouse_names(self.policy).tables.get(identifier(table)))
        with self.warehouse.transaction() as tx:
            tx.execute(sql.SQL("DELETE FROM stores.{} WHERE _store = %s").format(sql.Identifier(identifier(table))),
                       [self.store.id])  # fmt: skip
            for number, values in enumerate(self._read(codec.version)):
                self._insert(tx, codec, number, values)

    def _read(self, version: TableVersion) -> list[list[Any]]:
        asked = [f"`{c.name.replace('`', '``')}`" + (" + 0e0" if c.type_name in ("FLOAT", "DOUBLE") else "")
                 for c in version.columns]  # fmt: skip
        with self.server.connect(self.database, init_command="SET time_zone='+00:00'") as connection:
            cursor = connection.cursor()
            cursor.execute(f"SELECT {', '.join(asked)} FROM `{version.table}`")
            return [[_meant(c, v) for c, v in zip(version.columns, row, strict=True)] for row in cursor.fetchall()]

    def _insert(self, tx: Any, codec: RowCodec, number: int, values: list[Any]) -> None:
        named = dict(zip(codec.version.column_names, values, strict=True))
        parts = [str(named[name]) for name in codec.version.primary_key]
        pk = f"row {number}" if not parts else parts[0] if len(parts) == 1 else msgspec.json.encode(parts).decode()
        meta = {"_store": self.store.id, "_pk": pk, "_epoch": 1, "_file": 1, "_pos": 4, "_row": 0, "_order": 1,
                "_op": "c", "_deleted": False}  # fmt: skip
        if codec.policy is not None:
            meta |= {"_key": codec.key_of(values), "_stamps": "{}"}
        row = dict(zip(codec.columns, values, strict=True)) | meta
        tx.execute(
            sql.SQL("INSERT INTO stores.{} ({}) VALUES ({})").format(
                sql.Identifier(codec.table),
                sql.SQL(", ").join(sql.SQL(sql.Identifier(name).as_string(None).replace("%", "%%")) for name in row),
                sql.SQL(", ").join(sql.Placeholder() * len(row)),
            ),
            list(row.values()),
        )

    def change(self, statement: str, *names: str) -> int:
        """In the warehouse; `{}` are quoted names."""
        with self.warehouse.transaction() as tx:
            return tx.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def catch_up(self) -> None:
        with self.warehouse.transaction() as tx:
            tx.execute(
                "INSERT INTO tillstream.ledger (store, file, pos, snapshot_done) VALUES (%s, %s, %s, true)"
                " ON CONFLICT (store) DO UPDATE SET file = EXCLUDED.file, pos = EXCLUDED.pos",
                [self.store.id, *read_head(self.store)],
            )

    @property
    def source(self) -> StoreSource:
        return StoreSource(
            id=self.store.id, connect=partial(store_connection, self.store), head=partial(read_head, self.store)
        )

    def verify(self, **chosen: Any) -> VerificationResult:
        self.catch_up()
        return self.verify_as_it_is(**chosen)

    def verify_as_it_is(self, **chosen: Any) -> VerificationResult:
        return Verification([self.source], self.policy, self.warehouse, patience=FAST).run(**chosen)


def _meant(column: DeclaredColumn, value: Any) -> Any:
    if value is None:
        return None
    if column.type_name == "BIT":
        number = int.from_bytes(value, "big")
        return bool(number) if column.length == 1 else number
    if column.type_name == "TIMESTAMP":
        return value.replace(tzinfo=dt.UTC)
    return value


def _column(position: int, name: str, type_name: str, **facts: Any) -> DeclaredColumn:
    return DeclaredColumn(name=name, type_name=type_name, position=position, **facts)


@contextmanager
def _shop(server: MySQLServer, database: str, url: str, password: Path, store: str = "s1") -> Iterator[Shop]:
    warehouse = Warehouse(url)
    try:
        warehouse.migrate()
        yield Shop(
            server=server,
            database=database,
            warehouse=warehouse,
            store=Store(
                id=store,
                name=store,
                host=server.host,
                port=server.port,
                user="verifier",
                password=Secret(file=password),
                database=database,
                timezone="UTC",
            ),
        )
    finally:
        warehouse.dispose()


@pytest.fixture(scope="module")
def password(mysql56: MySQLServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    mysql56.create_capture_user("verifier", PASSWORD)
    file = tmp_path_factory.mktemp("secret") / "password"
    file.write_text(PASSWORD)
    return file


@pytest.fixture
def shop(
    mysql56: MySQLServer, store_database: Callable[[MySQLServer], str], fresh_database: str, password: Path
) -> Iterator[Shop]:
    with _shop(mysql56, store_database(mysql56), fresh_database, password) as shop:
        yield shop


# --- every type ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Case:
    """A column: its declaration, two values, and the least that the warehouse may be wrong by."""

    ddl: str
    type_name: str
    values: tuple[str, str]
    wrong: str  # of the first value, in the warehouse
    empty: str = "0"  # what NULL must not be taken for
    facts: dict[str, Any] = field(default_factory=dict)


def _text(ddl: str, type_name: str, charset: str = "utf8mb4", values: tuple[str, str] = ("'中文 é'", "'x'")) -> Case:
    return Case(
        ddl=ddl, type_name=type_name, values=values, wrong="{} || ' '", empty="''", facts={"charset_name": charset}
    )


def _bytes(ddl: str, type_name: str, length: int | None = None) -> Case:
    return Case(ddl=ddl, type_name=type_name, values=("x'00ff27'", "x'20'"), wrong=r"{} || '\x00'", empty="''",
                facts={"length": length})  # fmt: skip


def _number(ddl: str, type_name: str, first: str, second: str, wrong: str = "{} - 1", **facts: Any) -> Case:
    return Case(ddl=ddl, type_name=type_name, values=(first, second), wrong=wrong, facts=facts)


TICK = "{} - interval '1 microsecond'"
CASES: dict[str, Case] = {
    "tinyint": _number("tinyint", "TINYINT", "127", "-128"),
    "bool": _number("boolean", "BOOL", "2", "-128"),
    "order": _number("smallint", "SMALLINT", "32767", "-32768"),
    "50%": _number("mediumint", "MEDIUMINT", "8388607", "-8388608"),
    "100%s": _number("int", "INT", "2147483647", "-2147483648"),
    "价格": _number("bigint", "BIGINT", "9223372036854775807", "-9223372036854775808"),
    "tiny`unsigned": _number("tinyint unsigned", "TINYINT UNSIGNED", "255", "0"),
    'small"unsigned': _number("smallint unsigned", "SMALLINT UNSIGNED", "65535", "0"),
    "{medium}": _number("mediumint unsigned", "MEDIUMINT UNSIGNED", "16777215", "0"),
    "int unsigned": _number("int unsigned", "INT UNSIGNED", "4294967295", "0"),
    "bigint_unsigned": _number("bigint unsigned", "BIGINT UNSIGNED", "18446744073709551615", "0"),
    "zerofill": _number("int(6) zerofill", "INT UNSIGNED ZEROFILL", "42", "0"),
    "money": _number("decimal(10,2)", "DECIMAL", "99999999.99", "-0.10", "{} - 0.01", length=10, scale=2),
    "widest": _number("decimal(65,30)", "DECIMAL", f"{'9' * 35}.{'9' * 30}", f"-0.{'0' * 29}1",
                      "{} - 1e-30", length=65, scale=30),
    "real": _number("float", "FLOAT", "1.1", "-16777217", "'1.1000001'::real"),
    "double": _number("double", "DOUBLE", "0.1", "-1e300", "'0.10000000000000002'::float8"),
    "year": _number("year", "YEAR", "2155", "0"),
    "date": Case(ddl="date", type_name="DATE", values=("'9999-12-31'", "'1000-01-01'"), wrong="{} - 1",
                 empty="'1970-01-01'"),
    "_pk": Case(ddl="datetime(6)", type_name="DATETIME", wrong=TICK, empty="'1970-01-01'",
                values=("'9999-12-31 23:59:59.999999'", "'1000-01-01 00:00:00'")),
    "seconds": Case(ddl="datetime", type_name="DATETIME", values=("'2024-02-29 23:59:59'", "'1969-12-31 23:59:59'"),
                    wrong=TICK, empty="'1970-01-01'"),
    "stamp": Case(ddl="timestamp(6) null", type_name="TIMESTAMP", wrong=TICK, empty="'1970-01-01'",
                  values=("'2038-01-19 03:14:07.999999'", "'1970-01-01 00:00:01'")),
    "time": Case(ddl="time(6)", type_name="TIME", values=("'-838:59:58.999999'", "'-00:00:00.5'"), wrong=TICK,
                 empty="'0'"),
    "whole_time": Case(ddl="time", type_name="TIME", values=("'-00:00:01'", "'838:59:59'"), wrong=TICK,
                       empty="'0'"),
    "bit": _number("bit(64)", "BIT", f"b'{'1' * 64}'", "b'0'", length=64),
    "switch": Case(ddl="bit(1)", type_name="BIT", values=("b'1'", "b'0'"), wrong="NOT {}", empty="false",
                   facts={"length": 1}),
    "char": _text("char(10)", "CHAR"),
    "varchar": _text("varchar(60) character set latin1", "VARCHAR", "latin1", ("'é€'", "''")),
    "gbk": _text("varchar(60) character set gbk", "VARCHAR", "gbk", ("'中文'", "' '")),
    "tinytext": _text("tinytext", "TINYTEXT", values=("'😀'", "''")),
    "text": _text("text character set utf8", "TEXT", "utf8mb3", ("'a\\tb\\n\\'\\\\'", "'-'")),
    "mediumtext": _text("mediumtext", "MEDIUMTEXT", values=("REPEAT('长', 3000)", "'='")),
    "longtext": _text("longtext", "LONGTEXT"),
    "enum": Case(ddl="enum('a,b','c')", type_name="ENUM", values=("'a,b'", "'c'"), wrong="'c'", empty="''",
                 facts={"charset_name": "utf8mb4", "enum_values": ["a,b", "c"]}),
    "set": Case(ddl="set('x','y','z')", type_name="SET", values=("'x,z'", "''"), wrong="'x,y'", empty="''",
                facts={"charset_name": "utf8mb4"}),
    "binary": _bytes("binary(3)", "BINARY", 3),
    "varbinary": _bytes("varbinary(20)", "VARBINARY"),
    "tinyblob": _bytes("tinyblob", "TINYBLOB"),
    "blob": _bytes("blob", "BLOB"),
    "mediumblob": _bytes("mediumblob", "MEDIUMBLOB"),
    "longblob": _bytes("longblob", "LONGBLOB"),
}  # fmt: skip


@pytest.fixture(scope="module")
def wide(mysql56: MySQLServer, warehouse_url: str, password: Path) -> Iterator[Shop]:
    with _wide(mysql56, "verify_wide", warehouse_url, password) as shop:
        yield shop


@contextmanager
def _wide(server: MySQLServer, database: str, warehouse_url: str, password: Path) -> Iterator[Shop]:
    """Rows 1 and 2 with values, row 3 with NULL in every column."""
    server.execute(f"DROP DATABASE IF EXISTS {database}")
    server.execute(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")
    with _shop(server, database, fresh_warehouse(warehouse_url, database), password) as shop:
        quoted = {name: "`" + name.replace("`", "``") + "`" for name in CASES}
        shop.on(
            "SET sql_mode = 'NO_ENGINE_SUBSTITUTION,STRICT_ALL_TABLES'",
            f"CREATE TABLE wide (id int primary key, {', '.join(f'{quoted[n]} {c.ddl}' for n, c in CASES.items())})",
            *(
                f"INSERT INTO wide VALUES ({row + 1}, {', '.join(c.values[row] for c in CASES.values())})"
                for row in (0, 1)
            ),
            "INSERT INTO wide (id, stamp) VALUES (3, NULL)",
        )
        declared = [_column(at, name, c.type_name, **c.facts) for at, (name, c) in enumerate(CASES.items(), 2)]
        shop.declare("wide", [_column(1, "id", "INT"), *declared], ("id",))
        shop.mirror("wide")
        yield shop
    server.execute(f"DROP DATABASE {database}")


def test_every_type_is_tried() -> None:
    """Here, or in test_types.py, which has the servers that know the newer ones."""
    spatial = {name for name, kind in columns._TYPES.items() if kind is columns._SPATIAL}
    elsewhere = {"JSON", "VECTOR", "UUID", *spatial}
    declared = {" ".join(w for w in case.type_name.split() if w != "ZEROFILL") for case in CASES.values()}
    assert declared | elsewhere == set(columns._TYPES)


def test_equal_values_of_every_type_are_equal(wide: Shop) -> None:
    result = wide.verify()
    assert (result.differences, result.samples, result.unreachable) == (0, (), ())
    assert (result.tables, result.rows, result.in_flux) == (1, 3, 0)


def test_equal_values_of_every_type_are_equal_in_mysql_9(
    mysql97: MySQLServer, warehouse_url: str, password: Path
) -> None:
    """MD5 is gone there: the rows are hashed by SHA-256."""
    mysql97.create_capture_user("verifier", PASSWORD)
    with _wide(mysql97, "verify_wide_9", warehouse_url, password) as shop:
        result = shop.verify()
        assert (result.unreachable, result.samples, result.rows) == ((), (), 3)
        shop.change("UPDATE stores.wide SET money = money - 0.01, char = char || ' ' WHERE _pk = '1'")
        assert sorted(_found(shop.verify())) == [("1", "char", "value"), ("1", "money", "value")]


@pytest.mark.parametrize("name", CASES)
def test_the_least_wrong_value_of_every_type_is_noticed(wide: Shop, name: str) -> None:
    """A value that is off by the least, one that became NULL, and a NULL that became the type's empty value."""
    case = CASES[name]
    wrongs = {"1": case.wrong, "2": "NULL", "3": case.empty}
    with _put_back(wide):
        for row, wrong in wrongs.items():
            text = f"UPDATE stores.wide SET {{0}} = {wrong.replace('{}', '{0}')} WHERE _pk = '{row}'"
            wide.change(text, identifier(name))
        result = wide.verify()
    found = {sample.key: (sample.column, sample.kind) for sample in result.samples}
    assert (result.differences, found) == (3, dict.fromkeys(wrongs, (name, Kind.VALUE)))
    nulls = {s.key: (s.store_value is None, s.warehouse_value is None) for s in result.samples}
    assert nulls == {"1": (False, False), "2": (False, True), "3": (True, False)}


def test_what_was_put_back_is_equal_again(wide: Shop) -> None:
    assert wide.verify().differences == 0


@contextmanager
def _put_back(shop: Shop) -> Iterator[None]:
    shop.change("CREATE TABLE public.kept AS SELECT * FROM stores.wide")
    try:
        yield
    finally:
        shop.change("DELETE FROM stores.wide")
        shop.change("INSERT INTO stores.wide SELECT * FROM public.kept")
        shop.change("DROP TABLE public.kept")


# --- rows ------------------------------------------------------------------------------------------------------


def _members(shop: Shop, rows: int = 20) -> Shop:
    shop.on(
        "CREATE TABLE members (id int unsigned primary key, name varchar(20))",
        *(f"INSERT INTO members VALUES ({7 * n}, 'm{n}')" for n in range(rows)),
    )
    shop.declare("members", [_column(1, "id", "INT UNSIGNED"), _column(2, "name", "VARCHAR")], ("id",))
    shop.mirror("members")
    return shop


def _found(result: VerificationResult) -> list[tuple[str, str, str]]:
    return [(sample.key, sample.column, sample.kind.value) for sample in result.samples]


@pytest.mark.parametrize("pk", ["0", "7", "70", "133"])
def test_a_missing_row_is_named_wherever_it_lies(shop: Shop, pk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(both_sides, "CHUNK_ROWS", 3)
    _members(shop)
    assert shop.verify().differences == 0
    shop.change(f"DELETE FROM stores.members WHERE _pk = '{pk}'")
    result = shop.verify()
    assert (result.differences, _found(result)) == (1, [(pk, "", "missing")])
    assert result.rows == 20
    assert f"id={pk}, name=m{int(pk) // 7}" == result.samples[0].store_value


@pytest.mark.parametrize("pk", ["-1", "1", "71", "9999"])
def test_an_extra_row_is_named_wherever_it_lies(shop: Shop, pk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(both_sides, "CHUNK_ROWS", 3)
    _members(shop).change(
        "INSERT INTO stores.members (id, name, _store, _pk, _epoch, _file, _pos, _row, _order, _op, _deleted)"
        f" VALUES ({pk}, 'x', 's1', '{pk}', 1, 1, 4, 0, 1, 'c', false)"
    )
    result = shop.verify()
    assert (result.differences, _found(result)) == (1, [(pk, "", "extra")])
    assert result.samples[0].warehouse_value == f"id={pk}, name=x"


def test_a_row_that_is_there_twice_is_extra(shop: Shop) -> None:
    """As when two ways of capture made two identities of one key."""
    _members(shop).change(
        "INSERT INTO stores.members (id, name, _store, _pk, _epoch, _file, _pos, _row, _order, _op, _deleted)"
        " SELECT id, name, _store, '7.0', _epoch, _file, _pos, _row, _order, _op, _deleted"
        " FROM stores.members WHERE _pk = '7'"
    )
    result = shop.verify()
    assert (result.differences, _found(result)) == (1, [("7", "", "extra")])


def test_the_deleted_mark_is_compared(shop: Shop) -> None:
    _members(shop).change("UPDATE stores.members SET _deleted = true WHERE _pk = '7'")
    result = shop.verify()
    assert (result.differences, _found(result)) == (1, [("7", "", "missing")])
    shop.on("DELETE FROM members WHERE id = 7")
    assert shop.verify().differences == 0
    shop.change("UPDATE stores.members SET _deleted = false WHERE _pk = '7'")
    assert _found(shop.verify()) == [("7", "", "extra")]


def test_another_stores_rows_are_not_this_stores(shop: Shop) -> None:
    _members(shop).change("UPDATE stores.members SET _store = 's2' WHERE _pk = '7'")
    assert _found(shop.verify()) == [("7", "", "missing")]


def test_all_differences_are_counted_and_some_are_shown(shop: Shop) -> None:
    _members(shop, rows=50).change("UPDATE stores.members SET name = 'wrong'")
    result = shop.verify()
    assert (result.differences, len(result.samples), result.differing[0].differences) == (50, 10, 50)


def test_a_composite_key_of_text(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets by hash; keys that a collation takes for equal are different rows."""
    monkeypatch.setattr(both_sides, "CHUNK_ROWS", 2)
    shop.on(
        "CREATE TABLE prices (sku varchar(20) character set gbk collate gbk_bin, shop varchar(20) collate utf8mb4_bin,"
        " price decimal(8,2), primary key (sku, shop))",
        *(f"INSERT INTO prices VALUES ('{sku}', '{place}', 1.50)" for sku in ("苹果", "a", "A", '"', "")
          for place in ("中山路", "a,b", "\\\\", "a ")),
    )  # fmt: skip
    declared = [
        _column(1, "sku", "VARCHAR", charset_name="gbk"),
        _column(2, "shop", "VARCHAR", charset_name="utf8mb4"),
        _column(3, "price", "DECIMAL", length=8, scale=2),
    ]
    shop.declare("prices", declared, ("sku", "shop"))
    shop.mirror("prices")
    assert (shop.verify().differences, shop.verify().rows) == (0, 20)
    shop.change("UPDATE stores.prices SET price = 1.51 WHERE sku = '苹果' AND shop = '中山路'")
    shop.change("DELETE FROM stores.prices WHERE sku = 'A' AND shop = 'a '")
    result = shop.verify()
    assert sorted(_found(result)) == [('["A","a "]', "", "missing"), ('["苹果","中山路"]', "price", "value")]
    assert {(s.store_value, s.warehouse_value) for s in result.samples if s.column} == {("1.50", "1.51")}


def test_a_key_that_begins_with_an_integer(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges, also where more rows than a chunk's share the first part."""
    monkeypatch.setattr(both_sides, "CHUNK_ROWS", 3)
    shop.on(
        "CREATE TABLE sale_lines (sale bigint unsigned, line int, qty int, primary key (sale, line))",
        *(f"INSERT INTO sale_lines VALUES ({sale}, {line}, 1)" for sale in (1, 2, 2**63, 2**64 - 1)
          for line in range(8)),
    )  # fmt: skip
    declared = [_column(1, "sale", "BIGINT UNSIGNED"), _column(2, "line", "INT"), _column(3, "qty", "INT")]
    shop.declare("sale_lines", declared, ("sale", "line"))
    shop.mirror("sale_lines")
    assert shop.verify().differences == 0
    for sale in (1, 2, 2**63, 2**64 - 1):
        shop.change(f"UPDATE stores.sale_lines SET qty = 2 WHERE sale = {sale} AND line = 7")
        assert _found(shop.verify()) == [(f'["{sale}","7"]', "qty", "value")]
        shop.mirror("sale_lines")


@pytest.mark.parametrize(
    ("ddl", "type_name", "facts", "value"),
    [
        ("datetime(3)", "DATETIME", {}, "'2024-01-01 00:00:00.5'"),
        ("timestamp", "TIMESTAMP", {}, "'2024-01-01 00:00:00'"),
        ("date", "DATE", {}, "'2024-01-01'"),
        ("time", "TIME", {}, "'-10:00:00'"),
        ("decimal(6,2)", "DECIMAL", {"length": 6, "scale": 2}, "-1.10"),
        ("varbinary(10)", "VARBINARY", {}, "x'00ff'"),
        ("bit(1)", "BIT", {"length": 1}, "b'1'"),
        ("bit(9)", "BIT", {"length": 9}, "b'100000001'"),
        ("float", "FLOAT", {}, "0.1"),
        ("double", "DOUBLE", {}, "0.1"),
        ("year", "YEAR", {}, "2024"),
    ],
)
def test_a_primary_key_of_an_unusual_type(
    shop: Shop, ddl: str, type_name: str, facts: dict[str, Any], value: str
) -> None:
    shop.on(f"CREATE TABLE odd (k {ddl} primary key, v int)", f"INSERT INTO odd VALUES ({value}, 1)")
    shop.declare("odd", [_column(1, "k", type_name, **facts), _column(2, "v", "INT")], ("k",))
    shop.mirror("odd")
    assert shop.verify().differences == 0
    shop.change("UPDATE stores.odd SET v = 2")
    assert [(s.column, s.kind) for s in shop.verify().samples] == [("v", Kind.VALUE)]
    shop.change("DELETE FROM stores.odd")
    assert [s.kind for s in shop.verify().samples] == [Kind.MISSING]


def test_a_table_without_a_key_is_a_multiset(shop: Shop) -> None:
    shop.on(
        "CREATE TABLE log (what varchar(20), amount float)",
        "INSERT INTO log VALUES ('a', 0.1), ('a', 0.1), ('a', 0.1), ('b', NULL), (NULL, 1), ('', 1)",
    )
    shop.declare("log", [_column(1, "what", "VARCHAR"), _column(2, "amount", "FLOAT")], ())
    shop.mirror("log")
    assert (shop.verify().differences, shop.verify().rows) == (0, 6)
    shop.change("DELETE FROM stores.log WHERE ctid IN (SELECT ctid FROM stores.log WHERE what = 'a' LIMIT 2)")
    result = shop.verify()
    assert (result.differences, [s.kind for s in result.samples]) == (2, [Kind.MISSING])
    shop.mirror("log")
    shop.change("UPDATE stores.log SET what = NULL WHERE what = ''")
    result = shop.verify()
    assert sorted(s.kind.value for s in result.samples) == ["extra", "missing"]


def test_values_near_the_largest_packet(shop: Shop) -> None:
    """MySQL's CONCAT and HEX answer NULL above max_allowed_packet; a NULL there must not pass for the value."""
    shop.on("CREATE TABLE big (id int primary key, a longtext, b longblob) ENGINE=MyISAM",
            "INSERT INTO big VALUES (1, REPEAT('长', 1300000), REPEAT(x'ff', 4000000))")  # fmt: skip
    shop.declare("big", [_column(1, "id", "INT"), _column(2, "a", "LONGTEXT"), _column(3, "b", "LONGBLOB")], ("id",))
    shop.mirror("big")
    assert shop.verify().differences == 0
    shop.change(r"UPDATE stores.big SET a = a || '长', b = b || '\xff'")
    assert sorted(_found(shop.verify())) == [("1", "a", "value"), ("1", "b", "value")]


def test_text_columns_cannot_imitate_one_another(shop: Shop) -> None:
    shop.on("CREATE TABLE pairs (id int primary key, a varchar(20), b varchar(20))",
            "INSERT INTO pairs VALUES (1, 'x,=y', 'z'), (2, '-', NULL), (3, '', '')")  # fmt: skip
    shop.declare("pairs", [_column(1, "id", "INT"), _column(2, "a", "VARCHAR"), _column(3, "b", "VARCHAR")], ("id",))
    shop.mirror("pairs")
    assert shop.verify().differences == 0
    shop.change("UPDATE stores.pairs SET a = 'x', b = 'y,=z' WHERE id = 1")
    shop.change("UPDATE stores.pairs SET a = NULL, b = '-' WHERE id = 2")
    assert [(key, column) for key, column, _ in sorted(_found(shop.verify()))] == [
        ("1", "a"), ("1", "b"), ("2", "a"), ("2", "b"),
    ]  # fmt: skip


# --- what is no difference ---------------------------------------------------------------------------------------


def test_a_row_with_an_open_dead_letter_is_set_aside(shop: Shop) -> None:
    _members(shop).change("DELETE FROM stores.members WHERE _pk IN ('7', '14')")
    letter = (
        "INSERT INTO tillstream.dead_letters (store, database, table_name, pk, epoch, file, pos, row, ord, op, reason,"
        " event, status) VALUES ('{}', 'pos', 'members', '{}', 1, 1, 1, 1, 1, 'c', 'odd', '', '{}')"
    )
    shop.change(letter.format("s1", "7", "open"))
    shop.change(letter.format("s2", "14", "open"))
    shop.change(letter.format("s1", "14", "discarded"))
    result = shop.verify()
    assert (result.set_aside, result.differences, _found(result)) == (1, 1, [("14", "", "missing")])


def test_a_letter_without_a_key_covers_one_missing_row(shop: Shop) -> None:
    shop.on("CREATE TABLE log (what varchar(20))", "INSERT INTO log VALUES ('a'), ('b'), ('c')")
    shop.declare("log", [_column(1, "what", "VARCHAR")], ())
    shop.change(
        "INSERT INTO tillstream.dead_letters (store, database, table_name, pk, epoch, file, pos, row, ord, op, reason,"
        " event) VALUES ('s1', 'pos', 'log', '1/000001:4.0', 1, 1, 1, 1, 1, 'c', 'odd', '')"
    )
    result = shop.verify()
    assert (result.set_aside, result.differences) == (1, 2)


def test_while_the_warehouse_is_behind_nothing_is_a_difference(shop: Shop) -> None:
    """Capture stands still: the row may be among what it has not read."""
    _members(shop).catch_up()
    shop.on("INSERT INTO members VALUES (1000, 'new')", "UPDATE members SET name = 'new' WHERE id = 7")
    result = shop.verify_as_it_is()
    assert (result.in_flux, result.differences) == (2, 0)
    shop.mirror("members")
    assert shop.verify().in_flux == 0


def test_a_warehouse_that_catches_up_is_waited_for(shop: Shop) -> None:
    _members(shop).catch_up()
    shop.on("INSERT INTO members VALUES (1000, 'new')")
    arrival = threading.Timer(0.5, lambda: (shop.mirror("members"), shop.catch_up()))
    arrival.start()
    patient = Patience(settle_seconds=0.0, follow_seconds=20.0)
    result = Verification([shop.source], EMPTY_POLICY, shop.warehouse, patience=patient).run()
    arrival.join()
    assert (result.differences, result.in_flux) == (0, 0)


def test_a_row_whose_stamp_is_newer_than_what_was_read_is_in_flux(shop: Shop) -> None:
    file, _ = read_head(shop.store)
    _members(shop).change(f"UPDATE stores.members SET name = 'next', _file = {file + 1} WHERE _pk = '7'")
    result = shop.verify()
    assert (result.in_flux, result.differences) == (1, 0)


def test_a_row_that_moves_is_in_flux(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of its two sightings is the other."""
    _members(shop)
    heads = iter(range(1000))

    def head() -> tuple[int, int]:
        shop.change(f"UPDATE stores.members SET name = 'moving {next(heads)}' WHERE _pk = '7'")
        shop.catch_up()
        return read_head(shop.store)

    result = Verification([replace(shop.source, head=head)], EMPTY_POLICY, shop.warehouse, patience=FAST).run()
    assert (result.in_flux, result.differences) == (1, 0)


def test_the_first_bytes_of_a_new_log_file_are_not_waited_for(shop: Shop) -> None:
    """After a restart of the store its log begins with events that no engine reports."""
    _members(shop).change("UPDATE stores.members SET name = 'wrong' WHERE _pk = '7'")
    shop.server.execute("FLUSH LOGS")
    file, _ = read_head(shop.store)
    shop.catch_up()
    shop.change(f"UPDATE tillstream.ledger SET pos = 4, file = {file}")
    assert (shop.verify_as_it_is().differences, shop.verify_as_it_is().in_flux) == (1, 0)


def test_while_the_tills_are_at_work_only_what_is_wrong_is_a_difference(
    mysql56: MySQLServer, make_chain: Callable[..., Chain]
) -> None:
    """Through the real pipeline: rows come, change, move and go while each is compared."""
    chain = make_chain({"s1": mysql56}, database="verify_traffic", policies=POLICIES.replace("s2, ", ""))
    chain.on(
        "s1",
        "CREATE TABLE members (id int primary key auto_increment, phone varchar(20), name varchar(20), points int)",
        "CREATE TABLE prices (sku varchar(20) primary key, price decimal(8,2), weight float)",
        "CREATE TABLE log (what varchar(20), at datetime(6))",
        *(f"INSERT INTO members (phone, name, points) VALUES ('138001380{n:02}', 'm', {n})" for n in range(100)),
        *(f"INSERT INTO prices VALUES ('sku {n}', {n}.10, 0.1)" for n in range(100)),
        *(f"INSERT INTO log VALUES ('{n % 7}', '2024-01-01')" for n in range(50)),
    )
    chain.start()
    chain.settle()
    assert _verified(chain).differences == 0
    assert chain.rows(
        "WITH a AS (UPDATE stores.members SET points = -1 WHERE id = 100 RETURNING 1),"
        " b AS (UPDATE stores.prices SET price = -1 WHERE sku = 'sku 99' RETURNING 1)"
        " SELECT count(*) FROM a, b"
    ) == [(1,)]
    stop = threading.Event()
    till = threading.Thread(target=_trade, args=(chain, stop))
    till.start()
    try:
        during = [_verified(chain) for _ in range(2)]
    finally:
        stop.set()
        till.join()
    for result in during:
        rows = {(s.table, s.key) for s in result.samples if s.kind is not Kind.CENTRAL}
        assert rows <= {("members", "100"), ("prices", "sku 99")}, result.samples
        assert rows or result.in_flux
    assert any(("prices", "sku 99") in {(s.table, s.key) for s in result.samples} for result in during)
    chain.settle()
    result = _verified(chain)
    assert {(s.table, s.key, s.column) for s in result.samples if s.kind is Kind.VALUE} == {
        ("members", "100", "points"), ("prices", "sku 99", "price"),
    }  # fmt: skip
    assert (result.in_flux, result.set_aside, result.unreachable) == (0, 0, ())


def _verified(chain: Chain) -> VerificationResult:
    return verification_for(chain.config, chain.policy, chain.warehouse).run()


def _trade(chain: Chain, stop: threading.Event) -> None:
    """Everything but members 100 and 'sku 99'."""
    number = 0
    with chain.session("s1") as till:
        while not stop.wait(0.002):
            number += 1
            n = number % 90
            till.execute(f"UPDATE members SET points = points + 1, name = 'n{number}' WHERE id = {n + 1}")
            till.execute(f"UPDATE prices SET price = price + 0.01, weight = weight * 1.1 WHERE sku = 'sku {n}'")
            till.execute(f"UPDATE prices SET sku = 'moved {number}' WHERE sku = 'moved {number - 1}'")
            till.execute(f"REPLACE INTO prices VALUES ('moved {number}', 1, NULL)")
            till.execute(f"INSERT INTO log VALUES ('{n % 7}', NOW(6))")
            till.execute(f"DELETE FROM log WHERE what = '{n % 5}' LIMIT 1")
            till.execute(f"INSERT INTO members (phone, name) VALUES ('139001380{n:02}', 'new {number}')")
            till.execute("DELETE FROM members WHERE id > 100 AND id % 3 = 0 LIMIT 1")


# --- what cannot be asked ----------------------------------------------------------------------------------------


def test_a_store_that_does_not_answer_is_listed_and_the_others_are_judged(shop: Shop) -> None:
    _members(shop).change("UPDATE stores.members SET name = 'wrong' WHERE _pk = '7'")
    away = replace(shop.store, id="s2", port=free_port())
    stranger = replace(shop.store, id="s3", user="nobody")
    shop.change("INSERT INTO tillstream.schema_versions SELECT s, database, table_name, epoch, file, pos, row, ord,"
                " columns, primary_key FROM tillstream.schema_versions, (VALUES ('s2'), ('s3')) v(s)")  # fmt: skip
    shop.catch_up()
    sources = [
        StoreSource(id=store.id, connect=partial(store_connection, store), head=partial(read_head, store))
        for store in (away, shop.store, stranger, replace(shop.store, id="s4"))
    ]
    result = Verification(sources, EMPTY_POLICY, shop.warehouse, patience=FAST).run()
    assert (result.differences, result.tables) == (1, 1)
    assert [reason[:8] for reason in result.unreachable] == ["store s2", "store s3", "store s4"]
    assert "does not answer" in result.unreachable[0]
    assert "nothing of it is in the warehouse yet" in result.unreachable[2]


def test_a_store_whose_log_was_reset_is_not_judged(shop: Shop) -> None:
    _members(shop).catch_up()
    shop.change("UPDATE tillstream.ledger SET file = file + 5")
    result = shop.verify_as_it_is()
    assert "the log was reset" in result.unreachable[0]
    assert (result.tables, result.differences) == (0, 0)


def test_a_dropped_table_leaves_extra_rows(shop: Shop) -> None:
    _members(shop).on("DROP TABLE members")
    result = shop.verify()
    assert (result.differences, {sample.kind for sample in result.samples}) == (20, {Kind.EXTRA})
    shop.change("UPDATE stores.members SET _deleted = true")
    assert shop.verify().differences == 0


def test_a_table_that_the_warehouse_lost(shop: Shop) -> None:
    _members(shop).change("DROP TABLE stores.members")
    result = shop.verify()
    assert (result.differences, {sample.kind for sample in result.samples}) == (20, {Kind.MISSING})


def test_a_column_that_one_side_lost(shop: Shop) -> None:
    _members(shop).change("ALTER TABLE stores.members DROP COLUMN name")
    assert shop.verify().differences == 20
    shop.change("ALTER TABLE stores.members ADD COLUMN name text")
    shop.mirror("members")
    shop.on("ALTER TABLE members DROP COLUMN name")
    result = shop.verify()
    assert (result.differences, _found(result)) == (1, [("", "name", "extra")])


def test_only_what_was_asked_for_is_compared(shop: Shop) -> None:
    _members(shop)
    shop.on("CREATE TABLE other (id int primary key)", "INSERT INTO other VALUES (1)")
    shop.declare("other", [_column(1, "id", "INT")], ("id",))
    assert (shop.verify(tables=["members"]).differences, shop.verify(tables=["other"]).differences) == (0, 1)
    assert shop.verify(stores=["s1"]).tables == 2
    with pytest.raises(RefusedError, match="no store is known as s9; there are: s1"):
        shop.verify(stores=["s9"])
    with pytest.raises(RefusedError, match="no table is known as nope; there are: members, other"):
        shop.verify(tables=["nope"])


def test_each_run_is_kept(shop: Shop) -> None:
    result = _members(shop).verify()
    with shop.warehouse.transaction() as tx:
        (kept,) = tx.rows("SELECT result FROM tillstream.verification_runs")
    assert kept[0] == json.loads(json.dumps(result.as_json()))
    assert kept[0]["schema"] == 1
    shop.verify(tables=["members"])
    with shop.warehouse.transaction() as tx:
        assert tx.rows("SELECT is_whole FROM tillstream.verification_runs ORDER BY id") == [(True,), (False,)]


# --- central.* ---------------------------------------------------------------------------------------------------

POLICIES = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    columns: {points: {rule: sum}, name: {rule: priority, stores: [s2, s1]}}
"""


@pytest.fixture
def shared(shop: Shop, tmp_path: Path) -> Shop:
    """Two stores with two members, one of them in both."""
    (tmp_path / "policies.yaml").write_text(POLICIES)
    shop.policy = parse_policy(checked_yaml.load(tmp_path / "policies.yaml"), {"s1": {}, "s2": {}})
    shop.on(
        "CREATE TABLE members (id int primary key, phone varchar(20), name varchar(20), points int)",
        "INSERT INTO members VALUES (1, '13800138000', 'Wang', 30), (2, '13800138001', 'Li', 5)",
    )
    declared = [_column(1, "id", "INT"), _column(2, "phone", "VARCHAR"), _column(3, "name", "VARCHAR"),
                _column(4, "points", "INT")]  # fmt: skip
    shop.declare("members", declared, ("id",))
    shop.mirror("members")
    shop.change("INSERT INTO stores.members SELECT 's2', _pk, _epoch, _file, _pos, _row, _order, _event_at, _seen_at,"
                " _op, _deleted, _key, _stamps, id, phone, 'Wang Wei', 12 FROM stores.members"
                " WHERE id = 1")  # fmt: skip
    shop.change("INSERT INTO tillstream.presence SELECT 's2', table_name, columns FROM tillstream.presence")
    policy = in_warehouse_names(shop.policy)
    policy_id = switch_policy(shop.warehouse, Shapes(policy))
    with shop.warehouse.transaction() as tx:
        catalog = Catalog()
        catalog.load(tx)
        central = Central(catalog, policy, policy_id)
        central.decide(tx, dict.fromkeys(waiting := central.take_waiting(tx)), waiting)
    return shop


KEY = "+8613800138000"


def test_what_the_policy_made_is_right(shared: Shop) -> None:
    """A store that lost a conflict differs from nothing: its own row is what it is."""
    result = shared.verify()
    assert (result.differences, result.central_keys, result.central_differences) == (0, 2, 0)


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        ("UPDATE central.members SET points = 41 WHERE _key = '{}'", "points"),
        ("UPDATE central.members SET points = NULL WHERE _key = '{}'", "points"),
        ("UPDATE central.members SET name = 'Wang' WHERE _key = '{}'", "name"),
        ("UPDATE central.members SET phone = '1' WHERE _key = '{}'", "phone"),
        ("UPDATE central.members SET _winners = '{{\"name\": \"s1\"}}' WHERE _key = '{}'", "_winners"),
        ("UPDATE central.members SET _stores = '{{s1}}' WHERE _key = '{}'", "_stores"),
        ("DELETE FROM central.members WHERE _key = '{}'", ""),
        ("UPDATE stores.members SET _deleted = true WHERE _key = '{}'", ""),
        ("UPDATE stores.members SET _op = 't' WHERE _store = 's2'", None),
        ("DELETE FROM stores.members WHERE _key = '{}'", ""),
    ],
)
def test_a_wrong_decision_is_named(shared: Shop, statement: str, column: str | None) -> None:
    assert shared.change(statement.format(KEY).replace("{", "{{").replace("}", "}}"))
    result = shared.verify()
    assert result.central_differences == 1
    central = [sample for sample in result.samples if sample.kind is Kind.CENTRAL]
    assert {sample.key for sample in central} == {KEY}
    assert column is None or column in {sample.column for sample in central}
    shared.change("INSERT INTO tillstream.dirty_keys VALUES ('members', '+8613800138000')")
    again = shared.verify()
    assert (again.central_differences, again.in_flux) == (0, 1), "a key that is still to be decided is pending"


def test_a_contribution_under_a_wrong_key_is_named(shared: Shop) -> None:
    shared.change("UPDATE stores.members SET _key = NULL WHERE _store = 's1' AND id = 2")
    shared.change("DELETE FROM central.members WHERE _key = '+8613800138001'")
    result = shared.verify()
    assert [(s.key, s.column, s.store_value, s.warehouse_value) for s in result.samples] == [
        ("2", "_key", "+8613800138001", None)
    ]


def test_an_other_policy_than_the_warehouses_cannot_judge(shared: Shop) -> None:
    shared.change("UPDATE tillstream.policies SET fingerprint = 'another'")
    result = shared.verify()
    assert (result.differences, result.central_keys) == (0, 0)
    assert "another policy was taken up in the meantime" in result.unreachable[0]


# --- the command -------------------------------------------------------------------------------------------------


def test_the_command_in_words(shared: Shop) -> None:
    assert verify_command.exit_code(shared.verify()) == 0
    assert verify_command.in_words(shared.verify())[-1].endswith(": no difference.")
    shared.change("UPDATE stores.members SET name = 'Lee' WHERE id = 2")
    shared.change("DELETE FROM stores.members WHERE _store = 's1' AND id = 1")
    shared.change("UPDATE central.members SET points = 41")
    result = shared.verify()
    words = verify_command.in_words(result)
    assert verify_command.exit_code(result) == 1
    assert "store s1, table members: 2 differences" in words
    assert '  row 2, name: "Li" in the store, "Lee" in the warehouse' in words
    assert '  row 1 is missing in the warehouse: "id=1, phone=13800138000, name=Wang, points=30"' in words
    assert "central.members: 2 differences" in words
