"""Debezium's options for one store. Each that departs from a default says why: several defaults bend data silently."""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from connectors import mariadb
from connectors.examination import StoredColumn
from connectors.preflight import ServerFacts
from tillstream.config import Config, Store
from tillstream.envelope import ChangeEvent
from tillstream.errors import RefusedError

SCHEMA_ONLY = "no_data"  # of snapshot.mode
QUEUE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetStore:
    """Where Debezium keeps offset and schema history: PostgreSQL, by JDBC."""

    jdbc_url: str  # with currentSchema: the store's own check for its tables knows no schema
    user: str
    password: str


def server_id(store: str) -> int:
    """The replica id that this reader shows to the store's server: stable, and unlike any till's or replica's."""
    return 1_600_000_000 + zlib.crc32(store.encode()) % 400_000_000


def offset_table(store: str) -> str:
    return f"offset_{store}"


def history_table(store: str) -> str:
    return f"history_{store}"


def engine_options(
    config: Config, store: Store, kept: OffsetStore, facts: ServerFacts, *, schema_only: bool = False
) -> dict[str, str]:
    """All of the properties of an engine in this process. See `capture_options`."""
    return {
        **capture_options(config, store, facts, schema_only=schema_only),
        "name": store.id,
        "database.password": store.password.reveal(),
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
        "converter.schemas.enable": "false",
        **_kept(store, kept),
    }


def capture_options(config: Config, store: Store, facts: ServerFacts, *, schema_only: bool) -> dict[str, str]:
    """How the store is captured, wherever that is done, by what its server said of itself; without its password.

    `schema_only`: begin at the log's present end, with the tables' declarations and without their rows.
    RefusedError for a table that is to be captured and cannot be.
    """
    _require_readable(config, store, facts.columns)
    return {
        "topic.prefix": store.id,
        "database.hostname": store.host,
        "database.port": str(store.port),
        "database.user": store.user,
        "database.server.id": str(server_id(store.id)),
        **(_of_mariadb() if facts.is_mariadb else _of_mysql()),
        **_captured(config, store),
        **_values(),
        **_snapshot_reads(config, store, facts.columns),
        **_log(config, compressed=facts.may_compress),
        "snapshot.mode": SCHEMA_ONLY if schema_only else "initial",
    }


def _require_readable(config: Config, store: Store, columns: Iterable[StoredColumn]) -> None:
    found = [f"{each.table}.{each.name}: {each.unreadable}" for each in columns
             if each.unreadable and config.tables.takes(each.table)]  # fmt: skip
    if found:
        raise RefusedError(
            f"store {store.id}: {'; '.join(found)}; leave the table out with `tables: {{exclude: [...]}}` (its columns "
            "alone will not do: the whole declaration is read), or change the column in the store"
        )


def _of_mysql() -> dict[str, str]:
    return {
        "connector.class": "io.debezium.connector.mysql.MySqlConnector",
        # 8.x+ without TLS: caching_sha2_password needs the server's key
        "driver.allowPublicKeyRetrieval": "true",
        # a snapshot shows TIMESTAMPs as its session's local time, which has an hour twice each autumn
        "driver.connectionTimeZone": "UTC",
        "driver.forceConnectionTimeZoneToSession": "true",
    }


def _of_mariadb() -> dict[str, str]:
    return {
        "connector.class": mariadb.CONNECTOR_CLASS,
        # the same in MariaDB Connector/J's words
        "driver.timezone": "UTC",
        "driver.forceConnectionTimeZoneToSession": "true",
    }


def _captured(config: Config, store: Store) -> dict[str, str]:
    options = {"database.include.list": _pattern(store.database)}
    tables = config.tables
    if tables.include is not None:
        options["table.include.list"] = ",".join(
            rf"{_pattern(store.database)}\.{_pattern(table)}" for table in tables.include
        )
    elif tables.exclude:
        options["table.exclude.list"] = ",".join(
            rf"{_pattern(store.database)}\.{_pattern(table)}" for table in tables.exclude
        )
    excluded = [
        rf"{_pattern(store.database)}\.{_pattern(table)}\.{_pattern(column)}"
        for table, columns in tables.exclude_columns.items()
        for column in columns
    ]
    if excluded:
        options["column.exclude.list"] = ",".join(excluded)
    return options


def _pattern(name: str) -> str:
    """Debezium's lists are regular expressions, separated by commas."""
    return "".join(each if each.isalnum() or each == "_" else f"\\x{{{ord(each):x}}}" for each in name)


