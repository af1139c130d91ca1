"""Store: one store from its log to the warehouse: capture, transport, apply, conflicts, clock, schema."""

from grafana_foundation_sdk.builders.dashboard import QueryVariable
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMappingResult, VariableRefresh

from dashboards import limits
from dashboards.board import Row, board
from dashboards.conditions import condition_of, in_words
from dashboards.limits import ANY_IS_BAD, ANY_IS_WORTH_A_LOOK, BAD, GOOD, UNKNOWN, falling, rising
from dashboards.links import BUSINESS, CHAIN, CONFLICTS, PIPELINE, STORE
from dashboards.panels import PROMETHEUS, Panel, lines, number, timeline
from dashboards.queries import OF_STORE, counted, or_none, or_zero, rate

_STREAMING = 'context="streaming", name="$store"'
_SNAPSHOT = 'context="snapshot", name="$store"'
_CONNECTED = ValueMap({"1": ValueMappingResult(text="yes", color=GOOD), "0": ValueMappingResult(text="no", color=BAD)})
_NO_EVENT_YET = ValueMap({"-1": ValueMappingResult(text="no event yet", color=UNKNOWN)})


def dashboard() -> model.Dashboard:
    rows = [
        Row(title="How it stands", panels=_now()),
        Row(title="Capture: from the store's log", panels=_capture()),
        Row(title="Transport: how far its log is in", panels=_transport()),
        Row(title="Apply: into the warehouse", panels=_apply()),
        Row(title="Conflicts", panels=_conflicts()),
        Row(title="Clock and schema", panels=(*_clock(), *_schema())),
    ]
    return board(STORE, "One store, from its log to the warehouse.", rows, variables=[_choice()])


def _choice() -> QueryVariable:
    """Shown as id and name; its value is the id."""
    shown = 'query_result(label_join(tillstream_store_info, "shown", " ", "store", "name"))'
    choice = QueryVariable("store").label("Store").datasource(PROMETHEUS).query(shown).definition(shown)
    return choice.regex('/shown="(?<text>[^"]+)".*store="(?<value>[^"]+)"/').refresh(VariableRefresh.ON_DASHBOARD_LOAD)


def _of(metric: str) -> str:
    return f"max by (store) ({metric}{{{OF_STORE}}})"


def _ago(metric: str) -> str:
    return f"time() - {_of(metric)}"


def _now() -> tuple[Panel, ...]:
    return (
        number(
            "Condition",
            "Its state in one word. Live, idle: it follows its log, in which nothing came for an hour. Never seen: "
            "nothing ever came of it. `tillstream status` says why.",
            units.NoUnit, (condition_of(OF_STORE), "condition"),
            limits=limits.CONDITION, words=in_words(), alert="StoreDark", leads_to=CHAIN, nothing="unknown",
        ),
        number(
            "In that state for", "How long it has been live, dark, or whatever it is.",
            units.Seconds, (_ago("tillstream_store_state_since_timestamp_seconds"), "for"),
            alert="StorePaused", leads_to=CHAIN, nothing="never seen",
        ),
        number(
            "Complete as of", "The warehouse has everything that it had committed by then.",
            units.DatetimeLocal, (f"1000 * {_of('tillstream_store_complete_timestamp_seconds')}", "complete as of"),
            alert="StoreDark", leads_to=CHAIN, nothing="never",
        ),
        number(
            "Last change, ago", "By the store's own time. The night of a store that is closed is long.",
            units.Seconds, (_ago("tillstream_store_last_event_timestamp_seconds"), "ago"),
            alert="StoreSilent", leads_to=CHAIN, nothing="never",
        ),
        number(
            "Last heartbeat, ago",
            "Since its position last moved. A quiet store's heartbeats move it, a dead one's do not come.",
            units.Seconds, (_ago("tillstream_store_last_heartbeat_timestamp_seconds"), "ago"),
            limits=limits.HEARTBEAT, alert="StoreDark", leads_to=CHAIN, nothing="never",
        ),
        number(
            "Binlog left",
            "How soon it may purge what the warehouse does not have: then it is gone. Of a store that is not behind: "
            "for how long it keeps what it writes now.",
            units.Seconds, (_of("tillstream_store_binlog_seconds_left"), "left"),
            alert="StoreBinlogExpiryRisk", leads_to=CHAIN, nothing=limits.NO_BINLOG_LEFT,
        ),
        number(
            "Held tables", "Shared tables in which a guard holds it, until `tillstream stores release`.",
            units.Short, (_of("tillstream_store_held_tables"), "tables"),
            limits=ANY_IS_BAD, alert="StoreHeld", leads_to=CONFLICTS,
        ),
    )  # fmt: skip


