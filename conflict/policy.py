"""The rules by which stores' rows become one agreed row, as values that never change.

A fingerprint changes if, and only if, what decides was changed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

CONTEST_WITHIN_SECONDS = 600.0  # two tills that edit one member within ten minutes are worth a look


class RuleName(StrEnum):
    LATEST = "latest"
    PRIORITY = "priority"
    SUM = "sum"
    MAX = "max"
    MIN = "min"
    FIRST_NON_NULL = "first_non_null"


class Deletes(StrEnum):
    LATEST = "latest"  # a delete competes by time
    ALL = "all"  # gone once every store deleted it
    NEVER = "never"


class Normaliser(StrEnum):
    EXACT = "exact"
    TRIM = "trim"
    UPPER = "upper"
    LOWER = "lower"
    DIGITS = "digits"
    PHONE_CN = "phone_cn"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    rule: RuleName
    stores: tuple[str, ...] = ()  # best first; for priority and first_non_null
    then: "ColumnRule | None" = None  # for priority, where none of its stores has a row


LATEST = ColumnRule(rule=RuleName.LATEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPart:
    column: str
    normaliser: Normaliser
    stop: frozenset[str] = frozenset()  # as written; compared once normalised


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePolicy:
    """How one shared table is decided."""

    table: str
    key: tuple[KeyPart, ...]
    changed_at: str | None = None  # the POS's own column with the time of change
    columns: Mapping[str, ColumnRule] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    default: ColumnRule = LATEST
    deletes: Deletes = Deletes.LATEST
    contest_within_seconds: float = CONTEST_WITHIN_SECONDS
    contest_ignore: frozenset[str] = frozenset()

    def rule_for(self, column: str) -> ColumnRule:
        return self.columns.get(column, self.default)

    def decides_by_time(self, column: str) -> bool:
        """Whether the column's rule, or one it falls back on, asks when a store changed it."""
        if any(part.column == column for part in self.key):
            return False
        rule: ColumnRule | None = self.rule_for(column)
        while rule is not None:
            if rule.rule is RuleName.LATEST:
                return True
            if rule.then is None:
                return rule.rule is RuleName.PRIORITY  # which falls back on `latest`
            rule = rule.then
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All shared tables; a table that is not in here is isolated."""

    version: int
    tables: Mapping[str, TablePolicy] = field(hash=False)
    fingerprint: str  # sha256 in hex, over everything that decides; not over the version


# --- the fingerprint --------------------------------------------------------------------------------------


def policy_of(version: int, tables: dict[str, TablePolicy]) -> Policy:
    decides = {name: _what_decides(table) for name, table in tables.items()}
    text = json.dumps(decides, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    return Policy(version=version, tables=MappingProxyType(tables), fingerprint=fingerprint)


def _what_decides(table: TablePolicy) -> dict[str, Any]:
    """Written out field by field: the fingerprint is stored, so renaming a field must not change it."""
    return {
        "key": [[part.column, part.normaliser, sorted(part.stop)] for part in table.key],
        "changed_at": table.changed_at,
        "columns": {name: _rule(rule) for name, rule in table.columns.items() if rule != table.default},
        "default": _rule(table.default),
        "deletes": table.deletes,
        "contest_within_seconds": table.contest_within_seconds,
        "contest_ignore": sorted(table.contest_ignore),
    }


def _rule(rule: ColumnRule) -> dict[str, Any]:
    then = _rule(rule.then) if rule.then else None
    return {"rule": rule.rule, "stores": list(rule.stores), "then": then}


EMPTY_POLICY = policy_of(0, {})
