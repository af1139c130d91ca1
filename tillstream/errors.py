"""The one error tree. It answers the only question a worker asks: try again, or set aside?

TillstreamError
  ├─ ConfigError       refused before anything starts; lists every fault with file and line
  ├─ RefusedError      a store or a warehouse that must not be worked with as it is; says the remedy
  ├─ TransientError    the same call may succeed later → retry with backoff
  │    └─ UnreachableError   nothing answered at all → exit code 3, nothing was judged
  │         └─ StoreUnreachableError   a store's MySQL did not answer: it is dark
  ├─ LeaseLostError    another worker owns the lane now → roll back and stop that lane
  ├─ UndecidableError  a key that its rules cannot decide as it stands → parked, until something of it changes
  └─ PoisonError       this event never will → dead letter, with its coordinates
"""

from dataclasses import dataclass


class TillstreamError(Exception):
    """Base of everything Tillstream raises on purpose; its text is fit for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong in a file a person wrote, and where."""

    file: str
    line: int  # 1-based; 0 where the file as a whole is meant
    path: str  # dotted path inside the document, "" for the whole
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigError(TillstreamError):
    """Every fault of a configuration at once."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


class RefusedError(TillstreamError):
    """Something outside is in a state that would lose or bend data; the text names it and the remedy."""


class TransientError(TillstreamError):
    """The same call may succeed later."""


class UnreachableError(TransientError):
    """What is asked over the network did not answer."""


class StoreUnreachableError(UnreachableError):
    """A store's MySQL did not answer: its line or its server is down, and nothing of ours."""


class LeaseLostError(TillstreamError):
    """The ledger's lease generation moved on: this worker may not write for the lane any more."""


class UndecidableError(TillstreamError):
    """The rule of a column comes to nothing for one key; the text says why."""

    def __init__(self, column: str, reason: str) -> None:
        self.column, self.reason = column, reason
        super().__init__(f"{column}: {reason}")


class PoisonError(TillstreamError):
    """An event that can never be applied as it is. The coordinates say where it stands in the store's log."""

    def __init__(
        self, reason: str, *, store: str, table: str, key: str = "", position: str = "", ask_store: bool = False
    ) -> None:
        """`ask_store`: the event does not tell, but the store itself may."""
        self.reason, self.store, self.table, self.key, self.position = reason, store, table, key, position
        self.ask_store = ask_store
        super().__init__(f"store {store}, table {table}, key {key or '?'}, at {position or '?'}: {reason}")
