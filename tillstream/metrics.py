"""Every metric, declared once. Emitted per batch or per look, never per row.

`run` tells what concerns stores and the warehouse; whoever brings lanes in (`run` with embedded capture, else each
`work`) tells of its batches. Debezium's own are in connectors/jvm_metrics.py, under the names that they have in Kafka
Connect.
"""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each of a thousand stores, which nobody reads
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)


class Table(Collector):
    """Gauges whose series are told all at once: what is in them no more is told no more."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str] = ()) -> None:
        self.name, self._documentation, self._labels = name, documentation, tuple(labels)
        self._values: Mapping[tuple[str, ...], float] = {}
        REGISTRY.register(self)

    def replace(self, values: Mapping[tuple[str, ...], float]) -> None:
        """By the labels' values."""
        self._values = dict(values)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [GaugeMetricFamily(self.name, self._documentation, labels=self._labels)]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(self.name, self._documentation, labels=self._labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        return [family]


# --- batches: told by whoever brings lanes in ---------------------------------------------------------------

EVENTS = Counter(
    "tillstream_events", "Row changes by store: applied, or dropped because they had been applied before.",
    ["store", "outcome"], registry=REGISTRY,
)  # fmt: skip
COMMIT_LATENCY_SECONDS = Histogram(
    "tillstream_commit_latency_seconds",
    "From the newest change of each store in a batch, by its clock put right, to the warehouse's commit; a MySQL 5.6 "
    "tells whole seconds.", registry=REGISTRY,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400),
)  # fmt: skip
BATCH_ROWS = Histogram(
    "tillstream_batch_rows", "Row changes in one transaction.", registry=REGISTRY,
    buckets=(1, 10, 100, 1_000, 5_000, 20_000, 100_000),
)  # fmt: skip
BATCH_SECONDS = Histogram(
    "tillstream_batch_seconds", "Time of one batch by step: prepare (without the warehouse), write (its transaction).",
    ["step"], registry=REGISTRY, buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30),
)  # fmt: skip
CONFLICTS = Counter(
    "tillstream_conflicts", "Contests between stores that were decided and recorded.", ["table", "rule"],
    registry=REGISTRY,
)  # fmt: skip
STORE_LOST_CONFLICTS = Counter(
    "tillstream_store_lost_conflicts", "Of these, those in which a store's value was not taken.", ["store"],
    registry=REGISTRY,
)  # fmt: skip
UNCERTAIN_DECISIONS = Counter(
    "tillstream_uncertain_decisions", "Column values decided between times that the clocks cannot tell apart.",
    registry=REGISTRY,
)  # fmt: skip
PARKED_KEYS = Counter(
    "tillstream_parked_keys", "Times that a key was set aside because a rule could not decide it.", registry=REGISTRY
)
DEAD_LETTERS = Counter("tillstream_dead_letters", "Events set aside.", registry=REGISTRY)
RETRIES = Counter("tillstream_retries", "Batches tried again after a fault that may pass.", registry=REGISTRY)
LANES = Gauge("tillstream_lanes", "Stores whose lanes this process brings in.", registry=REGISTRY)
FOREIGN_RECORDS = Counter(
    "tillstream_foreign_records", "Records of lanes' topics that no connector of ours has written.", registry=REGISTRY
)
HANDED_OVER = Counter("tillstream_handed_over_events", "Records brought over from the JVM.", registry=REGISTRY)
HAND_OVER_CPU_SECONDS = Counter(
    "tillstream_hand_over_cpu_seconds", "CPU time of bringing them over.", registry=REGISTRY
)
HOLDS = Counter("tillstream_holds", "Times that a guard held a store in a table.", ["store"], registry=REGISTRY)

# --- stores: told by `run` ------------------------------------------------------------------------------------

