"""What is known of the stores' clocks, for whoever reads what the stores contribute."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from conflict.clock import Correction, StoreClock
from conflict.resolution import OPENING, UNSEEN, ColumnStamp, Held
from sinks.warehouse import Transaction

# Whoever adds some is alone while doing so (see `sinks.policy_versions`): the numbers are seen in their order.
_CORRECTIONS = """\
SELECT id, store, epoch, file, pos, offset_us, uncertainty_us, earliest_us, latest_us
FROM tillstream.clock_corrections WHERE id > %s ORDER BY id"""


class KnownClocks:
    """Corrections are only ever added, so those that were read once are not read again."""

    def __init__(self) -> None:
        self._last = 0
        self._corrections: dict[str, list[Correction]] = defaultdict(list)
        self._clocks: dict[str, StoreClock] = defaultdict(StoreClock)
        self.greatest_doubt_us = 0  # of any store's times, as last read

    def read(self, tx: Transaction) -> Mapping[str, StoreClock]:
        """Of every store; one that is not named has never been off."""
        rows = tx.rows(_CORRECTIONS, [self._last])
        for self._last, store, *since, offset_us, uncertainty_us, earliest_us, latest_us in rows:
            self._corrections[store].append(
                Correction(
                    since=tuple(since),
                    offset_us=offset_us,
                    uncertainty_us=uncertainty_us,
                    earliest_us=earliest_us,
                    latest_us=latest_us,
                )
            )
        for store in {row[1] for row in rows}:
            self._clocks[store] = StoreClock(self._corrections[store])
        self.greatest_doubt_us = max((self.greatest_doubt_us, *(row[6] for row in rows)))
        return self._clocks


def read_stamps(clock: StoreClock, stored: Mapping[str, Any] | None) -> dict[str, ColumnStamp]:
    """`_stamps` as the warehouse keeps them: see `tillstream.join_stamps`."""
    items = ((name, stamp) for name, stamp in (stored or {}).items() if isinstance(stamp, list))
    if clock.was_never_off:  # nothing to correct, and of a time that ran backwards the later one stands as it is
        return {name: _as_it_is(*stamp) for name, stamp in items}
    return {name: _timed(clock, name, *stamp) for name, stamp in items}


def read_around(
    clock: StoreClock, stored: Mapping[str, Any] | None, kinds: Mapping[str, str]
) -> dict[tuple[str, int], tuple[Held, ...]]:
    """The values around openings that stand beside them: see `tillstream.join_around`. `kinds` are the columns'
    types."""
    return {
        (name, int(opening)): tuple(_held(clock, _NUMBERS.get(kinds[name], Decimal), *each) for each in values)
        for register, by_opening in (stored or {}).items()
        if isinstance(by_opening, dict) and (name := register.removesuffix(OPENING)) in kinds
        for opening, values in by_opening.items()
    }


_NUMBERS: Mapping[str, Callable[[str], Any]] = {"real": float, "double precision": float}


def _held(clock: StoreClock, number: Callable[[str], Any], text: str | None, stamp: Any = None) -> Held:
    return Held(None if text is None else number(text), UNSEEN if stamp is None else _timed(clock, "", *stamp))


def _as_it_is(
    epoch: int, file: int, pos: int, row: int, order: int, at_us: int, _: int, ahead: Any = None
) -> ColumnStamp:
    return ColumnStamp((epoch, file, pos, row, order), at_us if ahead is None else max(at_us, ahead[5]))


def _timed(
    clock: StoreClock,
    name: str,
    epoch: int,
    file: int,
    pos: int,
    row: int,
    order: int,
    at_us: int,
    _: int,
    ahead: Any = None,
) -> ColumnStamp:
    # What a column was found to hold when the store was asked (`asked_stamp`) we dated ourselves. A snapshot's rows,
    # which have no number there, are dated by the store, and so is what stands under a blank.
    is_ours = row < 0 < order and not name.endswith(" ")
    before = None if ahead is None else (tuple(ahead[:5]), ahead[5])
    return clock.timed((epoch, file, pos, row, order), at_us, before, is_ours=is_ours)
