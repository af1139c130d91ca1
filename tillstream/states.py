"""The states a store can be in, and what its supervisor reports."""

from dataclasses import dataclass
from enum import StrEnum


class StoreState(StrEnum):
    STARTING = "starting"
    SNAPSHOT = "snapshot"  # being read for the first time, or anew
    LIVE = "live"  # following the store's log
    UNREACHABLE = "unreachable"  # retried for ever
    REFUSED = "refused"  # something a person has to put right; the reason says what
    PAUSED = "paused"  # by a person; its log waits
    RETIRED = "retired"  # closed for good
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    store: str
    name: str
    state: StoreState
    reason: str = ""
    head: tuple[int, int] | None = None  # where the store's log ends: (file number, position)
    lag_seconds: float | None = None  # how long that has been ahead of the warehouse; None: not known yet
    capture_lag_seconds: float | None = None  # and ahead of what was captured
    is_caught_up: bool = False  # the warehouse has all that the log has
    complete_at: float | None = None  # by time.monotonic(): all that was committed until then is in the warehouse
    retention_seconds: int | None = None  # how long the store keeps its log; None: for ever, or not known
    clock_offset_seconds: float | None = None  # the store's clock minus ours
    clock_uncertainty_seconds: float | None = None
