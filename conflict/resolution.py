"""What stores contribute to one business key, and what was decided from it. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NEVER_OBSERVED = -1  # an effective time before all others: the value was only ever seen in a snapshot
# No column's name can end in a space, so registers that are not of a column's last change are named by one.
SINCE = " "  # after a column: when it last came to have a value
OPENING = "  "  # after a column: by opening, its values around that, the first as it was first seen
SNAPSHOT = " "  # alone: the POS's own time of change when a snapshot first saw the row
INSERTED = "  "  # when the row was last inserted
CHANGED = "   "  # the row's last observed change, whatever it changed


class ColumnStamp(NamedTuple):
    """The last observed change of one column: where in its store's log, and its effective time."""

    position: tuple[int, ...]  # (epoch, file, pos, row, order)
    effective_us: int  # by our clock
    uncertainty_us: int = 0  # how far that may be off, beside the second that a clock shows
    correction_us: int = 0  # what was added to the store's own time of it

    @property
    def was_read(self) -> bool:
        """Found in a row read anew, which stands in front of all rows that the log has at its position."""
        return self.position[3] < 0


UNSEEN = ColumnStamp((), NEVER_OBSERVED)


class Held(NamedTuple):
    """A value that a column had, and the change by which it came."""

    value: Any  # exact; None where it was NULL or the row was not there
    came: ColumnStamp  # UNSEEN: it was there before anyone looked


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One store's row under the key. `columns` are those its store has: a missing one is absent, not NULL."""

    store: str
    pk: str
    position: tuple[int, ...]  # of the row's last change in that store's log
    changed_us: int  # effective time of the row's last observed change, NEVER_OBSERVED without one
    deleted: bool
    snapshot: ColumnStamp = UNSEEN  # the POS's own time of change when a snapshot first saw the row
    inserted_us: int = NEVER_OBSERVED  # effective time of its last observed insert
    read_us: int = NEVER_OBSERVED  # our time, where the row came from the store itself and not from its log
    quarantined_us: int | None = None  # what its store changed since then is not believed
    columns: frozenset[str]
    values: Mapping[str, Any] = field(hash=False)
    stamps: Mapping[str, ColumnStamp] = field(hash=False)
    # (column, opening in us) → its values in order, up to the first that surely came after; absent: it never changed
    around: Mapping[tuple[str, int], Sequence[Held]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Stores that differed about a column within the policy's window, and why one of them won."""

    column: str
    rule: str
    winner: str | None
    value: Any
    losers: tuple[tuple[str, Any, int], ...]  # (store, value, effective time in us)
    reason: str
    fingerprint: str  # the same contest again has the same one


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The agreed row; `exists` is False where the rules say that there is none (any more)."""

    exists: bool
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)
    winners: Mapping[str, str] = field(default_factory=dict, hash=False)  # column → store; absent for sums
    newest: Mapping[str, str] = field(default_factory=dict, hash=False)  # column → who changed it last, if another
    stores: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()  # decided between times that the clocks cannot tell apart
    contests: tuple[Contest, ...] = ()