def _capture() -> tuple[Panel, ...]:
    return (
        number(
            "Debezium connected", "Whether Debezium holds a connection to the store's log.",
            units.BoolYesNo, (f"max(debezium_metrics_Connected{{{_STREAMING}}})", "connected"),
            limits=falling(1, 1), words=[_CONNECTED], alert="StoreDark", leads_to=PIPELINE, nothing="no engine",
        ),
        number(
            "Queue in use",
            "Of what Debezium's queue holds. Full: what comes behind it is slower than the store's log.",
            units.PercentUnit,
            (
                f"1 - max(debezium_metrics_QueueRemainingCapacity{{{_STREAMING}}})"
                f" / max(debezium_metrics_QueueTotalCapacity{{{_STREAMING}}})", "in use",
            ),
            limits=rising(0.5, 0.9), alert="StoreLagging", leads_to=PIPELINE, nothing="no engine",
        ),
        number(
            "Erroneous events", "That Debezium could not read since it was started.",
            units.Short, (f"max(debezium_metrics_NumberOfErroneousEvents{{{_STREAMING}}})", "events"),
            limits=ANY_IS_BAD, alert="DeadLetters", leads_to=PIPELINE, nothing="no engine",
        ),
        number(
            "Disconnects", "Since Debezium was started.",
            units.Short, (f"max(debezium_metrics_NumberOfDisconnects{{{_STREAMING}}})", "times"),
            limits=rising(1, 10), alert="StoreDark", leads_to=PIPELINE, nothing="no engine",
        ),
        number(
            "Snapshot running",
            "Whether Debezium is reading its tables for the first time, or anew from the beginning.",
            units.BoolYesNo, (f"max(debezium_metrics_SnapshotRunning{{{_SNAPSHOT}}})", "running"),
            leads_to=PIPELINE, nothing="no engine",
        ),
        number(
            "Tables left in it", "Of those that the snapshot began with.",
            units.Short, (f"max(debezium_metrics_RemainingTableCount{{{_SNAPSHOT}}})", "tables"),
            leads_to=PIPELINE, nothing="no engine",
        ),
        lines(
            "Events from the log", "That Debezium has read per second, heartbeats and others included.",
            units.EventsPerSecond,
            (f"max(rate(debezium_metrics_TotalNumberOfEventsSeen{{{_STREAMING}}}[$__rate_interval]))", "events"),
            leads_to=PIPELINE,
        ),
        lines(
            "Debezium's own lag",
            "How far behind the store its last event was, and how long ago that came. The first stands still while no "
            "event comes, and is no lag then: that to the warehouse below is.",
            units.Milliseconds,
            (f"max(debezium_metrics_MilliSecondsBehindSource{{{_STREAMING}}})", "behind, then"),
            (f"max(debezium_metrics_MilliSecondsSinceLastEvent{{{_STREAMING}}})", "since then"),
            words=[_NO_EVENT_YET], leads_to=PIPELINE,
        ),
        lines(
            "Rows of the snapshot", "That it has read so far, or had read at its end, of all tables.",
            units.Short, (f"sum(debezium_metrics_RowsScanned{{{_SNAPSHOT}}})", "rows"), leads_to=PIPELINE,
        ),
    )  # fmt: skip


def _transport() -> tuple[Panel, ...]:
    return (
        lines(
            "Lag, side by side",
            "How long its log has been ahead of what was captured, and of the warehouse. With embedded capture both "
            "are one; by Kafka, what lies between them waits for workers.",
            units.Seconds, (_of("tillstream_store_capture_lag_seconds"), "to capture"),
            (_of("tillstream_store_lag_seconds"), "to the warehouse"),
            limits=limits.LAG, alert="StoreLagging", leads_to=PIPELINE, width=12,
        ),
        lines(
            "Age of what is known of it",
            "Time since its watermark, its last change and its last heartbeat. Quiet: only the change's climbs. Dark: "
            "all do.",
            units.Seconds, (_ago("tillstream_store_complete_timestamp_seconds"), "watermark"),
            (_ago("tillstream_store_last_event_timestamp_seconds"), "last change"),
            (_ago("tillstream_store_last_heartbeat_timestamp_seconds"), "last heartbeat"),
            limits=limits.COMPLETE, alert="StoreDark", leads_to=CHAIN, width=12,
        ),
        lines(
            "Binlog left",
            "How soon it may purge what the warehouse does not have. Dark, it loses a second each second.",
            units.Seconds, (_of("tillstream_store_binlog_seconds_left"), "left"),
            alert="StoreBinlogExpiryRisk", leads_to=CHAIN, nothing=limits.NO_BINLOG_LEFT,
        ),
        lines(
            "Binlog file", "Number of the file that the warehouse stands in.",
            units.Short, (_of("tillstream_store_position_file"), "file"), leads_to=CHAIN,
        ),
        lines(
            "Position in it", "Where in that file the warehouse stands. With each file it begins anew.",
            units.BytesIEC, (_of("tillstream_store_position_bytes"), "position"), leads_to=CHAIN,
        ),
    )  # fmt: skip


