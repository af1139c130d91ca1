"""Which alert holds back which, by docker/alertmanager/alertmanager.yml: what follows from another one is told once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[2] / "docker" / "alertmanager" / "alertmanager.yml"
RULES: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["inhibit_rules"]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("StoreDark", "StoreStalled"),
        ("StoreDark", "StoreKeepsFailing"),
        ("StoreDark", "StoreNeverBegan"),
        ("StoreRefused", "StoreKeepsFailing"),
        ("StoreKeepsFailing", "StoreStalled"),
        ("StoreKeepsFailing", "StoreLagging"),
        ("StoreStalled", "StoreLagging"),
        ("StoreClockOff", "StoreClockDrifts"),
    ],
)
def test_of_a_store_the_cause_is_told(source: str, target: str) -> None:
    """And what follows from it is not; of another store it is."""
    assert holds_back(alert(source, "s1"), alert(target, "s1"))
    assert not holds_back(alert(source, "s1"), alert(target, "s2"))
    assert not holds_back(alert(target, "s1"), alert(source, "s1"))


@pytest.mark.parametrize("target", ["StoreKeepsFailing", "StoreStalled", "StoreLagging", "StoreNeverBegan"])
def test_kafka_connect_being_away_is_told_once(target: str) -> None:
    """It is every store's; that a store itself is dark is not of it."""
    assert holds_back(alert("ConnectAway"), alert(target, "s1"))
    assert not holds_back(alert("ConnectAway"), alert("StoreDark", "s1"))


@pytest.mark.parametrize("target", ["StoreKeepsFailing", "StoreStalled", "StoreLagging", "LookFails", "LatencyHigh"])
def test_the_warehouse_being_away_is_told_once(target: str) -> None:
    """Of whatever store or process the other one is."""
    assert holds_back(alert("WarehouseAway"), alert(target, "s1"))


@pytest.mark.parametrize(
    "told", ["WorkerDown", "WarehouseAway", "LatencyHigh", "HeapFull", "ConnectAway", "RunDown", "MetricsMissing"]
)
def test_what_workers_and_kafka_connect_tell_does_not_need_run(told: str) -> None:
    """It is told while `run` is away; what `run` told last of a store is not."""
    for source in ("RunDown", "MetricsMissing"):
        assert not holds_back(alert(source), alert(told))
        assert holds_back(alert(source), alert("StoreDark", "s1"))


def test_nothing_holds_back_what_is_about_to_be_lost() -> None:
    """But that nobody tells of it."""
    lost = alert("StoreBinlogExpiryRisk", "s1")
    sources = {name for rule in RULES for name in re.findall(r"\w+", str(rule["source_matchers"])) if name[0].isupper()}
    assert {name for name in sources if holds_back(alert(name, "s1"), lost)} == {"RunDown", "MetricsMissing"}


def test_alerts_of_other_programs_are_left_alone() -> None:
    """Whatever happens to us."""
    assert not holds_back(alert("RunDown"), {"alertname": "DiskFull", "app": "other"})


def alert(name: str, store: str = "") -> dict[str, str]:
    return {"alertname": name, "app": "tillstream", **({"store": store} if store else {})}


def holds_back(source: Mapping[str, str], target: Mapping[str, str]) -> bool:
    """As Alertmanager has it: matchers of both, and labels that are to be equal; one that is missing is empty."""
    return any(
        _all_match(rule["source_matchers"], source)
        and _all_match(rule["target_matchers"], target)
        and all(source.get(label, "") == target.get(label, "") for label in rule.get("equal", ()))
        for rule in RULES
    )


def _all_match(matchers: list[str], labels: Mapping[str, str]) -> bool:
    return all(_matches(matcher, labels) for matcher in matchers)


def _matches(matcher: str, labels: Mapping[str, str]) -> bool:
    found = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher)
    assert found is not None, matcher
    label, how, wanted = found.groups()
    has = labels.get(label, "")
    is_so = re.fullmatch(wanted, has) is not None if how.endswith("~") else has == wanted
    return is_so != how.startswith("!")
