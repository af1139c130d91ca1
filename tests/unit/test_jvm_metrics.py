"""Debezium's counts and the JVM's for Prometheus, of answers that no JVM gave."""

import re
from collections.abc import Iterable, Sequence
from itertools import product

import pytest
import yaml
from compose import DOCKER
from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from connectors.jvm_metrics import ATTRIBUTES, JvmCollector, Told
from tillstream import metrics

# What else a series of a store may be told by, and how many of these a store has at a time.
TOLD_BY = {
    "name": ["中山路旗舰店"],
    "state": ["snapshotting"],
    "outcome": ["applied", "dropped"],
    "reason": ["a value that PostgreSQL cannot hold"],
    "kind": ["store_silent_in_its_hours"],
    "stock": ["negative", "low", "enough"],
}
RUNNING = "[{} = -1, Connected = true, QueueTotalCapacity = 4096, NumberOfDisconnects = null]"
DONE = "[SnapshotRunning = false, RemainingTableCount = 0, TotalNumberOfEventsSeen = 7]"


def told(streaming: tuple[str, str], snapshot: tuple[str, str] = ("", "")) -> Told:
    return Told(
        captures={"streaming": streaming, "snapshot": snapshot},
        memory={"heap": (1, 2), "nonheap": (3, -1)},
        collections={"Copy": (4, 2500)},
        threads=5,
    )


def exposed(answer: Told) -> set[str]:
    registry = CollectorRegistry()
    registry.register(JvmCollector(lambda: answer))
    return {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}


def test_each_store_has_its_counts_under_debeziums_names() -> None:
    """By connector, store and part; what is true is 1, what is not known is left out."""
    line = RUNNING.format("MilliSecondsBehindSource")
    found = exposed(told((bean("mariadb", "streaming", "s1"), line), (bean("mysql", "snapshot", "s2"), DONE)))
    assert {each for each in found if each.startswith("debezium")} == {
        'debezium_metrics_MilliSecondsBehindSource{context="streaming",name="s1",plugin="mariadb"} -1.0',
        'debezium_metrics_Connected{context="streaming",name="s1",plugin="mariadb"} 1.0',
        'debezium_metrics_QueueTotalCapacity{context="streaming",name="s1",plugin="mariadb"} 4096.0',
        'debezium_metrics_SnapshotRunning{context="snapshot",name="s2",plugin="mysql"} 0.0',
        'debezium_metrics_RemainingTableCount{context="snapshot",name="s2",plugin="mysql"} 0.0',
        'debezium_metrics_RowsScanned{context="snapshot",name="s2",plugin="mysql"} 7.0',
    }


def test_the_jvm_tells_of_itself_as_the_exporters_agent_does() -> None:
    """Bytes, and seconds of collecting garbage; -1 where there is no bound."""
    assert {each for each in exposed(told(("", ""))) if each.startswith("jvm")} == {
        'jvm_memory_used_bytes{area="heap"} 1.0',
        'jvm_memory_used_bytes{area="nonheap"} 3.0',
        'jvm_memory_max_bytes{area="heap"} 2.0',
        'jvm_memory_max_bytes{area="nonheap"} -1.0',
        'jvm_gc_collection_seconds_count{gc="Copy"} 4.0',
        'jvm_gc_collection_seconds_sum{gc="Copy"} 2.5',
        "jvm_threads_current 5.0",
    }


def test_a_store_that_has_gone_meanwhile_is_left_out() -> None:
    """Its line is empty; the others are told."""
    names = "\n".join(bean("mysql", "streaming", store) for store in ("gone", "here"))
    found = exposed(told((names, "\n[Connected = false]")))
    assert 'debezium_metrics_Connected{context="streaming",name="here",plugin="mysql"} 0.0' in found
    assert not any("gone" in each for each in found)


def test_java_that_does_not_answer_spoils_no_scrape() -> None:
    """Nothing of it is told, and nothing is raised."""

    def fail() -> Told:
        raise RuntimeError("java.lang.OutOfMemoryError")

    assert list(JvmCollector(fail).collect()) == []


def test_kafka_connect_s_exporter_is_asked_for_the_same() -> None:
    """The rules of docker/connect/jmx.yaml name each attribute that embedded capture tells, and no other."""
    rules = yaml.safe_load((DOCKER / "connect" / "jmx.yaml").read_text())["rules"]
    named: dict[str, dict[str, str]] = {context: {} for context in ATTRIBUTES}
    for rule in rules:
        if rule["name"].startswith("debezium_metrics_"):
            attributes = re.search(r"><>\(?([\w|]+)\)?:$", rule["pattern"])
            assert attributes is not None
            name = rule["name"].removeprefix("debezium_metrics_")
            context = named[rule["labels"]["context"]]
            context |= {each: name.replace("$3", each) for each in attributes[1].split("|")}
    assert named == ATTRIBUTES


@pytest.mark.parametrize(("stores", "embedded"), [(1000, False), (500, True)])
def test_a_scrape_of_many_stores_is_small(stores: int, embedded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under 2 MB before it is compressed, with a series of each store in all families: of `run` with Kafka a thousand
    stores; embedded capture, which is for some dozens, adds Debezium's of five hundred."""
    ids = [f"s{number:04}" for number in range(stores)]
    registry = CollectorRegistry()
    registry.register(OfAllStores(ids))
    if embedded:
        registry.register(JvmCollector(lambda: every_attribute_of(ids)))
    size = len(generate_latest(registry))
    assert size > 1000 * stores, "families are missing"
    assert size < 2_000_000


class OfAllStores(Collector):
    """Every family of tillstream/metrics.py that has series of stores, filled."""

    def __init__(self, stores: list[str]) -> None:
        self._stores = stores

    def collect(self) -> Iterable[Metric]:
        for declared in vars(metrics).values():
            match declared:
                case metrics.Table():
                    yield self._filled(declared.name, declared._labels)
                case Counter():
                    yield self._filled(f"{declared._name}_total", declared._labelnames)
                case Gauge():
                    yield self._filled(declared._name, declared._labelnames)

    def _filled(self, name: str, labels: Sequence[str]) -> Metric:
        family = GaugeMetricFamily(name, name, labels=labels)
        if "store" in labels:
            value = 1764538857 if "timestamp" in name else 123.4 if "seconds" in name else 123456
            for store in self._stores:
                for others in product(*(TOLD_BY[label] for label in labels if label != "store")):
                    told_by = iter(others)
                    family.add_metric([store if label == "store" else next(told_by) for label in labels], value)
        return family


def every_attribute_of(stores: Iterable[str]) -> Told:
    return told(*(
        (
            "\n".join(bean("mysql", context, store) for store in stores),
            "\n".join(f"[{', '.join(f'{each} = 12345' for each in attributes)}]" for _ in stores),
        )
        for context, attributes in ATTRIBUTES.items()
    ))  # fmt: skip


def bean(plugin: str, context: str, store: str) -> str:
    return f"debezium.{plugin}:type=connector-metrics,context={context},server={store}"
