"""Pipeline: the machinery between the stores' logs and the warehouse: workers, batches, database, Java, Kafka."""

from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from dashboards.board import Row, board
from dashboards.limits import ANY_IS_BAD, ANY_IS_WORTH_A_LOOK, HOUR, LAG, MINUTE, falling, rising
from dashboards.links import CHAIN, CONFLICTS, PIPELINE, STORE, to_store
from dashboards.panels import Panel, bars, lines, number
from dashboards.queries import counted, or_zero, quantile, rate

KAFKA_ROW = "Kafka Connect: empty where capture is embedded"
_STREAMING = 'context="streaming"'
_STORE = to_store("${__field.labels.name}")
_QUANTILES = (0.5, 0.95, 0.99)
_PROCESS = "{{job}} {{instance}}"


def dashboard() -> model.Dashboard:
    rows = [
        Row(title="Processes", panels=_processes()),
        Row(title="Batches", panels=_batches()),
        Row(title="The warehouse", panels=_warehouse()),
        Row(title="Debezium, all stores", panels=_debezium()),
        Row(title="Java: that of `run` where capture is embedded, else Kafka Connect's", panels=_java()),
        Row(title=KAFKA_ROW, panels=_kafka_connect(), collapsed=True),
    ]
    return board(PIPELINE, "The machinery between the stores' logs and the warehouse.", rows)


def _processes() -> tuple[Panel, ...]:
    return (
        number(
            "Answering Prometheus",
            "Whether each process that Prometheus knows answered its last question. Of one that did not, all that is "
            "shown here and elsewhere is old, or gone.",
            units.BoolYesNo, ("min by (job, instance) (up)", _PROCESS),
            limits=falling(1, 1), alert="RunDown", leads_to=CHAIN, by_name=True, width=12,
        ),
        number(
            "Lanes", "Stores whose lanes each process brings in. By Kafka the workers share them, and `run` has none.",
            units.Short, ("max by (job, instance) (tillstream_lanes)", _PROCESS), alert="NobodyBringsLanesIn",
            leads_to=STORE, by_name=True, width=12,
        ),
        lines(
            "Row changes by process", "Applied per second.",
            units.RowsPerSecond,
            (rate("tillstream_events_total", by="job, instance", matching='outcome="applied"'), _PROCESS),
            leads_to=CHAIN, stacked=True, nothing="none yet",
        ),
        lines(
            "CPU", "Cores in use. Python takes one at most; Java in the same process takes more.",
            units.Short, ("sum by (job, instance) (rate(process_cpu_seconds_total[$__rate_interval]))", _PROCESS),
            leads_to=CHAIN,
        ),
        lines(
            "Memory", "Resident, Java's included where it is in the same process.",
            units.BytesIEC, ("max by (job, instance) (process_resident_memory_bytes)", _PROCESS), leads_to=CHAIN,
        ),
    )  # fmt: skip


def _batches() -> tuple[Panel, ...]:
    return (
        lines(
            "Latency",
            "From the newest change of each store in a batch, by its clock put right, to the warehouse's commit. A "
            "MySQL 5.6 tells whole seconds, so up to one second of this may be that.",
            units.Seconds,
            *((quantile(part, "tillstream_commit_latency_seconds"), f"{part:.0%}") for part in _QUANTILES),
            limits=LAG, alert="LatencyHigh", leads_to=CHAIN,
        ),
        lines(
            "Rows in a batch", "Row changes in one transaction. Large ones mean that it is catching up.",
            units.Short, *((quantile(part, "tillstream_batch_rows"), f"{part:.0%}") for part in _QUANTILES),
            leads_to=CHAIN,
        ),
        lines(
            "Batches", "Transactions per second.",
            units.OpsPerSecond, (rate("tillstream_batch_rows_count", by="job, instance"), _PROCESS), leads_to=CHAIN,
        ),
        lines(
            "Time of a batch by step",
            "Prepare: without the warehouse, while the batch before it is being written. Write: its transaction.",
            units.Seconds, (quantile(0.5, "tillstream_batch_seconds", by="step"), "{{step}} 50%"),
            (quantile(0.95, "tillstream_batch_seconds", by="step"), "{{step}} 95%"),
            limits=rising(5, 30), leads_to=CHAIN,
        ),
        lines(
            "Tried again",
            "Batches per second that are tried again after a fault that may pass: a warehouse that is away, a "
            "deadlock.",
            units.OpsPerSecond, (rate("tillstream_retries_total", by="job, instance"), _PROCESS),
            limits=rising(0.01, 0.5), leads_to=CHAIN,
        ),
        lines(
            "Set aside",
            "Events per second that went to the dead letters, and records in lanes' topics that no connector of ours "
            "wrote.",
            units.EventsPerSecond, (rate("tillstream_dead_letters_total"), "dead letters"),
            (rate("tillstream_foreign_records_total"), "foreign records"),
            limits=rising(0.001, 1), alert="DeadLetters", leads_to=CHAIN,
        ),
        lines(
            "Handed over from Java", "Records per second. None in a process that takes its lanes from Kafka.",
            units.EventsPerSecond, (rate("tillstream_handed_over_events_total", by="job, instance"), _PROCESS),
            leads_to=CHAIN,
        ),
        lines(
            "Cost of handing over", "CPU time of that, of one core.",
            units.PercentUnit, (rate("tillstream_hand_over_cpu_seconds_total", by="job, instance"), _PROCESS),
            limits=rising(0.5, 0.9), leads_to=CHAIN,
        ),
        lines(
            "Contests", "Decided per second, and values decided between times that the clocks cannot tell apart.",
            units.OpsPerSecond, (or_zero(rate("tillstream_conflicts_total")), "contests"),
            (rate("tillstream_uncertain_decisions_total"), "uncertain values"), leads_to=CONFLICTS,
        ),
    )  # fmt: skip


