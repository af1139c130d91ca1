"""The dashboards' JSON as Grafana reads it: panels with their queries, and what is wrong with them."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
from prometheus_client import Metric
from prometheus_client.metrics import MetricWrapperBase

from connectors.jvm_metrics import JvmCollector, Told
from tillstream import metrics
from tillstream.rehearsal.prometheus import Sample

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "dashboards").glob("*.json"))
RUNBOOK = re.compile(r"^## (\w+)$", re.MULTILINE)

# Of Prometheus itself, and of Kafka Connect by docker/connect/jmx.yaml.
OF_OTHERS = {
    "up": {"job", "instance"},
    "ALERTS": {"alertname", "alertstate", "severity", "store"},
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "kafka_connect_connector_status": {"connector", "status"},
    "kafka_connect_connector_task_status": {"connector", "task", "status"},
    "kafka_connect_worker_connector_running_task_count": {"connector"},
    "kafka_connect_worker_connector_failed_task_count": {"connector"},
}
Names = Mapping[str, Collection[str]]  # of samples, with their labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    expression: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    dashboard: str
    row: str
    title: str
    unit: str
    queries: tuple[Query, ...]
    raw: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.title}"


def committed() -> dict[str, dict[str, Any]]:
    """By file name."""
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in FILES}


def panels(dashboard: Mapping[str, Any]) -> Iterator[Panel]:
    """In their order; those in rows that nobody has opened, too."""
    row = ""
    for each in dashboard["panels"]:
        if each["type"] == "row":
            row = each["title"]
            yield from (_panel(dashboard, row, nested) for nested in each["panels"])
        else:
            yield _panel(dashboard, row, each)


def _panel(dashboard: Mapping[str, Any], row: str, raw: Mapping[str, Any]) -> Panel:
    defaults = raw.get("fieldConfig", {}).get("defaults", {})
    return Panel(
        dashboard=dashboard["title"], row=row, title=raw.get("title", ""), unit=defaults.get("unit", ""), raw=raw,
        queries=tuple(
            Query(expression=target["expr"], legend=target.get("legendFormat", "")) for target in raw["targets"]
        ),
    )  # fmt: skip


def asked(expression: str, store: str, interval: str = "5m") -> str:
    """As Grafana asks it: with its variables filled in."""
    return expression.replace("$store", store).replace("$__rate_interval", interval)


def unanswered(shown: Iterable[Panel], store: str, ask: Callable[[str], Sequence[Sample]]) -> list[str]:
    """Queries of panels that have no number for an answer, or none with the labels that the legend names, in words."""
    return [told for panel in shown for query in panel.queries for told in _unanswered(panel, query, store, ask)]


def _unanswered(panel: Panel, query: Query, store: str, ask: Callable[[str], Sequence[Sample]]) -> Iterator[str]:
    numbers = [sample for sample in ask(asked(query.expression, store)) if not math.isnan(sample.value)]
    named = [part.partition("}}")[0] for part in query.legend.split("{{")[1:]]
    if not numbers:
        yield f"{panel} has no answer to {query.expression}"
    elif not any(all(label in sample.labels for label in named) for sample in numbers):
        yield f"{panel} calls its answers {query.legend}, and they have {numbers[0].labels}"


def declared() -> Names:
    """What Tillstream tells of: its own metrics and those of the JVM."""
    ours = [each for each in vars(metrics).values() if isinstance(each, (MetricWrapperBase, metrics.Table))]
    found: dict[str, Collection[str]] = {}
    for collector in (*ours, JvmCollector(_not_asked)):
        for family in collector.describe():
            labels = getattr(collector, "_labelnames", None) or getattr(family, "_labelnames", ())
            found.update({name: set(labels) | {"le"} for name in sample_names(family)})
    return found


def sample_names(family: Metric) -> list[str]:
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "summary": ["_sum", "_count"]}
    return [family.name + ending for ending in endings.get(family.type, [""])]


def _not_asked() -> Told:
    raise AssertionError("to describe is not to ask")


# --- what is wrong ----------------------------------------------------------------------------------------------


def faults(found: Mapping[str, Mapping[str, Any]], names: Names) -> list[str]:
    """What must not be in these dashboards, in words; `names` are the metrics that Tillstream tells of."""
    shown = [panel for each in found.values() for panel in panels(each)]
    return [
        *(fault for panel in shown for fault in _incomplete(panel)),
        *(fault for panel in shown for query in panel.queries for fault in _misnamed(panel, query, names)),
        *_shown_nowhere(shown, names),
        *(fault for each in found.values() for fault in _leading_nowhere(each, found)),
        *_twice(found),
    ]


def _incomplete(panel: Panel) -> Iterator[str]:
    defaults = panel.raw.get("fieldConfig", {}).get("defaults", {})
    has = {
        "a title": panel.title,
        "a description": panel.raw.get("description"),
        "a unit": panel.unit,
        "thresholds": defaults.get("thresholds", {}).get("steps"),
        "a link": panel.raw.get("links"),
        "a query": panel.queries,
        "the datasource": panel.raw.get("datasource") == {"type": "prometheus", "uid": "prometheus"},
    }
    yield from (f"{panel} has not {what}" for what, is_there in has.items() if not is_there)


def _misnamed(panel: Panel, query: Query, names: Names) -> Iterator[str]:
    try:
        selectors = selectors_of(query.expression)
    except ValueError as error:
        yield f"{panel}: {error}: {query.expression}"
        return
    for name, labels in selectors:
        if name not in names and name not in OF_OTHERS:
            yield f"{panel} asks for {name}, which nobody tells of"
            continue
        allowed = {*names.get(name, OF_OTHERS.get(name, ())), "job", "instance"}
        yield from (f"{panel} asks for {name} by {label}, which it has not" for label in labels - allowed)


def selectors_of(expression: str) -> list[tuple[str, set[str]]]:
    """Each metric that is asked for, and the labels that it is narrowed by. ValueError where it is no PromQL."""
    found: list[tuple[str, set[str]]] = []

    def look(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name or "", {matcher.name for matcher in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(asked(expression, "s001")), look)
    return found


def _shown_nowhere(shown: Collection[Panel], names: Names) -> Iterator[str]:
    asked_for = {name for panel in shown for query in panel.queries for name in _names_in(query)}
    bare = {re.sub("_(bucket|sum|count)$", "", name) for name in asked_for}
    for name in names:
        if name not in asked_for and re.sub("_(bucket|sum|count)$", "", name) not in bare:
            yield f"{name} is declared and shown nowhere"


def _names_in(query: Query) -> set[str]:
    try:
        return {name for name, _ in selectors_of(query.expression)}
    except ValueError:
        return set()  # told by _misnamed


def _leading_nowhere(dashboard: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    uids = {each["uid"] for each in found.values()}
    sections = {title.lower() for title in RUNBOOK.findall((ROOT / "dashboards/runbooks.md").read_text())}
    for url in _urls(dashboard):
        uid, section = re.match(r"/d/([\w-]+)\?", url), re.fullmatch(r"\$\{runbooks:raw\}#(\w+)", url)
        if not ((uid and uid[1] in uids) or (section and section[1] in sections)):
            yield f"{dashboard['title']} links to {url}, which is not there"


def _urls(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (each for key, each in value.items() if key == "url" and each)
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _urls(each)


def _twice(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    uids = Counter(each["uid"] for each in found.values())
    yield from (f"{uid} is the uid of {count} dashboards" for uid, count in uids.items() if count > 1)
    for each in found.values():
        ids = Counter(
            [row["id"] for row in each["panels"]] + [p["id"] for row in each["panels"] for p in row.get("panels", ())]
        )
        yield from (
            f"{each['title']}: {count} panels have the id {number}" for number, count in ids.items() if count > 1
        )
