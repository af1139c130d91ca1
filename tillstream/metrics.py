"""Every metric, declared once. Emitted per batch, never per row."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

EVENTS = Counter(
    "tillstream_events", "Row changes by store: applied, or dropped because they had been applied before.",
    ["store", "outcome"], registry=REGISTRY,
)  # fmt: skip
HANDED_OVER = Counter("tillstream_handed_over_events", "Records brought over from the JVM.", registry=REGISTRY)
HAND_OVER_CPU_SECONDS = Counter(
    "tillstream_hand_over_cpu_seconds", "CPU time of bringing them over.", registry=REGISTRY
)
BATCH_ROWS = Histogram(
    "tillstream_batch_rows", "Row changes in one transaction.", registry=REGISTRY,
    buckets=(1, 10, 100, 1_000, 5_000, 20_000, 100_000),
)  # fmt: skip
BATCH_SECONDS = Histogram(
    "tillstream_batch_seconds", "Time of one batch by step.", ["step"], registry=REGISTRY,
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30),
)  # fmt: skip
CONFLICTS = Counter(
    "tillstream_conflicts", "Contests between stores that were decided and recorded.", registry=REGISTRY
)
UNCERTAIN_DECISIONS = Counter(
    "tillstream_uncertain_decisions", "Column values decided between times that the clocks cannot tell apart.",
    registry=REGISTRY,
)  # fmt: skip
PARKED_KEYS = Counter(
    "tillstream_parked_keys", "Times that a key was set aside because a rule could not decide it.", registry=REGISTRY
)
DEAD_LETTERS = Counter("tillstream_dead_letters", "Events set aside.", registry=REGISTRY)
FOREIGN_RECORDS = Counter(
    "tillstream_foreign_records", "Records of lanes' topics that no connector of ours has written.", registry=REGISTRY
)
RETRIES = Counter("tillstream_retries", "Batches tried again after a fault that may pass.", registry=REGISTRY)
LAST_EVENT_TIMESTAMP_SECONDS = Gauge(
    "tillstream_last_event_timestamp_seconds", "The store's own time of its last change in the warehouse.",
    ["store"], registry=REGISTRY,
)  # fmt: skip
STORE_STATE = Gauge(
    "tillstream_store_state", "1 for the state each store is in.", ["store", "state"], registry=REGISTRY
)
STORE_LAG_SECONDS = Gauge(
    "tillstream_store_lag_seconds", "How long the store's log has been ahead of the warehouse.", ["store"],
    registry=REGISTRY,
)  # fmt: skip
STORE_CLOCK_OFFSET_SECONDS = Gauge(
    "tillstream_store_clock_offset_seconds", "The store's clock minus ours.", ["store"], registry=REGISTRY
)
HOLDS = Counter("tillstream_holds", "Times that a guard held a store in a table.", ["store"], registry=REGISTRY)
CLOCK_CORRECTIONS = Counter(
    "tillstream_clock_corrections", "Times that a store's clock was found to be another than it was taken for.",
    ["store"], registry=REGISTRY,
)  # fmt: skip
STORE_BINLOG_SECONDS_LEFT = Gauge(
    "tillstream_store_binlog_seconds_left",
    "How soon the store may purge what the warehouse does not have, by its own retention.", ["store"],
    registry=REGISTRY,
)  # fmt: skip