def _snapshot_reads(config: Config, store: Store, columns: Iterable[StoredColumn]) -> dict[str, str]:
    """How a snapshot asks for tables with a FLOAT or YEAR.

    As text MySQL gives a FLOAT six digits, unless in an expression; and the YEAR 0000 is read as 2000. A table whose
    name the option's grammar cannot carry is read without.
    """
    option = "snapshot.select.statement.overrides"
    reads: dict[str, list[str]] = {}
    special: set[str] = set()
    for column in columns:
        if column.name not in config.tables.exclude_columns.get(column.table, ()):
            expression = _exactly(column)
            reads.setdefault(column.table, []).append(expression or _quoted(column.name))
            if expression and re.fullmatch(r"[\w$]+", store.database + column.table):
                special.add(column.table)
    selects = {
        f"{store.database}.{table}": f"SELECT {', '.join(reads[table])} FROM {_quoted(store.database)}.{_quoted(table)}"
        for table in sorted(special)
    }
    if not selects:
        return {}
    return {option: ",".join(selects), **{f"{option}.{table}": select for table, select in selects.items()}}


def _exactly(column: StoredColumn) -> str | None:
    name = _quoted(column.name)
    if re.match(r"float(?!\()", column.column_type):
        return f"{name} + 0e0 AS {name}"
    if column.column_type.startswith("year"):
        return f"IF({name} + 0 = 0, 1900, {name} + 0) AS {name}"  # as the stream gives it, see sinks/columns.py
    return None


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _values() -> dict[str, str]:
    return {
        # the default is base64 whose scale stands only in a schema that is not sent; `double` loses digits
        "decimal.handling.mode": "string",
        # lossless with the declared type at hand: above 2^63 it arrives negative, see sinks/columns.py
        "bigint.unsigned.handling.mode": "long",
        # every DATETIME in microseconds, and TIME from -838:59:59 to 838:59:59; the others guess or give NULL
        "time.precision.mode": "microseconds",
        # otherwise the years 0 to 99 become 1970 to 2069
        "enable.time.adjuster": "false",
        # the default warns and writes NULL
        "event.converting.failure.handling.mode": "fail",
        # the default turns a NULL into the column's DEFAULT
        "converter.replace.null.with.default": "false",
        "value.converter.replace.null.with.default": "false",
    }


def _log(config: Config, *, compressed: bool) -> dict[str, str]:
    capture = config.capture_options
    return {
        # the default drops TRUNCATE
        "skipped.operations": "none",
        # a key change travels as d and c; which of them belong together stands in headers, copied into the value
        "tombstones.on.delete": "false",
        "transforms": "newkey,oldkey",
        "predicates": "newkey,oldkey",
        **_copied_header("newkey"),
        **_copied_header("oldkey"),
        # inside a compressed transaction every event has one position; only the running number tells them apart
        "provide.transaction.metadata": "true" if compressed else "false",
        "include.schema.changes": "true",
        "heartbeat.interval.ms": str(int(capture.heartbeat_seconds * 1000)),
        "snapshot.locking.mode": capture.snapshot_locking,
        # snapshot.fetch.size is left alone: any value fetches by cursor, and of that protocol's rows Debezium reads
        # every TIME wrong (00:00:00 as NULL, no sign, digits lost); the default streams them as text, row by row
        "poll.interval.ms": str(capture.poll_interval_milliseconds),
        "max.batch.size": str(capture.max_batch_rows),
        "max.queue.size": str(capture.max_batch_rows * 2),
        # the JVM's heap is bounded: what waits in it, per store, is too
        "max.queue.size.in.bytes": str(QUEUE_BYTES),
        # a store that comes back is picked up within seconds; the default waits a minute
        "connect.keep.alive.interval.ms": "5000",
        "connect.timeout.ms": "10000",
        # the supervisor decides about restarts, with backoff and with the reason shown
        "errors.max.retries": "0",
        "schema.history.internal.store.only.captured.tables.ddl": "true",
        "schema.history.internal.skip.unparseable.ddl": "false",
    }


def _copied_header(name: str) -> dict[str, str]:
    header = f"__debezium.{name}"
    return {
        f"predicates.{name}.type": "org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
        f"predicates.{name}.name": header,
        f"transforms.{name}.type": "io.debezium.transforms.HeaderToValue",
        f"transforms.{name}.headers": header,
        f"transforms.{name}.fields": name,
        f"transforms.{name}.operation": "copy",
        f"transforms.{name}.predicate": name,
    }


def _kept(store: Store, kept: OffsetStore) -> dict[str, str]:
    offset, history = "offset.storage.jdbc", "schema.history.internal.jdbc"
    connection = {
        f"{prefix}.connection.{key}": value
        for prefix in (offset, history)
        for key, value in (("url", kept.jdbc_url), ("user", kept.user), ("password", kept.password))
    }
    return {
        **connection,
        # the offset store deletes its whole table on each flush, and history is read without a filter: one of
        # each per store
        "offset.storage": "io.debezium.storage.jdbc.offset.JdbcOffsetBackingStore",
        f"{offset}.table.name": offset_table(store.id),
        # behind the ledger by at most this: what is read again is recognised and dropped
        "offset.flush.interval.ms": "2000",
        "schema.history.internal": "io.debezium.storage.jdbc.history.JdbcSchemaHistory",
        f"{history}.table.name": history_table(store.id),
    }


assert {"newkey", "oldkey"} <= set(ChangeEvent.__struct_fields__)  # what the transforms above add
