"""The kinds of panels: each has a title, what it tells, its unit, and queries with what their answers are called.

A legend's `{{label}}` stands for that label of the answer. Every panel leads on: to another dashboard, and to what has
to be done when it is red.
"""

from collections.abc import Iterable, Sequence
from string import ascii_uppercase
from typing import TypedDict, TypeVar, Unpack

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.table import Panel as TablePanel
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import FieldColorModeId, ValueMapping

from dashboards.limits import COUNTED, Limits
from dashboards.links import to, what_to_do

PROMETHEUS = DataSourceRef("prometheus", "prometheus")
Panel = bargauge.Panel | stat.Panel | statetimeline.Panel | TablePanel | timeseries.Panel
Series = tuple[str, str]  # a query, and what each answer is called
_T = TypeVar("_T")
_P = TypeVar("_P", bargauge.Panel, stat.Panel, statetimeline.Panel, TablePanel, timeseries.Panel)


class Options(TypedDict, total=False):
    leads_to: str  # the dashboard that tells more
    alert: str  # whose section in the runbooks says what to do
    each: DashboardLink  # from each answer by itself
    limits: Limits
    words: Sequence[ValueMapping]  # in place of some numbers
    nothing: str  # shown where there is no answer
    decimals: int
    width: int  # of 24
    height: int


def number(
    title: str, told: str, unit: str, *series: Series, by_name: bool = False, **options: Unpack[Options]
) -> stat.Panel:
    """As it is now; `by_name` shows what each is called beside it."""
    options = {"width": 4, "height": 4, **options}
    panel = described(stat.Panel(), title, told, unit, options).reduce_options(_last()).color_scheme(_by_limits())
    panel.text_mode(BigValueTextMode.VALUE_AND_NAME if by_name else BigValueTextMode.VALUE)
    panel.color_mode(BigValueColorMode.BACKGROUND_SOLID).graph_mode(BigValueGraphMode.NONE)
    return panel.targets([now(query, ref, legend) for ref, (query, legend) in lettered(series)])


def bars(title: str, told: str, unit: str, *series: Series, **options: Unpack[Options]) -> bargauge.Panel:
    """As they are now, to be compared."""
    panel = described(bargauge.Panel(), title, told, unit, options).reduce_options(_last()).color_scheme(_by_limits())
    panel.orientation(VizOrientation.HORIZONTAL).display_mode(BarGaugeDisplayMode.BASIC).min(0)
    return panel.targets([now(query, ref, legend) for ref, (query, legend) in lettered(series)])


def lines(
    title: str, told: str, unit: str, *series: Series, stacked: bool = False, **options: Unpack[Options]
) -> timeseries.Panel:
    """Over time, with the limits as lines, too."""
    panel = described(timeseries.Panel(), title, told, unit, options)
    drawn = GraphThresholdsStyleMode.DASHED if options.get("limits", COUNTED).steps else GraphThresholdsStyleMode.OFF
    panel.thresholds_style(GraphThresholdsStyleConfig().mode(drawn)).fill_opacity(40 if stacked else 8)
    panel.stacking(StackingConfig().mode(StackingMode.NORMAL if stacked else StackingMode.NONE)).legend(_legend())
    panel.tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    panel.color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
    return panel.targets([_over_time(query, ref, legend) for ref, (query, legend) in lettered(series)])


def timeline(title: str, told: str, unit: str, *series: Series, **options: Unpack[Options]) -> statetimeline.Panel:
    """Words over time, each in its colour."""
    panel = described(statetimeline.Panel(), title, told, unit, options).color_scheme(_by_limits()).merge_values(True)
    return panel.targets([_over_time(query, ref, legend) for ref, (query, legend) in lettered(series)])


def described(panel: _P, title: str, told: str, unit: str, options: Options) -> _P:
    """What all kinds have in common."""
    panel.title(title).description(told).unit(unit).datasource(PROMETHEUS)
    panel.thresholds(options.get("limits", COUNTED).build()).mappings(list(options.get("words", ())))
    panel.links([to(options["leads_to"]), *([what_to_do(options["alert"])] if "alert" in options else [])])
    panel.data_links([options["each"]] if "each" in options else []).no_value(options.get("nothing", "no data"))
    panel.span(options.get("width", 8)).height(options.get("height", 8))
    return panel.decimals(options["decimals"]) if "decimals" in options else panel


def lettered(queries: Iterable[_T]) -> Iterable[tuple[str, _T]]:
    """Grafana calls a panel's queries A, B, C, ..."""
    return zip(ascii_uppercase, queries, strict=False)


def now(query: str, ref: str, legend: str) -> Dataquery:
    return _query(query, ref, legend).instant()


def _over_time(query: str, ref: str, legend: str) -> Dataquery:
    return _query(query, ref, legend).range()


def _query(query: str, ref: str, legend: str) -> Dataquery:
    return Dataquery().datasource(PROMETHEUS).expr(query).legend_format(legend).ref_id(ref)


def _last() -> ReduceDataOptions:
    """What is now: a number that has gone is not shown as if it were still so."""
    return ReduceDataOptions().calcs(["last"])


def _by_limits() -> FieldColor:
    return FieldColor().mode(FieldColorModeId.THRESHOLDS)


def _legend() -> VizLegendOptions:
    legend = VizLegendOptions().display_mode(LegendDisplayMode.TABLE).placement(LegendPlacement.BOTTOM)
    return legend.show_legend(True).calcs(["last", "max"])
