"""Connectors as data, on a real Kafka Connect: `tillstream connectors`."""

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka_chain import KafkaChain

from connectors.topics import Topics
from tillstream.commands import main
from tillstream.free_ports import free_port
from tillstream.rehearsal.mysql import MySQLServer

A, B, M = STORES = ("plan_a", "plan_b", "plan_m")
SALES = ("CREATE TABLE sales (id INT PRIMARY KEY, name VARCHAR(20))", "INSERT INTO sales VALUES (1, 'tea')")
PATIENCE_SECONDS = 60.0  # on a machine that has much else to do


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.out)
        return answer

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        return [(each["action"], each["store"], each["name"]) for each in self.told["changes"]]


Say = Callable[..., Said]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """`tillstream connectors ...` with a configuration, in this process."""

    def run(config: Path, *arguments: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["connectors", *arguments, "--config", str(config)])
        heard = capsys.readouterr()
        return Said(int(left.value.code or 0), heard.out, heard.err)

    return run


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def chain(
    make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer, mysql97: MySQLServer, mariadb1011: MySQLServer
) -> KafkaChain:
    """Three stores of which nothing is in Kafka yet. No `run` is at work, only a worker."""
    servers = {A: mysql56, B: mysql97, M: mariadb1011}
    chain = make_kafka_chain(servers, database="kc_plan", capture="max_message_megabytes: 1")
    chain.on_all(*SALES)
    return chain


@pytest.fixture(scope="module")
def written(chain: KafkaChain) -> Path:
    return chain.config.directory / "tillstream.yaml"


@pytest.fixture
def rewritten(written: Path) -> Callable[[str, str], Path]:
    """Another configuration of the same chain, in which something stands in the place of something else."""

    def rewrite(old: str, new: str) -> Path:
        text = written.read_text()
        assert old in text
        path = written.with_name("another.yaml")
        path.write_text(text.replace(old, new))
        return path

    return rewrite


def names(chain: KafkaChain, store: str, generation: int = 0) -> tuple[str, str, str]:
    """Lane, history and connector."""
    of = chain.names
    return of.lane(store), of.history(store, generation), of.connector(store, generation)


def test_what_tillstream_yaml_wants_is_planned_and_applied_and_then_there_is_nothing_to_do(
    chain: KafkaChain, written: Path, say: Say
) -> None:
    """Nothing is written before somebody agrees; then a worker needs no `run` to bring the rows."""
    planned = say(written, "plan", "--exit-code", "--output", "json")
    actions = ("make topic", "make topic", "create")
    making = [(each, store, name) for store in STORES
              for each, name in zip(actions, names(chain, store), strict=True)]  # fmt: skip
    assert (planned.code, planned.changes) == (1, making)
    asked = say(written, "apply")
    assert asked.code == 1
    assert "Nothing was changed; say --yes" in asked.err
    assert [chain.connectors(store) for store in STORES] == [[], [], []]

    applied = say(written, "apply", "--yes", "--output", "json")
    assert (applied.code, applied.told["applied"], applied.told["errors"]) == (0, list(STORES), {})
    assert say(written, "plan", "--exit-code").out == "To do: nothing. As wanted: 3 stores.\n"
    again = say(written, "apply", "--yes", "--output", "json")
    assert (again.code, again.changes, again.told["applied"]) == (0, [], [])
    chain.workers.start()
    until(lambda: chain.rows("SELECT to_regclass('stores.sales')") != [(None,)])
    until(lambda: chain.rows("SELECT count(*) FROM stores.sales") == [(3,)])


def test_status_tells_of_each_store_where_connector_lane_and_warehouse_stand(
    chain: KafkaChain, written: Path, say: Say
) -> None:
    """The connector's task runs, and in the end nothing of the lane waits."""

    def stand() -> list[dict[str, Any]]:
        stores: list[dict[str, Any]] = say(written, "status", "--output", "json").told["stores"]
        return stores

    until(lambda: all(each["behind"] == 0 and each["stands"] == each["warehouse"] for each in stand()))
    found = stand()
    assert [(each["store"], each["state"], each["task"], each["has_failed"]) for each in found] == [
        (store, "running", "running", False) for store in STORES
    ]  # fmt: skip
    assert found[0]["connector"] == chain.names.connector(A, 0)
    assert say(written, "status").code == 0


