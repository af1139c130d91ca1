"""What has to happen to a store for each of its alerts to fire, and what looks like that and is none."""

from alert_cases import (
    DAY,
    HOUR,
    LIVE,
    MINUTE,
    REFUSED,
    RUN,
    S2,
    STARTING,
    UNREACHABLE,
    Case,
    Series,
    gone,
    growing,
    now,
    of,
    state,
    then,
)


def dark(since: float, until: float = 100 * DAY) -> Series:
    """Of s2, and its watermark stands still."""
    return {
        **state("s2", (since, UNREACHABLE), (until, LIVE)),
        **of("s2", complete_timestamp_seconds=then(now, (since, since), (until, now))),
    }


def _flapping() -> list[tuple[float, str]]:
    """From ten minutes on: for half a minute it starts, for a minute it is live."""
    return [(600 + 90 * number + after, name) for number in range(20) for after, name in ((0, STARTING), (30, LIVE))]


def _beginning_anew() -> list[tuple[float, str]]:
    return [(600 * number + after, name) for number in range(10) for after, name in ((0, STARTING), (60, "snapshot"))]


_NEVER = (
    "For an hour the first snapshot of store s2 (外滩店) has not got going: it cannot be reached, or begins again and "
    "again."
)
_FAILS = (
    "Store s2 (外滩店) is started again and again and does not get on; the warehouse has had nothing new of it for "
    "30m 0s."
)
_STANDS = (
    "Store s2 (外滩店) has more to tell, by its log or in its first snapshot, but its position in the warehouse has "
    "not moved for 15m 0s."
)


