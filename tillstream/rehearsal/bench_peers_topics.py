"""The lanes as topics, filled before anything is measured: JSON as Debezium writes it, with its schema and without."""

import multiprocessing
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.connector_options import HEADER, Tag
from connectors.kafka_names import KafkaNames
from tillstream.errors import RefusedError
from tillstream.rehearsal.bench_peers_day import TABLES, Change, Expected, Load, Sum, added, lane
from tillstream.rehearsal.recording import declaration, event

FORMS = ("schema", "plain")
FILLERS = 2  # processes
FLUSH_SECONDS, DROP_SECONDS = 120.0, 60.0
_HEADERS: list[tuple[str, str | bytes | None]] = [(HEADER, str(Tag(epoch=1, generation=0, schema_only=False)))]
_encode = msgspec.json.encode


def prefix(workload: str, form: str) -> str:
    return f"{workload}-{form}"


def topics(of: Load, form: str) -> list[str]:
    names = KafkaNames(prefix(of.name, form))
    return [names.lane(store) for store in of.stores]


def fill(kafka: str, of: Load, forms: Iterable[str]) -> dict[str, Sum]:
    """All lanes of a workload in these forms; what a warehouse must hold when it has them all."""
    forms = list(forms)
    _make(kafka, [topic for form in forms for topic in topics(of, form)])
    shares = [range(first, len(of.records), FILLERS) for first in range(min(FILLERS, len(of.records)))]
    # not forked: the client's threads would not come along
    with ProcessPoolExecutor(len(shares), mp_context=multiprocessing.get_context("spawn")) as pool:
        return added(pool.map(_fill_lanes, *zip(*((kafka, of, forms, share) for share in shares), strict=True)))


def _fill_lanes(kafka: str, of: Load, forms: list[str], numbers: range) -> dict[str, Sum]:
    producer = Producer({
        "bootstrap.servers": kafka, "compression.type": "zstd", "linger.ms": 50, "batch.size": 512 * 1024,
        "enable.idempotence": True,  # else what is sent again may come behind what was sent after it
        "topic.metadata.propagation.max.ms": 120_000,  # of a thousand new topics a broker tells in its time
        "queue.buffering.max.messages": 200_000, "queue.buffering.max.kbytes": 512 * 1024, "log_level": 0,
    })  # fmt: skip
    names = {form: topics(of, form) for form in forms}
    expected = Expected()
    refused: list[KafkaError] = []
    produce = partial(_produce, producer, refused)
    for number in numbers:
        for form in forms:
            for key, value in declarations(form):
                produce(names[form][number], key, value)
        for change in lane(of, number):
            expected.take(change)
            plain = payload(change)
            for form in forms:
                produce(names[form][number], record_key(change, form), record_value(change, plain, form))
    left = producer.flush(FLUSH_SECONDS)
    if left or refused:
        reason = f": {refused[0].str()}" if refused else ""
        raise RefusedError(f"Kafka did not take {left + len(refused)} records of the workload {of.name}{reason}")
    return expected.sums()


def drop(kafka: str, names: Iterable[str]) -> None:
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})  # the answers come only while it lives
    for future in admin.delete_topics(list(names), request_timeout=DROP_SECONDS).values():
        try:
            future.result()
        except KafkaException as error:
            raise RefusedError(f"a topic of the benchmark could not be removed: {error}") from error


def _make(kafka: str, names: Iterable[str]) -> None:
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    settings = {"max.message.bytes": "16777216", "retention.ms": "-1"}
    wanted = [NewTopic(name, num_partitions=1, replication_factor=1, config=settings) for name in names]
    for start in range(0, len(wanted), 200):
        for future in admin.create_topics(wanted[start : start + 200]).values():
            future.result()


