"""Whether a store can be captured without loss, asked of the store itself before its engine starts."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import pymysql
from pymysql.constants import CR, ER

from connectors import examination
from connectors.examination import StoredColumn
from connectors.findings import what_forbids_capture
from connectors.login import log_in
from connectors.rights import least_grants
from tillstream.config import Store
from tillstream.envelope import file_number
from tillstream.errors import RefusedError, StoreUnreachableError

log = logging.getLogger(__name__)
CONNECT_SECONDS, READ_SECONDS = 5, 10

_ACCESS_DENIED = {
    ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.SPECIFIC_ACCESS_DENIED_ERROR,
    ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR,
}  # fmt: skip
_UNREACHABLE = {
    CR.CR_CONN_HOST_ERROR, CR.CR_CONNECTION_ERROR, CR.CR_SERVER_LOST, CR.CR_SERVER_GONE_ERROR,
    CR.CR_UNKNOWN_HOST, ER.CON_COUNT_ERROR, ER.SERVER_SHUTDOWN,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a store's server said of itself."""

    version: str
    server_uuid: str
    head_file: str
    head_pos: int
    oldest_file: str  # that the log still has
    columns: tuple[StoredColumn, ...]  # of all tables

    @property
    def head(self) -> tuple[int, int]:
        return (file_number(self.head_file), self.head_pos)

    @property
    def is_mariadb(self) -> bool:
        return examination.version_of(self.version).is_mariadb

    @property
    def may_compress(self) -> bool:
        """MySQL 8.0.20 and later can write compressed transactions, per session."""
        version = examination.version_of(self.version)
        return not version.is_mariadb and version.numbers >= (8, 0, 20)


def examine(store: Store) -> ServerFacts:
    """RefusedError with the remedy where capture would lose something; StoreUnreachableError where nobody answers."""
    with store_connection(store) as connection:
        server = examination.read_server(connection)
        require_capturable(store, server)
        head = server.head or _no_binlog(store)
        return ServerFacts(
            version=server.variables["version"],
            server_uuid=server.uuid,
            head_file=head.file,
            head_pos=head.position,
            oldest_file=examination.read_binlogs(connection)[0].name,
            columns=examination.read_columns(connection, store.database),
        )


def read_head(store: Store) -> tuple[int, int]:
    """Where the store's log ends now, as (file number, position)."""
    with store_connection(store) as connection:
        head = examination.read_head(connection) or _no_binlog(store)
        return file_number(head.file), head.position


@contextmanager
def store_connection(
    store: Store, *, read_seconds: int = READ_SECONDS
) -> Iterator["pymysql.connections.Connection[Any]"]:
    """A fresh login; driver errors come out as ours, decided by MySQL's number."""
    try:
        connection = log_in(
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


def store_error(store: Store, error: Exception) -> RefusedError | StoreUnreachableError:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else None
    place = f"store {store.id} at {store.host}:{store.port}"
    if number in _ACCESS_DENIED:
        return RefusedError(
            f"{place}: MySQL refuses user {store.user} ({error.args[-1]}); check the password in the file or "
            f"variable that tillstream.yaml names, and the grants: {' '.join(least_grants(store))}"
        )
    if number == ER.BAD_DB_ERROR:
        return RefusedError(
            f"{place}: there is no database {store.database}; correct `database:` of this store in tillstream.yaml"
        )
    reason = error.args[-1] if error.args else error
    if number is None or number in _UNREACHABLE:
        return StoreUnreachableError(f"{place} does not answer: {reason}")
    return RefusedError(f"{place}: MySQL says ({number}) {reason}")


def require_capturable(store: Store, server: examination.Server) -> None:
    findings = what_forbids_capture(store, server)
    if findings:
        told = "; ".join(finding.in_one_line() for finding in findings)
        raise RefusedError(f"store {store.id} at {store.host}:{store.port} cannot be captured: {told}")


def _no_binlog(store: Store) -> NoReturn:
    raise RefusedError(f"store {store.id} writes no binlog; set log-bin in its my.cnf and restart it")
