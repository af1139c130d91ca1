"""What Java tells of each store's capture and of itself, for Prometheus.

The names are those that the JMX exporter gives in Kafka Connect (docker/connect/jmx.yaml): a dashboard serves both.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jpype
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

# By the part of a capture: Debezium's attribute and what it is called here. Its RowsScanned is a table of tables, which
# the JMX exporter cannot add up; each row of a snapshot is one event, and these are counted in one number.
ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    "streaming": {
        name: name
        for name in (
            "MilliSecondsBehindSource",
            "MilliSecondsSinceLastEvent",
            "Connected",
            "TotalNumberOfEventsSeen",
            "NumberOfErroneousEvents",
            "QueueTotalCapacity",
            "QueueRemainingCapacity",
            "NumberOfDisconnects",
        )
    },
    "snapshot": {
        "SnapshotRunning": "SnapshotRunning",
        "RemainingTableCount": "RemainingTableCount",
        "TotalNumberOfEventsSeen": "RowsScanned",
    },
}
LABELS = ("plugin", "name", "context")
_BEAN = re.compile(r"debezium\.(?P<plugin>\w+):type=connector-metrics,context=(?P<context>\w+),server=(?P<name>[^,]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the JVM answered.

    `captures`: by context the beans' names and, in the same order, their attributes as Java writes a list of them, one
    bean a line; that of a bean which is gone meanwhile is empty. `memory`: by area, bytes used and at most, -1 where
    there is no bound. `collections`: by garbage collector, how often it ran and for how many milliseconds in all.
    """

    captures: Mapping[str, tuple[str, str]]
    memory: Mapping[str, tuple[int, int]]
    collections: Mapping[str, tuple[int, int]]
    threads: int


class JvmCollector(Collector):
    """Asks when Prometheus does. Java that does not answer is no reason to tell nothing of all else."""

    def __init__(self, ask: Callable[[], Told]) -> None:
        self._ask = ask

    def describe(self) -> Iterable[Metric]:
        return [*_debezium_families().values(), *_jvm_families()]

    def collect(self) -> Iterable[Metric]:
        try:
            told = self._ask()
            return [*_debezium(told), *_jvm(told)]
        except Exception:  # whatever Java throws
            log.debug("the JVM's metrics are not to be had", exc_info=True)
            return []


def _debezium(told: Told) -> Iterable[Metric]:
    families = _debezium_families()
    for context, attributes in ATTRIBUTES.items():
        names, values = told.captures[context]
        for name, line in zip(names.split("\n"), values.split("\n"), strict=True):
            if (bean := _BEAN.fullmatch(name)) is not None:
                labels = [bean[label] for label in LABELS]
                for attribute, value in _attributes(line):
                    families[attributes[attribute]].add_metric(labels, value)
    return families.values()


def _attributes(line: str) -> Iterator[tuple[str, float]]:
    """`[Connected = true, QueueTotalCapacity = 4096]`, and nothing where a bean is gone."""
    for attribute in filter(None, line.strip("[]").split(", ")):
        name, _, value = attribute.partition(" = ")
        if value != "null":
            yield name, float({"true": 1, "false": 0}.get(value, value))


def _jvm(told: Told) -> Iterable[Metric]:
    used, most, collections, threads = _jvm_families()
    for area, (used_bytes, most_bytes) in told.memory.items():
        used.add_metric([area], used_bytes)
        most.add_metric([area], most_bytes)
    for collector, (count, milliseconds) in told.collections.items():
        collections.add_metric([collector], count, milliseconds / 1000)
    threads.add_metric([], told.threads)
    return used, most, collections, threads


def _debezium_families() -> dict[str, GaugeMetricFamily]:
    names = dict.fromkeys(name for attributes in ATTRIBUTES.values() for name in attributes.values())
    return {
        name: GaugeMetricFamily(f"debezium_metrics_{name}", f"Debezium's {name} of a store.", labels=LABELS)
        for name in names
    }


