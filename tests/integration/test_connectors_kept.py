"""`run` keeps its stores' connectors in Kafka Connect, whatever becomes of them and whatever a person says."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import PASSWORD
from kafka_chain import KafkaChain
from places import directory_for_servers

from tillstream.commands import main
from tillstream.config import load_config
from tillstream.rehearsal.mysql import MySQLServer, find_install

MakeKafkaChain = Callable[..., KafkaChain]
STORE = "kept_a"
SOON = "retry: {first_seconds: 0.2, most_seconds: 1.0}\n"


@pytest.fixture(scope="module")
def own56() -> Iterator[MySQLServer]:
    """One that may be killed, and whose accounts may change."""
    with directory_for_servers() as directory, MySQLServer(find_install("5.6"), directory / "own") as server:
        yield server


@pytest.fixture(scope="module")
def chain(make_kafka_chain: MakeKafkaChain, own56: MySQLServer) -> KafkaChain:
    chain = make_kafka_chain({STORE: own56}, database="kc_kept", settings=SOON)
    chain.on(STORE, "CREATE TABLE sales (id INT PRIMARY KEY, name VARCHAR(20))", "INSERT INTO sales VALUES (1, 'tea')")
    chain.start()
    return chain


@pytest.fixture
def sold(chain: KafkaChain) -> Iterator[None]:
    """Whatever a test does, what is written before and after it comes, and nothing had to be read anew."""
    yield
    chain.settle()
    stored = chain.asked(STORE, "SELECT id, name FROM sales ORDER BY 1")
    assert chain.rows("SELECT _pk::int, name FROM stores.sales WHERE _store = %s ORDER BY 1", [STORE]) == stored
    assert chain.rows("SELECT count(*) FROM tillstream.resyncs") == [(0,)]


@pytest.mark.usefixtures("sold")
def test_a_connector_that_was_deleted_goes_on_where_it_stood(chain: KafkaChain) -> None:
    """Kafka Connect keeps where it stood, and tells it only while there is one of its name."""
    (name,) = chain.connectors(STORE)
    chain.connect.delete(name)
    chain.on(STORE, "INSERT INTO sales VALUES (2, 'rice')")
    chain.wait_until(lambda: chain.connectors(STORE) == [])
    chain.wait_until(lambda: chain.connectors(STORE) == [name])


@pytest.mark.usefixtures("sold")
def test_a_connector_that_was_changed_or_paused_is_put_right(chain: KafkaChain) -> None:
    """Its configuration is tillstream.yaml's, and `stores pause` is the way to have it rest."""
    (name,) = chain.connectors(STORE)
    config = dict(chain.connect.connectors()[name].config)
    chain.connect.configure(name, {**config, "poll.interval.ms": "77"})
    chain.wait_until(lambda: chain.connect.connectors()[name].config["poll.interval.ms"] == "77")
    chain.wait_until(lambda: dict(chain.connect.connectors()[name].config) == config)
    chain.settle()
    chain.connect.pause(name)
    chain.wait_until(lambda: chain.connect.connectors()[name].state == "PAUSED")
    chain.on(STORE, "INSERT INTO sales VALUES (3, 'salt')")
    chain.wait_until(lambda: chain.connect.connectors()[name].state == "RUNNING")


@pytest.mark.usefixtures("sold")
def test_a_store_that_is_killed_and_comes_back_is_followed_again(chain: KafkaChain, own56: MySQLServer) -> None:
    own56.kill()
    chain.wait_for_state(STORE, "unreachable")
    own56.start()
    chain.on(STORE, "INSERT INTO sales VALUES (4, 'soap')")
    chain.wait_for_state(STORE, "live")


