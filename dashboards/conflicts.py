"""Conflicts: what stores disagreed about, how it was decided, and what waits for a person."""

from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from dashboards.board import Row, board
from dashboards.limits import ANY_IS_BAD, ANY_IS_WORTH_A_LOOK, DAY, rising
from dashboards.links import BUSINESS, CHAIN, CONFLICTS, PIPELINE, STORE, to_store
from dashboards.panels import Panel, bars, lines, number
from dashboards.queries import NAMED, counted, of_each_store, or_zero, or_zero_each, worst

_LINE = to_store("${__field.labels.store}")


def dashboard() -> model.Dashboard:
    rows = [
        Row(title="Now", panels=_now()),
        Row(title="Contests that were decided", panels=_contests()),
        Row(title="What rules could not decide, or not surely", panels=_undecided()),
        Row(title="Stores that did too much, or go to and fro", panels=_stores()),
    ]
    return board(CONFLICTS, "What stores disagreed about, how it was decided, and what waits for a person.", rows)


def _now() -> tuple[Panel, ...]:
    return (
        number(
            "Contests in a day",
            "Contests between stores that were decided and recorded within the day before: one store changed what "
            "another had changed minutes ago.",
            units.Short, (or_zero(counted("tillstream_conflicts_total")), "contests"),
            alert="ConflictRateJumps", leads_to=CHAIN, decimals=0,
        ),
        number(
            "Contested values", "Agreed values that several stores had a say in, and differed about.",
            units.Short, (or_zero("sum(tillstream_contested_values)"), "values"), leads_to=CHAIN,
        ),
        number(
            "Reviews open", "Values that wait for a person: `tillstream reviews list`.",
            units.Short, (or_zero("sum(tillstream_open_reviews)"), "values"),
            limits=ANY_IS_WORTH_A_LOOK, alert="ReviewsWaitLong", leads_to=CHAIN,
        ),
        number(
            "Oldest review", "How long the review that has waited longest has been open.",
            units.Seconds, ("time() - max(tillstream_oldest_review_timestamp_seconds)", "open for"),
            limits=rising(DAY, 7 * DAY), alert="ReviewsWaitLong", leads_to=CHAIN, nothing="none open",
        ),
        number(
            "Keys parked", "Business keys that their rules cannot decide: `tillstream parked list`.",
            units.Short, (or_zero("sum(tillstream_open_parked_keys)"), "keys"),
            limits=ANY_IS_BAD, alert="KeysParked", leads_to=CHAIN,
        ),
        number(
            "Keys to decide", "That wait to be decided again, as after a switch of policy. It falls to zero by itself.",
            units.Short, (or_zero("sum(tillstream_keys_to_decide)"), "keys"), leads_to=PIPELINE,
        ),
    )  # fmt: skip


def _contests() -> tuple[Panel, ...]:
    return (
        lines(
            "By rule", "Contests within the day before, by the rule that decided them.",
            units.Short, (counted("tillstream_conflicts_total", by="rule"), "{{rule}}"),
            alert="ConflictRateJumps", leads_to=PIPELINE, stacked=True, nothing="none yet", width=6,
        ),
        lines(
            "By table", "Contests within the day before, by the table that they are about.",
            units.Short, (counted("tillstream_conflicts_total", by="table"), "{{table}}"),
            alert="ConflictRateJumps", leads_to=PIPELINE, stacked=True, nothing="none yet", width=6,
        ),
        bars(
            "Lost by store",
            "Contests within the day before in which a store's value was not taken, of the ten stores with most.",
            units.Short, (worst(or_zero_each(counted("tillstream_store_lost_conflicts_total", by="store"))), NAMED),
            alert="ConflictRateJumps", leads_to=STORE, each=_LINE, decimals=0, width=6,
        ),
        bars(
            "Contested values by table",
            "Agreed values that several stores had a say in, and differed about: `_contested` in central rows.",
            units.Short, ("sum by (table) (tillstream_contested_values)", "{{table}}"), leads_to=BUSINESS, width=6,
        ),
    )  # fmt: skip


def _undecided() -> tuple[Panel, ...]:
    return (
        lines(
            "Reviews by table", "Values that wait for a person.",
            units.Short, ("sum by (table) (tillstream_open_reviews)", "{{table}}"),
            limits=ANY_IS_WORTH_A_LOOK, alert="ReviewsWaitLong", leads_to=CHAIN, stacked=True,
        ),
        lines(
            "Parked keys by table", "Business keys that their rules cannot decide now.",
            units.Short, ("sum by (table) (tillstream_open_parked_keys)", "{{table}}"),
            limits=ANY_IS_BAD, alert="KeysParked", leads_to=CHAIN,
        ),
        lines(
            "Keys set aside", "How often within the day before a key was set aside because a rule could not decide it.",
            units.Short, (counted("tillstream_parked_keys_total"), "keys"),
            limits=ANY_IS_BAD, alert="KeysParked", leads_to=PIPELINE,
        ),
        lines(
            "Uncertain decisions",
            "Column values decided within the day before, between times that the clocks cannot tell apart: "
            "`_uncertain` in central rows. And how often a store's clock was found to be "
            "another than it was taken for.",
            units.Short, (counted("tillstream_uncertain_decisions_total"), "values"),
            (counted("tillstream_clock_corrections_total"), "clocks put right"),
            alert="StoreClockOff", leads_to=CHAIN, width=12,
        ),
        lines(
            "Keys to decide by table", "That wait to be decided again.",
            units.Short, ("sum by (table) (tillstream_keys_to_decide)", "{{table}}"), leads_to=PIPELINE, width=12,
        ),
    )  # fmt: skip


def _stores() -> tuple[Panel, ...]:
    return (
        bars(
            "Flip-flops",
            "Values that go to and fro between stores, where `guards: {flip_flops: ...}` looks for them, of the ten "
            "stores with most: something writes them back, be it a sync of the POS itself.",
            units.Short, (worst(or_zero_each('sum by (store) (tillstream_anomalies{kind="flip_flop"})')), NAMED),
            limits=ANY_IS_WORTH_A_LOOK, alert="ValuesFlipFlop", leads_to=BUSINESS, each=_LINE,
        ),
        bars(
            "Holds in a day", "How often within the day before a guard held a store, of the ten with most.",
            units.Short, (worst(or_zero_each(counted("tillstream_holds_total", by="store"))), NAMED),
            limits=ANY_IS_BAD, alert="StoreHeld", leads_to=STORE, each=_LINE,
        ),
        bars(
            "Stores held now",
            "Shared tables in which a guard holds a store: what it did there counts for nothing until somebody has "
            "looked.",
            units.Short, (worst(of_each_store("tillstream_store_held_tables")), NAMED),
            limits=ANY_IS_BAD, alert="StoreHeld", leads_to=STORE, each=_LINE,
        ),
    )  # fmt: skip
