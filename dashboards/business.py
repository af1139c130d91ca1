"""Business: what the rows say of stock, prices and points, where `business:` in tillstream.yaml names the columns."""

from grafana_foundation_sdk.builders.table import Panel as TablePanel
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from dashboards.board import Row, board
from dashboards.limits import ANY_IS_BAD, ANY_IS_WORTH_A_LOOK, COUNTED, Limits, falling
from dashboards.links import BUSINESS, CHAIN, CONFLICTS, STORE, to_store
from dashboards.panels import Panel, bars, lines, number
from dashboards.queries import NAMED, least, named, or_none, or_zero_each, worst
from dashboards.table import Column, table

_COVER_DAYS = falling(7, 2)
_LINE = to_store("${__field.labels.store}")
_ROW = to_store("${__data.fields.Store}")
_UNNAMED = "not named"
_NO_COVER = "not named, or nothing was sold"
_TWO_POOLS = (
    "Zero is to be expected where the agreed balance is the stores' own together (`sum`). Where stores have copies of "
    "one balance (`latest`, `sum_of_changes`), it is counted in each of them, and the difference is not zero."
)
_DIFFERENCE = 'sum(tillstream_points{side="agreed"}) - sum(tillstream_points{side="stores"})'


def dashboard() -> model.Dashboard:
    rows = [
        Row(title="The chain now", panels=_now()),
        Row(title="Stores", panels=(_stores(),)),
        Row(title="Stock", panels=_stock()),
        Row(title="Prices and points", panels=_prices_and_points()),
        Row(title="Anomalies", panels=_anomalies()),
    ]
    told = "What the rows say of stock, prices and points: of columns that `business:` in tillstream.yaml names."
    return board(BUSINESS, told, rows)


def _now() -> tuple[Panel, ...]:
    return (
        number(
            "Negative stock",
            "Goods of which a store has less than none: sold before they were booked in, or booked twice.",
            units.Short, ('sum(tillstream_stock_rows{stock="negative"})', "goods"),
            limits=ANY_IS_BAD, alert="NegativeStock", leads_to=CHAIN, nothing=_UNNAMED,
        ),
        number(
            "Low stock", "Goods of which a store has less than its threshold.",
            units.Short, ('sum(tillstream_stock_rows{stock="low"})', "goods"),
            limits=ANY_IS_WORTH_A_LOOK, alert="StockLow", leads_to=CHAIN, nothing=_UNNAMED,
        ),
        number(
            "Scarcest", "In which store something will be gone first, and in how many days, at the last weeks' rate.",
            units.Days, (least("min by (store) (tillstream_stock_cover_days)", 1), NAMED),
            limits=_COVER_DAYS, alert="StockLow", leads_to=STORE, each=_LINE, by_name=True, nothing=_NO_COVER, width=6,
        ),
        number(
            "Price differences", "Prices of stores that differ from the agreed ones.",
            units.Short, ("sum(tillstream_price_differences)", "prices"),
            limits=ANY_IS_WORTH_A_LOOK, alert="PriceDiffers", leads_to=CONFLICTS, nothing=_UNNAMED,
        ),
        number(
            "Points agreed, less the stores' own",
            f"All members' points as agreed, less the sum of what the stores' own rows say. {_TWO_POOLS}",
            units.Short, (_DIFFERENCE, "points"),
            alert="BalanceDiffers", leads_to=CONFLICTS, nothing=_UNNAMED, width=6,
        ),
    )  # fmt: skip


def _stores() -> TablePanel:
    return table(
        "Stores",
        "Every store: its stock, how long the scarcest goods last, its prices, and what looks wrong in its rows. A "
        "click on a store opens its dashboard.",
        units.Short,
        _count("Negative", named('sum by (store) (tillstream_stock_rows{stock="negative"})'), ANY_IS_BAD),
        _count("Low", 'sum by (store) (tillstream_stock_rows{stock="low"})', ANY_IS_WORTH_A_LOOK),
        _count("Enough", 'sum by (store) (tillstream_stock_rows{stock="enough"})', COUNTED),
        Column(
            title="Scarcest lasts", query="min by (store) (tillstream_stock_cover_days)", unit=units.Days,
            limits=_COVER_DAYS, nothing="not known",
        ),
        _count("Other prices", "sum by (store) (tillstream_price_differences)", ANY_IS_WORTH_A_LOOK),
        _count("Anomalies", "sum by (store) (tillstream_anomalies)", ANY_IS_WORTH_A_LOOK),
        labels={"store": "Store", "name": "Name"}, worst_first=("Negative", "Low", "Other prices"), opens=_ROW,
        leads_to=STORE, nothing=_UNNAMED, height=10,
    )  # fmt: skip


def _count(title: str, query: str, limits: Limits) -> Column:
    return Column(title=title, query=query, unit=units.Short, limits=limits, nothing="none")


def _stock() -> tuple[Panel, ...]:
    return (
        lines(
            "Goods by how it stands with them", "In all stores together.",
            units.Short, ("sum by (stock) (tillstream_stock_rows)", "{{stock}}"),
            alert="StockLow", leads_to=CHAIN, stacked=True, nothing=_UNNAMED, width=12,
        ),
        bars(
            "How long the scarcest goods last",
            "Of the ten stores where something will be gone first, at the last weeks' rate.",
            units.Days, (least("min by (store) (tillstream_stock_cover_days)"), NAMED),
            limits=_COVER_DAYS, alert="StockLow", leads_to=STORE, each=_LINE, nothing=_NO_COVER, width=12,
        ),
    )  # fmt: skip


def _prices_and_points() -> tuple[Panel, ...]:
    return (
        bars(
            "Price differences by store", "Prices that differ from the agreed ones, of the ten stores with most.",
            units.Short, (worst("sum by (store) (tillstream_price_differences)"), NAMED),
            limits=ANY_IS_WORTH_A_LOOK, alert="PriceDiffers", leads_to=STORE, each=_LINE, nothing=_UNNAMED,
        ),
        lines(
            "The pool of points", "All members' points: as agreed, and the sum of what the stores' own rows say.",
            units.Short, ("sum by (side) (tillstream_points)", "{{side}}"),
            alert="BalanceDiffers", leads_to=CONFLICTS, nothing=_UNNAMED,
        ),
        lines(
            "What the two differ by", _TWO_POOLS,
            units.Short, (_DIFFERENCE, "difference"),
            alert="BalanceDiffers", leads_to=CONFLICTS, nothing=_UNNAMED,
        ),
    )  # fmt: skip


def _anomalies() -> tuple[Panel, ...]:
    return (
        lines(
            "By kind",
            "What looks wrong in rows: `tillstream anomalies` tells each. One between stores counts for each.",
            units.Short, (or_none("sum by (kind) (tillstream_anomalies)", "kind"), "{{kind}}"),
            limits=ANY_IS_WORTH_A_LOOK, leads_to=CONFLICTS, stacked=True, width=12,
        ),
        bars(
            "By store", "Of the ten stores with most.",
            units.Short, (worst(or_zero_each("sum by (store) (tillstream_anomalies)")), NAMED),
            limits=ANY_IS_WORTH_A_LOOK, leads_to=STORE, each=_LINE, width=12,
        ),
    )  # fmt: skip
