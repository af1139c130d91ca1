"""Every store of tillstream.yaml, looked at as `doctor` does: all at once, read-only, nobody holding up another."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing.pool import ThreadPool

from pymysql.constants import ER

from conflict.policy import Policy
from connectors import examination
from connectors.binlog_age import begun_at
from connectors.census import Difference, Seen, differences, of_fleet
from connectors.debezium import server_id
from connectors.deep_look import look_at_values
from connectors.examination import BinlogFile, Clock, Server, StoredColumn, StoredTable
from connectors.findings import LOOK_DEEPER, Finding, Level, of_binlogs, of_clock, of_reach, of_reader, of_server, of_xa
from connectors.preflight import store_connection
from connectors.rights import least_grants, new_account
from connectors.table_findings import Wanted, of_tables
from sinks.columns import column_type
from tillstream.config import Config, Store
from tillstream.errors import ConfigError, RefusedError, TillstreamError, UnreachableError

AT_ONCE = 16  # logins; each mostly waits for its store
BEYOND_ENGINES = 400_000_000  # what doctor reads a binlog as: a server ends the older of two readers with one id
READ_SECONDS = 30  # a catalog of a thousand tables on an old disk; more than deep_look.ASK_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What one store showed. `server` is None where nobody answered or let us in."""

    store: Store
    unreachable: str = ""  # the reason, where nothing was judged
    server: Server | None = None
    clock: Clock | None = None
    binlogs: tuple[BinlogFile, ...] = ()
    reaches_back_hours: float | None = None  # the binlog; None where it cannot be told
    captured: tuple[StoredTable, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    stores: tuple[Examination, ...]
    census: tuple[Difference, ...]

    @property
    def refuses(self) -> bool:
        return any(finding.level is Level.REFUSE for each in self.stores for finding in each.findings)

    @property
    def unreachable(self) -> bool:
        return any(each.unreachable for each in self.stores)


def examine_stores(config: Config, policy: Policy, stores: Sequence[Store], *, deep: bool) -> Report:
    """Judge every store, then all of them together. Never raises for a store: the reason is in its result."""
    wanted = wanted_of(config, policy)
    # Its threads are daemons: Ctrl-C does not wait for a store that does not answer.
    with ThreadPool(min(AT_ONCE, len(stores))) as pool:
        found = pool.map(lambda store: _examined(store, wanted, deep=deep), stores, chunksize=1)
    seen = [Seen(store=e.store.id, server=e.server, tables=e.captured) for e in found if e.server]
    shared = of_fleet(seen)
    return Report(
        stores=tuple(replace(each, findings=(*each.findings, *shared.get(each.store.id, ()))) for each in found),
        census=tuple(differences(seen)),
    )


def wanted_of(config: Config, policy: Policy) -> Wanted:
    shared = {
        name: (*(part.column for part in table.key), *([table.changed_at] if table.changed_at else []))
        for name, table in policy.tables.items()
    }
    return Wanted(tables=config.tables, shared=shared)


def reason_against(column: StoredColumn) -> str | None:
    """Why the warehouse cannot hold this column; None if it can."""
    try:
        column_type(column.as_declared())
    except RefusedError:
        return f"type {column.column_type}"
    return None


def read_catalog(store: Store) -> tuple[Server, Clock, tuple[StoredTable, ...]]:
    """What `init` goes by. RefusedError or UnreachableError where the store cannot be asked."""
    with store_connection(store, read_seconds=READ_SECONDS) as connection:
        server = examination.read_server(connection)
        clock = examination.read_clock(connection, server.version)
        return server, clock, examination.read_tables(connection, server, store.database)


def _examined(store: Store, wanted: Wanted, *, deep: bool) -> Examination:
    try:
        return _looked_at(store, wanted, deep=deep)
    except UnreachableError as error:
        return Examination(store=store, unreachable=str(error))
    except (RefusedError, ConfigError) as error:
        return Examination(store=store, findings=(_not_let_in(store, error),))


def _not_let_in(store: Store, error: Exception) -> Finding:
    said = error.__cause__.args if error.__cause__ else ()
    if not said or said[0] not in (ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR):
        return Finding(level=Level.REFUSE, subject="login", sentence=str(error))
    return Finding(
        level=Level.REFUSE,
        subject=f"user {store.user}",
        sentence=f"MySQL does not let it in: {said[-1]}",
        remedy="check the password that tillstream.yaml names; if there is no such account, make it as administrator "
        "(before MySQL 8 an account without a name, ''@'localhost', goes before it and has to be dropped)",
        paste=(new_account(store), *least_grants(store)),
    )


def _looked_at(store: Store, wanted: Wanted, *, deep: bool) -> Examination:
    with store_connection(store, read_seconds=READ_SECONDS) as connection:
        server = examination.read_server(connection)
        clock = examination.read_clock(connection, server.version)
        binlogs = examination.read_binlogs(connection) if server.head else ()
        prepared = examination.read_count(connection, "Com_xa_prepare")
        tables = examination.read_tables(connection, server, store.database)
        captured = wanted.captured(tables)
        values = tuple(look_at_values(connection, server, captured, partial(_end_statement, store))) if deep else ()
    reach = _reaches_back_hours(store, server, binlogs)
    findings = (
        *of_server(store, server),
        *of_reader(server, server_id(store.id)),
        *of_binlogs(binlogs),
        *(of_reach(server, binlogs[0], reach) if reach is not None else ()),
        *of_clock(store, clock, datetime.now(UTC)),
        *of_xa(server, prepared),
        *of_tables(server, tables, wanted, reason_against),
        *values,
    )
    return Examination(
        store=store,
        server=server,
        clock=clock,
        binlogs=binlogs,
        reaches_back_hours=reach,
        captured=captured,
        findings=tuple(finding for finding in findings if not (deep and finding.remedy == LOOK_DEEPER)),
    )


def _reaches_back_hours(store: Store, server: Server, binlogs: Sequence[BinlogFile]) -> float | None:
    if not binlogs:
        return None
    with suppress(TillstreamError), store_connection(store) as connection:
        begun = begun_at(connection, server, binlogs[0], server_id(store.id) + BEYOND_ENGINES)
        return (datetime.now(UTC) - begun).total_seconds() / 3600 if begun else None
    return None


def _end_statement(store: Store, connection: int) -> None:
    with suppress(TillstreamError), store_connection(store) as another, another.cursor() as cursor:
        cursor.execute(f"KILL QUERY {connection}")