def _jvm_families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, SummaryMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("jvm_memory_used_bytes", "Used bytes of a given JVM memory area.", labels=["area"]),
        GaugeMetricFamily("jvm_memory_max_bytes", "Max (bytes) of a given JVM memory area.", labels=["area"]),
        SummaryMetricFamily(
            "jvm_gc_collection_seconds", "Time spent in a given JVM garbage collector in seconds.", labels=["gc"]
        ),
        GaugeMetricFamily("jvm_threads_current", "Current thread count of a JVM."),
    )


class Jvm:
    """The one in this process, which runs."""

    def __init__(self) -> None:
        management = jpype.JClass("java.lang.management.ManagementFactory")
        self._server = management.getPlatformMBeanServer()
        self._memory, self._threads = management.getMemoryMXBean(), management.getThreadMXBean()
        self._collectors = list(management.getGarbageCollectorMXBeans())
        self._object_name = jpype.JClass("javax.management.ObjectName")
        self._list = jpype.JClass("java.util.ArrayList")
        self._joining = jpype.JClass("java.util.stream.Collectors").joining
        self._thread = jpype.JClass("java.lang.Thread")
        self._text, values = _functions(self._server)
        self._values = {context: values(list(attributes)) for context, attributes in ATTRIBUTES.items()}

    def ask(self) -> Told:
        known = self._thread.isAttached()
        try:
            return self._ask()
        finally:
            if not known:  # a scrape has a thread of its own, which Java would count among its threads for ever
                self._thread.detach()

    def _ask(self) -> Told:
        usages = {"heap": self._memory.getHeapMemoryUsage(), "nonheap": self._memory.getNonHeapMemoryUsage()}
        return Told(
            captures={context: self.captures(context, self.beans(context)) for context in ATTRIBUTES},
            memory={area: (int(usage.getUsed()), int(usage.getMax())) for area, usage in usages.items()},
            collections={
                str(each.getName()): (int(each.getCollectionCount()), int(each.getCollectionTime()))
                for each in self._collectors
            },
            threads=int(self._threads.getThreadCount()),
        )

    def beans(self, context: str) -> Any:
        """Java's list of their names."""
        pattern = self._object_name(f"debezium.*:type=connector-metrics,context={context},*")
        return self._list(self._server.queryNames(pattern, None))

    def captures(self, context: str, beans: Any) -> tuple[str, str]:
        """By streams of Java's own functions, as batches come over: one crossing where each value would be one."""
        names, values = (
            beans.stream().map(function).collect(self._joining("\n"))
            for function in (self._text, self._values[context])
        )
        return str(names), str(values)


def _functions(server: Any) -> tuple[Any, Callable[[Sequence[str]], Any]]:
    """Java's: an object to its text; and, made for some attributes, a bean's name to the text of their values, which is
    empty for a bean that is gone."""
    handles = jpype.JClass("java.lang.invoke.MethodHandles")
    proxies = jpype.JClass("java.lang.invoke.MethodHandleProxies")
    method_type = jpype.JClass("java.lang.invoke.MethodType").methodType
    function = jpype.JClass("java.util.function.Function").class_
    string, throwable = jpype.JClass("java.lang.String").class_, jpype.JClass("java.lang.Throwable").class_
    bean, strings = jpype.JClass("javax.management.ObjectName").class_, jpype.JArray(jpype.JString)
    found = jpype.JClass("javax.management.AttributeList").class_
    servers, lookup = jpype.JClass("javax.management.MBeanServer").class_, handles.publicLookup()
    text = lookup.findStatic(string, "valueOf", method_type(string, jpype.JObject.class_))
    getter = lookup.findVirtual(servers, "getAttributes", method_type(found, bean, strings.class_)).bindTo(server)
    none = handles.dropArguments(handles.constant(string, ""), 0, throwable)

    def values(attributes: Sequence[str]) -> Any:
        asked = handles.insertArguments(getter, 1, jpype.JArray(jpype.JObject)([strings(attributes)]))
        as_text = handles.filterReturnValue(asked, text.asType(method_type(string, found)))
        return proxies.asInterfaceInstance(function, handles.catchException(as_text, throwable, none))

    return proxies.asInterfaceInstance(function, text), values
