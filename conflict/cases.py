"""A policy's own tests as values: a few rows of stores, and the central rows that these are to make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenRow:
    """One store's row. Numbers are Decimals, times ISO texts."""

    store: str
    values: Mapping[str, Any]
    at_us: Mapping[str, int]  # by column, "" for all others
    since_us: Mapping[str, int]
    deleted: bool
    deleted_us: int | None  # None: with its last change
    snapshot: bool
    openings: Mapping[str, Any]  # by column: what it had at the opening, if it was changed since


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRow:
    """None: not looked at."""

    values: Mapping[str, Any]
    winners: Mapping[str, str] | None
    contested: frozenset[str] | None
    uncertain: frozenset[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    line: int  # in the file
    given: Mapping[str, Sequence[GivenRow]]  # by table
    expected: Mapping[str, Sequence[ExpectedRow]]


def time_us(given: Any) -> int:
    """A date, a datetime or an ISO text; UTC where it names no zone. ValueError for anything else."""
    if isinstance(given, str):
        given = datetime.fromisoformat(given)
    if isinstance(given, date) and not isinstance(given, datetime):
        given = datetime(given.year, given.month, given.day)
    if not isinstance(given, datetime):
        raise ValueError("not a time")
    since = (given if given.tzinfo else given.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