def _warehouse() -> tuple[Panel, ...]:
    failed = counted("tillstream_look_failures_total", by="look", within="1h")
    return (
        lines(
            "Size of the warehouse", "Of its database on disk.",
            units.BytesIEC, ("max(tillstream_warehouse_bytes)", "size"), leads_to=CHAIN,
        ),
        lines(
            "Connections",
            "To its database, by state and whoever's they are. One that idles in a transaction holds locks.",
            units.Short, ("max by (state) (tillstream_warehouse_connections)", "{{state}}"),
            leads_to=CHAIN, stacked=True,
        ),
        lines(
            "Keys to decide", "Business keys that wait to be decided again.",
            units.Short, ("sum by (table) (tillstream_keys_to_decide)", "{{table}}"), leads_to=CONFLICTS,
        ),
        lines(
            "Time of a look",
            "How long `run` last took to look at the warehouse, by what it looks at. It gives up after 30 s.",
            units.Seconds, ("max by (look) (tillstream_look_seconds)", "{{look}}"),
            limits=rising(5, 30), alert="LookFails", leads_to=CHAIN,
        ),
        lines(
            "Looks that failed",
            "Within the hour before. What is shown of that is as old as the last look that did not fail.",
            units.Short, (f"({failed}) or 0 * max by (look) (tillstream_look_seconds)", "{{look}}"),
            limits=rising(1, 10), alert="LookFails", leads_to=CHAIN,
        ),
        lines(
            "Since its last answer", "How long ago the warehouse last answered `run`, which asks every few seconds.",
            units.Seconds,
            ("time() - max by (job, instance) (tillstream_warehouse_answer_timestamp_seconds)", _PROCESS),
            limits=rising(15, MINUTE), alert="WarehouseAway", leads_to=CHAIN,
        ),
    )  # fmt: skip


