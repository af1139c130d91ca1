"""What each store changed since an opening at which all had copies of one balance."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from conflict.resolution import Contribution
from conflict.values import majority, negative, total


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Of one column that some store has a value of."""

    total: Any  # the base, and what each store's present value is above or below its own at the opening
    base: Any  # what most stores had at the opening, the least of several; None where no store had a value then
    votes: int  # stores that had the base
    tied: bool  # as many had another value
    opening_us: int
    openings: tuple[tuple[str, Any], ...]  # store, what it had at the opening; only those that had a value
    doubtful: tuple[str, ...]  # stores of which the clocks cannot tell what they had

    @property
    def differing(self) -> tuple[tuple[str, Any], ...]:
        return tuple((store, value) for store, value in self.openings if value != self.base)


def changes_of(column: str, given: Sequence[Contribution], opening_us: int) -> Changes:
    """`given` are the rows that have a value now. Of a store with several they count together: what a customer owns
    under each is theirs."""
    had: dict[str, list[Any]] = defaultdict(list)
    for row in given:
        if (value := at_opening(column, row, opening_us)) is not None:
            had[row.store].append(value)
    openings = [(store, total(values)) for store, values in sorted(had.items())]
    votes, leading = majority(value for _, value in openings) if openings else (0, [])
    base = min(leading, default=None)
    parts = [
        *([] if base is None else [base]),
        *(row.values[column] for row in given),
        *(negative(value) for values in had.values() for value in values),
    ]
    return Changes(
        total=total(parts),
        base=base,
        votes=votes,
        tied=len(leading) > 1,
        opening_us=opening_us,
        openings=tuple(openings),
        doubtful=tuple(sorted({row.store for row in given if _is_doubtful(column, row, opening_us)})),
    )


def at_opening(column: str, row: Contribution, opening_us: int) -> Any:
    """What the row had just before its first change at or after the opening; a column that was not seen changing since
    has now what it had then. None where it was NULL, or the row was not there."""
    values = row.around.get((column, opening_us), ())
    if row.deleted:  # it counts with its last values, where it counts at all
        values = values[:-1] if values and values[-1].value is None else values
    if not values:
        return row.values[column]
    return next((was.value for was, now in pairwise(values) if now.came.effective_us >= opening_us), values[-1].value)


def _is_doubtful(column: str, row: Contribution, opening_us: int) -> bool:
    """Whether a change may have been made on the other side of the opening than it is taken to have been."""
    came: Iterable[Any] = (held.came for held in row.around.get((column, opening_us), ())[1:])
    return any(abs(each.effective_us - opening_us) < each.uncertainty_us for each in came)
