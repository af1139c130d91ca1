"""Whether a store can be captured without loss, asked of the store itself before its engine starts."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.constants import CR, ER

from tillstream.config import Store
from tillstream.envelope import file_number
from tillstream.errors import RefusedError, UnreachableError

log = logging.getLogger(__name__)
CONNECT_SECONDS, READ_SECONDS = 5, 10
LOG_BEGIN = 4  # bytes: where a binlog file's events begin
# MariaDB begins a file with its format, the GTIDs before it and a checkpoint: 325 bytes, and 16 more for each pair of
# domain and server. After a restart the engine reports nothing from in there. No transaction ends that early.
MARIADB_HEADER_BYTES = 420

_ACCESS_DENIED = {
    ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.SPECIFIC_ACCESS_DENIED_ERROR,
    ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR,
}  # fmt: skip
_UNREACHABLE = {
    CR.CR_CONN_HOST_ERROR, CR.CR_CONNECTION_ERROR, CR.CR_SERVER_LOST, CR.CR_SERVER_GONE_ERROR,
    CR.CR_UNKNOWN_HOST, ER.CON_COUNT_ERROR, ER.SERVER_SHUTDOWN,
}  # fmt: skip


_COLUMNS = """\
SELECT c.table_name, c.column_name, c.column_type
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = %s AND t.table_type = 'BASE TABLE'
ORDER BY c.table_name, c.ordinal_position"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredColumn:
    """A column as the store's own catalog has it."""

    table: str
    name: str
    column_type: str  # in full: "float(7,3) unsigned"

    @property
    def unreadable(self) -> str:
        """Why its table cannot be captured, if so: Debezium's parser and binlog client lack some of MariaDB's types."""
        if re.match(r"inet[46]\b", self.column_type):
            return f"Debezium cannot read the type {self.column_type.upper()}"
        return "Debezium cannot read COMPRESSED columns" if "COMPRESSED" in self.column_type else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a store's server said of itself."""

    version: str
    server_uuid: str
    head_file: str
    head_pos: int
    columns: tuple[StoredColumn, ...]  # of all tables

    @property
    def head(self) -> tuple[int, int]:
        return (file_number(self.head_file), self.head_pos)

    @property
    def is_mariadb(self) -> bool:
        return is_mariadb(self.version)

    @property
    def may_compress(self) -> bool:
        """MySQL 8.0.20 and later can write compressed transactions, per session."""
        if self.is_mariadb:
            return False
        numbers = tuple(int(part) for part in self.version.split("-")[0].split(".")[:3])
        return numbers >= (8, 0, 20)


def examine(store: Store) -> ServerFacts:
    """RefusedError with the remedy where capture would lose something; UnreachableError where nobody answers."""
    with store_connection(store) as connection:
        variables = _variables(connection)
        version = variables["version"]
        _require_row_binlog(store, variables)
        _require_grants(store, connection)
        head = _head(store, connection)
        return ServerFacts(
            version=version,
            server_uuid=variables.get("server_uuid") or variables.get("server_uid", ""),  # MariaDB's
            head_file=head[0],
            head_pos=head[1],
            columns=_columns(store, connection),
        )


def read_head(store: Store) -> tuple[int, int]:
    """Where the store's log ends now, as (file number, position)."""
    with store_connection(store) as connection:
        file, pos = _head(store, connection)
        return file_number(file), pos


@contextmanager
def store_connection(
    store: Store, *, read_seconds: int = READ_SECONDS
) -> Iterator["pymysql.connections.Connection[Any]"]:
    """A fresh login; driver errors come out as ours, decided by MySQL's number."""
    try:
        connection = pymysql.connect(
            host=store.host,
            port=store.port,
            user=store.user,
            password=store.password.reveal().encode(),  # a text would be sent as Latin-1; the engine sends UTF-8
            database=store.database,
            charset="utf8mb4",
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read_seconds,
            write_timeout=READ_SECONDS,
            autocommit=True,
        )
    except (pymysql.err.MySQLError, OSError) as error:
        raise store_error(store, error) from error
    try:
        yield connection
    except (pymysql.err.MySQLError, OSError) as error:
        raise store_error(store, error) from error
    finally:
        if connection.open:
            connection.close()


