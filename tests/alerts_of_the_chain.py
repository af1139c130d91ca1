"""The same for decisions and business, and all cases together."""

from alert_cases import (
    CHAIN,
    DAY,
    HOUR,
    MINUTE,
    NAMELESS,
    S1,
    WORKERS,
    Case,
    Series,
    Value,
    gone,
    growing,
    then,
)
from alerts_of_processes import OF_PROCESSES
from alerts_of_stores import OF_STORES


def _started_anew(since: float, conflicts: Value) -> Series:
    """Two more workers, and what each tells of conflicts."""
    series: dict[str, Value] = {}
    for worker in ('job="work",instance="w3:9464"', 'job="work",instance="w4:9464"'):
        counter = f'tillstream_conflicts_total{{table="members",rule="latest",{worker}}}'
        series |= {
            f"process_start_time_seconds{{{worker}}}": then(gone, (since, since)),
            counter: then(gone, (since, conflicts)),
        }
    return series


def _decisions() -> list[Case]:
    letters = 'tillstream_open_dead_letters{{store="s1",reason="{}"}}'
    verified = "tillstream_verification_timestamp_seconds"
    waits = "tillstream_oldest_review_timestamp_seconds"

    def conflicts(a_second: Value) -> Series:
        return {f'tillstream_conflicts_total{{table="members",rule="latest",{worker}}}': a_second for worker in WORKERS}

    return [
        Case(
            alert="DeadLetters", when="two rows cannot be kept", at=10 * MINUTE, labels=NAMELESS, over=HOUR,
            series={letters.format("no such date"): then(gone, (300, 1), (1_800, gone)),
                    letters.format("not GBK"): then(gone, (300, 1), (1_800, gone))}, fires=("DeadLetters",),
            says="2 events of store s1 could not be kept and wait in `tillstream dead-letters list`.",
        ),
        Case(
            alert="DeadLetters", when="all are settled", at=30 * MINUTE, series={letters.format("no such date"): 0},
        ),
        Case(
            alert="KeysParked", when="a function of one's own raises", at=10 * MINUTE, fires=("KeysParked",),
            series={'tillstream_open_parked_keys{table="members"}': then(0, (300, 4))},
            labels={**CHAIN, "table": "members"},
            says="4 keys of members could not be decided by their rules; their agreed values stay as they were.",
        ),
        Case(
            alert="KeysParked", when="the next try decides it", at=30 * MINUTE,
            series={'tillstream_open_parked_keys{table="members"}': then(0, (300, 4), (330, 0))},
        ),
        Case(
            alert="ReviewsWaitLong", when="nobody looks at the queue", at=30 * MINUTE,
            series={waits: -3 * DAY + HOUR / 2},
            fires=("ReviewsWaitLong",), labels=CHAIN,
            says="A value about which stores differ has waited for a person for 3d 0h 0m 0s.",
        ),
        Case(alert="ReviewsWaitLong", when="it has waited since yesterday", at=30 * MINUTE, series={waits: -DAY}),
        Case(
            alert="ConflictRateJumps", when="a POS copies its members everywhere", at=3 * DAY + 2 * HOUR, step=300,
            series=conflicts(then(growing(5 / HOUR), (3 * DAY, growing(100 / HOUR, 3 * DAY, 360)))),
            fires=("ConflictRateJumps",), labels={"table": "members"},
            says="There were 200 conflicts about members within an hour, many times more than in an hour of the week "
            "before.",
        ),
        Case(
            alert="ConflictRateJumps", when="stores that never differed do all at once", at=3 * DAY + HOUR, step=300,
            series=conflicts(then(0, (3 * DAY, growing(4_800 / HOUR, 3 * DAY)))),
            fires=("ConflictRateJumps",), labels={"table": "members"},
            says="There were 9600 conflicts about members within an hour, many times more than in an hour of the week "
            "before.",
        ),
        Case(
            alert="ConflictRateJumps", when="they are all in the first batch of workers that were started anew",
            series={**conflicts(then(growing(5 / HOUR), (3 * DAY, gone))), **_started_anew(3 * DAY, 4_800)},
            at=3 * DAY + HOUR / 2, over=3 * DAY + 2 * HOUR, step=300,
            fires=("ConflictRateJumps",), labels={"table": "members"},
            says="There were 9605 conflicts about members within an hour, many times more than in an hour of the week "
            "before.",
        ),
        Case(
            alert="ConflictRateJumps", when="workers are started anew where stores always differ", step=300,
            series={**conflicts(then(growing(100 / HOUR), (3 * DAY, gone))),
                    **_started_anew(3 * DAY, growing(100 / HOUR, 3 * DAY, 0))}, at=3 * DAY + 2 * HOUR,
        ),
        Case(
            alert="ConflictRateJumps", when="there are eight times as many, and still few", at=3 * DAY + 2 * HOUR,
            series=conflicts(then(growing(2 / HOUR), (3 * DAY, growing(16 / HOUR, 3 * DAY, 144)))), step=300,
        ),
        Case(
            alert="ConflictRateJumps", when="it is the first day, and all stores meet", at=5 * HOUR,
            series=conflicts(then(growing(1 / HOUR), (HOUR, growing(900 / HOUR, HOUR, 1)))),
        ),
        Case(
            alert="VerificationFailed", when="rows were written past the log", at=10 * MINUTE, labels=CHAIN, over=HOUR,
            series={"tillstream_verification_differences": then(0, (300, 17), (1_800, 0))},
            fires=("VerificationFailed",),
            says="The last `tillstream verify` found 17 values that are not as the stores have them.",
        ),
        Case(
            alert="VerificationFailed", when="nothing was ever compared", at=30 * MINUTE,
            series={"tillstream_verification_differences": gone, verified: gone},
        ),
        Case(
            alert="VerificationOverdue", when="its cron job is gone", at=3 * HOUR, series={verified: -9 * DAY + HOUR},
            fires=("VerificationOverdue",), labels=CHAIN,
            says="All values were last compared with the stores more than 9d 2h 0m 0s ago, or never.",
        ),
        Case(
            alert="VerificationOverdue", when="nobody ever ran it", at=8 * DAY + 2 * HOUR, step=300,
            series={verified: gone, "tillstream_verification_differences": gone}, fires=("VerificationOverdue",),
            labels={**CHAIN}, says="All values were last compared with the stores more than 8d 0h 0m 0s ago, or never.",
        ),
        Case(alert="VerificationOverdue", when="it ran a week ago", at=3 * HOUR, series={verified: -7 * DAY}),
    ]  # fmt: skip


