"""The alert rules in Debian's own promtool: each fires when it should, says what happened, and is quiet otherwise."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_cases import HOUR, RUN, SCENES, WORKERS, Case, Series, Value, healthy, threshold
from alerts_of_the_chain import CASES

from tillstream.alerts import Alerts
from tillstream.rehearsal.prometheus import RULES, Tools

ALL_RULES = [
    rule
    for group in yaml.safe_load((RULES / "tillstream.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in ALL_RULES if "alert" in rule}
LONG = 2 * HOUR
AT_ONCE = 2
RUNBOOKS_AT = '{{ or $externalLabels.runbooks "dashboards/runbooks.md" }}'


def test_the_rules_are_valid(prometheus_tools: Tools) -> None:
    """Prometheus would not start with them otherwise."""
    done = _call(*prometheus_tools.promtool, "check", "rules", *map(str, RULES.glob("*.yaml")))
    assert "SUCCESS" in done


def test_runbooks_are_linked_to_where_people_read_them(prometheus_tools: Tools, tmp_path: Path) -> None:
    """By one line of prometheus.yml; without it a message names the file."""
    case = next(case for case in CASES if case.fires)
    played = _played(case)
    (expected,) = played["alert_rule_test"][0]["exp_alerts"]
    expected["exp_annotations"]["runbook_url"] = f"https://example.com/runbooks.md#{case.alert.lower()}"
    linked = {**played, "external_labels": {"runbooks": "https://example.com/runbooks.md"}}
    _require(prometheus_tools, tmp_path, case.step, [linked], only=case.alert)


def test_alerts_fire_when_they_should_and_say_what_happened(prometheus_tools: Tools, tmp_path: Path) -> None:
    """Each with all other rules beside it, which stay quiet. One that is idle, restarted, new or closed has none."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        calls = [
            pool.submit(_require, prometheus_tools, tmp_path / str(number), step, [_played(case) for case in cases])
            for number, (step, cases) in enumerate(_parts([case for case in (*SCENES, *CASES) if case.at <= LONG]))
        ]
        for call in calls:
            call.result()


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.at > LONG], ids=lambda case: f"{case.alert} {case.when}"
)
def test_alerts_that_need_days(prometheus_tools: Tools, tmp_path: Path, case: Case) -> None:
    """The same, with no other rule beside them: all of them for days take minutes."""
    _require(prometheus_tools, tmp_path, case.step, [_played(case)], only=case.alert)


@pytest.mark.parametrize("alert", [alert for (alert,) in Alerts().thresholds()])
def test_an_alert_that_is_switched_off_stays_quiet(prometheus_tools: Tools, tmp_path: Path, alert: str) -> None:
    """Whatever happens, for lack of a threshold."""
    case = next(case for case in CASES if case.alert == alert and case.fires)
    _require(prometheus_tools, tmp_path, case.step, [_switched_off(case)], only=alert)


def _parts(cases: Sequence[Case]) -> Iterator[tuple[float, Sequence[Case]]]:
    """Several of each step: promtool plays one case after the other."""
    for step in sorted({case.step for case in cases}):
        of_step = [case for case in cases if case.step == step]
        yield from ((step, part) for part in (of_step[first::AT_ONCE] for first in range(AT_ONCE)) if part)


def _require(tools: Tools, directory: Path, step: float, tests: list[dict[str, Any]], only: str = "") -> None:
    """`only`: the one alert whose rule there is, beside what is recorded."""
    wanted = [rule for rule in ALL_RULES if not only or rule.get("alert", only) == only]
    directory.mkdir(exist_ok=True)
    rules = directory / "rules.yaml"
    rules.write_text(
        yaml.safe_dump({"groups": [{"name": "all", "rules": wanted}]}, allow_unicode=True), encoding="utf-8"
    )
    file = directory / "tests.yaml"
    said = {"rule_files": [rules.name], "evaluation_interval": f"{step:g}s", "tests": tests}
    file.write_text(yaml.safe_dump(said, allow_unicode=True, sort_keys=False), encoding="utf-8")
    _call(*tools.promtool, "test", "rules", str(file))


def _call(*argv: str) -> str:
    seldom = {**os.environ, "GOGC": "800"}  # a quarter of promtool's time is spent on garbage otherwise
    done = subprocess.run(argv, env=seldom, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- as promtool reads it ---------------------------------------------------------------------------------------


def _played(case: Case) -> dict[str, Any]:
    expected = []
    if case.fires:
        rule = ALERTS[case.alert]
        summary = rule["annotations"]["summary"]
        for label, value in case.labels.items():
            summary = summary.replace(f"{{{{ $labels.{label} }}}}", value)
        runbook = rule["annotations"]["runbook_url"].replace(RUNBOOKS_AT, "dashboards/runbooks.md")
        annotations = {"summary": summary, "description": case.says, "runbook_url": runbook}
        expected = [{"exp_labels": {**rule["labels"], **case.labels}, "exp_annotations": annotations}]
    end = case.over or case.at
    found: dict[str, Any] = {
        "interval": f"{case.step:g}s",
        "name": f"{case.alert or 'none'}: {case.when}",
        "input_series": list(_input(case, end)),
        "promql_expr_test": [_ever(case, case.fires if case.at <= LONG else case.fires[:1])],
    }
    if case.alert:
        found["alert_rule_test"] = [
            {"eval_time": f"{case.at:g}s", "alertname": case.alert, "exp_alerts": expected},
            *([{"eval_time": f"{case.over:g}s", "alertname": case.alert, "exp_alerts": []}] if case.over else []),
        ]
    return found


def _switched_off(case: Case) -> dict[str, Any]:
    untold = {threshold(case.alert, each): _absent for each in (RUN, *WORKERS)}
    off = Case(**{**_fields(case), "series": {**case.series, **untold}})
    return {
        "interval": f"{case.step:g}s",
        "name": f"{case.alert} is off: {case.when}",
        "input_series": list(_input(off, case.at)),
        "promql_expr_test": [_ever(off, ())],
    }


def _fields(case: Case) -> dict[str, Any]:
    return {name: getattr(case, name) for name in Case.__dataclass_fields__}


def _absent(seconds: float) -> None:
    return None


def _ever(case: Case, fires: tuple[str, ...]) -> dict[str, Any]:
    """Which alerts have fired at any time."""
    return {
        "expr": f'count by (alertname) (count_over_time(ALERTS{{alertstate="firing"}}[{case.at:g}s])) > bool 0',
        "eval_time": f"{case.at:g}s",
        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in fires],
    }


def _input(case: Case, end: float) -> Iterator[dict[str, str]]:
    thresholds = {
        threshold(alert, each): value for (alert,), value in Alerts().thresholds().items() for each in (RUN, *WORKERS)
    }
    series: Series = {**thresholds, **healthy(), **case.series}
    for name, value in series.items():
        yield {"series": _placed(name), "values": _values(value, end, case.step)}


def _placed(name: str) -> str:
    """What says nothing of its target is told by `run`."""
    if "job=" in name:
        return name
    metric, _, labels = name.removesuffix("}").partition("{")
    return f"{metric}{{{labels}{',' if labels else ''}{RUN}}}"


def _values(value: Value, end: float, step: float) -> str:
    count = int(end / step) + 1
    if not callable(value):
        return f"{value!r}x{count}"
    told, last = [], None
    for number in range(count):
        now = value(number * step)
        told.append(f"{now:.10g}" if now is not None else "stale" if last is not None else "_")
        last = now
    return " ".join(told)
