"""Kafka Connect captures, workers of their own processes bring it in: real brokers, real connectors."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from harness import Chain, assert_no_difference
from kafka_chain import POLICIES, KafkaChain

from connectors import kafka_lanes
from connectors.connector_options import HEADER
from connectors.records import decode
from connectors.topics import Topics
from sinks.fold import stamp_of
from tillstream.envelope import LaneBatch, LaneOpened
from tillstream.errors import LeaseLostError
from tillstream.rehearsal.mysql import MySQLServer

TABLES = (
    "CREATE TABLE members (id INT PRIMARY KEY, phone VARCHAR(20), name VARCHAR(40), points DECIMAL(10,2))",
    "CREATE TABLE sales (id INT PRIMARY KEY, amount DECIMAL(10,2), note VARCHAR(40))",
    "CREATE TABLE drawer (what VARCHAR(10), amount DECIMAL(8,2))",
)
WRITTEN = (
    "INSERT INTO members VALUES (1, '138 0013 8000', '张', 10.50), (2, NULL, '无', 1)",
    "INSERT INTO sales VALUES (1, 2.50, '少冰'), (2, NULL, '')",
    "INSERT INTO drawer VALUES ('in', 5), ('in', 5), ('out', 1)",
)
LIVED = (
    "UPDATE members SET points = points + 1 WHERE id = 1",
    "UPDATE sales SET id = 70 WHERE id = 2",
    "ALTER TABLE sales ADD COLUMN seat INT NOT NULL DEFAULT 3",
    "INSERT INTO sales VALUES (3, 9.99, 'x', 4)",
    "DELETE FROM drawer WHERE what = 'in' LIMIT 1",
    "DELETE FROM members WHERE id = 2",
    "CREATE TABLE late (id INT PRIMARY KEY, t DATETIME(3))",
    "INSERT INTO late VALUES (1, '2026-11-27 10:00:00.125')",
    "TRUNCATE TABLE late",
    "INSERT INTO late VALUES (2, '1500-10-10 00:00:00')",
)


def test_one_topic_holds_all_that_the_log_tells_in_its_order(
    make_kafka_chain: Callable[..., KafkaChain], mysql97: MySQLServer
) -> None:
    """Rows of a snapshot and of the stream, schema changes, TRUNCATE, marks of transactions and heartbeats, each with
    the header that says what it was captured by."""
    chain = make_kafka_chain({"order": mysql97}, database="one_topic")
    chain.on("order", *TABLES, *WRITTEN)
    chain.start()
    chain.on("order", *LIVED)
    with chain.session("order", autocommit=False) as cursor:
        cursor.execute("SET SESSION binlog_transaction_compression = ON")
        cursor.execute("INSERT INTO sales VALUES (8, 1, '', 1), (9, 1, '', 1)")
        cursor.execute("COMMIT")
    chain.settle()
    chain.wait_until(lambda: any(b'"ts_ms"' in (each.value() or b"")[:10] for each in chain.records("order")))
    records = chain.records("order")
    headers = {value for each in records for name, value in each.headers() or () if name == HEADER}
    assert headers == {b"epoch=1 generation=0 snapshot=rows"}
    assert all(HEADER in dict(each.headers() or ()) for each in records)
    events = [event for each in records for event in decode(each.value() or b"null")]
    assert {event.op for event in events if event.source} == {"r", "c", "u", "d", "t", None}
    streamed = [stamp_of(event, 1) for event in events if event.source and not event.is_snapshot]
    assert streamed == sorted(streamed)
    assert sum(event.source is None for event in events) >= 3  # heartbeats, and the marks of a transaction
    assert any(b'"status":"END"' in (each.value() or b"") for each in records)
    assert set_as(chain, chain.names.lane("order")) == ("delete", str(7 * 86_400_000))
    assert set_as(chain, chain.names.history("order", 0)) == ("delete", "-1")  # for ever
    assert_no_difference(chain)


def set_as(chain: KafkaChain, topic: str) -> tuple[str | None, str | None]:
    """How long it keeps records, and whether it compacts them."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient(chain.capture.client_properties())
    found = admin.describe_configs([resource])[resource].result()
    return found["cleanup.policy"].value, found["retention.ms"].value


def test_the_warehouse_is_the_one_that_embedded_capture_makes(
    make_kafka_chain: Callable[..., KafkaChain], make_chain: Callable[..., Chain], mysql56: MySQLServer
) -> None:
    """Of the same statements: rows with the positions and stamps at which they stand, floors, and what is agreed on."""
    embedded = make_chain({"same": mysql56}, database="both_ways", policies=POLICIES)
    kafka = make_kafka_chain({"same": mysql56}, database="both_ways", policies=POLICIES)  # makes the database anew
    kafka.on("same", *TABLES, *WRITTEN)
    kafka.start()
    (connector,) = kafka.connectors("same")
    kafka.connect.stop(connector)  # one server has one reader of a name
    embedded.start()
    embedded.on("same", *LIVED)
    embedded.settle()
    assert_no_difference(embedded)
    embedded.stop()
    kafka.connect.resume(connector)
    kafka._markers = embedded._markers
    kafka.wait_until(lambda: kafka._arrived(["same"]))
    for table in ("stores.members", "stores.sales", "stores.drawer", "stores.late", "central.members"):
        assert _comparable(kafka, table) == _comparable(embedded, table), table
    floors = "SELECT store, table_name, epoch, file, pos, row, ord FROM tillstream.floors ORDER BY 1, 2"
    snapshot_at = {row[1]: row for row in embedded.rows(floors)}
    assert {row[1] for row in kafka.rows(floors)} == snapshot_at.keys()
    assert_no_difference(kafka)