def _debezium() -> tuple[Panel, ...]:
    used = (
        f"1 - max by (name) (debezium_metrics_QueueRemainingCapacity{{{_STREAMING}}})"
        f" / max by (name) (debezium_metrics_QueueTotalCapacity{{{_STREAMING}}})"
    )
    seen = f"max by (name) (rate(debezium_metrics_TotalNumberOfEventsSeen{{{_STREAMING}}}[$__rate_interval]))"
    still = f"max by (name) (debezium_metrics_MilliSecondsSinceLastEvent{{{_STREAMING}}})"
    return (
        lines(
            "Queues in use",
            "Of the ten stores whose queues are fullest. Full: what comes behind is slower than the log.",
            units.PercentUnit, (f"topk(10, {used})", "{{name}}"),
            limits=rising(0.5, 0.9), alert="StoreLagging", leads_to=STORE, each=_STORE,
        ),
        lines(
            "Events from the logs", "Read per second, of the ten stores with most.",
            units.EventsPerSecond, (f"topk(10, {seen})", "{{name}}"), leads_to=STORE, each=_STORE,
        ),
        lines(
            "Since the last event", "Of the ten stores that have been still for longest. Heartbeats count.",
            units.Milliseconds, (f"topk(10, {still})", "{{name}}"),
            limits=rising(5_000 * MINUTE, 1_000 * HOUR), alert="StoreDark", leads_to=STORE, each=_STORE,
        ),
        bars(
            "Connected, and not", "Stores to whose log Debezium holds a connection, and those whose engine has none.",
            units.Short, (f"sum(debezium_metrics_Connected{{{_STREAMING}}})", "connected"),
            (f"sum(1 - debezium_metrics_Connected{{{_STREAMING}}})", "not connected"),
            alert="StoreDark", leads_to=CHAIN,
        ),
        bars(
            "Snapshots running", "Stores that are being read for the first time, or anew, and tables that are left.",
            units.Short, ('sum(debezium_metrics_SnapshotRunning{context="snapshot"})', "stores"),
            ('sum(debezium_metrics_RemainingTableCount{context="snapshot"})', "tables left"), leads_to=CHAIN,
        ),
        lines(
            "Errors and disconnects",
            "Events that Debezium could not read, and connections that it lost, since it was started, of all stores.",
            units.Short, (f"sum(debezium_metrics_NumberOfErroneousEvents{{{_STREAMING}}})", "erroneous events"),
            (f"sum(debezium_metrics_NumberOfDisconnects{{{_STREAMING}}})", "disconnects"),
            limits=ANY_IS_WORTH_A_LOOK, alert="StoreDark", leads_to=CHAIN,
        ),
    )  # fmt: skip


def _java() -> tuple[Panel, ...]:
    used = 'sum by (instance) (jvm_memory_used_bytes{area="heap"})'
    most = 'sum by (instance) (jvm_memory_max_bytes{area="heap"})'
    return (
        lines(
            "Heap", "In use, and the most that it may take (`capture_options: {heap_megabytes: ...}`).",
            units.BytesIEC, (used, "{{instance}} in use"), (most, "{{instance}} at most"), leads_to=CHAIN,
        ),
        lines(
            "Heap in use, of the most", "Near 100 % for long, Java does nothing but collect, and then gives up.",
            units.PercentUnit, (f"{used} / {most}", "{{instance}}"),
            limits=rising(0.8, 0.95), alert="HeapFull", leads_to=CHAIN,
        ),
        lines(
            "Memory beside the heap", "Classes, compiled code and the like.",
            units.BytesIEC, ('sum by (instance) (jvm_memory_used_bytes{area="nonheap"})', "{{instance}}"),
            leads_to=CHAIN,
        ),
        lines(
            "Time spent collecting", "Of all time, by collector.",
            units.PercentUnit, (rate("jvm_gc_collection_seconds_sum", by="instance, gc"), "{{instance}} {{gc}}"),
            limits=rising(0.1, 0.3), alert="HeapFull", leads_to=CHAIN,
        ),
        lines(
            "Collections", "Per second, by collector.",
            units.OpsPerSecond, (rate("jvm_gc_collection_seconds_count", by="instance, gc"), "{{instance}} {{gc}}"),
            leads_to=CHAIN,
        ),
        lines(
            "Threads", "They grow with the number of stores.",
            units.Short, ("max by (instance) (jvm_threads_current)", "{{instance}}"), leads_to=CHAIN,
        ),
    )  # fmt: skip


def _kafka_connect() -> tuple[Panel, ...]:
    return (
        bars(
            "Connectors and their tasks by status",
            "A connector whose task has failed is running all the same, and captures nothing: look at the tasks. "
            "`tillstream connectors status` says why.",
            units.Short, ("count by (status) (kafka_connect_connector_status)", "connectors {{status}}"),
            ("count by (status) (kafka_connect_connector_task_status)", "tasks {{status}}"),
            alert="StoreKeepsFailing", leads_to=CHAIN,
        ),
        lines(
            "Tasks running", "By worker of Kafka Connect: one task a store.",
            units.Short, ("sum by (instance) (kafka_connect_worker_connector_running_task_count)", "{{instance}}"),
            alert="ConnectAway", leads_to=CHAIN,
        ),
        lines(
            "Tasks failed", "By connector.",
            units.Short, ("sum by (connector) (kafka_connect_worker_connector_failed_task_count)", "{{connector}}"),
            limits=ANY_IS_BAD, alert="StoreKeepsFailing", leads_to=CHAIN,
        ),
    )  # fmt: skip