def test_what_is_configured_otherwise_is_shown_without_its_secrets_and_put_right(
    chain: KafkaChain, written: Path, say: Say, rewritten: Callable[[str, str], Path]
) -> None:
    """In Connect, by hand; and in tillstream.yaml, where it concerns connectors and topics."""
    name = chain.names.connector(A, 0)
    config = dict(chain.connect.connectors()[name].config)
    secret = "schema.history.internal.producer.ssl.keystore.password"
    chain.connect.configure(name, {**config, secret: "plain to see", "poll.interval.ms": "77"})
    until(lambda: chain.connect.connectors()[name].config["poll.interval.ms"] == "77")
    planned = say(written, "plan", A)
    assert f"change       {A}: {name}, " in planned.out
    assert f"poll.interval.ms: 77 -> {config['poll.interval.ms']}" in planned.out
    assert f"{secret}: (hidden) -> (not set)" in planned.out
    assert "plain to see" not in planned.out + say(written, "plan", A, "--output", "json").out
    assert say(written, "apply", "--yes", A).code == 0
    until(lambda: say(written, "plan", "--exit-code", A).code == 0)
    assert dict(chain.connect.connectors()[name].config) == config

    larger = rewritten("prefix:", "retention: 1d, compression: zstd, prefix:")
    planned = say(larger, "plan", B, "--output", "json")
    assert planned.changes == [
        ("set topic", B, chain.names.lane(B)), ("change", B, chain.names.connector(B, 0)),
    ]  # fmt: skip
    assert [each["differences"] for each in planned.told["changes"]] == [
        [{"key": "retention.ms", "present": "604800000", "wanted": "86400000"}],
        [{"key": "producer.override.compression.type", "present": "lz4", "wanted": "zstd"}],
    ]