@pytest.mark.usefixtures("sold")
def test_a_wrong_password_is_told_until_it_is_put_right(
    chain: KafkaChain, own56: MySQLServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """In `connectors status`, too, which ends with exit code 1."""
    chain.on(STORE, "INSERT INTO sales VALUES (5, 'oil')")
    own56.execute("SET PASSWORD FOR tillstream@'%' = PASSWORD('another')")
    for (number,) in own56.execute("SELECT id FROM information_schema.processlist WHERE user = 'tillstream'"):
        own56.execute(f"KILL {number}")
    try:
        _, reason = chain.wait_for_state(STORE, "refused")
        assert "Access denied" in reason
        chain.wait_until(lambda: _connectors(chain, "status") == 1)
        assert "Access denied" in capsys.readouterr().out
    finally:
        own56.execute("SET PASSWORD FOR tillstream@'%%' = PASSWORD(%s)", PASSWORD)
    chain.wait_for_state(STORE, "live")
    chain.wait_until(lambda: _connectors(chain, "status") == 0)


@pytest.mark.usefixtures("sold")
def test_a_store_is_added_paused_and_resumed_while_run_and_workers_work(
    chain: KafkaChain, mysql97: MySQLServer, record_property: Callable[[str, object], None]
) -> None:
    """Its topic and connector are made, and the worker takes its lane up."""
    added = "kept_b"
    mysql97.create_capture_user(password=PASSWORD)
    mysql97.execute("CREATE DATABASE IF NOT EXISTS kc_kept")
    chain.stores = {**chain.stores, added: mysql97}
    chain.on(added, "CREATE TABLE zz_marker (n INT PRIMARY KEY)", "CREATE TABLE sales (id INT PRIMARY KEY, n TEXT)")
    chain.on(added, "INSERT INTO sales VALUES (1, 'first')")
    began = time.monotonic()
    written = _written(chain)
    entry = f"  - {{id: {added}, host: 127.0.0.1, port: {mysql97.port}}}"
    written.write_text(written.read_text().replace("stores:\n", f"stores:\n{entry}\n"))
    chain.wait_until(lambda: _count(chain, added) == 1)
    record_property("seconds until its rows were there", round(time.monotonic() - began, 1))

    (name,) = chain.connectors(added)
    _say("stores", "pause", added, "--config", str(written))
    chain.wait_until(lambda: chain.connect.connectors()[name].state == "STOPPED")
    chain.on(added, "INSERT INTO sales VALUES (2, 'paused')")
    chain.settle(without=(added,))
    assert _count(chain, added) == 1
    _say("stores", "resume", added, "--config", str(written))
    chain.wait_until(lambda: _count(chain, added) == 2)


def test_a_row_larger_than_kafka_takes_is_told_with_the_remedy_and_comes_when_that_is_done(
    make_kafka_chain: MakeKafkaChain, mysql56: MySQLServer
) -> None:
    """The connector stops before it, nothing is skipped, and what was written behind it comes after it."""
    store = "kept_large"
    chain = make_kafka_chain({store: mysql56}, database="kc_large", capture="max_message_megabytes: 1", settings=SOON)
    chain.on(store, "CREATE TABLE pictures (id INT PRIMARY KEY, picture MEDIUMTEXT)")
    chain.start()
    chain.on(store, "INSERT INTO pictures VALUES (1, REPEAT('x', 2000000)), (2, 'small')")
    _, reason = chain.wait_for_state(store, "refused")
    assert "raise `capture: {max_message_megabytes: ...}` in tillstream.yaml" in reason
    chain.stop()
    written = _written(chain)
    written.write_text(written.read_text().replace("max_message_megabytes: 1", "max_message_megabytes: 4"))
    chain.config = load_config(written)
    chain.start()
    chain.settle()
    assert chain.rows("SELECT _pk, length(picture) FROM stores.pictures ORDER BY 1") == [("1", 2_000_000), ("2", 5)]
    assert chain.rows("SELECT count(*) FROM tillstream.resyncs") == [(0,)]


def _written(chain: KafkaChain) -> Path:
    return chain.config.directory / "tillstream.yaml"


def _count(chain: KafkaChain, store: str) -> int:
    return int(chain.rows("SELECT count(*) FROM stores.sales WHERE _store = %s", [store])[0][0])


def _connectors(chain: KafkaChain, *arguments: str) -> int:
    return _say("connectors", *arguments, "--config", str(_written(chain)))


def _say(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return int(left.value.code or 0)