def _comparable(chain: Chain, table: str) -> list[dict[str, Any]]:
    """A table's rows without the moments at which they came, or were read for the first time."""
    schema, name = table.split(".")
    columns = [column for (column,) in chain.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
        " ORDER BY ordinal_position", [schema, name],
    ) if column not in ("_seen_at", "_decided_at")]  # fmt: skip
    listed = ", ".join(f'"{column}"' for column in columns)
    rows = chain.rows(f"SELECT {listed} FROM {table} ORDER BY {listed}")
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    timeless = ("r", "d") if name == "drawer" else ("r",)  # what ends a row without a key is dated by its arrival
    return [each | {"_event_at": None} if each.get("_op") in timeless else each for each in found]


def test_workers_that_are_there_first_wait_for_run(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer
) -> None:
    """In whichever order they are started: `run` puts the policies in force, and until then a worker says so."""
    chain = make_kafka_chain({"early": mysql56}, database="early", policies=POLICIES)
    chain.on("early", *TABLES, *WRITTEN)
    chain.workers.start()
    deadline = time.monotonic() + 60
    while "waiting for `tillstream run`" not in chain.workers.log(0).read_text():
        chain.workers.require_alive()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    chain.start_run()
    chain.wait_until(chain._snapshots_done)
    chain.settle()
    assert chain.rows("SELECT points FROM central.members") == [(Decimal("10.50"),)]


def test_a_quiet_store_is_followed_to_its_logs_end(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer
) -> None:
    """What is written elsewhere on its server moves its log, and no record tells of it."""
    chain = make_kafka_chain({"quiet": mysql56}, database="quiet")
    chain.on("quiet", *TABLES, *WRITTEN)
    chain.start()
    mysql56.execute("CREATE DATABASE IF NOT EXISTS elsewhere")
    file, position = chain.asked("quiet", "SHOW MASTER STATUS")[0][:2]
    head = (int(file.rpartition(".")[2]), int(position))
    chain.wait_until(lambda: chain.rows("SELECT file, pos FROM tillstream.ledger")[0] >= head)


def test_a_lane_that_is_read_from_its_beginning_again_changes_nothing(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer
) -> None:
    """Snapshot, schema changes, TRUNCATE and all: what stands at or below the ledger's position is known."""
    chain = make_kafka_chain({"again": mysql56}, database="replayed", policies=POLICIES)
    chain.on("again", *TABLES, *WRITTEN)
    chain.start()
    chain.on("again", *LIVED)
    chain.settle()
    tables = ("stores.members", "stores.sales", "stores.drawer", "stores.late", "central.members")
    before = {table: _comparable(chain, table) for table in tables}
    chain.workers.stop()
    chain.workers.processes.clear()
    (reached,) = chain.rows("SELECT lane_offset FROM tillstream.ledger")
    with chain.warehouse.transaction() as tx:
        tx.execute("UPDATE tillstream.ledger SET lane_offset = 0")
    chain.workers.start()
    chain.wait_until(lambda: chain.rows("SELECT lane_offset FROM tillstream.ledger")[0] >= reached)
    assert {table: _comparable(chain, table) for table in tables} == before
    chain.on("again", "INSERT INTO sales VALUES (4, 1, 'after', 5)")
    chain.settle()
    assert_no_difference(chain)
    assert chain.rows("SELECT count(*) FROM tillstream.resyncs") == [(0,)]


def test_what_a_lane_gave_up_makes_room_for_what_comes(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How far a worker runs ahead is bounded by what is not in the warehouse yet; of a lane that was stopped or is
    another's nothing ever will be, and it is read again from where the warehouse says."""
    chain = make_kafka_chain({"room": mysql56}, database="room", policies=POLICIES, workers=0)
    chain.on("room", *TABLES, *WRITTEN)
    chain.start_run()
    chain.wait_until(lambda: Topics(chain.capture).has(chain.names.lane("room")) and len(chain.records("room")) > 10)
    monkeypatch.setattr(kafka_lanes, "MOST_WAITING_EVENTS", 3)
    monkeypatch.setattr(kafka_lanes, "REOPEN_SECONDS", 0.1)
    lanes = kafka_lanes.KafkaLanes(chain.capture)
    try:
        for _ in range(3):
            assert _first_batch(lanes).events
            lanes.refuse("room", LeaseLostError("another worker has it"))
        batch = _first_batch(lanes)
        assert lanes.poll(0.1) == []  # no room
        lanes.commit([batch])
        chain.wait_until(lambda: bool(lanes.poll(0.1)))  # a heartbeat
    finally:
        lanes.close()


def _first_batch(lanes: kafka_lanes.KafkaLanes) -> LaneBatch:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for each in lanes.poll(0.1):
            if isinstance(each, LaneOpened):
                each.begin(0, 0)
            elif isinstance(each, LaneBatch):
                return each
    raise AssertionError("nothing comes")
