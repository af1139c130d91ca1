"""Debezium's counts of real stores for Prometheus: the JVM's in this process, and Kafka Connect's by its agent."""

import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import jpype
import pytest
from harness import Chain
from kafka_chain import KafkaChain
from panels import Panel, committed, panels, selectors_of, unanswered
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from connectors.jvm_metrics import ATTRIBUTES, Jvm
from tillstream import metrics
from tillstream.rehearsal.mysql import MySQLServer
from tillstream.rehearsal.prometheus import Monitoring, Tools

STORES = ("jvm1", "jvm2")
IN_CONNECT = ("jvm3", "jvm4")  # one id is one reader of a server's log
WRITTEN = (
    "CREATE TABLE sales (id INT PRIMARY KEY, amount DECIMAL(10,2))",
    "CREATE TABLE goods (id INT PRIMARY KEY)",
    "INSERT INTO sales VALUES (1, 1), (2, 2), (3, 3)",
    "INSERT INTO goods VALUES (1), (2)",
)
ROWS = 5
FASTER = 15  # a scrape a second, which Connect's agent answers on a busy machine, too
ANSWER_SECONDS = 60.0
Told = dict[tuple[str, str], float]


@pytest.fixture(scope="module")
def embedded(make_chain: Callable[..., Chain], mysql56: MySQLServer, mariadb1011: MySQLServer) -> Chain:
    """A store on MySQL and one on MariaDB, both read and followed since."""
    chain = make_chain(dict(zip(STORES, (mysql56, mariadb1011), strict=True)), database="jvm_embedded")
    lived(chain)
    return chain


@pytest.fixture(scope="module")
def captured(make_kafka_chain: Callable[..., KafkaChain], mysql56: MySQLServer, mariadb1011: MySQLServer) -> KafkaChain:
    """The same by Kafka Connect."""
    chain = make_kafka_chain(dict(zip(IN_CONNECT, (mysql56, mariadb1011), strict=True)), database="jvm_connect")
    lived(chain)
    return chain


def lived(chain: Chain) -> None:
    chain.on_all(*WRITTEN)
    chain.start()
    chain.on_all("UPDATE sales SET amount = 9")
    chain.settle()


def here() -> list[Metric]:
    return list(text_string_to_metric_families(generate_latest(metrics.REGISTRY).decode()))


def in_connect(chain: KafkaChain) -> list[Metric]:
    with urllib.request.urlopen(chain.kafka.connect.metrics_url, timeout=20) as answer:
        return list(text_string_to_metric_families(answer.read().decode()))


def debezium(families: list[Metric], stores: tuple[str, ...] = STORES) -> Told:
    """By store and name without its prefix."""
    return {
        (sample.labels["name"], sample.name.removeprefix("debezium_metrics_")): sample.value
        for family in families
        if family.name.startswith("debezium_metrics_")
        for sample in family.samples
        if sample.labels["name"] in stores
    }