def _stores() -> list[Case]:
    late = of("s2", lag_seconds=then(0, (10 * MINUTE, growing(1, 10 * MINUTE))))
    stands = of(
        "s2",
        position_bytes=then(growing(100), (10 * MINUTE, 60_000)),
        last_heartbeat_timestamp_seconds=then(now, (10 * MINUTE, 10 * MINUTE)),
    )
    unknown = of("s2", complete_timestamp_seconds=gone, lag_seconds=gone)  # before its first snapshot is in
    runs_out = of("s2", binlog_seconds_left=growing(-1, 0, DAY + HOUR))
    return [
        Case(
            alert="StoreDark", when="its line is cut", series=dark(10 * MINUTE, 30 * MINUTE), at=20 * MINUTE,
            fires=("StoreDark",), labels=S2, over=40 * MINUTE,
            says="Store s2 (外滩店) has not been reached for 10m 0s.",
        ),
        Case(
            alert="StoreDark", when="its line is cut in its first snapshot", at=20 * MINUTE,
            series={**dark(10 * MINUTE), **of("s2", complete_timestamp_seconds=gone)}, fires=("StoreDark",), labels=S2,
            says="Store s2 (外滩店) has not been reached for 10m 0s.",
        ),
        Case(
            alert="StoreDark", when="it is read anew since yesterday, and its line was away for four minutes",
            series={**dark(600, 840), **of("s2", complete_timestamp_seconds=-DAY, tables_read_anew=0)}, at=30 * MINUTE,
        ),
        Case(
            alert="StoreDark", when="its line was away for four minutes", series=dark(600, 840), at=30 * MINUTE,
        ),
        Case(
            alert="StoreRefused", when="a right was revoked", series=state("s2", (300, REFUSED), (900, LIVE)), at=600,
            fires=("StoreRefused",), labels={**S2, "state": "refused"}, over=20 * MINUTE,
            says="Store s2 (外滩店) cannot be captured until a person has seen to it; `tillstream status` tells the "
            "reason and the remedy.",
        ),
        Case(
            alert="StoreRefused", when="one look refused it and the next did not",
            series=state("s2", (300, REFUSED), (330, LIVE)), at=30 * MINUTE,
        ),
        Case(
            alert="StoreNeverBegan", when="it was added with an address at which nothing is", at=80 * MINUTE,
            series={**state("s2", (0, UNREACHABLE)), **of("s2", complete_timestamp_seconds=gone, lag_seconds=gone,
                    last_heartbeat_timestamp_seconds=gone)},
            fires=("StoreNeverBegan",), labels=S2, says=_NEVER,
        ),
        Case(
            alert="StoreNeverBegan", when="its first snapshot fails every ten minutes", at=80 * MINUTE,
            series={**state("s2", *_beginning_anew()), **of("s2", complete_timestamp_seconds=gone)},
            fires=("StoreNeverBegan",), labels=S2, says=_NEVER,
        ),
        Case(
            alert="StoreNeverBegan", when="its first snapshot takes all night", at=10 * HOUR, step=300,
            series={**state("s2", (0, "snapshot")), **of("s2", complete_timestamp_seconds=gone, lag_seconds=now)},
        ),
        Case(
            alert="StorePaused", when="it was paused and forgotten", at=30 * HOUR, step=300, fires=("StorePaused",),
            series={**state("s2", (HOUR, "paused")), **of("s2", complete_timestamp_seconds=then(now, (HOUR, HOUR)),
                    lag_seconds=gone)}, labels=S2,
            says="Store s2 (外滩店) was paused by a person and has been resting for 1d 5h 0m 0s.",
        ),
        Case(
            alert="StoreKeepsFailing", when="its capture ends whenever it is started", at=40 * MINUTE, over=HOUR,
            series={**state("s2", (600, STARTING), (2_700, LIVE)),
                    **of("s2", complete_timestamp_seconds=then(now, (600, 600), (2_700, now)))},
            fires=("StoreKeepsFailing",), labels=S2,
            says=_FAILS,
        ),
        Case(
            alert="StoreKeepsFailing", when="it is live for a minute each time", at=40 * MINUTE, step=15,
            series={**state("s2", *_flapping()), **of("s2", complete_timestamp_seconds=then(now, (600, 600)))},
            fires=("StoreKeepsFailing",), labels=S2,
            says=_FAILS,
        ),
        Case(
            alert="StoreKeepsFailing", when="it has been away for ten hours, and catches up in eight minutes", step=15,
            series={**state("s2", (600, STARTING), (690, LIVE)),
                    **of("s2", complete_timestamp_seconds=then(-10 * HOUR, (1_170, now)))}, at=40 * MINUTE,
        ),
        Case(
            alert="StorePaused", when="it had been dark for days before it was paused", at=10 * HOUR, step=300,
            series={**state("s2", (0, "paused")), **of("s2", complete_timestamp_seconds=-3 * DAY, lag_seconds=gone)},
        ),
        Case(
            alert="StorePaused", when="it was paused for an afternoon", at=10 * HOUR, step=300,
            series={**state("s2", (HOUR, "paused"), (6 * HOUR, LIVE)),
                    **of("s2", complete_timestamp_seconds=then(now, (HOUR, HOUR), (6 * HOUR, now)))},
        ),
        Case(
            alert="StoreBinlogExpiryRisk", when="it is dark and keeps its log for less than a day more", at=2 * HOUR,
            series={**dark(0), **runs_out}, fires=("StoreBinlogExpiryRisk", "StoreDark"), labels=S2,
            says="The MySQL of store s2 (外滩店) may purge what the warehouse does not have in 23h 0m 0s.",
        ),
        Case(
            alert="StoreBinlogExpiryRisk", when="its disk is full and it purges ever faster", at=2 * HOUR,
            series={**dark(0), **of("s2", binlog_seconds_left=growing(-30, 0, 5 * DAY))},
            fires=("StoreBinlogExpiryRisk", "StoreDark"), labels=S2,
            says="The MySQL of store s2 (外滩店) may purge what the warehouse does not have in 2d 12h 0m 0s.",
        ),
        Case(
            alert="StoreBinlogExpiryRisk", when="it keeps little, and the warehouse has it all", at=2 * HOUR,
            series=of("s2", binlog_seconds_left=6 * HOUR, lag_seconds=2),
        ),
        Case(
            alert="StoreBinlogExpiryRisk", when="it was told to keep two days instead of seven", at=3 * HOUR,
            series=of("s2", binlog_seconds_left=then(7 * DAY, (HOUR, 2 * DAY))),
        ),
        Case(
            alert="StoreLagging", when="more is written in it than comes over its line", series=late, at=20 * MINUTE,
            fires=("StoreLagging",), labels=S2,
            says="The log of store s2 (外滩店) has been ahead of the warehouse for 10m 0s.",
        ),
        Case(
            alert="StoreLagging", when="a nightly job is four minutes ahead", at=30 * MINUTE,
            series=of("s2", lag_seconds=then(0, (600, growing(1, 600)), (840, 0))),
        ),
        Case(
            alert="StoreStalled", when="its log goes on and nothing of it arrives", at=25 * MINUTE,
            series={**late, **stands}, fires=("StoreStalled", "StoreLagging"), labels=S2,
            says=_STANDS,
        ),
        Case(
            alert="StoreStalled", when="its first snapshot waits for a lock", at=25 * MINUTE,
            series={**stands, **state("s2", (0, "snapshot")), **unknown}, fires=("StoreStalled",), labels=S2,
            says=_STANDS,
        ),
        Case(
            alert="StoreStalled", when="its first snapshot goes on after a night without `run`", at=30 * MINUTE,
            series={**state("s2", (600, STARTING), (660, "snapshot")), **unknown,
                    **of("s2", last_heartbeat_timestamp_seconds=then(-8 * HOUR, (1_140, now)))},
        ),
        Case(alert="StoreStalled", when="nobody writes in it", at=30 * MINUTE, series=stands),
        Case(
            alert="StoreSilent", when="its tills write elsewhere", at=80 * MINUTE, series=of("s2", hourly_events=0),
            fires=("StoreSilent",), labels=S2,
            says="Store s2 (外滩店) is followed and changed nothing within an hour in which 300 row changes are usual.",
        ),
        Case(
            alert="StoreSilent", when="nothing is usual at this hour", at=80 * MINUTE,
            series=of("s2", hourly_events=0, usual_hourly_events=12),
        ),
        Case(
            alert="StoreSilent", when="it was paused for half an hour and has been let go on", at=80 * MINUTE,
            series={**state("s2", (0, "paused"), (30 * MINUTE, LIVE)), **of("s2", hourly_events=0)},
        ),
        Case(
            alert="StoreSilent", when="nobody counted, as `run` began half an hour ago", at=50 * MINUTE,
            series={**of("s2", hourly_events=0), f"process_start_time_seconds{{{RUN}}}": then(gone, (1_200, 1_200))},
        ),
        Case(
            alert="StoreVolumeUnusual", when="a job rewrites everything", at=80 * MINUTE,
            series=of("s2", hourly_events=3_000), fires=("StoreVolumeUnusual",), labels=S2,
            says="Store s2 (外滩店) had 1000% of the row changes that are usual in this hour of the week.",
        ),
        Case(
            alert="StoreVolumeUnusual", when="two of three tills are off", at=80 * MINUTE,
            series=of("s2", hourly_events=30), fires=("StoreVolumeUnusual",), labels=S2,
            says="Store s2 (外滩店) had 10% of the row changes that are usual in this hour of the week.",
        ),
        Case(
            alert="StoreVolumeUnusual", when="a small store has a good hour", at=80 * MINUTE,
            series=of("s2", hourly_events=90, usual_hourly_events=12),
        ),
        Case(
            alert="StoreVolumeUnusual", when="it is four times a usual hour", at=80 * MINUTE,
            series=of("s2", hourly_events=1_200),
        ),
    ]  # fmt: skip


