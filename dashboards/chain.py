"""Chain: all stores at one glance, the worst first; what the warehouse is complete up to; what fires."""

from grafana_foundation_sdk.builders.table import Panel as TablePanel
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from dashboards import limits
from dashboards.board import Row, board
from dashboards.conditions import NEEDS_SOMEBODY, condition_of, in_words
from dashboards.limits import ANY_IS_BAD, ANY_IS_WORTH_A_LOOK, COUNTED, DAY, Limits, rising
from dashboards.links import BUSINESS, CHAIN, CONFLICTS, PIPELINE, STORE, to_store
from dashboards.panels import Panel, lines, number, timeline
from dashboards.queries import NAMED, age, counted, farthest, least, named, of_each_store, or_zero, rate, worst
from dashboards.table import Column, table

_LINE = to_store("${__field.labels.store}")
_ROW = to_store("${__data.fields.Store}")
_BEHIND = 'unless on (store) (tillstream_store_state{state="live"} and on (store) tillstream_store_lag_seconds < 60)'


def dashboard() -> model.Dashboard:
    rows = [
        Row(title="The chain now", panels=(*_now(), *_waiting())),
        Row(title="Stores, the worst first", panels=(_stores(),)),
        Row(title="Alerts", panels=_alerts()),
        Row(title="Over time", panels=_over_time()),
    ]
    return board(CHAIN, "All stores of the chain at one glance, the worst first.", rows)


def _now() -> tuple[Panel, ...]:
    return (
        number(
            "Stores that need somebody",
            "Stopped, never seen, unreachable or refused. The table below says which, `tillstream status` why.",
            units.Short, (or_zero(f"count(({condition_of()}) >= {NEEDS_SOMEBODY})"), "stores"),
            limits=ANY_IS_BAD, alert="StoreDark", leads_to=STORE,
        ),
        number(
            "Stores by state", "How many stores are in which state. One that no store is in is not shown.",
            units.Short, ("count by (state) (tillstream_store_state)", "{{state}}"),
            leads_to=STORE, by_name=True, width=7,
        ),
        number(
            "Complete as of",
            "The warehouse holds everything that any store had committed by then, of all stores that are not retired.",
            units.DatetimeLocal, ("1000 * max(tillstream_chain_complete_timestamp_seconds)", "complete as of"),
            alert="StoreDark", leads_to=STORE, width=5,
        ),
        number(
            "Held back by",
            "The store whose watermark is the least, and how long ago that was. Without it the chain would be further.",
            units.Seconds, (worst(age("tillstream_store_complete_timestamp_seconds"), 1), NAMED),
            limits=limits.COMPLETE, alert="StoreDark", leads_to=STORE, each=_LINE, by_name=True, width=8,
        ),
        number(
            "Least binlog left",
            "Which of the stores that are behind may be the first to purge what the warehouse does not have, and how "
            "soon: then it is gone.",
            units.Seconds, (least(f"{of_each_store('tillstream_store_binlog_seconds_left')} {_BEHIND}", 1), NAMED),
            limits=limits.BINLOG_LEFT, alert="StoreBinlogExpiryRisk", leads_to=STORE, each=_LINE, by_name=True,
            nothing="none is behind, or it is not known", width=7,
        ),
    )  # fmt: skip


def _waiting() -> tuple[Panel, ...]:
    return (
        number(
            "Row changes", "Taken into the warehouse per second, of all stores together.",
            units.RowsPerSecond, (or_zero(rate("tillstream_events_total", matching='outcome="applied"')), "rows"),
            leads_to=PIPELINE, width=3,
        ),
        number(
            "Alerts firing", "By Prometheus' own account (ALERTS): zero also where it has not loaded the rules.",
            units.Short, ('count(ALERTS{alertstate="firing"}) or vector(0)', "alerts"),
            limits=ANY_IS_BAD, leads_to=PIPELINE, width=3,
        ),
        number(
            "Dead letters", "Events set aside and not settled: `tillstream dead-letters list`.",
            units.Short, (or_zero("sum(tillstream_open_dead_letters)"), "events"),
            limits=ANY_IS_BAD, alert="DeadLetters", leads_to=PIPELINE, width=3,
        ),
        number(
            "Reviews", "Values that wait for a person: `tillstream reviews list`.",
            units.Short, (or_zero("sum(tillstream_open_reviews)"), "values"),
            limits=ANY_IS_WORTH_A_LOOK, leads_to=CONFLICTS, width=2,
        ),
        number(
            "Anomalies",
            "What looks wrong in rows: `tillstream anomalies` tells each. One between stores counts for each of them.",
            units.Short, (or_zero("sum(tillstream_anomalies)"), "rows"),
            limits=ANY_IS_WORTH_A_LOOK, leads_to=BUSINESS, width=2,
        ),
        number(
            "Last verified", "How long ago `tillstream verify` last compared every value of all stores.",
            units.Seconds, ("time() - max(tillstream_verification_timestamp_seconds)", "ago"),
            limits=rising(8 * DAY, 31 * DAY), alert="VerificationOverdue", leads_to=CONFLICTS, nothing="never", width=2,
        ),
        number(
            "Differences", "What that found to differ.",
            units.Short, ("max(tillstream_verification_differences)", "values"),
            limits=ANY_IS_BAD, alert="VerificationFailed", leads_to=CONFLICTS, nothing="never", width=2,
        ),
    )  # fmt: skip