def _business() -> list[Case]:
    def anomalies(kind: str, value: Value) -> Series:
        return {f'tillstream_anomalies{{kind="{kind}",store="s1"}}': value}

    rows, days = 'tillstream_stock_rows{store="s1",stock="negative"}', 'tillstream_stock_cover_days{store="s1"}'
    prices = 'tillstream_price_differences{store="s1"}'
    briefly = then(0, (600, 3), (660, 0))
    return [
        Case(
            alert="NegativeStock", when="goods are sold before they are booked in", at=40 * MINUTE, series={rows: 3},
            fires=("NegativeStock",), labels={**S1, "stock": "negative"},
            says="3 goods of store s1 (中山路店) are in stock with less than none.",
        ),
        Case(alert="NegativeStock", when="the delivery is booked at once", at=30 * MINUTE, series={rows: briefly}),
        Case(
            alert="StockLow", when="something is gone tonight", at=40 * MINUTE, series={days: 0.25},
            fires=("StockLow",),
            labels=S1,
            says="The scarcest goods of store s1 (中山路店) last for 6h 0m 0s at the last weeks' rate; `tillstream "
            "anomalies` names them and who has more.",
        ),
        Case(alert="StockLow", when="everything lasts for two days", at=40 * MINUTE, series={days: 2}),
        Case(
            alert="PriceDiffers", when="it asks prices of its own", at=40 * MINUTE, series={prices: 2},
            fires=("PriceDiffers",), labels=S1,
            says="2 prices of store s1 (中山路店) differ from the agreed ones.",
        ),
        Case(
            alert="PriceDiffers", when="a new price goes through the chain in a minute", at=40 * MINUTE,
            series={prices: briefly},
        ),
        *(
            case
            for alert, kind, says in (
                ("BalanceDiffers", "balance",
                 "3 balances of store s1 are not what the entries of their ledger come to."),
                ("RowsUnderOneKey", "rows_per_key", "3 keys of store s1 have more rows than `guards:` allow."),
                ("CodesDiffer", "different", "3 codes of store s1 stand for something else in another store."),
                ("ValuesFlipFlop", "flip_flop", "3 agreed values went to and fro between store s1 and another one."),
            )
            for case in (
                Case(alert=alert, when="rows look wrong", at=30 * MINUTE, series=anomalies(kind, 3), fires=(alert,),
                     labels={**NAMELESS, "kind": kind}, says=says),
                Case(alert=alert, when="they did for a minute", at=30 * MINUTE, series=anomalies(kind, briefly)),
            )
        ),
    ]  # fmt: skip


CASES = [*OF_STORES, *_decisions(), *_business(), *OF_PROCESSES]
