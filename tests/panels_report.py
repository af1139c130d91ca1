"""What the dashboards show, as a text that a person can read and compare: each panel's answers in its unit and words.

Counts are exact. What depends on the machine and the hour is told roughly: a time as moments, minutes, hours, days or
years, a rate over all of it as some or none. What is there by chance, such as an alert that is pending still, is left
out.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from panels import Panel, Query, asked, panels

from tillstream.rehearsal.prometheus import Sample

MOST_SERIES = 8
_LENGTHS = ((366 * 86_400, "years"), (86_400, "days"), (3_600, "hours"), (300, "minutes"), (0, "moments"))
_OF_THE_MACHINE = re.compile(
    r"\[\$__rate_interval\]|process_|jvm_|debezium_|_position_|store_hourly_events(?! == 0)|_look_seconds"
)
_BY_CHANCE = re.compile(r"ALERTS|_connections|_uncertain_|jvm_gc_|_retries_|topk\(1, ")
LEAST_OF_A_DATE_SECONDS = 1_000_000_000  # 2001: a date that is less was never set
ALL_OF_IT = "1d"  # rates are asked over it: one that is over by now was there all the same
Ask = Callable[[str], Sequence[Sample]]


def report(dashboards: Mapping[str, Mapping[str, Any]], store: str, ask: Ask) -> str:
    """`store` is the one that the Store dashboard is of."""
    return "\n".join(_lines(dashboards, store, ask)) + "\n"


def _lines(dashboards: Mapping[str, Mapping[str, Any]], store: str, ask: Ask) -> Iterator[str]:
    yield "What the dashboards show of the chain that tests/e2e/test_dashboards.py makes. It also writes this."
    for dashboard in dashboards.values():
        yield from ("", f"# {dashboard['title']}")
        row = ""
        for panel in panels(dashboard):
            if any(_BY_CHANCE.search(query.expression) for query in panel.queries):
                continue
            if panel.row != row:
                row = panel.row
                yield from ("", f"## {row}", "")
            if panel.raw["type"] == "table":
                yield from ("", f"{panel.title}:", "", *_table(panel, store, ask), "")
            else:
                shown = [
                    text
                    for query in panel.queries
                    for text in _series(panel, query, ask(asked(query.expression, store, ALL_OF_IT)))
                ]
                yield f"* {panel.title}: {'; '.join(shown) or panel.raw['fieldConfig']['defaults']['noValue']}"


def _series(panel: Panel, query: Query, samples: Sequence[Sample]) -> Iterator[str]:
    told = sorted(
        (_called(query.legend, each), _shown(each.value, panel.raw["fieldConfig"]["defaults"], query))
        for each in samples
    )
    yield from (f"{name} **{value}**" for name, value in told[:MOST_SERIES])
    if len(told) > MOST_SERIES:
        yield f"{len(told) - MOST_SERIES} more"


def _called(legend: str, sample: Sample) -> str:
    name = re.sub(r"{{(\w+)}}", lambda found: sample.labels.get(found[1], ""), legend).strip()
    return re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", name) or "(none)"


def _table(panel: Panel, store: str, ask: Ask) -> Iterator[str]:
    """As Grafana merges it: a row for each of the labels' combinations, sorted by the labels."""
    arranged = panel.raw["transformations"][1]["options"]
    titles = {
        name: arranged["renameByName"][name]
        for name in sorted(arranged["renameByName"], key=arranged["indexByName"].get)
    }
    labels = [name for name in titles if not name.startswith("Value")]
    overrides = {each["matcher"]["options"]: {one["id"]: one["value"] for one in each["properties"]}
                 for each in panel.raw["fieldConfig"]["overrides"]}  # fmt: skip
    rows: dict[str, dict[str, str]] = {}
    for query in panel.queries:
        for sample in ask(asked(query.expression, store, ALL_OF_IT)):
            row = rows.setdefault(sample.labels.get(labels[0], ""), {})
            row.update({titles[name]: value for name, value in sample.labels.items() if name in titles})
            row[query.legend] = _shown(sample.value, overrides[query.legend], query)
    columns = list(titles.values())
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for _, row in sorted(rows.items()):
        yield f"| {' | '.join(row.get(column) or _nothing(overrides.get(column, {})) for column in columns)} |"


def _nothing(field: Mapping[str, Any]) -> str:
    special = [each["options"]["result"]["text"] for each in field.get("mappings", ()) if each["type"] == "special"]
    return special[0] if special else ""


# --- a number in words ------------------------------------------------------------------------------------------


def _shown(value: float, field: Mapping[str, Any], query: Query) -> str:
    for mapping in field.get("mappings", ()):
        if mapping["type"] == "value" and f"{value:g}" in mapping["options"]:
            return str(mapping["options"][f"{value:g}"]["text"])
    colour = "" if _OF_THE_MACHINE.search(query.expression) else _colour(value, field["thresholds"]["steps"])
    return f"{_in_unit(value, field['unit'], query.expression)}{f', {colour}' if colour else ''}"


def _colour(value: float, steps: Sequence[Mapping[str, Any]]) -> str:
    """Nothing where there is one colour for all numbers."""
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return reached[-1] if len(steps) > 1 else ""


def _in_unit(value: float, unit: str, expression: str) -> str:
    if math.isnan(value):
        return "not a number"
    if unit in ("s", "ms"):
        return _time(value / (1000 if unit == "ms" else 1))
    if unit.startswith("dateTime"):
        return "a date" if value > 1000 * LEAST_OF_A_DATE_SECONDS else "no date"
    if unit == "percentunit":
        return "0 to 100 %" if 0 <= value <= 1 else "no part of one"
    if unit == "d":
        return f"{round(value)} days"
    if unit == "bool_yes_no":
        return "yes" if value else "no"
    if unit == "bytes" or _OF_THE_MACHINE.search(expression):
        return "none" if value == 0 else "some"
    return f"{value:.6g}"


def _time(seconds: float) -> str:
    return next(name for least, name in _LENGTHS if abs(seconds) >= least)