def test_faults_of_all_stores_are_told_at_once_and_hold_up_no_other(
    chain: KafkaChain, written: Path, say: Say, rewritten: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Connect's own validation says; two entries for one server; a store that does not answer."""
    a, b = chain.stores[A], chain.stores[B]
    monkeypatch.setenv("ONLY_HERE", "captured & %20 §")
    more = (
        f"  - {{id: plan_unread, host: localhost, port: {a.port}, password: {{env: ONLY_HERE}}}}\n"
        f"  - {{id: plan_double, host: localhost, port: {b.port}}}\n"
        f"  - {{id: plan_away, host: 127.0.0.1, port: {free_port()}}}\n"
        f"  - {{id: {B},"
    )
    config = rewritten(f"  - {{id: {B},", more)
    planned = say(config, "plan")
    assert planned.code == 1
    told = [line for line in planned.out.splitlines() if line.startswith(("cannot", "not judged"))]
    assert len(told) == 3
    assert "store plan_unread: " in told[0]
    assert "with the password that the variable ONLY_HERE holds there" in told[0]
    assert "store plan_away at 127.0.0.1" in told[1]
    assert f"store {B} at 127.0.0.1:{b.port} is the same server as store plan_double" in told[2]
    done = say(config, "apply", "--yes", "plan_away", "plan_unread", A)
    assert done.code == 1
    assert "As wanted: 1 store." in done.out
    assert chain.connectors("plan_unread") == []

    alone = say(config, "plan", "plan_away")
    assert (alone.code, alone.out) == (3, "")
    assert "store plan_away" in alone.err
    no_connect = rewritten(chain.kafka.connect.url, f"http://127.0.0.1:{free_port()}")
    assert (said := say(no_connect, "plan")).code == 3
    assert "does not answer" in said.err


def test_connectors_of_others_are_left_alone(
    chain: KafkaChain, written: Path, say: Say, rewritten: Callable[[str, str], Path]
) -> None:
    """Told, and never removed: those with other names, and those of stores that this warehouse has never seen."""
    config = dict(chain.connect.connectors()[chain.names.connector(A, 0)].config)
    others = ["somebody-elses", chain.names.connector("not_here", 3)]
    for name in others:
        chain.connect.create_stopped(name, {**config, "name": name})
    try:
        until(lambda: chain.connect.connectors().keys() >= set(others))
        planned = say(rewritten(f"  - {{id: {B},", "# "), "plan", "--output", "json")
        assert set(planned.told["left_alone"]) >= set(others)
        assert not {name for _, _, name in planned.changes} & set(others)
    finally:
        for name in others:
            chain.connect.delete(name)


def test_a_connector_is_paused_resumed_and_restarted_by_hand(chain: KafkaChain, written: Path, say: Say) -> None:
    """What is written meanwhile comes when it goes on; a plan does not undo what a person has said."""
    name = chain.names.connector(A, 0)
    assert say(written, "pause", A).code == 0
    until(lambda: chain.connect.connectors()[name].state == "STOPPED")
    chain.on(A, "INSERT INTO sales VALUES (2, 'rice')")
    assert say(written, "plan", "--exit-code", A).code == 0
    status = say(written, "status", "--output", "json")
    assert (status.code, status.told["stores"][0]["state"]) == (0, "stopped")
    assert (refused := say(written, "restart", A)).code == 1
    assert f"`tillstream connectors resume {A}`" in refused.err
    assert say(written, "resume", A).code == 0
    until(lambda: chain.rows("SELECT name FROM stores.sales WHERE _pk = '2'") == [("rice",)])
    assert say(written, "restart", A).code == 0
    chain.on(A, "INSERT INTO sales VALUES (3, 'salt')")
    until(lambda: chain.rows("SELECT name FROM stores.sales WHERE _pk = '3'") == [("salt",)])


def test_what_is_no_more_in_tillstream_yaml_is_removed_and_its_lane_and_rows_stay(
    chain: KafkaChain, written: Path, say: Say, rewritten: Callable[[str, str], Path]
) -> None:
    """By `apply`, and by `remove` at once; written in again, the store is read anew."""
    lane, history, name = names(chain, B)
    without = rewritten(f"  - {{id: {B},", "# ")
    planned = say(without, "plan", "--output", "json")
    assert planned.changes == [("remove", B, name), ("delete topic", B, history)]
    assert planned.told["changes"][0]["reason"] == "the store is no more in tillstream.yaml"
    warned = say(written, "remove", B)
    assert warned.code == 1
    assert f"{B} is still in tillstream.yaml" in warned.err
    assert say(without, "remove", B, "--yes").code == 0
    until(lambda: chain.connectors(B) == [])
    until(lambda: Topics(chain.capture).of_stores([B])[B].keys() == {lane})
    assert say(without, "plan", "--exit-code").code == 0
    assert chain.rows("SELECT name FROM stores.sales WHERE _store = %s", [B]) == [("tea",)]

    back = say(written, "plan", "--output", "json")
    assert ("create", B, chain.names.connector(B, 1)) in back.changes
    assert "the store is read anew" in back.out
    assert say(written, "apply", "--yes").code == 0
    until(lambda: chain.connectors(B) == [chain.names.connector(B, 1)])
    assert say(written, "plan", "--exit-code").code == 0


def test_a_connector_that_has_failed_is_told_with_its_cause_and_its_remedy_and_goes_on_after_that(
    chain: KafkaChain, written: Path, say: Say, rewritten: Callable[[str, str], Path]
) -> None:
    """A row larger than Kafka is to take: nothing behind it comes, and nothing is skipped."""
    chain.on(A, "CREATE TABLE pictures (id INT PRIMARY KEY, picture MEDIUMTEXT)")
    chain.on(A, "INSERT INTO pictures VALUES (1, REPEAT('x', 2000000)), (2, 'small')")
    until(lambda: say(written, "status").code == 1)
    (failed,) = [each for each in say(written, "status", "--output", "json").told["stores"] if each["store"] == A]
    assert (failed["task"], failed["has_failed"]) == ("failed", True)
    assert "RecordTooLarge" in failed["cause"]
    assert "raise `capture: {max_message_megabytes: ...}` in tillstream.yaml" in failed["cause"]
    assert f"restart      {A}: " in say(written, "plan", A).out
    with urllib.request.urlopen(chain.kafka.connect.metrics_url, timeout=20) as answer:
        told = answer.read().decode()  # to Prometheus
    assert f'kafka_connect_worker_connector_failed_task_count{{connector="{chain.connectors(A)[0]}"}} 1.0' in told
    larger = rewritten("max_message_megabytes: 1", "max_message_megabytes: 4")
    assert say(larger, "apply", "--yes", A).code == 0
    until(lambda: chain.rows("SELECT to_regclass('stores.pictures')") != [(None,)])
    until(lambda: chain.rows("SELECT _pk, length(picture) FROM stores.pictures") == [("1", 2_000_000), ("2", 5)])
