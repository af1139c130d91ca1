"""The same for `run`, the workers, Kafka Connect, Java and the warehouse."""

from alert_cases import (
    CHAIN,
    HOUR,
    MINUTE,
    RUN,
    WORKERS,
    Case,
    Series,
    Value,
    gone,
    growing,
    healthy,
    now,
    state,
    then,
    threshold,
)

from tillstream.alerts import Alerts


def _processes() -> list[Case]:
    first, second = WORKERS
    silent: dict[str, Value] = {name: then(value, (600, gone)) for name, value in healthy().items() if "up" not in name}
    answer = f"tillstream_warehouse_answer_timestamp_seconds{{{RUN}}}"

    def failures(look: str) -> str:
        return f'tillstream_look_failures_total{{look="{look}",{RUN}}}'

    bucket = 'tillstream_commit_latency_seconds_bucket{{le="{}",{}}}'
    connect = 'up{{job="connect",instance="c{}:9404"}}'
    flat = {name: 0 for name in healthy() if "latency" in name}
    coming_back = {bucket.format("+Inf", second): then(0, (600, growing(20, 600)), (840, 4_800))}
    no_thresholds = {threshold(alert): gone for (alert,) in Alerts().thresholds()}

    def heap(full: float, collected: float) -> Series:
        place = 'area="heap",job="connect",instance="c:1"'
        used = f"jvm_memory_used_bytes{{{place}}}"
        return {f"jvm_memory_max_bytes{{{place}}}": 1e9, used: lambda at: full if at % 300 else collected}

    workers_gone = {f"up{{{worker}}}": then(1, (600, 0)) for worker in WORKERS}
    no_lanes = {f"tillstream_lanes{{{worker}}}": then(1, (600, gone)) for worker in WORKERS}
    return [
        Case(
            alert="RunDown", when="its process is killed", at=20 * MINUTE, labels=CHAIN, over=40 * MINUTE,
            series={**silent, f"up{{{RUN}}}": then(1, (600, 0), (1_800, 1)),
                    **{name: then(value, (600, gone), (1_800, value)) for name, value in healthy().items()
                       if "up" not in name}}, fires=("RunDown",),
            says="`tillstream run` at run:9464 does not answer: no store is watched over, and nothing else is told.",
        ),
        Case(
            alert="RunDown", when="one scrape failed", at=30 * MINUTE,
            series={f"up{{{RUN}}}": then(1, (600, 0), (615, 1))},
        ),
        Case(
            alert="MetricsMissing", when="Prometheus was not told of it", at=20 * MINUTE, labels={"job": "run"},
            series=dict.fromkeys(healthy(), gone), fires=("MetricsMissing",),
            says="Prometheus has no `run` to read, or reads one that tells of no store: no alert of a store can fire.",
        ),
        Case(
            alert="MetricsMissing", when="it has stopped looking at the warehouse", at=20 * MINUTE, labels=CHAIN,
            series={name: gone for name in healthy() if "_store_" in name}, fires=("MetricsMissing",),
            says="Prometheus has no `run` to read, or reads one that tells of no store: no alert of a store can fire.",
        ),
        Case(
            alert="MetricsMissing", when="it needs two minutes to begin", at=30 * MINUTE,
            series={name: then(gone, (120, value)) for name, value in healthy().items() if "_store_" in name},
        ),
        Case(
            alert="WorkerDown", when="one of two is killed", at=30 * MINUTE, over=2 * HOUR, fires=("WorkerDown",),
            series={f"up{{{second}}}": then(1, (600, 0)), f"tillstream_lanes{{{first}}}": then(1, (630, 2)),
                    f"tillstream_lanes{{{second}}}": then(1, (600, gone))},
            says="There are 1 workers fewer than within the last hour; the others take over.",
        ),
        Case(
            alert="WorkerDown", when="one is started anew under another address", at=30 * MINUTE,
            series={f"up{{{second}}}": then(1, (600, gone)), 'up{job="work",instance="w3:9464"}': then(gone, (660, 1)),
                    f"tillstream_lanes{{{first}}}": then(1, (600, 2))},
        ),
        Case(
            alert="NobodyBringsLanesIn", when="all workers are gone", at=30 * MINUTE, labels=CHAIN,
            series={**workers_gone, **no_lanes}, fires=("NobodyBringsLanesIn", "WorkerDown"),
            says="2 stores are captured and no worker brings any of them into the warehouse.",
        ),
        Case(
            alert="NobodyBringsLanesIn", when="no worker was ever started", at=30 * MINUTE, labels=CHAIN,
            series={**{f"up{{{worker}}}": 0 for worker in WORKERS}, **dict.fromkeys(no_lanes, gone),
                    **state("s1", (0, "snapshot")), **state("s2", (0, "snapshot"))}, fires=("NobodyBringsLanesIn",),
            says="2 stores are captured and no worker brings any of them into the warehouse.",
        ),
        Case(
            alert="NobodyBringsLanesIn", when="one lane is left over by a rebalance", at=30 * MINUTE,
            series={f"tillstream_lanes{{{second}}}": then(1, (600, 0))},
        ),
        Case(
            alert="NobodyBringsLanesIn", when="`run` waits for the first rows of snapshots", at=30 * MINUTE,
            series={**{f"up{{{worker}}}": gone for worker in WORKERS}, **dict.fromkeys(no_lanes, gone),
                    **state("s1", (0, "snapshot")), **state("s2", (0, "snapshot"))},
        ),
        Case(
            alert="NobodyBringsLanesIn", when="`run` brings them in itself", at=30 * MINUTE,
            series={**{f"up{{{worker}}}": gone for worker in WORKERS}, f"tillstream_lanes{{{RUN}}}": 2,
                    **{f"tillstream_lanes{{{worker}}}": gone for worker in WORKERS}},
        ),
        Case(
            alert="WarehouseAway", when="it refuses `run`", at=20 * MINUTE, over=40 * MINUTE, labels=CHAIN,
            series={answer: then(now, (600, 600), (1_500, now))}, fires=("WarehouseAway",),
            says="run:9464 has had no answer of the warehouse for minutes.",
        ),
        Case(
            alert="WarehouseAway", when="a worker tries in vain", at=30 * MINUTE,
            labels={"job": "work", "instance": "w1:9464"}, fires=("WarehouseAway",),
            series={f"tillstream_retries_total{{{first}}}": then(0, (600, growing(1 / 60, 600))),
                    f"tillstream_batch_rows_count{{{first}}}": then(growing(2), (600, 1_200))},
            says="w1:9464 has had no answer of the warehouse for minutes.",
        ),
        Case(
            alert="WarehouseAway", when="it fails over in a minute", at=30 * MINUTE,
            series={answer: then(now, (600, 600), (660, now))},
        ),
        Case(
            alert="WarehouseAway", when="a column under `business:` is not there", at=30 * MINUTE,
            series={failures("anomalies"): growing(1 / 60)},
        ),
        Case(
            alert="LookFails", when="a column under `business:` is not there", at=2 * HOUR, fires=("LookFails",),
            series={failures("anomalies"): growing(1 / 60)}, labels={**CHAIN, "look": "anomalies"},
            says="run:9464 looks at anomalies in vain, 60 times within an hour: what it tells of that is old.",
        ),
        Case(
            alert="LookFails", when="the warehouse failed over in a minute", at=2 * HOUR,
            series={failures("stores"): then(0, (600, growing(0.2, 600)), (660, 12))},
        ),
        Case(
            alert="WarehouseAway", when="batches meet a deadlock now and then", at=30 * MINUTE,
            series={f"tillstream_retries_total{{{first}}}": growing(1 / 60)},
        ),
        Case(
            alert="LatencyHigh", when="the warehouse's disk is slow", at=40 * MINUTE, fires=("LatencyHigh",),
            series={bucket.format(le, worker): 0 for le in ("0.1", "60") for worker in WORKERS},
            says="Half of what the stores commit is in the warehouse only after 3m 0s.",
        ),
        Case(
            alert="LatencyHigh", when="the warehouse's disk is slow, and `run` is away", at=40 * MINUTE,
            series={**{bucket.format(le, worker): 0 for le in ("0.1", "60") for worker in WORKERS},
                    **no_thresholds, f"up{{{RUN}}}": 0, **{name: gone for name in silent if RUN in name}},
            fires=("LatencyHigh", "RunDown"),
            says="Half of what the stores commit is in the warehouse only after 3m 0s.",
        ),
        Case(
            alert="LatencyHigh", when="one store comes back after a day and is all that is written", at=40 * MINUTE,
            series={**flat, **coming_back},
        ),
        Case(
            alert="LatencyHigh", when="of three batches one is of a store that comes back", at=40 * MINUTE,
            series={**{bucket.format(le, second): 0 for le in ("0.1", "60", "300")},
                    bucket.format("+Inf", second): growing(1)},
        ),
        Case(
            alert="HeapFull", when="there are more stores than it was made for", at=HOUR, series=heap(930e6, 940e6),
            fires=("HeapFull",), labels={"job": "connect", "instance": "c:1", "area": "heap"},
            says="For half an hour no less than 93 % of the heap has been in use at c:1.",
        ),
        Case(alert="HeapFull", when="a collection frees half of it", at=30 * MINUTE, series=heap(990e6, 400e6)),
        Case(
            alert="ConnectAway", when="both of its workers are killed", at=20 * MINUTE, over=40 * MINUTE,
            series={connect.format(number): then(1, (600, 0), (1_800, 1)) for number in (1, 2)}, fires=("ConnectAway",),
            says="No worker of Kafka Connect answers, so no store is captured.",
        ),
        Case(
            alert="ConnectAway", when="it is stopped, and its name leads nowhere", at=HOUR, fires=("ConnectAway",),
            series={connect.format(1): then(1, (600, gone))},
            says="No worker of Kafka Connect answers, so no store is captured.",
        ),
        Case(
            alert="ConnectAway", when="one of two workers is killed", at=30 * MINUTE,
            series={connect.format(1): then(1, (600, 0)), connect.format(2): 1},
        ),
        Case(
            alert="ConnectAway", when="it is started anew under another address", at=30 * MINUTE,
            series={connect.format(1): then(1, (600, gone)), connect.format(2): then(gone, (660, 1))},
        ),
    ]  # fmt: skip


OF_PROCESSES = _processes()
