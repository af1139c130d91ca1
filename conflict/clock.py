"""What a store's own times are worth: each read by one clock, ours, with how far it may be off.

Nothing here depends on when an event arrived: a time follows from what the store wrote into its log, where it stands
there, and the corrections that are known of the store's clock.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from conflict.resolution import NEVER_OBSERVED, SINCE, ColumnStamp, Contribution

CLOCK_RESOLUTION_US = 1_000_000  # MySQL 5.6 stamps an event with the whole second in which its statement began
LET_PASS_US = 2_000_000  # no clock that follows a time server is off by more; below it measuring is left alone
TELLING_US = 500_000  # a look over a slower line tells too little of a clock to be counted as one

Place = tuple[int, ...]  # (epoch, file, position, ...) in a store's log


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a store's clock was off by, for whatever its log has from `since` on."""

    since: Place  # (epoch, file, position)
    offset_us: int  # the store's clock minus ours
    uncertainty_us: int
    earliest_us: int | None = None  # by our clock: what stands there was written no earlier
    latest_us: int | None = None  # and no later

    def corrected(self, at_us: int) -> int:
        at_us -= self.offset_us
        if self.latest_us is not None:
            at_us = min(at_us, self.latest_us)
        return at_us if self.earliest_us is None else max(at_us, self.earliest_us)


RIGHT = Correction(since=(0, 0, 0), offset_us=0, uncertainty_us=0)


class StoreClock:
    """One store's corrections, given in the order in which they were found."""

    def __init__(self, corrections: Iterable[Correction] = ()) -> None:
        self._corrections = sorted(corrections, key=lambda each: each.since)
        self._since = [each.since for each in self._corrections]

    @property
    def was_never_off(self) -> bool:
        return not self._since

    def at(self, place: Place) -> Correction:
        found = bisect_right(self._since, tuple(place[:3]))
        return self._corrections[found - 1] if found else RIGHT

    def timed(
        self, place: Place, at_us: int, ahead: tuple[Place, int] | None = None, *, is_ours: bool = False
    ) -> ColumnStamp:
        """When a change was made that the store dates `at_us`, or our own clock does. `ahead` is the one before it on
        its row that the store dates later, if any, the latest of all: a row's time does not run backwards."""
        own = RIGHT if is_ours else self.at(place)
        effective_us = corrected_us = own.corrected(at_us)
        uncertainty_us = own.uncertainty_us
        if ahead is not None:
            before = self.at(ahead[0])
            if (before_us := before.corrected(ahead[1])) > effective_us:
                effective_us, uncertainty_us = before_us, max(uncertainty_us, before.uncertainty_us)
        return ColumnStamp(place, effective_us, uncertainty_us, corrected_us - at_us)


def cannot_tell(one: ColumnStamp, other: ColumnStamp) -> bool:
    """Whether either may have been first: what a clock shows for a second may be any moment of it, and the doubts come
    to that. Not transitive, so it is asked against one time only, never from pair to pair."""
    if NEVER_OBSERVED in (one.effective_us, other.effective_us):
        return one.effective_us == other.effective_us
    apart_us = abs(one.effective_us - other.effective_us)
    return apart_us < CLOCK_RESOLUTION_US + one.uncertainty_us + other.uncertainty_us


def last_changed(column: str, contribution: Contribution) -> ColumnStamp:
    """When the store last changed the column, as far as anyone can know.

    A column that was only ever seen in a snapshot has the time that the POS itself gave the row then (`changed_at`), or
    none, and loses to every observed change. Never the row's present `changed_at`: other columns move that.
    """
    return contribution.stamps.get(column, contribution.snapshot)


def had_since(column: str, contribution: Contribution) -> ColumnStamp:
    """Since when the store has had a value, corrected or not. One that was never seen to come was there before."""
    return contribution.stamps.get(column + SINCE, contribution.snapshot)


def effective_us(column: str, contribution: Contribution) -> int:
    return last_changed(column, contribution).effective_us


def moment(effective_us: int) -> str:
    """To the second, as MySQL stamps a change, unless there is more of it."""
    at = datetime.fromtimestamp(effective_us // 1_000_000, UTC)
    fraction = effective_us % 1_000_000
    return f"{at:%Y-%m-%d %H:%M:%S}{f'.{fraction:06d}' if fraction else ''} UTC"


# --- how corrections come into being ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A store's clock beside ours, and where its log ended then."""

    place: Place  # (epoch, file, position)
    began_us: int  # by our clock, before the log's end was asked for
    ended_us: int
    offset_us: int
    uncertainty_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLook:
    """The one before, in the same epoch."""

    place: Place
    began_us: int


def corrections_after(clock: StoreClock, last: LastLook | None, look: Look) -> tuple[Correction, ...]:
    """What is to be added to the store's corrections; nothing as long as its clock runs as it is known to.

    Of what was written between two looks nobody knows by which clock, but that it was between them. Where nobody had
    looked in this epoch, the clock is taken to have been so from the beginning of it.
    """
    known = clock.at(look.place)
    tolerance_us = look.uncertainty_us + LET_PASS_US
    if abs(look.offset_us - known.offset_us) <= max(tolerance_us, look.uncertainty_us + known.uncertainty_us):
        return ()
    now = replace(RIGHT, since=look.place)
    if abs(look.offset_us) > tolerance_us:
        now = replace(now, offset_us=look.offset_us, uncertainty_us=tolerance_us)
    if last is None:
        return (replace(now, since=(look.place[0], 0, 0)),)
    return (_between(known, now, last, look), now) if last.place < look.place else (now,)


def _between(before: Correction, after: Correction, last: LastLook, look: Look) -> Correction:
    jump_us = abs(after.offset_us - before.offset_us) // 2 + max(before.uncertainty_us, after.uncertainty_us)
    return Correction(
        since=last.place,
        offset_us=(before.offset_us + after.offset_us) // 2,
        uncertainty_us=min(jump_us, max(look.ended_us - last.began_us, 0)),
        earliest_us=last.began_us,
        latest_us=look.ended_us,
    )
