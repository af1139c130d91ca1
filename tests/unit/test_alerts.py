"""Alert rules, their thresholds and their runbooks belong together, and name nothing that nobody tells."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from alerts_of_the_chain import CASES
from prometheus_client.core import CounterMetricFamily
from typer import Context
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from tillstream import metrics
from tillstream.alerts import Alerts
from tillstream.checked_yaml import duration_seconds
from tillstream.commands import build_app
from tillstream.config_file import config_schema

ROOT = Path(__file__).parents[2]
GROUPS = [
    group
    for file in sorted((ROOT / "docker" / "prometheus" / "rules").glob("*.yaml"))
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
RUNBOOKS = (ROOT / "dashboards" / "runbooks.md").read_text(encoding="utf-8")
PROMETHEUS: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "prometheus" / "prometheus.yml").read_text())
ALERTMANAGER: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "alertmanager" / "alertmanager.yml").read_text())
RUNBOOKS_AT = '{{ or $externalLabels.runbooks "dashboards/runbooks.md" }}'
# Prometheus's own, of every Python process and of every JVM.
FOREIGN = {"up", "process_start_time_seconds", "jvm_memory_used_bytes", "jvm_memory_max_bytes"}
COMMANDS = get_command(build_app())
ALWAYS_ON = {"RunDown", "MetricsMissing"}  # without `run` nobody tells a threshold

each_alert = pytest.mark.parametrize("name", ALERTS)


def test_no_alert_has_the_name_of_another() -> None:
    """It would be silenced, held back and looked up with it."""
    assert len(ALERTS) == len([rule for rule in RULES if "alert" in rule]) > 30


@each_alert
def test_an_alert_has_what_a_person_needs(name: str) -> None:
    """A name in CamelCase, how urgent it is, what happened in a sentence, and where to read on."""
    rule = ALERTS[name]
    assert re.fullmatch(r"([A-Z][a-z]+)+", name)
    assert rule["labels"].keys() == {"severity", "app"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    annotations = rule["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert annotations["runbook_url"] == f"{RUNBOOKS_AT}#{name.lower()}"
    assert annotations["description"].endswith(".")
    assert not annotations["summary"].endswith(".")
    assert "{{" in annotations["description"] or name in {"MetricsMissing", "ConnectAway"}  # of nobody in particular


@each_alert
def test_an_alert_waits_for_two_scrapes(name: str) -> None:
    """One of them may have come at a bad moment."""
    scrape = duration_seconds(PROMETHEUS["global"]["scrape_interval"])
    assert duration_seconds(ALERTS[name]["for"]) >= 2 * scrape
    assert duration_seconds(PROMETHEUS["global"]["evaluation_interval"]) <= scrape


def test_each_alert_compares_with_its_threshold_in_tillstream_yaml() -> None:
    """With its own and with no other's; there is none that no rule looks at."""
    thresholds = re.compile(r'tillstream_alert_threshold\{alert="(\w+)"\}')
    named = {name: set(thresholds.findall(rule["expr"])) for name, rule in ALERTS.items()}
    assert named == {name: set() if name in ALWAYS_ON else {name} for name in ALERTS}
    assert set(Alerts.model_fields) == ALERTS.keys() - ALWAYS_ON


def test_defaults_are_what_a_person_may_write() -> None:
    """The schema shows them to an editor as they may stand in the file."""
    properties = config_schema()["definitions"]["Alerts"]["properties"]
    written = {name: said["default"] for name, said in properties.items()}
    assert Alerts.model_validate(written) == Alerts()
    assert written["StoreDark"] == "5m"
    assert Alerts().thresholds()["StoreDark",] == 300.0