def store_error(store: Store, error: Exception) -> RefusedError | UnreachableError:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else None
    place = f"store {store.id} at {store.host}:{store.port}"
    if number in _ACCESS_DENIED:
        return RefusedError(
            f"{place}: MySQL refuses user {store.user} ({error.args[-1]}); check the password in the file or "
            f"variable that tillstream.yaml names, and the grants: {grants(store)}"
        )
    if number == ER.BAD_DB_ERROR:
        return RefusedError(
            f"{place}: there is no database {store.database}; correct `database:` of this store in tillstream.yaml"
        )
    reason = error.args[-1] if error.args else error
    if number is None or number in _UNREACHABLE:
        return UnreachableError(f"{place} does not answer: {reason}")
    return RefusedError(f"{place}: MySQL says ({number}) {reason}")


def grants(store: Store) -> str:
    """The least that capture needs, as the statement to run in the store."""
    return (
        "GRANT SELECT, RELOAD, SHOW DATABASES, REPLICATION SLAVE, REPLICATION CLIENT, LOCK TABLES ON *.* "
        f"TO '{store.user}'@'%'"
    )


def _variables(connection: "pymysql.connections.Connection[Any]") -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL VARIABLES")
        return {str(name).lower(): str(value) for name, value in cursor.fetchall()}


def _columns(store: Store, connection: "pymysql.connections.Connection[Any]") -> tuple[StoredColumn, ...]:
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS, [store.database])
        return tuple(
            StoredColumn(table=table, name=name, column_type=column_type)
            for table, name, column_type in cursor.fetchall()
        )


def is_mariadb(version: str) -> bool:
    return "mariadb" in version.lower()


def _require_row_binlog(store: Store, variables: dict[str, str]) -> None:
    wanted = []
    if variables.get("log_bin", "OFF").upper() not in ("ON", "1"):
        wanted.append("log-bin = mysql-bin")
    if variables.get("binlog_format", "ROW").upper() != "ROW":  # gone in MySQL 9: there is only ROW
        wanted.append("binlog_format = ROW")
    if variables.get("binlog_row_image", "FULL").upper() != "FULL":
        wanted.append("binlog_row_image = FULL")
    if "PARTIAL_JSON" in variables.get("binlog_row_value_options", "").upper():
        wanted.append("binlog_row_value_options = ''")
    if variables.get("log_bin_compress", "OFF").upper() != "OFF":  # MariaDB's own, which nobody else can read
        wanted.append("log_bin_compress = OFF")
    if variables.get("server_id", "0") == "0":
        wanted.append("server-id = 1")
    if wanted:
        raise RefusedError(
            f"store {store.id} at {store.host}:{store.port} does not write a complete row binlog; put under "
            f"[mysqld] in its my.cnf and restart it: {'; '.join(wanted)}"
        )


def _require_grants(store: Store, connection: "pymysql.connections.Connection[Any]") -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW GRANTS")
        held = " ".join(str(row[0]).upper().split(" ON ")[0] for row in cursor.fetchall())
        held = held.replace("BINLOG MONITOR", "REPLICATION CLIENT")  # MariaDB's word for it
        missing = [
            right
            for right in ("SELECT", "REPLICATION SLAVE", "REPLICATION CLIENT", "RELOAD")
            if right not in held and "ALL PRIVILEGES" not in held
        ]
    if missing:
        raise RefusedError(
            f"store {store.id}: user {store.user} lacks {', '.join(missing)}; run in the store: {grants(store)}"
        )


def _head(store: Store, connection: "pymysql.connections.Connection[Any]") -> tuple[str, int]:
    with connection.cursor() as cursor:
        try:
            cursor.execute("SHOW MASTER STATUS")
        except pymysql.err.ProgrammingError:  # MySQL 8.4 took the old word away
            cursor.execute("SHOW BINARY LOG STATUS")
        row = cursor.fetchone()
    if row is None:
        raise RefusedError(f"store {store.id} writes no binlog; set log-bin in its my.cnf and restart it")
    position = int(row[1])
    version = connection.get_server_info()  # type: ignore[no-untyped-call]
    if is_mariadb(version) and position <= MARIADB_HEADER_BYTES:
        position = LOG_BEGIN
    return str(row[0]), position
