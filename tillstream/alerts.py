"""`alerts:` in tillstream.yaml: from where on each alert fires.

The rules in docker/prometheus/rules compare with what is told of it as `tillstream_alert_threshold`, so nobody has to
edit them; an alert that is switched off has no threshold, and a comparison with nothing never fires.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

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


class Alerts(Entry):
    model_config = ConfigDict(validate_default=True)  # defaults stand here, and in the schema, as people write them

    StoreDark: Duration = Field(default="5m", description="How long a store may be out of reach.")
    StoreRefused: Switch = Field(default=True, description="A store cannot be captured until a person has seen to it.")
    StoreNeverBegan: Switch = Field(default=True, description="A store of tillstream.yaml has not come in for an hour.")
    StorePaused: Duration = Field(default="1d", description="How long a store may rest before somebody is reminded.")
    StoreBinlogExpiryRisk: Duration = Field(
        default="1d", description="How soon a store that is behind may purge what the warehouse does not have."
    )
    StoreLagging: Duration = Field(default="5m", description="How long a store's log may be ahead.")
    StoreStalled: Duration = Field(
        default="10m", description="How long nothing may move of a store whose log is ahead."
    )
    StoreSilent: More = Field(
        default=20, description="Row changes that are usual in this hour, if there was none at all."
    )
    StoreVolumeUnusual: More = Field(
        default=5, description="How many times more, or less, than is usual in this hour of the week."
    )
    StoreClockOff: Duration = Field(default="5m", description="How far a store's clock may be off.")
    StoreClockDrifts: Duration = Field(default="10s", description="How far a store's clock may drift in a day.")
    StoreSchemaDrifts: More = Field(default=0, description="Tables that may be others than in most stores.")
    StoreHeld: Switch = Field(default=True, description="A guard holds a store in a shared table.")
    StoreReadAnew: Switch = Field(default=True, description="Tables of a store are being read anew.")
    StoreNotReadAnew: Switch = Field(default=True, description="Tables were to be read anew, and could not be.")
    StoreEpochBegan: Switch = Field(default=True, description="A store's log is another one than was read.")
    DeadLetters: More = Field(default=0, description="Events of a store that may lie set aside.")
    KeysParked: More = Field(default=0, description="Keys of a table that its rules may be unable to decide.")
    ReviewsWaitLong: Duration = Field(default="2d", description="How long a value may wait for a person.")
    ConflictRateJumps: More = Field(
        default=5, description="How many times more conflicts in an hour than in the week before."
    )
    VerificationFailed: More = Field(default=0, description="Differences that `tillstream verify` may find.")
    VerificationOverdue: Duration = Field(default="8d", description="How old the last `tillstream verify` may be.")
    NegativeStock: More = Field(default=0, description="Goods of a store that may have less than none in stock.")
    StockLow: Duration = Field(default="1d", description="How long a store's scarcest goods are to last.")
    PriceDiffers: More = Field(default=0, description="Prices of a store that may differ from the agreed ones.")
    BalanceDiffers: More = Field(default=0, description="Balances that may be unlike their ledger.")
    RowsUnderOneKey: More = Field(default=0, description="Keys that may have more rows than `guards:` allow.")
    CodesDiffer: More = Field(default=0, description="Codes that may mean two things, by `guards: {same: ...}`.")
    ValuesFlipFlop: More = Field(default=0, description="Values that may go to and fro between stores.")
    WorkerDown: Switch = Field(default=True, description="There are fewer workers than within the last hour.")
    NobodyBringsLanesIn: Switch = Field(default=True, description="Stores are captured, and nobody brings them in.")
    WarehouseAway: Switch = Field(default=True, description="The warehouse does not answer.")
    LatencyHigh: Duration = Field(
        default="1m", description="How late half of the stores' changes may be in the warehouse."
    )
    HeapFull: More = Field(default=90, description="Percent of the JVM's heap that may stay in use for half an hour.")
    ConnectorFailed: Switch = Field(default=True, description="A connector or task in Kafka Connect stays failed.")

    def thresholds(self) -> dict[tuple[str, ...], float]:
        """By alert; durations in seconds. One that is switched off is not among them."""
        return {(name,): float(value) for name, value in self if value is not None}
