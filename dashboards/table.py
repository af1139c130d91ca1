"""A table: a row for each combination of labels, a column for each query, the worst on top."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

from grafana_foundation_sdk.builders.common import TableSortByFieldState
from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.builders.table import Panel
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    DataTransformerConfig,
    DynamicConfigValue,
    SpecialValueMap,
    SpecialValueMatch,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.limits import COUNTED, UNKNOWN, Limits
from dashboards.panels import Options, described, lettered, now


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Its `query` answers with the rows' labels, or some of them, and no others."""

    title: str
    query: str
    unit: str
    limits: Limits = COUNTED
    words: tuple[ValueMapping, ...] = ()
    nothing: str = "never"  # in a row that has no such number


def table(
    title: str, told: str, unit: str, *columns: Column, labels: Mapping[str, str], worst_first: Sequence[str],
    opens: DashboardLink | None = None, **options: Unpack[Options],
) -> Panel:  # fmt: skip
    """`labels` are the first columns' titles by label; `opens` is where the first of them leads to."""
    options = {"width": 24, "height": 12, **options}
    panel = described(Panel(), title, told, unit, options).filterable(True)
    # a query that is alone is not lettered
    values = ["Value"] if len(columns) == 1 else [f"Value #{ref}" for ref, _ in lettered(columns)]
    titles = {**labels, **dict(zip(values, (column.title for column in columns), strict=True))}
    arranged = {
        "excludeByName": {"Time": True},
        "indexByName": {name: index for index, name in enumerate(titles)},
        "renameByName": titles,
    }
    panel.transformations([
        DataTransformerConfig("merge", options={}), DataTransformerConfig("organize", options=arranged),
    ])  # fmt: skip
    panel.sort_by([TableSortByFieldState().display_name(name).desc(True) for name in worst_first])
    for column in columns:
        panel.override_by_name(column.title, _properties(column))
    if opens is not None:
        panel.override_by_name(next(iter(labels.values())), [DynamicConfigValue("links", [opens.build()])])
    return panel.targets([
        now(column.query, ref, column.title).format(PromQueryFormat.TABLE) for ref, column in lettered(columns)
    ])  # fmt: skip


def _properties(column: Column) -> list[DynamicConfigValue]:
    nothing = ValueMappingResult(text=column.nothing, color=UNKNOWN, index=len(column.words))
    missing = SpecialValueMap(DashboardSpecialValueMapOptions(SpecialValueMatch.NULL_AND_NAN, nothing))
    cell = "color-background" if column.limits.steps else "color-text"
    properties = {
        "unit": column.unit,
        "thresholds": column.limits.build().build(),
        "mappings": [*column.words, missing],
        "custom.cellOptions": {"type": cell},
    }
    return [DynamicConfigValue(name, value) for name, value in properties.items()]
