"""A policy's own tests as values: a few rows of stores, and the central rows that these are to make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenRow:
    store: str
    row: str  # which of the store's rows
    values: Mapping[str, Any]
    at_us: Mapping[str, int]  # by column, "" for all others
    since_us: Mapping[str, int]
    deleted: bool
    snapshot: bool


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
