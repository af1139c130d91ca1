"""What a store says of itself: its server, its binlog, its tables. Only facts, read-only; findings.py judges them."""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pymysql

from connectors.rights import Rights, rights_of
from tillstream.envelope import DeclaredColumn

Connection: TypeAlias = "pymysql.connections.Connection[Any]"

LOG_BEGIN = 4  # bytes: where a binlog file's events begin
# MariaDB begins a file with its format, the GTIDs before it and a checkpoint: 325 bytes, and 16 more for each pair of
# domain and server. After a restart the engine reports nothing from in there. No transaction ends that early.
MARIADB_HEADER_BYTES = 420
CLOCK_READINGS = 5  # the quickest answer of a few bounds the clock's offset best
OLD_TEMPORALS = re.compile(r"/\* *(?:5\.5 binary format|mariadb-5\.3) *\*/")
UNTIL_8_1, SINCE_8_2 = "SHOW MASTER STATUS", "SHOW BINARY LOG STATUS"
_FROM_5_6 = (5, 6, 4)  # fractional seconds, UTC_TIMESTAMP(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    numbers: tuple[int, int, int]
    is_mariadb: bool

    def __str__(self) -> str:
        return f"{'MariaDB' if self.is_mariadb else 'MySQL'} {'.'.join(map(str, self.numbers))}"