def _apply() -> tuple[Panel, ...]:
    return (
        lines(
            "Row changes", "Applied, or dropped because they had been applied before.",
            units.RowsPerSecond, (rate("tillstream_events_total", by="outcome", matching=OF_STORE), "{{outcome}}"),
            leads_to=PIPELINE, stacked=True, nothing="none yet",
        ),
        lines(
            "An hour's changes, and what is usual",
            "Row changes of the last sixty minutes, and the median of the same hours of earlier weeks, once three are "
            "known.",
            units.Short, (_of("tillstream_store_hourly_events"), "last hour"),
            (_of("tillstream_store_usual_hourly_events"), "usual"), alert="StoreVolumeUnusual", leads_to=CHAIN,
        ),
        lines(
            "Dead letters by reason", "Its events that were set aside and not settled: `tillstream dead-letters list`.",
            units.Short,
            (or_none(f"sum by (reason) (tillstream_open_dead_letters{{{OF_STORE}}})", "reason"), "{{reason}}"),
            limits=ANY_IS_BAD, alert="DeadLetters", leads_to=PIPELINE, stacked=True,
        ),
        number(
            "Tables being read anew", "Or waiting for it: `tillstream resync`.",
            units.Short, (_of("tillstream_store_tables_read_anew"), "tables"), leads_to=CHAIN, width=12,
        ),
        number(
            "Tables not read anew", "That were to be, and could not: what the warehouse has of them is doubtful.",
            units.Short, (_of("tillstream_store_tables_not_read_anew"), "tables"),
            limits=ANY_IS_BAD, alert="StoreNotReadAnew", leads_to=CHAIN, width=12,
        ),
    )  # fmt: skip


def _conflicts() -> tuple[Panel, ...]:
    return (
        lines(
            "What looks wrong in its rows", "By kind: `tillstream anomalies` tells each in a sentence.",
            units.Short, (or_none(f"sum by (kind) (tillstream_anomalies{{{OF_STORE}}})", "kind"), "{{kind}}"),
            limits=ANY_IS_WORTH_A_LOOK, leads_to=BUSINESS,
        ),
        lines(
            "Contests that it lost", "Within the day before: what it had was not taken. See why: `tillstream explain`.",
            units.Short, (or_zero(counted("tillstream_store_lost_conflicts_total", matching=OF_STORE)), "contests"),
            alert="ConflictRateJumps", leads_to=CONFLICTS,
        ),
        lines(
            "Held by a guard", "Shared tables in which it is held, and how often a guard did so within the day before.",
            units.Short, (_of("tillstream_store_held_tables"), "tables held"),
            (or_zero(counted("tillstream_holds_total", matching=OF_STORE)), "holds in a day"),
            limits=ANY_IS_BAD, alert="StoreHeld", leads_to=CONFLICTS,
        ),
    )  # fmt: skip


def _clock() -> tuple[Panel, ...]:
    return (
        lines(
            "Its clock", "Its clock minus ours. What is decided by time is decided by its clock put right.",
            units.Seconds, (_of("tillstream_store_clock_offset_seconds"), "ahead of ours"),
            limits=limits.CLOCK, alert="StoreClockOff", leads_to=CHAIN,
        ),
    )  # fmt: skip


def _schema() -> tuple[Panel, ...]:
    return (
        timeline(
            "Condition over time",
            "Its state in one word. One that is started again and again shows as a comb.",
            units.NoUnit, (condition_of(OF_STORE), "condition"),
            limits=limits.CONDITION, words=in_words(), alert="StoreKeepsFailing", leads_to=CHAIN,
        ),
        lines(
            "Shapes of its tables", "That they have had so far. A step is a change of schema.",
            units.Short, (_of("tillstream_store_schema_versions"), "shapes"), alert="StoreSchemaDrifts", leads_to=CHAIN,
        ),
        lines(
            "Tables of another shape", "Whose columns are others than in most stores that have them.",
            units.Short, (_of("tillstream_store_schema_drift_tables"), "tables"),
            limits=ANY_IS_WORTH_A_LOOK, alert="StoreSchemaDrifts", leads_to=CHAIN,
        ),
        lines(
            "Histories of its log", "A server that was reset or restored begins another one. Was it meant?",
            units.Short, (_of("tillstream_store_epoch"), "histories"), alert="StoreEpochBegan", leads_to=CHAIN,
        ),
    )  # fmt: skip
