"""Medians, ratios and what falls short."""

import statistics
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tillstream.rehearsal.bench_peers_plan import (
    ALONE,
    CEILING,
    CEILING_ALONE,
    JDBC,
    OURS,
    PATHWAY,
    QUIX,
    SHORT,
    STORES,
)
from tillstream.rehearsal.bench_peers_run import Measured


def lines(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """One for each contender, workload and form."""
    groups: dict[tuple[str, str, str], list[Measured]] = {}
    for each in measured:
        groups.setdefault((each.workload.removesuffix(SHORT), each.form, each.contender), []).append(each)
    return [_line(key, runs) for key, runs in groups.items()]


def _line(key: tuple[str, str, str], runs: list[Measured]) -> dict[str, Any]:
    workload, form, contender = key
    good = [each for each in runs if each.spoilt is None]
    rates = sorted(each.events_per_second for each in good)
    return {
        "workload": workload,
        "form": form,
        "contender": contender,
        "runs": len(good),
        "events": good[0].events if good else 0,
        "events_per_second": round(statistics.median(rates)) if good else None,
        "range": [round(rates[0]), round(rates[-1])] if good else None,
        "cpu_seconds_per_million": _median([each.cpu_seconds_per_million for each in good]),
        "postgres_cpu_seconds_per_million": _median([each.postgres_cpu_seconds / each.events * 1e6 for each in good]),
        "wal_bytes_per_event": _median([each.wal_bytes / each.events for each in good]),
        "cores_busy": _median([(each.cpu_seconds + each.postgres_cpu_seconds) / each.seconds for each in good]),
        "peak_megabytes": max((each.peak_megabytes for each in good), default=None),
        "spoilt": [each.spoilt for each in runs if each.spoilt is not None],
    }


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 2) if values else None


def goals(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each with what was reached; None where a run is missing."""
    by_key = {(each["workload"], each["form"], each["contender"]): each for each in found}

    def of(workload: str, form: str, contender: str, what: str = "events_per_second") -> float | None:
        value = by_key.get((workload, form, contender), {}).get(what)
        return None if value is None else float(value)

    ours, best = of("day", "schema", OURS), of("day", "plain", OURS)
    jdbc = of("day", "schema", JDBC)
    stores = [of(workload, "plain", OURS) for workload in STORES[:4]]
    loss = None if stores[0] is None or stores[3] is None else 1 - stores[3] / stores[0]
    alone = of("day", "plain", ALONE)
    return [
        _at_least("times the JDBC sink, same bytes", 3, _ratio(ours, jdbc)),
        _at_least("times the JDBC sink, each in its best format", 5, _ratio(best, jdbc)),
        _at_least("times Pathway, same bytes", 2, _ratio(ours, of("day", "schema", PATHWAY))),
        _at_least("times Quix Streams, same bytes", 7, _ratio(ours, of("day", "schema", QUIX))),
        _at_least("of the ceiling, two processes each", 0.75, _ratio(best, of("day", "schema", CEILING))),
        _at_most("CPU seconds per million events", 10, of("day", "plain", OURS, "cpu_seconds_per_million")),
        _at_least("times its plain rate on hot keys", 3, _ratio(of("hot", "plain", OURS), best)),
        _at_most("MB resident in a worker", 200, of("day", "plain", OURS, "peak_megabytes")),
        _at_most("of the rate lost from 1 to 1,000 stores", 0.1, loss),
        _told("of the ceiling, one process each", _ratio(alone, of("day", "plain", CEILING_ALONE))),
        _told("times as fast with two workers as with one", _ratio(best, alone)),
    ]


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _at_least(what: str, goal: float, found: float | None) -> dict[str, Any]:
    return _goal(what, f"at least {goal:g}", found, found is not None and found >= goal)


def _at_most(what: str, goal: float, found: float | None) -> dict[str, Any]:
    return _goal(what, f"at most {goal:g}", found, found is not None and found <= goal)


def _told(what: str, found: float | None) -> dict[str, Any]:
    return _goal(what, "", found, True)


def _goal(what: str, goal: str, found: float | None, reached: bool) -> dict[str, Any]:
    return {"what": what, "goal": goal, "found": None if found is None else round(found, 2), "reached": reached}


def show(console: Console, result: dict[str, Any]) -> None:
    for form, title in (("schema", "same bytes: JSON with its schema"), ("plain", "JSON without a schema")):
        table = Table(title=title)
        for heading in ("workload", "contender", "events/s", "min", "max", "runs", "CPU s/M", "PostgreSQL", "MB"):
            table.add_column(heading, justify="left" if heading in ("workload", "contender") else "right")
        for line in result["lines"]:
            if line["form"] == form:
                table.add_row(*_row(line))
        console.print(table)
    for line in result["lines"]:
        for reason in line["spoilt"]:
            console.print(f"does not count: {line['workload']}, {line['form']}, {line['contender']}: {reason}")
    for goal in result["goals"]:
        found = "not measured" if goal["found"] is None else f"{goal['found']:g}"
        verdict = "" if goal["reached"] else "  FALLS SHORT"
        wanted = f" (goal: {goal['goal']})" if goal["goal"] else ""
        console.print(f"{found} {goal['what']}{wanted}{verdict}")
    for note in result["notes"]:
        console.print(note)


def _row(line: dict[str, Any]) -> list[str]:
    if line["events_per_second"] is None:
        return [line["workload"], line["contender"], "spoilt", "", "", "0", "", "", ""]
    low, high = line["range"]
    return [
        line["workload"], line["contender"], f"{line['events_per_second']:,}", f"{low:,}", f"{high:,}",
        str(line["runs"]), str(line["cpu_seconds_per_million"]), str(line["postgres_cpu_seconds_per_million"]),
        str(line["peak_megabytes"]),
    ]  # fmt: skip