def series(families: list[Metric], stores: tuple[str, ...]) -> set[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Name, type and labels of each series of these stores, each known by its number."""
    return {
        (sample.name, family.type, key({**sample.labels, "name": str(stores.index(sample.labels["name"]))}))
        for family in families
        if family.name.startswith("debezium_metrics_")
        for sample in family.samples
        if sample.labels["name"] in stores
    }


def key(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def jvm(families: list[Metric]) -> set[tuple[str, str, tuple[str, ...]]]:
    """Name, type and labels' names of each series of the JVM's own."""
    return {
        (sample.name, family.type, tuple(sorted(sample.labels)))
        for family in families
        if family.name.startswith("jvm_")
        for sample in family.samples
    }


def test_each_store_s_counts_are_what_has_happened_to_it(embedded: Chain) -> None:
    """All names for each store, rows and events as they were written, and nothing left of its snapshot."""
    told = debezium(here())
    names = {name for attributes in ATTRIBUTES.values() for name in attributes.values()}
    assert told.keys() == {(store, name) for store in STORES for name in names}
    for store in STORES:
        count = {name: told[store, name] for name in names}
        assert (count["Connected"], count["SnapshotRunning"], count["RemainingTableCount"]) == (1, 0, 0)
        assert count["RowsScanned"] == rows_by_table(store) == ROWS
        assert count["TotalNumberOfEventsSeen"] >= 4  # three updates and a marker
        assert (count["NumberOfErroneousEvents"], count["NumberOfDisconnects"]) == (0, 0)
        assert 0 < count["QueueRemainingCapacity"] <= count["QueueTotalCapacity"]
        assert 0 <= count["MilliSecondsSinceLastEvent"] < 600_000
        assert 0 <= count["MilliSecondsBehindSource"] < 600_000


def rows_by_table(store: str) -> int:
    """What Debezium's own table of tables adds up to."""
    server = jpype.JClass("java.lang.management.ManagementFactory").getPlatformMBeanServer()
    name = jpype.JClass("javax.management.ObjectName")
    (bean,) = server.queryNames(name(f"debezium.*:type=connector-metrics,context=snapshot,server={store}"), None)
    scanned = server.getAttribute(bean, "RowsScanned")
    return sum(int(each.get("value").longValue()) for each in scanned.values())


def test_scrapes_leave_no_threads_behind(embedded: Chain) -> None:
    """Each comes by a thread of its own, which Java would otherwise count for ever."""

    def threads() -> float:
        return metrics.REGISTRY.get_sample_value("jvm_threads_current") or 0.0

    before = threads()
    for _ in range(40):
        scrape = threading.Thread(target=here)
        scrape.start()
        scrape.join()
    assert threads() < before + 20  # Debezium's own come and go


def test_a_store_whose_capture_ends_between_two_questions_is_left_out(embedded: Chain) -> None:
    """Java is asked for the names first; one that has gone since has an empty line and spoils no other's."""
    asked = Jvm()
    beans = asked.beans("streaming")
    beans.add(0, jpype.JClass("javax.management.ObjectName")("debezium.mysql:type=connector-metrics,server=gone"))
    names, values = asked.captures("streaming", beans)
    lines = dict(zip(names.split("\n"), values.split("\n"), strict=True))
    assert [name for name, line in lines.items() if not line] == ["debezium.mysql:type=connector-metrics,server=gone"]
    assert len(lines) >= 3


def test_kafka_connect_tells_the_same(embedded: Chain, captured: KafkaChain) -> None:
    """The same names, types and labels for each store, so that one dashboard serves both; the JVM's, too. Kafka
    Connect adds how its connectors and their tasks are."""
    told, told_here = in_connect(captured), here()
    assert series(told, IN_CONNECT) == series(told_here, STORES) != set()
    assert jvm(told) >= jvm(told_here) != set()
    counts = debezium(told, IN_CONNECT)
    assert {counts[store, "RowsScanned"] for store in IN_CONNECT} == {ROWS}
    assert {counts[store, "Connected"] for store in IN_CONNECT} == {1}
    connectors = [name for store in IN_CONNECT for name in captured.connectors(store)]
    assert len(connectors) == len(IN_CONNECT)
    values = {(each.name, key(each.labels)): each.value for family in told for each in family.samples}
    for name in connectors:
        worker, task = {"connector": name}, {"connector": name, "task": "0"}
        assert values["kafka_connect_connector_status", key({**worker, "status": "running"})] == 1
        assert values["kafka_connect_connector_task_status", key({**task, "status": "running"})] == 1
        assert values["kafka_connect_worker_connector_running_task_count", key(worker)] == 1
        assert values["kafka_connect_worker_connector_failed_task_count", key(worker)] == 0
        assert values["kafka_connect_connector_task_running_ratio", key(task)] > 0


def test_the_dashboards_show_kafka_connect_as_they_show_embedded_capture(
    captured: KafkaChain, prometheus_tools: Tools, server_directory: Path
) -> None:
    """Each panel of Debezium, of Java and of Kafka Connect itself is answered where Prometheus scrapes its agent."""
    of_connect = [panel for each in committed().values() for panel in panels(each) if is_of_connect(panel)]
    assert {"Debezium connected", "Heap", "Tasks failed"} <= {panel.title for panel in of_connect}
    with Monitoring(server_directory / "monitoring", prometheus_tools, faster=FASTER) as prometheus:
        prometheus.scrape({"connect": [urllib.parse.urlsplit(captured.kafka.connect.metrics_url).netloc]})
        deadline = time.monotonic() + ANSWER_SECONDS
        while missing := [told for store in IN_CONNECT for told in unanswered(of_connect, store, prometheus.query)]:
            assert time.monotonic() < deadline, "\n".join(missing)
            time.sleep(0.2)


def is_of_connect(panel: Panel) -> bool:
    names = {name for query in panel.queries for name, _ in selectors_of(query.expression)}
    return all(name.startswith(("debezium_", "jvm_", "kafka_connect_")) for name in names)


def test_a_store_that_is_captured_no_more_is_told_no_more(embedded: Chain) -> None:
    """The beans go with the engine."""
    embedded.stop()
    assert debezium(here()) == {}