def _logs_and_clocks() -> list[Case]:
    return [
        Case(
            alert="StoreClockOff", when="its clock is three hours slow", at=20 * MINUTE, labels=S2, over=40 * MINUTE,
            series=of("s2", clock_offset_seconds=then(0.4, (600, -3 * HOUR), (1_800, 0.4))), fires=("StoreClockOff",),
            says="The clock of store s2 (外滩店) is off by 3h 0m 0s; its changes are timed without that.",
        ),
        Case(
            alert="StoreClockOff", when="its clock is two minutes fast", at=30 * MINUTE,
            series=of("s2", clock_offset_seconds=120),
        ),
        Case(
            alert="StoreClockDrifts", when="its battery is dying", at=15 * HOUR, step=300, labels=S2,
            series=of("s2", clock_offset_seconds=growing(-45 / DAY)), fires=("StoreClockDrifts",),
            says="The clock of store s2 (外滩店) drifts by 45s a day.",
        ),
        Case(
            alert="StoreClockDrifts", when="its clock was put right by two minutes", at=15 * HOUR, step=300,
            series=of("s2", clock_offset_seconds=then(-120, (HOUR, 0))),
        ),
        Case(
            alert="StoreClockDrifts", when="it loses as much as any quartz", at=15 * HOUR, step=300,
            series=of("s2", clock_offset_seconds=growing(-2 / DAY)),
        ),
        Case(
            alert="StoreSchemaDrifts", when="the upgrade of the POS came to it alone", at=80 * MINUTE,
            series=of("s2", schema_drift_tables=3), fires=("StoreSchemaDrifts",), labels=S2,
            says="3 tables of store s2 (外滩店) have other columns than in most stores that have them.",
        ),
        Case(
            alert="StoreSchemaDrifts", when="an upgrade goes through the chain within an hour", at=80 * MINUTE,
            series=of("s2", schema_drift_tables=then(0, (600, 3), (3_000, 0))),
        ),
        Case(
            alert="StoreHeld", when="it deleted half of its members", at=10 * MINUTE,
            series=of("s2", held_tables=then(0, (300, 1), (1_200, 0))), fires=("StoreHeld",), labels=S2, over=1_800,
            says="Store s2 (外滩店) did too much at once in 1 shared tables and counts there as it was before.",
        ),
        Case(
            alert="StoreHeld", when="somebody has released it at once", at=30 * MINUTE,
            series=of("s2", held_tables=then(0, (300, 1), (330, 0))),
        ),
        Case(
            alert="StoreReadAnew", when="its log was purged", at=10 * MINUTE, labels=S2,
            series=of("s2", tables_read_anew=then(0, (300, 8), (1_200, 0))), fires=("StoreReadAnew",), over=1_800,
            says="8 tables of store s2 (外滩店) are being read anew or wait for it, as their log no longer tells all.",
        ),
        Case(
            alert="StoreReadAnew", when="a small table is read in seconds", at=30 * MINUTE,
            series=of("s2", tables_read_anew=then(0, (300, 1), (330, 0))),
        ),
        Case(
            alert="StoreNotReadAnew", when="a table was dropped meanwhile", at=10 * MINUTE, labels=S2,
            series=of("s2", tables_not_read_anew=then(0, (300, 1))), fires=("StoreNotReadAnew",),
            says="1 tables of store s2 (外滩店) were to be read anew and could not be.",
        ),
        Case(
            alert="StoreNotReadAnew", when="a second try has read it", at=30 * MINUTE,
            series=of("s2", tables_not_read_anew=then(0, (300, 1), (330, 0))),
        ),
        Case(
            alert="StoreEpochBegan", when="its disk was put back", at=70 * MINUTE, labels=S2, over=3 * HOUR,
            series=of("s2", epoch=then(1, (HOUR, 2))), fires=("StoreEpochBegan",),
            says="The log of store s2 (外滩店) is another one than was read: its history 2 began within an hour.",
        ),
        Case(alert="StoreEpochBegan", when="that was long ago", at=2 * HOUR, series=of("s2", epoch=5)),
        Case(
            alert="StoreEpochBegan", when="it is a new store", at=2 * HOUR,
            series=of("s2", epoch=then(gone, (HOUR, 1))),
        ),
    ]  # fmt: skip


OF_STORES = [*_stores(), *_logs_and_clocks()]
