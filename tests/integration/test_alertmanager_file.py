"""docker/alertmanager/alertmanager.yml in Debian's own amtool: who is told when, and the examples that stand in it."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tillstream.rehearsal.prometheus import DOCKER, RULES, Tools

FILE = DOCKER / "alertmanager" / "alertmanager.yml"
TEXT = FILE.read_text(encoding="utf-8")
EXAMPLES = {found[2]: found[0] for found in re.finditer(r"^( +)# (\w+_configs):\n(?:\1#   .*\n)+", TEXT, re.MULTILINE)}
SEVERITIES = {
    rule["alert"]: rule["labels"]["severity"]
    for group in yaml.safe_load((RULES / "tillstream.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
DARK = {
    "status": "firing",
    "labels": {"alertname": "StoreDark", "store": "s001"},
    "annotations": {"description": "Store s001 is dark.", "runbook_url": "runbooks.md#storedark"},
}
each_example = pytest.mark.parametrize("example", EXAMPLES)


def test_the_file_is_valid(prometheus_tools: Tools) -> None:
    """Alertmanager would not start with it otherwise."""
    assert "SUCCESS" in _amtool(prometheus_tools, "check-config", str(FILE))


def test_what_is_critical_is_told_at_any_hour_and_nothing_else_at_night(
    prometheus_tools: Tools, tmp_path: Path
) -> None:
    """By the routes that each alert takes: those that are muted at night lead to another receiver here."""
    config = yaml.safe_load(TEXT)
    for route in _routes(config["route"]):
        route["receiver"] = "mute" if route.get("mute_time_intervals") else "awake"
    config["receivers"] = [{"name": "mute"}, {"name": "awake"}]
    file = _written(tmp_path, yaml.safe_dump(config))
    for alert, severity in SEVERITIES.items():
        labels = [f"alertname={alert}", f"severity={severity}", "app=tillstream", "store=s001"]
        told = _amtool(prometheus_tools, "config", "routes", "test", f"--config.file={file}", *labels)
        assert told.split() == ["awake" if severity == "critical" else "mute"], alert


def test_there_are_examples_of_receivers() -> None:
    """As comments: Slack's like, and webhooks."""
    assert EXAMPLES.keys() == {"slack_configs", "webhook_configs"}


@each_example
def test_an_example_is_valid(example: str, prometheus_tools: Tools, tmp_path: Path) -> None:
    """Once its comment signs are gone."""
    assert "SUCCESS" in _amtool(prometheus_tools, "check-config", str(_written(tmp_path, _with(example))))


@pytest.mark.parametrize("summary", ["Store s001 is dark", None])
@pytest.mark.parametrize("example", [name for name, text in EXAMPLES.items() if "{{" in text])
def test_the_templates_of_an_example_are_rendered(
    example: str, summary: str | None, prometheus_tools: Tools, tmp_path: Path
) -> None:
    """`check-config` does not read them. Alerts of several stores have no summary in common."""
    alerts = [DARK, {**DARK, "status": "resolved"}]
    data = {
        "status": "firing", "alerts": alerts, "groupLabels": {"alertname": "StoreDark"},
        "commonAnnotations": {} if summary is None else {"summary": summary},
    }  # fmt: skip
    (tmp_path / "data.json").write_text(json.dumps(data), encoding="utf-8")
    (tmp_path / "none.tmpl").touch()
    expected = {
        "title": summary or "StoreDark",
        "text": "Store s001 is dark. (runbooks.md#storedark)\n" * 2,
    }
    (receiver,) = yaml.safe_load(_with(example))["receivers"]
    (config,) = receiver[example]
    templates = {name: text for name, text in config.items() if "{{" in str(text)}
    rendered = {
        name: _amtool(
            prometheus_tools, "template", "render", f"--template.glob={tmp_path / 'none.tmpl'}",
            f"--template.data={tmp_path / 'data.json'}", f"--template.text={text}",
        )
        for name, text in templates.items()
    }  # fmt: skip
    assert rendered == expected


def _routes(route: dict[str, Any]) -> list[dict[str, Any]]:
    return [route, *(each for below in route.get("routes", ()) for each in _routes(below))]


def _with(example: str) -> str:
    commented = EXAMPLES[example]
    return TEXT.replace(commented, re.sub(r"^( +)# ", r"\1", commented, flags=re.MULTILINE))


def _written(directory: Path, text: str) -> Path:
    file = directory / "alertmanager.yml"
    file.write_text(text, encoding="utf-8")
    return file


def _amtool(tools: Tools, *arguments: str) -> str:
    done = subprocess.run([*tools.amtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
