"""What dies, freezes or disappears between Kafka Connect and the warehouse, under load: nothing is lost or invented."""

import random
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from harness import Chain, assert_no_difference
from kafka_chain import POLICIES, KafkaChain

from connectors.connector_options import HEADER
from connectors.topics import Topics
from sinks.embedded_warehouse import EmbeddedWarehouse
from tillstream.rehearsal.mysql import MySQLServer

TABLES = (
    "CREATE TABLE sales (id INT PRIMARY KEY AUTO_INCREMENT, note VARCHAR(60), total DECIMAL(8,2))",
    "CREATE TABLE stock (sku INT PRIMARY KEY, qty INT NOT NULL)",
    "CREATE TABLE members (id INT PRIMARY KEY, phone VARCHAR(20), points DECIMAL(10,2))",
    "CREATE TABLE drawer (what VARCHAR(10), amount DECIMAL(8,2))",
)
KILLS = 20


@contextmanager
def load(chain: KafkaChain) -> Iterator[None]:
    """A till in every store that writes all the time."""
    done = threading.Event()
    errors: list[BaseException] = []

    def trade(store: str, dice: random.Random) -> None:
        try:
            with chain.session(store, autocommit=False) as cursor:
                while not done.is_set():
                    cursor.execute("INSERT INTO sales (note, total) VALUES (%s, 18.50)", (f"少冰 {dice.random()}",))
                    cursor.execute("UPDATE stock SET qty = qty - 1 WHERE sku = %s", (dice.randrange(50),))
                    cursor.execute("UPDATE members SET points = points + 1 WHERE id = %s", (dice.randrange(20),))
                    cursor.execute("INSERT INTO drawer VALUES ('sale', 18.50)")
                    if dice.random() < 0.2:
                        cursor.execute("DELETE FROM drawer LIMIT 1")
                    cursor.execute("COMMIT")
                    time.sleep(0.005)
        except BaseException as error:
            errors.append(error)

    dice = {store: random.Random(store) for store in chain.stores}
    threads = [threading.Thread(target=trade, args=each, daemon=True) for each in dice.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not errors, errors


def opened(chain: KafkaChain) -> KafkaChain:
    for store in chain.stores:
        chain.on(store, *TABLES)
        with chain.session(store) as cursor:
            cursor.executemany("INSERT INTO stock VALUES (%s, 1000)", [(sku,) for sku in range(50)])
            cursor.executemany("INSERT INTO members VALUES (%s, %s, 0)", [(n, f"138000000{n:02d}") for n in range(20)])
    chain.start()
    return chain


def has_lanes(chain: KafkaChain) -> bool:
    """Whether the worker that was added last has been given some."""
    return "lanes taken over" in chain.workers.log(len(chain.workers.processes) - 1).read_text()


def leases(chain: KafkaChain) -> int:
    return int(chain.rows("SELECT sum(lease_generation) FROM tillstream.ledger")[0][0])


def has_moved(chain: KafkaChain, before: int) -> bool:
    """Whether a lane is another worker's since there were so many leases."""
    return leases(chain) > before


def assert_all_is_there(chain: KafkaChain) -> None:
    """Nothing differs, each lane is where its topic ends, and nobody had to read a table anew."""
    chain.settle()
    assert_no_difference(chain)
    ends = Topics(chain.capture).ends([chain.names.lane(store) for store in chain.stores])
    chain.wait_until(
        lambda: all(
            offset >= ends[chain.names.lane(store)]
            for store, offset in chain.rows("SELECT store, lane_offset FROM tillstream.ledger")
        )
    )
    assert chain.rows("SELECT count(*) FROM tillstream.resyncs") == [(0,)]
    assert chain.rows("SELECT count(*) FROM tillstream.dead_letters") == [(0,)]


@pytest.mark.timeout(240)
def test_twenty_kills_of_workers(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer, mysql97: MySQLServer
) -> None:
    """Two workers; one of them dies at a random moment, and another takes its place, twenty times."""
    dice = random.Random()
    stores = {"killed56": mysql56, "killed97": mysql97}
    chain = opened(make_kafka_chain(stores, database="kills", policies=POLICIES, workers=2))
    with load(chain):
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.2, 1.5))
            victim = dice.choice([each for each in chain.workers.processes if each.poll() is None])
            victim.kill()
            victim.wait()
            chain.workers.add()
    assert_all_is_there(chain)
    chain.workers.require_alive()


def test_a_frozen_worker_writes_no_more_once_another_has_its_lanes(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer
) -> None:
    """Stopped past its session it wakes as a zombie, with a batch in its hands: the lease is another's."""
    chain = opened(make_kafka_chain({"frozen": mysql56}, database="frozen", policies=POLICIES, workers=1))
    (zombie,) = chain.workers.processes
    before = leases(chain)
    with load(chain):
        zombie.send_signal(signal.SIGSTOP)
        chain.workers.add()
        chain.wait_until(partial(has_moved, chain, before))
        zombie.send_signal(signal.SIGCONT)
        time.sleep(3)
    assert_all_is_there(chain)
    chain.workers.require_alive()


def test_a_rebalance_in_the_middle_of_a_transaction(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer, mysql97: MySQLServer
) -> None:
    """Workers come and go while a large transaction is on its way."""
    stores = {"moved56": mysql56, "moved97": mysql97}
    chain = opened(make_kafka_chain(stores, database="rebalance", policies=POLICIES, workers=1))
    with load(chain):
        for number in range(2):
            for store in chain.stores:
                with chain.session(store, autocommit=False) as cursor:
                    rows = [(f"{number} {index}",) for index in range(4000)]
                    cursor.executemany("INSERT INTO sales (note) VALUES (%s)", rows)
                    cursor.execute("COMMIT")
            added = chain.workers.add()
            chain.wait_until(partial(has_lanes, chain))
            added.terminate()
            assert added.wait(60) == 0
    assert_all_is_there(chain)