STORE_INFO = Table("tillstream_store_info", "1 for each store, with the name that people call it.", ["store", "name"])
STORE_STATE = Table("tillstream_store_state", "1 for the state that a store is in.", ["store", "state"])
STORE_STATE_SINCE_TIMESTAMP_SECONDS = Table(
    "tillstream_store_state_since_timestamp_seconds", "Since when it has been in that state.", ["store"]
)
STORE_LAG_SECONDS = Table(
    "tillstream_store_lag_seconds", "How long the store's log has been ahead of the warehouse.", ["store"]
)
STORE_CAPTURE_LAG_SECONDS = Table(
    "tillstream_store_capture_lag_seconds",
    "How long the store's log has been ahead of what was captured: of the lane in Kafka, or of the warehouse.",
    ["store"],
)
STORE_COMPLETE_TIMESTAMP_SECONDS = Table(
    "tillstream_store_complete_timestamp_seconds",
    "Watermark: the warehouse has everything that the store had committed by then.", ["store"],
)  # fmt: skip
CHAIN_COMPLETE_TIMESTAMP_SECONDS = Table(
    "tillstream_chain_complete_timestamp_seconds", "The least watermark of all stores that are not retired."
)
STORE_LAST_EVENT_TIMESTAMP_SECONDS = Table(
    "tillstream_store_last_event_timestamp_seconds", "The store's own time of its last change in the warehouse.",
    ["store"],
)  # fmt: skip
STORE_LAST_HEARTBEAT_TIMESTAMP_SECONDS = Table(
    "tillstream_store_last_heartbeat_timestamp_seconds",
    "When the store's position in the warehouse last moved, be it by a heartbeat.", ["store"],
)  # fmt: skip
STORE_POSITION_FILE = Table(
    "tillstream_store_position_file", "Number of the binlog file that the warehouse stands in.", ["store"]
)
STORE_POSITION_BYTES = Table("tillstream_store_position_bytes", "Where in that file the warehouse stands.", ["store"])
STORE_EPOCH = Table(
    "tillstream_store_epoch", "How many histories the store's log has had; a reset or restored server begins one.",
    ["store"],
)  # fmt: skip
STORE_BINLOG_SECONDS_LEFT = Table(
    "tillstream_store_binlog_seconds_left",
    "How soon the store may purge what the warehouse does not have, by its own retention.", ["store"],
)  # fmt: skip
STORE_CLOCK_OFFSET_SECONDS = Table("tillstream_store_clock_offset_seconds", "The store's clock minus ours.", ["store"])
CLOCK_CORRECTIONS = Counter(
    "tillstream_clock_corrections", "Times that a store's clock was found to be another than it was taken for.",
    registry=REGISTRY,
)  # fmt: skip
STORE_SCHEMA_VERSIONS = Table(
    "tillstream_store_schema_versions", "Shapes that the store's tables have had: one more for each change.", ["store"]
)
STORE_SCHEMA_DRIFT_TABLES = Table(
    "tillstream_store_schema_drift_tables", "Tables whose columns are others than in most stores that have them.",
    ["store"],
)  # fmt: skip
STORE_USUAL_EVENTS = Table(
    "tillstream_store_usual_hourly_events",
    "Row changes that are usual in the sixty minutes up to now: the median of the same hours of earlier weeks; not "
    "told before three weeks are known.", ["store"],
)  # fmt: skip
STORE_EVENTS_OF_HOUR = Table("tillstream_store_hourly_events", "Row changes of the last sixty minutes.", ["store"])
STORE_TABLES_READ_ANEW = Table(
    "tillstream_store_tables_read_anew", "Tables that are being read anew, or wait for it.", ["store"]
)
STORE_TABLES_NOT_READ_ANEW = Table(
    "tillstream_store_tables_not_read_anew", "Tables that were to be read anew and could not be.", ["store"]
)
STORE_HELD_TABLES = Table("tillstream_store_held_tables", "Shared tables in which a guard holds the store.", ["store"])

# --- the warehouse: told by `run` -----------------------------------------------------------------------------

OPEN_DEAD_LETTERS = Table("tillstream_open_dead_letters", "Events set aside and not settled.", ["store", "reason"])
OPEN_REVIEWS = Table("tillstream_open_reviews", "Values that wait for a person.", ["table"])
OLDEST_REVIEW_TIMESTAMP_SECONDS = Table(
    "tillstream_oldest_review_timestamp_seconds", "When the review that has waited longest was opened."
)
CONTESTED_VALUES = Table("tillstream_contested_values", "Agreed values that several stores had a say in.", ["table"])
KEYS_TO_DECIDE = Table("tillstream_keys_to_decide", "Business keys that wait to be decided again.", ["table"])
OPEN_PARKED_KEYS = Table("tillstream_open_parked_keys", "Business keys that their rules cannot decide.", ["table"])
ANOMALIES = Table(
    "tillstream_anomalies", "What looks wrong in rows, by kind; `tillstream anomalies` tells each in a sentence.",
    ["kind", "store"],
)  # fmt: skip
VERIFICATION_TIMESTAMP_SECONDS = Table(
    "tillstream_verification_timestamp_seconds", "When the last `tillstream verify` of everything ended."
)
VERIFICATION_DIFFERENCES = Table("tillstream_verification_differences", "Differences that it found.")
WAREHOUSE_BYTES = Table("tillstream_warehouse_bytes", "Size of the warehouse's database.")
WAREHOUSE_CONNECTIONS = Table("tillstream_warehouse_connections", "Connections to it, by state.", ["state"])
WAREHOUSE_ANSWER_TIMESTAMP_SECONDS = Table(
    "tillstream_warehouse_answer_timestamp_seconds", "When the warehouse last answered a look."
)
LOOK_SECONDS = Gauge(
    "tillstream_look_seconds", "How long the last look at the warehouse took, by what was looked at.", ["look"],
    registry=REGISTRY,
)  # fmt: skip
LOOK_FAILURES = Counter(
    "tillstream_look_failures", "Looks at the warehouse that failed, by what was looked at.", ["look"],
    registry=REGISTRY,
)  # fmt: skip
ALERT_THRESHOLD = Table(
    "tillstream_alert_threshold", "From where on an alert fires, by `alerts:` in tillstream.yaml; one that is switched "
    "off has none.", ["alert"],
)  # fmt: skip

# --- business: told by `run` where `business:` names the columns ----------------------------------------------

STOCK_ROWS = Table(
    "tillstream_stock_rows", "Goods in stock by how it stands with them: negative, low, enough.", ["store", "stock"]
)
STOCK_COVER_DAYS = Table(
    "tillstream_stock_cover_days", "How long the scarcest goods of a store will last at the last weeks' rate.",
    ["store"],
)  # fmt: skip
PRICE_DIFFERENCES = Table(
    "tillstream_price_differences", "Prices of a store that differ from the agreed ones.", ["store"]
)
POINTS = Table("tillstream_points", "Members' points: agreed, or the sum of what a store's own rows say.", ["side"])
