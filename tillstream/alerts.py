"""`alerts:` in tillstream.yaml: from where on each alert fires.

The rules in docker/prometheus/rules compare with what is told of it as `tillstream_alert_threshold`, so nobody has to
edit them; an alert that is switched off has no threshold, and a comparison with nothing never fires.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tillstream.checked_yaml import DurationText, Entry, duration_seconds


def _duration(given: Any) -> float | None:
    try:
        return None if given is False else duration_seconds(given)
    except ValueError as error:
        raise ValueError(f"{error}, or false for no such alert") from None


def _number(given: Any) -> float | None:
    if given is False:
        return None
    if isinstance(given, int | float) and given is not True and 0 <= given < float("inf"):
        return float(given)
    raise ValueError("must be a number from 0 on, or false for no such alert")


def _switch(given: Any) -> float | None:
    if isinstance(given, bool):
        return 0.0 if given else None  # what it looks at is above 0 when something is wrong
    raise ValueError("must be true, or false for no such alert")


Number = Annotated[float, Field(ge=0)]
Duration = Annotated[float | None, BeforeValidator(_duration, json_schema_input_type=DurationText | Literal[False])]
More = Annotated[float | None, BeforeValidator(_number, json_schema_input_type=Number | Literal[False])]
Switch = Annotated[float | None, BeforeValidator(_switch, json_schema_input_type=bool)]


def threshold(default: str | float, description: str) -> Any:
    """`default` as people write it, which is what the schema shows."""
    return Field(default=default, validate_default=True, description=description)


class Alerts(Entry):
    StoreDark: Duration = threshold("5m", "How long a store may be out of reach.")
    StoreRefused: Switch = threshold(True, "A store cannot be captured until a person has seen to it.")
    StoreNeverBegan: Switch = threshold(True, "The first snapshot of a store has not got going for an hour.")
    StoreKeepsFailing: Duration = threshold(
        "10m", "How long nothing may come of a store whose capture fails as often as it is started."
    )
    StorePaused: Duration = threshold("1d", "How long a store may rest before somebody is reminded.")
    StoreBinlogExpiryRisk: Duration = threshold(
        "1d", "How soon a store that is behind may purge what the warehouse does not have."
    )
    StoreLagging: Duration = threshold("5m", "How long a store's log may be ahead.")
    StoreStalled: Duration = threshold("10m", "How long nothing may move of a store that has more to tell.")
    StoreSilent: More = threshold(20, "Row changes that are usual in this hour, if there was none at all.")
    StoreVolumeUnusual: More = threshold(5, "How many times more, or less, than is usual in this hour of the week.")
    StoreClockOff: Duration = threshold("5m", "How far a store's clock may be off.")
    StoreClockDrifts: Duration = threshold("10s", "How far a store's clock may drift in a day.")
    StoreSchemaDrifts: More = threshold(0, "Tables that may be others than in most stores.")
    StoreHeld: Switch = threshold(True, "A guard holds a store in a shared table.")
    StoreReadAnew: Switch = threshold(True, "Tables of a store are being read anew.")
    StoreNotReadAnew: Switch = threshold(True, "Tables were to be read anew, and could not be.")
    StoreEpochBegan: Switch = threshold(True, "A store's log is another one than was read.")
    DeadLetters: More = threshold(0, "Events of a store that may lie set aside.")
    KeysParked: More = threshold(0, "Keys of a table that its rules may be unable to decide.")
    ReviewsWaitLong: Duration = threshold("2d", "How long a value may wait for a person.")
    ConflictRateJumps: More = threshold(5, "How many times more conflicts in an hour than in the week before.")
    VerificationFailed: More = threshold(0, "Differences that `tillstream verify` may find.")
    VerificationOverdue: Duration = threshold("8d", "How old the last `tillstream verify` may be.")
    NegativeStock: More = threshold(0, "Goods of a store that may have less than none in stock.")
    StockLow: Duration = threshold("1d", "How long a store's scarcest goods are to last.")
    PriceDiffers: More = threshold(0, "Prices of a store that may differ from the agreed ones.")
    BalanceDiffers: More = threshold(0, "Balances that may be unlike their ledger.")
    RowsUnderOneKey: More = threshold(0, "Keys that may have more rows than `guards:` allow.")
    CodesDiffer: More = threshold(0, "Codes that may mean two things, by `guards: {same: ...}`.")
    ValuesFlipFlop: More = threshold(0, "Values that may go to and fro between stores.")
    WorkerDown: Switch = threshold(True, "There are fewer workers than within the last hour.")
    NobodyBringsLanesIn: Switch = threshold(True, "Stores are captured, and nobody brings them in.")
    WarehouseAway: Duration = threshold("1m", "How long the warehouse may not answer `run`.")
    LookFails: More = threshold(0, "Times in an hour, and in the one before, that `run` may look at something in vain.")
    LatencyHigh: Duration = threshold("1m", "How late half of the stores' changes may be in the warehouse.")
    HeapFull: More = threshold(90, "Percent of the JVM's heap that may stay in use for half an hour.")
    ConnectAway: Switch = threshold(True, "No worker of Kafka Connect answers.")

    def thresholds(self) -> dict[tuple[str, ...], float]:
        """By alert; durations in seconds. One that is switched off is not among them."""
        return {(name,): float(value) for name, value in self if value is not None}