def _stores() -> TablePanel:
    return table(
        "Stores",
        "Every store, the worst first: by its condition, then by how long its log has been ahead of the warehouse. "
        "Live, idle: it follows its log, in which nothing came for an hour. Never seen: nothing ever came of it. A "
        "click on a store opens its dashboard.",
        units.Short,
        Column(
            title="Condition", query=named(condition_of()), unit=units.NoUnit, limits=limits.CONDITION,
            words=in_words(), nothing="unknown",
        ),
        _seconds("Lag to warehouse", of_each_store("tillstream_store_lag_seconds"), limits.LAG),
        _seconds("Lag of capture", of_each_store("tillstream_store_capture_lag_seconds"), limits.LAG),
        _seconds("Complete until, ago", age("tillstream_store_complete_timestamp_seconds"), limits.COMPLETE),
        _seconds("Last change, ago", age("tillstream_store_last_event_timestamp_seconds")),
        _seconds("Last heartbeat, ago", age("tillstream_store_last_heartbeat_timestamp_seconds"), limits.HEARTBEAT),
        _seconds("Binlog left", of_each_store("tillstream_store_binlog_seconds_left"), nothing=limits.NO_BINLOG_LEFT),
        _seconds("Clock ahead by", of_each_store("tillstream_store_clock_offset_seconds"), limits.CLOCK, "unknown"),
        _count("Changes in an hour", of_each_store("tillstream_store_hourly_events")),
        _count("Usual", of_each_store("tillstream_store_usual_hourly_events"), nothing="not known yet"),
        _count("Dead letters", "sum by (store) (tillstream_open_dead_letters)", ANY_IS_BAD),
        _count("Anomalies", "sum by (store) (tillstream_anomalies)", ANY_IS_WORTH_A_LOOK),
        _count("Held tables", of_each_store("tillstream_store_held_tables"), ANY_IS_BAD),
        _count("Tables of another shape", of_each_store("tillstream_store_schema_drift_tables"), ANY_IS_WORTH_A_LOOK),
        labels={"store": "Store", "name": "Name"}, worst_first=("Condition", "Lag to warehouse"), opens=_ROW,
        leads_to=STORE, alert="StoreDark",
    )  # fmt: skip


def _seconds(title: str, query: str, limits: Limits = COUNTED, nothing: str = "never") -> Column:
    return Column(title=title, query=query, unit=units.Seconds, limits=limits, nothing=nothing)


def _count(title: str, query: str, limits: Limits = COUNTED, nothing: str = "none") -> Column:
    return Column(title=title, query=query, unit=units.Short, limits=limits, nothing=nothing)


def _alerts() -> tuple[Panel, ...]:
    return (
        table(
            "Alerts, firing and pending",
            "A pending one fires once it has lasted for as long as its rule says. Nothing here: nothing is wrong that "
            "a rule knows of.",
            units.Short,
            Column(
                title="How many", query="sum by (alertname, alertstate, severity, store) (ALERTS)", unit=units.Short,
                limits=ANY_IS_BAD,
            ),
            labels={"alertname": "Alert", "alertstate": "State", "severity": "Severity", "store": "Store"},
            worst_first=("State",), leads_to=STORE, nothing="nothing is wrong", width=14, height=9,
        ),
        table(
            "From where on alerts fire",
            "By `alerts:` in tillstream.yaml, in each alert's own unit. One that is switched off is not here.",
            units.NoUnit,
            Column(title="From", query="max by (alert) (tillstream_alert_threshold)", unit=units.NoUnit),
            labels={"alert": "Alert"}, worst_first=(), leads_to=PIPELINE, width=10, height=9,
        ),
    )  # fmt: skip


def _over_time() -> tuple[Panel, ...]:
    return (
        timeline(
            "Conditions of the worst stores", "Of the twenty whose condition is the worst, or was in this time.",
            units.NoUnit, (worst(condition_of(), 20), NAMED),
            limits=limits.CONDITION, words=in_words(), leads_to=STORE, each=_LINE, width=24,
        ),
        lines(
            "Lag to the warehouse", "How long the log of the ten slowest stores has been ahead of the warehouse.",
            units.Seconds, (worst(of_each_store("tillstream_store_lag_seconds")), NAMED),
            limits=limits.LAG, alert="StoreLagging", leads_to=STORE, each=_LINE, width=12,
        ),
        lines(
            "Lag of capture",
            "How long the log of the ten slowest stores has been ahead of what was captured: of the lane in Kafka, or "
            "of the warehouse where capture is embedded. What is late on the left and not here waits in Kafka.",
            units.Seconds, (worst(of_each_store("tillstream_store_capture_lag_seconds")), NAMED),
            limits=limits.LAG, alert="StoreLagging", leads_to=PIPELINE, each=_LINE, width=12,
        ),
        lines(
            "Row changes by outcome",
            "Applied, or dropped because they had been applied before, as some are after a restart.",
            units.RowsPerSecond, (rate("tillstream_events_total", by="outcome"), "{{outcome}}"),
            leads_to=PIPELINE, stacked=True, nothing="none yet", width=12,
        ),
        lines(
            "Age of the chain's agreed state",
            "Time since the chain's watermark. It climbs while one store is dark, and falls at once when that is back.",
            units.Seconds, ("time() - max(tillstream_chain_complete_timestamp_seconds)", "since the watermark"),
            limits=limits.COMPLETE, alert="StoreDark", leads_to=STORE, width=12,
        ),
        lines(
            "Contests and dead letters a day",
            "Contests between stores that were decided, and events that were set aside, within the day before.",
            units.Short, (or_zero(counted("tillstream_conflicts_total")), "contests"),
            (counted("tillstream_dead_letters_total"), "dead letters"), leads_to=CONFLICTS, width=12,
        ),
        lines(
            "Clocks", "The ten clocks that are farthest from ours, ahead of it or behind.",
            units.Seconds, (farthest(of_each_store("tillstream_store_clock_offset_seconds")), NAMED),
            limits=limits.CLOCK, alert="StoreClockOff", leads_to=STORE, each=_LINE, width=12,
        ),
    )  # fmt: skip