def test_an_alert_that_is_switched_off_has_no_threshold() -> None:
    """Told as 0 it would always fire."""
    alerts = Alerts.model_validate({"StoreDark": False, "StoreHeld": False, "DeadLetters": False, "KeysParked": 7})
    assert alerts.thresholds().keys() == Alerts().thresholds().keys() - {
        ("StoreDark",),
        ("StoreHeld",),
        ("DeadLetters",),
    }
    assert alerts.thresholds()["KeysParked",] == 7.0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"StoreDark": 300}, "duration with its unit"),
        ({"StoreDark": None}, "or false for no such alert"),
        ({"StoreHeld": 1}, "must be true, or false"),
        ({"DeadLetters": True}, "must be a number"),
        ({"DeadLetters": -1}, "must be a number"),
        ({"DeadLetters": float("nan")}, "must be a number"),
    ],
)
def test_a_threshold_of_the_wrong_kind_is_refused(given: dict[str, Any], words: str) -> None:
    """With what may stand there."""
    with pytest.raises(ValueError, match=words):
        Alerts.model_validate(given)


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    """Under the anchor that its alert names, with all four parts."""
    sections = dict(re.findall(r"^## (\w+)\n\n(.*?)(?=^#|\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL))
    assert sections.keys() == ALERTS.keys()
    for name, text in sections.items():
        leads = re.findall(r"^\*\*(\w+)\*\*: \S", text, re.MULTILINE)
        assert leads == ["Means", "Look", "Do", "Over"], name


def test_every_command_of_a_runbook_can_be_typed() -> None:
    """Verbs, flags and how many arguments there are; so can those in what an alert says."""
    texts = [RUNBOOKS, *(text for rule in ALERTS.values() for text in rule["annotations"].values())]
    typed = {" ".join(command.split()) for text in texts for command in re.findall(r"`(tillstream\s[^`]*)`", text)}
    assert len(typed) > 20
    assert [fault for command in sorted(typed) if (fault := _mistyped(command))] == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("tillstream connectors status s001", "status takes no s001"),
        ("tillstream reviews decide", "decide needs number"),
        ("tillstream quarantine add s001 --sinse 2026-11-01", "No such option"),
        ("tillstream stores resum s001", "no command resum"),
        ("tillstream stores", "stores is no command yet"),
    ],
)
def test_a_command_that_cannot_be_typed_is_found(command: str, words: str) -> None:
    """One argument too many or too few, a flag or a verb that there is not, no verb at all."""
    assert words in _mistyped(command)


def test_runbooks_tell_the_thresholds_that_there_are() -> None:
    """`StoreDark` (5m) is the default that the schema shows, and a link in it leads somewhere."""
    defaults = {name: field.default for name, field in Alerts.model_fields.items()}
    told = re.findall(r"`(\w+)` \((\w+)\)", RUNBOOKS)
    assert len(told) > 10
    for name, default in told:
        assert str(defaults[name]) == default, name
    for anchor in re.findall(r"\]\(#(\w+)\)", RUNBOOKS):
        assert anchor in {name.lower() for name in ALERTS}


def test_a_rule_names_only_metrics_that_are_told() -> None:
    """A typo would compare with nothing, and never fire."""
    declared = {name for family in metrics.REGISTRY.collect() for name in _names(family)}
    for rule in RULES:
        text = re.sub(r'"[^"]*"', '""', rule["expr"])
        for name in re.findall(
            r"\b(?:tillstream|kafka|debezium|jvm|process|up)\w*(?::\w+)*|\b\w+:tillstream\w*(?::\w+)*", text
        ):
            assert name in declared | RECORDED | FOREIGN, name


def test_alertmanager_speaks_of_alerts_that_there_are() -> None:
    """An inhibition by a name that no rule has holds nothing back."""
    text = yaml.safe_dump(ALERTMANAGER["inhibit_rules"])
    named = {name for names in re.findall(r'alertname!?=~?"([\w|]+)"', text) for name in names.split("|")}
    assert len(named) > 10
    assert named <= ALERTS.keys()
    intervals = {interval["name"] for interval in ALERTMANAGER["time_intervals"]}
    routes = [ALERTMANAGER["route"], *ALERTMANAGER["route"]["routes"]]
    assert {name for route in routes for name in route.get("mute_time_intervals", ())} == intervals


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """integration/test_alert_rules.py plays them."""
    assert {case.alert for case in CASES if case.fires} == ALERTS.keys()
    assert {case.alert for case in CASES if not case.fires} == ALERTS.keys()


def _mistyped(command: str) -> str:
    """What is wrong with it; its placeholders stand for any word."""
    words = command.split()[1:]
    found = COMMANDS
    while isinstance(found, TyperGroup):
        if not words or words[0].startswith("-"):
            return f"{command}: {found.name} is no command yet"
        name = words.pop(0)
        if name not in found.commands:
            return f"{command}: no command {name}"
        found = found.commands[name]
    try:
        given, left, _ = found.make_parser(Context(found)).parse_args(words)
    except TyperException as error:
        return f"{command}: {error}"
    missing = [each.name for each in found.params if each.required and given.get(each.name) in (None, ())]
    if missing:
        return f"{command}: {found.name} needs {', '.join(map(str, missing))}"
    return f"{command}: {found.name} takes no {' '.join(left)}" if left else ""


def _names(family: Any) -> set[str]:
    suffixes = ("_bucket", "_count", "_sum") if family.type == "histogram" else ("",)
    name = (
        f"{family.name}_total" if isinstance(family, CounterMetricFamily) or family.type == "counter" else family.name
    )
    return {f"{name}{suffix}" for suffix in suffixes}
