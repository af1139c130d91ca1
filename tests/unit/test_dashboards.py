"""The dashboards that are committed: made by the script, complete, and about metrics that exist."""

import copy
import re
from typing import Any

import pytest
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from panels import FILES, ROOT, committed, declared, faults, panels

from dashboards.__main__ import texts
from dashboards.board import as_json
from dashboards.conditions import CONDITIONS, OF_STATE
from tillstream.commands import build_app
from tillstream.states import StoreState

register_default_plugins()


def test_the_files_are_what_the_script_makes() -> None:
    """`make dashboards` writes them anew; no other JSON is in the directory, for Grafana would take it for one."""
    assert {file.name: file.read_text(encoding="utf-8") for file in FILES} == texts()
    assert sorted((ROOT / "dashboards").rglob("*.json")) == FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dashboard_is_classic_and_complete_to_the_sdk(file: Any) -> None:
    """It survives being read and written again unchanged; the newer form is refused where files are provisioned."""
    text = file.read_text(encoding="utf-8")
    assert as_json(Dashboard.from_json(committed()[file.name])) == text
    assert {"apiVersion", "spec", "elements"}.isdisjoint(committed()[file.name])


def test_nothing_is_wrong_with_them() -> None:
    """Each panel is complete, leads somewhere and asks for metrics that exist; each metric is shown."""
    assert faults(committed(), declared()) == []


def test_a_typo_in_a_panel_is_found() -> None:
    """In a metric's name, in a label's, and in the query's grammar."""
    found = committed()
    target = _first(found["chain.json"])["targets"][0]
    for wrong, told in (
        ("max(tillstream_warehouse_byte)", "asks for tillstream_warehouse_byte, which nobody tells of"),
        ('max(tillstream_warehouse_bytes{stor="s1"})', "asks for tillstream_warehouse_bytes by stor, which it has not"),
        ("max(tillstream_warehouse_bytes", "unclosed left parenthesis"),
    ):
        target["expr"] = wrong
        assert any(told in fault for fault in faults(found, declared())), wrong


def test_a_metric_that_is_not_declared_is_found() -> None:
    """Also where it was until now."""
    names = dict(declared())
    del names["tillstream_retries_total"]
    assert [fault for fault in faults(committed(), names) if "nobody tells of" in fault] == [
        "Tillstream: Pipeline / Tried again asks for tillstream_retries_total, which nobody tells of"
    ]


def test_a_metric_that_is_shown_nowhere_is_found() -> None:
    """New ones, and such whose last panel was taken away."""
    assert faults(committed(), {**declared(), "tillstream_new_total": set()}) == [
        "tillstream_new_total is declared and shown nowhere"
    ]
    found = committed()
    for each in found.values():
        each["panels"] = [row for row in each["panels"] if row["title"] != "Tried again"]
    assert faults(found, declared()) == ["tillstream_retries_total is declared and shown nowhere"]


@pytest.mark.parametrize("key", ["title", "description", "links", "targets", "datasource", "fieldConfig"])
def test_a_panel_that_is_not_complete_is_found(key: str) -> None:
    """One that tells no unit, leads nowhere, says not what it shows."""
    found = committed()
    whole = _first(found["store.json"])
    kept = copy.deepcopy(whole[key])
    whole[key] = type(kept)()
    assert any("has not" in fault for fault in faults(found, declared()))


def test_a_link_that_leads_nowhere_is_found() -> None:
    """To a dashboard and to a section of the runbooks that are not there."""
    found = committed()
    for link in _first(found["store.json"])["links"]:
        link["url"] = link["url"].replace("tillstream-chain", "tillstream-chian").replace("storedark", "storedork")
    assert len([fault for fault in faults(found, declared()) if "which is not there" in fault]) == 2


def test_two_of_a_kind_are_found() -> None:
    """Dashboards of one address, panels of one number."""
    found = committed()
    found["chain.json"]["uid"] = found["store.json"]["uid"]
    found["store.json"]["panels"][1]["id"] = found["store.json"]["panels"][2]["id"]
    told = "\n".join(faults(found, declared()))
    assert "is the uid of 2 dashboards" in told
    assert "2 panels have the id" in told


def test_every_state_of_a_store_has_its_word_and_colour() -> None:
    """And idle, dead and never seen are three."""
    assert set(OF_STATE) == set(StoreState)
    assert [each.number for each in CONDITIONS] == list(range(len(CONDITIONS)))
    assert len({each.word for each in CONDITIONS}) == len({each.colour for each in CONDITIONS}) == len(CONDITIONS)


def test_the_commands_that_panels_name_exist() -> None:
    """A person types what stands there."""
    app = build_app()
    known = {str(command.name) for command in app.registered_commands}
    for group in app.registered_groups:
        known |= {f"{group.name} {command.name}" for command in group.typer_instance.registered_commands}
    texts = [panel.raw["description"] for each in committed().values() for panel in panels(each)]
    named = {name for text in texts for name in re.findall(r"`tillstream ([a-z -]+?)(?: [A-Z]+)*`", text)}
    assert named
    assert named <= known


def test_panels_do_not_lie_on_each_other() -> None:
    """Nor beside the grid of 24 columns."""
    for each in committed().values():
        rows = [panel["gridPos"] for panel in each["panels"]]
        cells = [
            (x, y) for at in rows for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
        ]
        assert len(cells) == len(set(cells)), each["title"]
        assert max(x for x, _ in cells) < 24, each["title"]


def test_what_is_shown_only_with_kafka_connect_says_so() -> None:
    """In one row, which is closed: nothing is asked until somebody opens it."""
    of_connect = [
        panel for each in committed().values() for panel in panels(each)
        if any("kafka_connect_" in query.expression for query in panel.queries)
    ]  # fmt: skip
    assert of_connect
    assert {panel.row for panel in of_connect} == {"Kafka Connect: empty where capture is embedded"}
    (row,) = (row for row in committed()["pipeline.json"]["panels"] if row["title"] == of_connect[0].row)
    assert row["collapsed"]


def _first(dashboard: dict[str, Any]) -> dict[str, Any]:
    return next(panel for panel in dashboard["panels"] if panel["type"] != "row")
