"""What another policy would make of the central values: the differences, counted and with samples."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from conflict.explain import rule_in_words
from conflict.policy import TablePolicy


class Scope(StrEnum):
    """What becomes of a table."""

    STAYS = "stays"  # shared, under the same keys
    REKEYED = "rekeyed"  # shared, under keys made in another way
    SHARED = "shared"  # newly
    ISOLATED = "isolated"  # no longer shared


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedValue:
    """One central value. A store is None where the value is no single store's."""

    key: str
    column: str
    old: str | None
    new: str | None
    from_store: str | None
    to_store: str | None


@dataclass(slots=True, kw_only=True)
class TableDifference:
    """Of one table; counts are complete, samples are the first."""

    table: str
    scope: Scope
    samples_at_most: int
    rules: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # column → (as it is, as it would be)
    untimed: frozenset[str] = frozenset()  # decided by time, and no times of their changes were kept so far
    notes: list[str] = field(default_factory=list)
    keys: int = 0
    complete: bool = True  # False where only the first keys were looked at
    pending: int = 0  # keys that wait to be decided anyway, and are not among the rest
    undecided: int = 0  # keys that its rules cannot decide: their rows would stay as they are
    samples_undecided: list[tuple[str, str]] = field(default_factory=list)  # (key, why)
    rows_changed: int = 0
    appearing: int = 0
    disappearing: int = 0
    samples_appearing: list[str] = field(default_factory=list)
    samples_disappearing: list[str] = field(default_factory=list)
    moves: Counter[tuple[str, str | None, str | None]] = field(default_factory=Counter)  # (column, from, to)
    samples: dict[str, list[ChangedValue]] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        return bool(self.values or self.appearing or self.disappearing)

    @property
    def values(self) -> int:
        return self.moves.total()

    def values_of(self, column: str) -> int:
        return sum(count for (name, _, _), count in self.moves.items() if name == column)

    def row_appears(self, key: str) -> None:
        self.appearing += 1
        _keep(self.samples_appearing, key, self.samples_at_most)

    def row_disappears(self, key: str, rows: int = 1) -> None:
        self.disappearing += rows
        _keep(self.samples_disappearing, key, self.samples_at_most)

    def not_decided(self, keys: Mapping[str, Exception]) -> None:
        self.undecided += len(keys)
        for key, why in keys.items():
            _keep(self.samples_undecided, (key, str(why)), self.samples_at_most)

    def row_changes(self, values: list[ChangedValue]) -> None:
        self.rows_changed += bool(values)
        for each in values:
            self.moves[each.column, each.from_store, each.to_store] += 1
            _keep(self.samples.setdefault(each.column, []), each, self.samples_at_most)


def scope_of(old: TablePolicy | None, new: TablePolicy | None) -> Scope | None:
    """None where nothing that decides is different."""
    if old is None or new is None:
        return None if old is new else Scope.SHARED if old is None else Scope.ISOLATED
    if old.key != new.key:
        return Scope.REKEYED
    return None if old == new else Scope.STAYS


def rules_of(column: str, old: TablePolicy, new: TablePolicy) -> tuple[str, str]:
    return (_rule(column, old), _rule(column, new))


def _rule(column: str, policy: TablePolicy) -> str:
    for part in policy.key:
        if part.column == column:
            return f"key, {part.written}"
    return rule_in_words(policy.rule_for(column))


def _keep(samples: list[Any], one: Any, at_most: int) -> None:
    if len(samples) < at_most:
        samples.append(one)
