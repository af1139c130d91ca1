"""What rules make of values alone. None of it depends on the order in which they come."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from functools import lru_cache, reduce
from typing import Any

_EXACTLY = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)  # the default rounds to 28 digits, MySQL has 65
ORDERS = 256  # as many as policies have


def total(values: Sequence[Any]) -> Any:
    if any(isinstance(value, float) for value in values):
        return math.fsum(values)  # exact, so that order cannot matter
    return reduce(_EXACTLY.add, values, Decimal(0))


def negative(value: Any) -> Any:
    return -value if isinstance(value, float) else _EXACTLY.minus(value)


def increase(value: Any, other: Any) -> Any:
    """`other` may be None, which is nothing."""
    return value if other is None else total([value, negative(other)])


def difference(left: Decimal | int, right: Decimal | int) -> Decimal:
    return _EXACTLY.subtract(left, right)


def product(left: Decimal | int, right: Decimal | int) -> Decimal:
    return _EXACTLY.multiply(left, right)


def united(values: Iterable[str], separator: str) -> str:
    """The parts that any of them has, each once, sorted; blanks around a part and empty parts are none of it."""
    parts = {part.strip() for value in values for part in value.split(separator)}
    return separator.join(sorted(parts - {""}))


def majority(values: Iterable[Any]) -> tuple[int, list[Any]]:
    """How many votes the leading values have, and which those are."""
    votes = Counter(values)
    most = max(votes.values())
    return most, [value for value, count in votes.items() if count == most]


def place_in_order(value: Any, order: tuple[str, ...]) -> int:
    """-1 for a value that the order does not know; numbers are alike however they are written."""
    return _places(order).get(_comparable(value), -1)


@lru_cache(maxsize=ORDERS)
def _places(order: tuple[str, ...]) -> dict[Any, int]:
    return {_comparable(word): place for place, word in enumerate(order)}


def _comparable(value: Any) -> Any:
    text = str(value)
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return number if number.is_finite() else text