def _produce(producer: Producer, refused: list[KafkaError], topic: str, key: bytes, value: bytes) -> None:
    def settle(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.append(error)

    while True:
        try:
            producer.produce(topic, value, key, headers=_HEADERS, partition=0, on_delivery=settle)
            producer.poll(0)
            return
        except BufferError:
            producer.poll(0.1)


# --- records ----------------------------------------------------------------------------------------------


def payload(change: Change) -> bytes:
    return _encode(event(change.table, change.op, change.before, change.after, change.pos))


def record_key(change: Change, form: str) -> bytes:
    name = next(iter(TABLES[change.table]))
    key = b'{"%s":%d}' % (name.encode(), change.key)
    return key if form == "plain" else _KEY_BEGINNINGS[change.table] + key + b"}"


def record_value(change: Change, plain: bytes, form: str) -> bytes:
    return plain if form == "plain" else BEGINNINGS[change.table] + plain + b"}"


def declarations(form: str) -> Iterator[tuple[bytes, bytes]]:
    """How the tables were made: what a lane begins with."""
    for table, types in TABLES.items():
        value, key = _encode(declaration(table, types)), b'{"databaseName":"pos"}'
        if form == "schema":
            yield _beginning(_DECLARATION_KEY) + key + b"}", _beginning(_DECLARATION) + value + b"}"
        else:
            yield key, value


# --- schemas ----------------------------------------------------------------------------------------------

_KINDS: Mapping[str, dict[str, Any]] = {
    "BIGINT": {"type": "int64"},
    "INT": {"type": "int32"},
    "VARCHAR": {"type": "string"},
    "DECIMAL": {"type": "string"},
    "DATETIME": {"type": "int64", "version": 1, "name": "io.debezium.time.MicroTimestamp"},
}


def _fields(kinds: Mapping[str, str], optional: str = "") -> list[dict[str, Any]]:
    return [{"type": kind, "optional": name in optional.split(), "field": name} for name, kind in kinds.items()]


_SOURCE = {
    "type": "struct",
    "fields": _fields(
        {
            "version": "string", "connector": "string", "name": "string", "ts_ms": "int64", "snapshot": "string",
            "db": "string", "sequence": "string", "ts_us": "int64", "ts_ns": "int64", "table": "string",
            "server_id": "int64", "gtid": "string", "file": "string", "pos": "int64", "row": "int32",
            "thread": "int64", "query": "string",
        },
        optional="snapshot sequence ts_us ts_ns table gtid thread query",
    ),
    "optional": False, "name": "io.debezium.connector.mysql.Source", "version": 1, "field": "source",
}  # fmt: skip
_TRANSACTION = {
    "type": "struct",
    "fields": _fields({"id": "string", "total_order": "int64", "data_collection_order": "int64"}),
    "optional": True, "name": "event.block", "version": 1, "field": "transaction",
}  # fmt: skip


def _value_schema(table: str) -> dict[str, Any]:
    key = next(iter(TABLES[table]))
    row = {
        "type": "struct", "optional": True, "name": f"s.pos.{table}.Value",
        "fields": [
            {**_KINDS[kind], "optional": column != key, "field": column} for column, kind in TABLES[table].items()
        ],
    }  # fmt: skip
    times = _fields({"op": "string", "ts_ms": "int64", "ts_us": "int64", "ts_ns": "int64"}, "ts_ms ts_us ts_ns")
    return {
        "type": "struct", "optional": False, "name": f"s.pos.{table}.Envelope", "version": 2,
        "fields": [{**row, "field": "before"}, {**row, "field": "after"}, _SOURCE, _TRANSACTION, *times],
    }  # fmt: skip


def _key_schema(table: str) -> dict[str, Any]:
    key, kind = next(iter(TABLES[table].items()))
    return {
        "type": "struct", "optional": False, "name": f"s.pos.{table}.Key",
        "fields": [{**_KINDS[kind], "optional": False, "field": key}],
    }  # fmt: skip


# All but one field of a schema change are left out: the converter takes what the schema names.
_DECLARATION = {
    "type": "struct", "optional": False, "name": "io.debezium.connector.mysql.SchemaChangeValue", "version": 1,
    "fields": [_SOURCE, *_fields({"databaseName": "string", "ddl": "string"}, "databaseName ddl")],
}  # fmt: skip
_DECLARATION_KEY = {
    "type": "struct", "optional": False, "name": "io.debezium.connector.mysql.SchemaChangeKey", "version": 1,
    "fields": _fields({"databaseName": "string"}),
}  # fmt: skip


def _beginning(schema: Mapping[str, Any]) -> bytes:
    return b'{"schema":' + _encode(schema) + b',"payload":'


BEGINNINGS = {table: _beginning(_value_schema(table)) for table in TABLES}
_KEY_BEGINNINGS = {table: _beginning(_key_schema(table)) for table in TABLES}


def without_schema(value: bytes) -> bytes:
    """The payload of a record of `schema` form: its beginning is one of a few, which are known by heart."""
    for beginning in _ALL_BEGINNINGS:
        if value.startswith(beginning):
            return value[len(beginning) : -1]
    raise ValueError("a record without a known schema")


_ALL_BEGINNINGS = (*BEGINNINGS.values(), _beginning(_DECLARATION))
