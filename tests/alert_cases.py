"""What a chain's metrics are while it is well, and what becomes of them: for each alert when it fires, and when not.

Times are seconds from the beginning of a case, which is also what Prometheus's clock shows there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

MINUTE, HOUR, DAY = 60, 3_600, 86_400
Value = float | Callable[[float], float | None]  # at a time; None: not told then
Series = Mapping[str, Value]  # by metric and labels as Prometheus writes them

LIVE, STARTING, UNREACHABLE, REFUSED = "live", "starting", "unreachable", "refused"


@dataclass(frozen=True, kw_only=True)
class Case:
    alert: str  # "": none of them
    when: str
    at: float  # when it is looked at
    series: Series  # what differs from a chain that is well
    fires: tuple[str, ...] = ()  # of which alerts any fires until then
    labels: Mapping[str, str] = field(default_factory=dict)  # of the alert, beside those of its rule
    says: str = ""  # its description
    over: float | None = None  # it is over again by then
    step: float = 60  # between two scrapes


def then(first: Value, *changes: tuple[float, Value]) -> Value:
    """`first`, and from each of these times on something else."""

    def at(seconds: float) -> float | None:
        now = [first, *(value for since, value in changes if since <= seconds)][-1]
        return now(seconds) if callable(now) else now

    return at


def growing(a_second: float, since: float = 0, base: float = 0) -> Value:
    return lambda seconds: base + a_second * max(0.0, seconds - since)


def now(seconds: float) -> float:
    return seconds


def gone(seconds: float) -> None:
    return None


def state(store: str, *states: tuple[float, str]) -> Series:
    """Live since yesterday, and from each of these times on in another state."""
    names = {LIVE, *(name for _, name in states)}
    since = then(-DAY, *((at, at) for at, _ in states))
    return {
        f'tillstream_store_state_since_timestamp_seconds{{store="{store}"}}': since,
        **{
            f'tillstream_store_state{{store="{store}",state="{name}"}}': then(
                1 if name == LIVE else gone, *((at, 1 if each == name else gone) for at, each in states)
            )
            for name in names
        },
    }


def of(store: str, **metrics: Value) -> Series:
    return {f'tillstream_store_{name}{{store="{store}"}}': value for name, value in metrics.items()}


STORES = {"s1": "中山路店", "s2": "外滩店"}
RUN = 'job="run",instance="run:9464"'
WORKERS = ('job="work",instance="w1:9464"', 'job="work",instance="w2:9464"')


def threshold(alert: str, told_by: str = RUN) -> str:
    return f'tillstream_alert_threshold{{alert="{alert}",{told_by}}}'


S2 = {"job": "run", "instance": "run:9464", "store": "s2", "name": "外滩店"}
S1 = {**S2, "store": "s1", "name": "中山路店"}
NAMELESS = {"job": "run", "instance": "run:9464", "store": "s1"}
CHAIN = {"job": "run", "instance": "run:9464"}


def healthy() -> dict[str, Value]:
    """Two stores and two workers, running for a day; business columns are named, and verify ran an hour ago."""
    series: dict[str, Value] = {
        f"up{{{RUN}}}": 1,
        f"process_start_time_seconds{{{RUN}}}": -DAY,
        f"tillstream_lanes{{{RUN}}}": 0,
        f"tillstream_warehouse_answer_timestamp_seconds{{{RUN}}}": now,
        f'tillstream_look_failures_total{{look="stores",{RUN}}}': 0,
        f'tillstream_look_failures_total{{look="anomalies",{RUN}}}': 0,
        "tillstream_verification_timestamp_seconds": -HOUR,
        "tillstream_verification_differences": 0,
        'tillstream_open_parked_keys{table="members"}': 0,
        'tillstream_open_reviews{table="members"}': 0,
        'tillstream_price_differences{store="s1"}': 0,
        'tillstream_stock_rows{store="s1",stock="negative"}': 0,
        'tillstream_stock_cover_days{store="s1"}': 6,
        'tillstream_anomalies{kind="balance",store="s1"}': 0,
    }
    for worker in WORKERS:
        series |= {
            f"up{{{worker}}}": 1,
            f"process_start_time_seconds{{{worker}}}": -DAY,
            f"tillstream_lanes{{{worker}}}": 1,
            f"tillstream_retries_total{{{worker}}}": 0,
            f"tillstream_batch_rows_count{{{worker}}}": growing(2),
            f'tillstream_conflicts_total{{table="members",rule="latest",{worker}}}': growing(5 / HOUR),
            f'tillstream_commit_latency_seconds_bucket{{le="0.1",{worker}}}': growing(2),
            f'tillstream_commit_latency_seconds_bucket{{le="60",{worker}}}': growing(2),
            f'tillstream_commit_latency_seconds_bucket{{le="300",{worker}}}': growing(2),
            f'tillstream_commit_latency_seconds_bucket{{le="+Inf",{worker}}}': growing(2),
        }
    for store, name in STORES.items():
        series |= {f'tillstream_store_info{{store="{store}",name="{name}"}}': 1}
        series |= state(store) | of(
            store,
            lag_seconds=0, capture_lag_seconds=0, complete_timestamp_seconds=now, last_event_timestamp_seconds=now,
            last_heartbeat_timestamp_seconds=now, position_file=7, position_bytes=growing(100), epoch=1,
            binlog_seconds_left=7 * DAY, clock_offset_seconds=0.4, schema_versions=8, schema_drift_tables=0,
            usual_hourly_events=300, hourly_events=280, tables_read_anew=0, tables_not_read_anew=0, held_tables=0,
        )  # fmt: skip
    return series


# --- a chain in which nothing is wrong ------------------------------------------------------------------------


def _idle() -> Series:
    """Nobody writes anything anywhere, and nobody ever did at this hour."""
    still: dict[str, Value] = {}
    for store in STORES:
        still |= of(
            store, hourly_events=0, usual_hourly_events=0, position_bytes=4_000,
            last_heartbeat_timestamp_seconds=-DAY, last_event_timestamp_seconds=-DAY,
        )  # fmt: skip
    for name in healthy():
        if name.startswith(("tillstream_batch", "tillstream_commit", "tillstream_conflicts")):
            still[name] = 700
    return still


def _restart() -> Series:
    """At half an hour `run` and all workers end, a minute later they are back, half a minute later stores are live."""
    ends, back, live = 30 * MINUTE, 31 * MINUTE, 31.5 * MINUTE
    series: dict[str, Value] = {}
    for name, value in healthy().items():
        if name.startswith("up"):
            series[name] = then(1, (ends, 0), (back, 1))
        elif name.startswith("process_start"):
            series[name] = then(value, (ends, gone), (back, back))
        elif callable(value) and ("_total" in name or "_count" in name or "_bucket" in name):
            series[name] = then(value, (ends, gone), (back, growing(1, back)))
        else:
            series[name] = then(value, (ends, gone), (back, value))
    for store in STORES:
        starts = state(store, (ends, "?"), (back, "starting"), (live, LIVE))
        series |= {name: value for name, value in starts.items() if "?" not in name}
        series |= of(store, lag_seconds=then(0, (ends, gone), (live, 0)))
        series |= of(store, complete_timestamp_seconds=then(now, (ends, gone), (back, ends), (live, now)))
    return series


def _fresh() -> Series:
    """`run` was just started for the first time: twenty minutes of snapshots, and nothing known of earlier weeks."""
    first, live = 30, 20 * MINUTE
    later = ("verification", "clock_offset", "usual_hourly", "hourly_events", "complete_timestamp", "lag_seconds")
    series: dict[str, Value] = {}
    for name, value in healthy().items():
        if name.startswith(("up", "process_start")):
            series[name] = 1 if name.startswith("up") else 0
        elif not name.startswith("tillstream_alert"):
            series[name] = then(gone, (live if any(each in name for each in later) else first, value))
    for name in healthy():
        if "usual_hourly" in name or "verification" in name:
            series[name] = gone
    for store in STORES:
        begins = state(store, (0, "?"), (first, "starting"), (60, "snapshot"), (live, LIVE))
        series |= {name: value for name, value in begins.items() if "?" not in name}
        series |= of(store, lag_seconds=then(gone, (60, growing(1, 60)), (live, 0)))
    return series


def _night() -> Series:
    """The last receipt is at two hours; from three hours on nothing is usual either. MySQL goes on."""
    closed: dict[str, Value] = {}
    for store in STORES:
        closed |= of(
            store,
            hourly_events=then(280, (2 * HOUR, growing(-280 / HOUR, 2 * HOUR, 280)), (3 * HOUR, 0)),
            usual_hourly_events=then(300, (2 * HOUR, growing(-300 / HOUR, 2 * HOUR, 300)), (3 * HOUR, 0)),
            position_bytes=then(growing(100), (2 * HOUR, 720_000)),
            last_heartbeat_timestamp_seconds=then(now, (2 * HOUR, 2 * HOUR)),
            last_event_timestamp_seconds=then(now, (2 * HOUR, 2 * HOUR)),
        )
    return closed


SCENES = (
    Case(alert="", when="nothing is wrong", at=2 * HOUR, series={}),
    Case(alert="", when="nobody writes anything anywhere", at=2 * HOUR, series=_idle()),
    Case(alert="", when="everything is restarted", at=50 * MINUTE, series=_restart(), step=15),
    Case(alert="", when="it was installed just now", at=90 * MINUTE, series=_fresh(), step=30),
    Case(alert="", when="all stores close for the night", at=6 * HOUR, series=_night()),
)
