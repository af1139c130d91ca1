"""A dashboard: rows of panels, under an address that stays."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, QueryVariable, TextBoxVariable
from grafana_foundation_sdk.builders.dashboard import Row as RowPanel
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType, VariableHide

from dashboards.links import RUNBOOKS, TITLES
from dashboards.panels import Panel

TAG = "tillstream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    title: str
    panels: tuple[Panel, ...]
    collapsed: bool = False  # shown as its title until somebody opens it; then only is anything asked


def board(uid: str, told: str, rows: Sequence[Row], variables: Sequence[QueryVariable] = ()) -> dashboard.Dashboard:
    """Panels are numbered in their order; each row begins on a line of its own."""
    made = Dashboard(f"Tillstream: {TITLES[uid]}").uid(uid).description(told).tags([TAG]).readonly()
    made.time("now-6h", "now").refresh("30s").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    made.link(_others()).variables([*variables, _runbooks()])
    number = 0
    for row in rows:
        number += 1
        panels = [panel.id(number + place) for place, panel in enumerate(row.panels, start=1)]
        head = RowPanel(row.title).id(number).collapsed(row.collapsed)
        number += len(panels)
        if row.collapsed:
            for panel in panels:
                head.with_panel(panel)
            made.with_row(head)
        else:
            made.with_row(head)
            for panel in panels:
                made.with_panel(panel)
    return made.build()


def as_json(made: dashboard.Dashboard) -> str:
    return json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _runbooks() -> TextBoxVariable:
    """docker/compose.yaml lays dashboards/runbooks.md there."""
    variable = TextBoxVariable(RUNBOOKS).label("Runbooks at").default_value("/public/runbooks.txt")
    return variable.hide(VariableHide.IN_CONTROLS_MENU)


def _others() -> DashboardLink:
    link = DashboardLink("Tillstream").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.keep_time(True)