def version_of(text: str) -> Version:
    """`5.6.24-log` and `5.5.5-10.11.19-MariaDB`, which old clients are told, alike."""
    mariadb = re.search(r"(\d+\.\d+\.\d+)-MariaDB", text, re.IGNORECASE)
    found = re.match(r"\d+\.\d+\.\d+", mariadb[1] if mariadb else text)
    major, minor, patch = (int(part) for part in (found[0] if found else "0.0.0").split("."))
    return Version(numbers=(major, minor, patch), is_mariadb="mariadb" in text.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the binlog ends, and which databases it leaves out."""

    file: str
    position: int
    only_databases: tuple[str, ...] = ()
    ignored_databases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BinlogFile:
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    offset_seconds: float  # the store's clock minus ours
    uncertainty_seconds: float
    utc_offset_seconds: int  # of the zone in which the server writes DATETIMEs by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A store's server, as its settings and its own answers show it."""

    variables: Mapping[str, str]  # SHOW GLOBAL VARIABLES, names in lower case
    rights: Rights
    head: Head | None  # None: no binlog, or no right to see it

    @property
    def version(self) -> Version:
        return version_of(self.variables["version"])

    @property
    def uuid(self) -> str:
        return self.variables.get("server_uuid") or self.variables.get("server_uid", "")  # MariaDB's

    def setting(self, name: str, default: str = "") -> str:
        return self.variables.get(name, default)

    def is_on(self, name: str) -> bool:
        return self.setting(name).upper() in ("ON", "1")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredColumn:
    """A column as the store's own catalog has it."""

    table: str
    name: str
    column_type: str  # in full: "float(7,3) unsigned"
    nullable: bool = True
    charset: str | None = None
    extra: str = ""  # "auto_increment", "on update CURRENT_TIMESTAMP", "VIRTUAL GENERATED", "INVISIBLE"
    is_old_temporal: bool = False  # still in the format of MySQL 5.5, or of MariaDB before 10.1.2

    @property
    def unreadable(self) -> str:
        """Why its table cannot be captured, if so: Debezium's parser and binlog client lack some of MariaDB's types."""
        if re.match(r"inet[46]\b", self.column_type):
            return f"Debezium cannot read the type {self.column_type.upper()}"
        return "Debezium cannot read COMPRESSED columns" if "COMPRESSED" in self.column_type else ""

    @property
    def type_name(self) -> str:
        """Without sizes and attributes: `int(10) unsigned` → int."""
        found = re.match(r"[a-z_]+[0-9]?( precision)?", self.column_type.lower())
        return found[0] if found else self.column_type.lower()

    def as_declared(self) -> DeclaredColumn:
        """The same, in the words in which a change of the schema would bring it."""
        sizes = re.search(r"\(([0-9]+)(?:,([0-9]+))?\)", self.column_type)
        is_list = self.type_name in ("enum", "set")
        unsigned = "" if is_list or "unsigned" not in self.column_type.lower() else " UNSIGNED"
        return DeclaredColumn(
            name=self.name,
            type_name=self.type_name.upper() + unsigned,
            position=0,
            length=int(sizes[1]) if sizes and not is_list else None,
            scale=int(sizes[2]) if sizes and sizes[2] and not is_list else None,
            charset_name=self.charset,
            optional=self.nullable,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """One that a server works off by itself: ON DELETE or ON UPDATE CASCADE, SET NULL, SET DEFAULT."""

    name: str
    parent: str
    columns: tuple[str, ...]
    parent_columns: tuple[str, ...]
    on_delete: str
    on_update: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UniqueKey:
    name: str
    columns: tuple[str, ...]
    nullable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTable:
    name: str
    engine: str = "InnoDB"
    collation: str = ""
    system_versioned: bool = False
    columns: tuple[StoredColumn, ...] = ()
    unique_keys: tuple[UniqueKey, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()

    @property
    def primary_key(self) -> tuple[str, ...]:
        return next((key.columns for key in self.unique_keys if key.name == "PRIMARY"), ())

    @property
    def is_keyless(self) -> bool:
        """Neither a primary key nor a unique one without NULLs, which Debezium takes in its place."""
        return all(key.nullable for key in self.unique_keys)

    def column(self, name: str) -> StoredColumn | None:
        return next((column for column in self.columns if column.name == name), None)


# --- the server -------------------------------------------------------------------------------------------


def read_server(connection: Connection) -> Server:
    """Its settings, its rights and where its log ends; what may not be asked is missing, not an error."""
    _rows(connection, "SET SESSION sql_mode = ''")  # with ANSI_QUOTES the grants would be quoted otherwise
    variables = {str(name).lower(): str(value) for name, value in _rows(connection, "SHOW GLOBAL VARIABLES")}
    rights = _read_rights(connection)
    head = read_head(connection) if rights.has("REPLICATION CLIENT") else None
    return Server(variables=variables, rights=rights, head=head)


def read_head(connection: Connection) -> Head | None:
    """None where there is no binlog. A new file without an event ends where it begins, whatever the server put in."""
    try:
        rows = _rows(connection, UNTIL_8_1)
    except pymysql.err.ProgrammingError:  # MySQL 8.4 took the old word away
        rows = _rows(connection, SINCE_8_2)
    if not rows:
        return None
    file, position, only, ignored = (*rows[0], "", "")[:4]
    return Head(
        file=str(file),
        position=_without_header(connection, int(position)),
        only_databases=_names(only),
        ignored_databases=_names(ignored),
    )


def _without_header(connection: Connection, position: int) -> int:
    said = version_of(connection.get_server_info())  # type: ignore[no-untyped-call]
    return LOG_BEGIN if said.is_mariadb and position <= MARIADB_HEADER_BYTES else position


def read_binlogs(connection: Connection) -> tuple[BinlogFile, ...]:
    """Every file that is still there, oldest first."""
    return tuple(BinlogFile(name=row[0], size_bytes=int(row[1])) for row in _rows(connection, "SHOW BINARY LOGS"))


def read_count(connection: Connection, status: str) -> int:
    rows = _rows(connection, "SHOW GLOBAL STATUS LIKE %s", [status])
    return int(rows[0][1]) if rows else 0


def read_clock(connection: Connection, version: Version) -> Clock:
    """The store's clock against ours, by the quickest of a few answers."""
    precise = version.numbers >= _FROM_5_6
    expression = "UTC_TIMESTAMP(6)" if precise else "UTC_TIMESTAMP()"
    query = f"SELECT {expression}, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW())"
    return min((_reading(connection, query, precise) for _ in range(CLOCK_READINGS)), key=_uncertainty)


def _reading(connection: Connection, query: str, precise: bool) -> Clock:
    asked_at, asked = datetime.now(UTC), time.monotonic()
    ((there, utc_offset),) = _rows(connection, query)
    half = (time.monotonic() - asked) / 2
    whole_second = 0.0 if precise else 0.5  # without fractions the second has on average half gone by
    ahead = (there.replace(tzinfo=UTC) - asked_at).total_seconds() - half + whole_second
    return Clock(
        offset_seconds=ahead, uncertainty_seconds=half + whole_second, utc_offset_seconds=round(utc_offset / 60) * 60
    )


def _uncertainty(clock: Clock) -> float:
    return clock.uncertainty_seconds


def _read_rights(connection: Connection) -> Rights:
    """Those of active roles among them: without FOR the statement lists them."""
    return rights_of(str(row[0]) for row in _rows(connection, "SHOW GRANTS"))


def _names(text: object) -> tuple[str, ...]:
    return tuple(name.strip() for name in str(text or "").split(",") if name.strip())


# --- the tables -------------------------------------------------------------------------------------------

_TABLES = """\
SELECT table_name, engine, table_collation, table_type FROM information_schema.tables
WHERE table_schema = %s AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY table_name"""
_COLUMNS = """\
SELECT c.table_name, c.column_name, c.column_type, c.is_nullable, c.character_set_name, c.extra
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = %s AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')
ORDER BY c.table_name, c.ordinal_position"""
_UNIQUE_KEYS = """\
SELECT table_name, index_name, column_name, nullable FROM information_schema.statistics
WHERE table_schema = %s AND non_unique = 0 ORDER BY table_name, index_name, seq_in_index"""
_FOREIGN_KEYS = """\
SELECT r.table_name, r.constraint_name, r.referenced_table_name, r.delete_rule, r.update_rule,
       k.column_name, k.referenced_column_name
FROM information_schema.referential_constraints r
LEFT JOIN information_schema.key_column_usage k
  ON k.table_schema = r.constraint_schema AND k.table_name = r.table_name AND k.constraint_name = r.constraint_name
WHERE r.constraint_schema = %s ORDER BY r.table_name, r.constraint_name, k.ordinal_position"""
_BY_ITSELF = ("CASCADE", "SET NULL", "SET DEFAULT")


def read_columns(connection: Connection, database: str) -> tuple[StoredColumn, ...]:
    """Of all tables that the user may see; views left out."""
    return tuple(_column(row) for row in _rows(connection, _COLUMNS, [database]))


def read_tables(connection: Connection, server: Server, database: str) -> tuple[StoredTable, ...]:
    """All tables that the user may see, with columns and keys; views left out."""
    if "show_old_temporals" in server.variables:
        _rows(connection, "SET SESSION show_old_temporals = ON")  # from here on column types tell their format
    columns = _by_table(read_columns(connection, database))
    if server.version.numbers < _FROM_5_6:
        columns = {name: tuple(replace(each, is_old_temporal=True) for each in some) for name, some in columns.items()}
    keys = _unique_keys(_rows(connection, _UNIQUE_KEYS, [database]))
    foreign = _foreign_keys(_rows(connection, _FOREIGN_KEYS, [database]))
    return tuple(
        StoredTable(
            name=name,
            engine=engine or "",
            collation=collation or "",
            system_versioned=kind == "SYSTEM VERSIONED",
            columns=columns.get(name, ()),
            unique_keys=keys.get(name, ()),
            foreign_keys=foreign.get(name, ()),
        )
        for name, engine, collation, kind in _rows(connection, _TABLES, [database])
    )


def _column(row: tuple[Any, ...]) -> StoredColumn:
    table, name, column_type, nullable, charset, extra = row
    plain = _text(column_type)
    return StoredColumn(
        table=table,
        name=name,
        column_type=OLD_TEMPORALS.sub("", plain).strip(),
        nullable=nullable == "YES",
        charset=charset,
        extra=extra or "",
        is_old_temporal=OLD_TEMPORALS.search(plain) is not None,
    )


def _by_table(columns: Iterable[StoredColumn]) -> dict[str, tuple[StoredColumn, ...]]:
    found: dict[str, tuple[StoredColumn, ...]] = {}
    for column in columns:
        found[column.table] = (*found.get(column.table, ()), column)
    return found


def _unique_keys(rows: Iterable[tuple[Any, ...]]) -> dict[str, tuple[UniqueKey, ...]]:
    parts: dict[str, dict[str, list[tuple[str | None, bool]]]] = {}
    for table, index, column, nullable in rows:
        parts.setdefault(table, {}).setdefault(index, []).append((column, nullable == "YES"))
    return {
        table: tuple(
            # a part without a name is an expression, which identifies no row to a reader of rows
            UniqueKey(name=name, columns=tuple(c or "" for c, _ in some), nullable=any(n or not c for c, n in some))
            for name, some in keys.items()
        )
        for table, keys in parts.items()
    }


def _foreign_keys(rows: Iterable[tuple[Any, ...]]) -> dict[str, tuple[ForeignKey, ...]]:
    found: dict[str, dict[str, ForeignKey]] = {}
    for table, name, parent, on_delete, on_update, column, parent_column in rows:
        if on_delete not in _BY_ITSELF and on_update not in _BY_ITSELF:
            continue
        blank = ForeignKey(
            name=name, parent=parent, columns=(), parent_columns=(), on_delete=on_delete, on_update=on_update
        )
        known = found.setdefault(table, {}).get(name, blank)
        found[table][name] = replace(
            known,
            columns=(*known.columns, *([column] if column else [])),
            parent_columns=(*known.parent_columns, *([parent_column] if parent_column else [])),
        )
    return {table: tuple(keys.values()) for table, keys in found.items()}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _rows(connection: Connection, query: str, parameters: list[str] | None = None) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return tuple(cursor.fetchall())