@pytest.mark.timeout(240)
def test_the_broker_and_connect_die(make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer) -> None:
    """On the spot, one after the other, and come back: capture and workers go on by themselves."""
    chain = opened(make_kafka_chain({"died": mysql56}, database="died", policies=POLICIES, workers=2))
    with load(chain):
        for server in (chain.kafka.connect, chain.kafka.broker):
            time.sleep(1)
            server.kill()
            time.sleep(2)
            server.start()
            time.sleep(2)
    assert_all_is_there(chain)
    chain.workers.require_alive()


def test_postgresql_dies(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer, server_directory: Any
) -> None:
    """On the spot, in the middle of a batch: workers wait, and know whether their last COMMIT took place."""
    warehouse = EmbeddedWarehouse(server_directory / "warehouse", die_with_parent=True)
    with warehouse:
        chain = opened(make_kafka_chain({"pg": mysql56}, database="pg", policies=POLICIES, warehouse_url=warehouse.url))
        with load(chain):
            for _ in range(2):
                time.sleep(1.5)
                warehouse.kill()
                warehouse.start()
        chain.warehouse.dispose()  # the test itself asks without retries: not on a connection that died
        assert_all_is_there(chain)
        chain.workers.require_alive()
        chain.close()


def test_retention_that_passed_a_worker_is_told_and_made_good(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer
) -> None:
    """Records that are gone are read anew from the store; a schema change among them, too."""
    chain = opened(make_kafka_chain({"passed": mysql56}, database="passed", policies=POLICIES))
    chain.workers.stop()
    chain.on("passed", "ALTER TABLE sales ADD COLUMN seat INT NOT NULL DEFAULT 3", "DELETE FROM stock WHERE sku < 9")
    topic = chain.names.lane("passed")
    (offset,) = chain.rows("SELECT lane_offset FROM tillstream.ledger")[0]
    chain.wait_until(lambda: Topics(chain.capture).ends([topic])[topic] >= offset + 10)
    admin = AdminClient(chain.capture.client_properties())
    admin.delete_records([TopicPartition(topic, 0, offset + 9)])[TopicPartition(topic, 0, offset + 9)].result()
    chain.workers.processes.clear()
    chain.workers.start()
    assert_begins_anew(chain, "passed", "passed their retention before they were read")


def test_a_topic_that_was_deleted_is_told_and_made_good(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer
) -> None:
    """`run` makes it anew, and the store is read anew: what it held is gone."""
    chain = opened(make_kafka_chain({"gone": mysql56}, database="gone", policies=POLICIES))
    Topics(chain.capture).delete([chain.names.lane("gone")])
    chain.on("gone", "DELETE FROM stock WHERE sku < 9", "INSERT INTO sales (note) VALUES ('lost on its way')")
    assert_begins_anew(chain, "gone", "was deleted and made anew")


def assert_begins_anew(chain: KafkaChain, store: str, reason: str) -> None:
    chain.wait_until(lambda: bool(chain.rows("SELECT FROM tillstream.resyncs")))
    (told,) = chain.rows("SELECT reason FROM tillstream.resyncs WHERE table_name IS NULL")[0]
    assert reason in told
    chain.settle()
    assert_no_difference(chain)
    assert len(chain.connectors(store)) == 1  # the earlier one is no more
    chain.on(store, "INSERT INTO sales (note) VALUES ('goes on')")
    chain.settle()
    assert_no_difference(chain)


def test_what_is_no_record_of_ours_is_left_out_and_what_cannot_be_read_is_told(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer
) -> None:
    """Somebody writes into a lane's topic: nothing of the store is in that. Of a record that a connector wrote, though,
    something is lost: its store alone stands still, says why, and is read anew when a person has seen it."""
    chain = opened(make_kafka_chain({"alien": mysql56}, database="alien", policies=POLICIES))
    topic = chain.names.lane("alien")
    producer = Producer(chain.capture.client_properties())
    producer.produce(topic, b"not even JSON")
    producer.flush()
    chain.on("alien", "INSERT INTO sales (note) VALUES ('behind it')")
    assert_all_is_there(chain)
    producer.produce(topic, b'{"op": "c", "after"', headers={HEADER: b"epoch=1 generation=0 snapshot=rows"})
    producer.flush()
    chain.wait_until(lambda: "cannot be read" in chain.states()["alien"][1])
    chain.on("alien", "INSERT INTO sales (note) VALUES ('behind that')", "DELETE FROM stock WHERE sku < 9")
    chain.read_anew([("alien", None)])
    chain.settle()
    assert_no_difference(chain)


def test_a_connector_that_lost_its_offset_is_begun_anew(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer
) -> None:
    """Kafka Connect's own bookkeeping is gone while `run` was away: what was written meanwhile is not lost."""
    chain = opened(make_kafka_chain({"amnesia": mysql56}, database="amnesia", policies=POLICIES))
    (name,) = chain.connectors("amnesia")
    Chain.stop(chain)
    chain.connect.stop(name)
    chain.on("amnesia", "INSERT INTO sales (note) VALUES ('meanwhile')", "DELETE FROM stock WHERE sku < 9")
    request = urllib.request.Request(f"{chain.capture.connect}/connectors/{name}/offsets", method="DELETE")
    while chain.connect.connectors()[name].state != "STOPPED":
        time.sleep(0.2)
    urllib.request.urlopen(request).close()
    chain.start_run()
    assert_begins_anew(chain, "amnesia", "does not know where it was read to")
