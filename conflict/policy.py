"""The rules by which stores' rows become one agreed row, as values that never change.

A fingerprint changes if, and only if, what decides or what refers to it was changed.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from conflict.cases import Case
from conflict.condition import Condition, fingerprinted
from conflict.functions import Ask, Function, Modules

REST = "*"  # in the place of a column's name: every column that is not named
GUARDED_SECONDS, GUARDED_ROWS = 600.0, 100
CONTEST_WITHIN_SECONDS = 600.0  # two tills that edit one member within ten minutes are worth a look


class RuleName(StrEnum):
    LATEST = "latest"
    EARLIEST = "earliest"
    PRIORITY = "priority"
    OWNER = "owner"
    FIRST_NON_NULL = "first_non_null"
    MAJORITY = "majority"
    MAX = "max"
    MIN = "min"
    HIGHEST = "highest"
    LOWEST = "lowest"
    SUM = "sum"
    SUM_OF_CHANGES = "sum_of_changes"
    UNION = "union"
    CONSTANT = "constant"
    PER_STORE = "per_store"
    EQUAL_OR_FLAG = "equal_or_flag"
    REVIEW = "review"
    PYTHON = "python"


FALLING_BACK = frozenset({
    RuleName.PRIORITY, RuleName.OWNER, RuleName.MAJORITY, RuleName.HIGHEST, RuleName.LOWEST, RuleName.EQUAL_OR_FLAG,
    RuleName.REVIEW,
})  # fmt: skip
"""Rules that may find nothing to choose by, and then ask `then`: `latest` unless it is given. With `when` any may."""

TO_AGREE = frozenset({RuleName.EQUAL_OR_FLAG, RuleName.REVIEW})
"""Rules by which stores that differ are contested, whenever they came to."""

NO_ONES = frozenset({
    RuleName.SUM, RuleName.SUM_OF_CHANGES, RuleName.UNION, RuleName.CONSTANT, RuleName.PER_STORE, RuleName.PYTHON,
})  # fmt: skip
"""Rules whose value is no single store's, so that no store loses by it."""


class Deletes(StrEnum):
    LATEST = "latest"  # a delete competes by time
    ANY = "any"  # gone with the first delete, until some store inserts it anew
    ALL = "all"  # gone once every store deleted it
    NEVER = "never"


class Normaliser(StrEnum):
    EXACT = "exact"
    TRIM = "trim"
    UPPER = "upper"
    LOWER = "lower"
    DIGITS = "digits"
    EMAIL = "email"
    PHONE = "phone"  # of a region, such as phone:MY
    PHONE_CN = "phone_cn"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    rule: RuleName
    by: str = ""  # the store attribute that ranks them, in the policy's words
    ranks: tuple[tuple[str, ...], ...] = ()  # stores, best first; those that the attribute makes equal stand together
    order: tuple[str, ...] = ()  # of values, the lowest first; for highest and lowest
    separator: str = ","  # for union
    value: str | None = None  # for constant
    column: str = ""  # that names the owner
    owners: tuple[tuple[str, str], ...] = ()  # (what it says, the store it means); empty: it says store ids
    opening_us: int | None = None  # for sum_of_changes: when all stores had copies of one balance
    function: Function | None = None  # for python
    when: Condition | None = None  # which rows it looks at
    then: "ColumnRule | None" = None  # see FALLING_BACK

    @property
    def falls_back(self) -> bool:
        return self.when is not None or self.rule in FALLING_BACK

    @property
    def stores(self) -> tuple[str, ...]:
        return tuple(store for equals in self.ranks for store in equals)


LATEST = ColumnRule(rule=RuleName.LATEST)
BY_TIME = frozenset({RuleName.LATEST, RuleName.EARLIEST})
ASK_TIME = BY_TIME | {RuleName.PYTHON}  # a function of one's own is told when each store changed its value


def chain(rule: ColumnRule) -> Iterator[ColumnRule]:
    """The rule, and those it falls back on in turn."""
    yield rule
    while rule.falls_back:
        rule = rule.then or LATEST
        yield rule


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeMap:
    """Codes of stores, normalised, and the chain's that each of them is; two are equal if they say the same."""

    digest: str  # sha256 in hex, over what it says
    codes: Mapping[tuple[str, str], str] = field(compare=False, repr=False)  # (store, "" for any; code) → chain's code
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)  # what a person may not have meant

    def chain_code(self, store: str, code: str) -> str:
        """A code that it does not know stands as it is."""
        return self.codes.get((store, code)) or self.codes.get(("", code), code)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPart:
    column: str
    normaliser: Normaliser
    region: str = ""  # for PHONE: that of numbers which do not say theirs
    stop: frozenset[str] = frozenset()  # as written; compared once normalised
    codes: CodeMap | None = None

    @property
    def written(self) -> str:
        """How the policy says it."""
        return f"{self.normaliser}:{self.region}" if self.region else self.normaliser.value

    @property
    def facts(self) -> list[Any]:
        """All that keys follow from, as it is stored."""
        return [self.column, self.written, sorted(self.stop), *([self.codes.digest] if self.codes else [])]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedBalance:
    """A column that is to be the sum of what another table's rows say of its row, in each store."""

    column: str
    table: str  # one row a change
    row: str  # its column that names the row by its primary key
    change: str  # its column with what was added


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """What a store may do to the table before a person has looked at it; None: as it likes."""

    deletes: float | None = None  # share of its live rows
    rewrites: float | None = None
    within_seconds: float = GUARDED_SECONDS
    at_least: int = GUARDED_ROWS  # rows; fewer are never too many
    dark_seconds: float | None = None  # older changes are looked at first
    # looked for when asked (`sinks.anomalies`), and holding nobody:
    rows_per_key: int | None = None  # more live rows of one store under one key are odd
    same: tuple[str, ...] = ()  # columns in which stores with one key are not to differ
    flip_flops: int | None = None  # that many changes of a winner within the window, between two stores
    balances: tuple[AuditedBalance, ...] = ()


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
    guards: Guards | None = None
    ask: Ask | None = field(default=None, compare=False, repr=False)  # how functions of one's own are run

    def functions(self) -> list[tuple[str, Function]]:
        """Column, or REST, and a function that its rule asks."""
        rules = {**self.columns, REST: self.default}
        return [(column, each.function) for column, rule in rules.items() for each in chain(rule) if each.function]

    def rule_for(self, column: str) -> ColumnRule:
        return self.columns.get(column, self.default)

    def decides_by_time(self, column: str) -> bool:
        """Whether the column's rule, or one it falls back on, asks when a store changed it."""
        if any(part.column == column for part in self.key):
            return False
        return any(rule.rule in ASK_TIME for rule in chain(self.rule_for(column)))

    def asks_since(self, column: str) -> bool:
        """Whether the column's rule, or one it falls back on, asks since when a store has had a value."""
        return any(rule.rule is RuleName.EARLIEST for rule in chain(self.rule_for(column)))

    def opening_us(self, column: str) -> int | None:
        """Since when changes of the column add up, where its rule, or one it falls back on, adds them up."""
        if any(part.column == column for part in self.key):
            return None
        return next((rule.opening_us for rule in chain(self.rule_for(column)) if rule.opening_us is not None), None)

    def columns_of_conditions(self) -> dict[str, str]:
        """Column that some `when` names, as the policy writes it → as rows have it."""
        rules = [*self.columns.values(), self.default]
        conditions = [each.when for rule in rules for each in chain(rule) if each.when is not None]
        return {written: name for condition in conditions for written, name in condition.columns}

    @property
    def may_park(self) -> bool:
        """Whether some rule may be at its wits' end, so that a key cannot be decided."""
        rules = (*self.columns.values(), self.default)
        return any(each.when or each.function for rule in rules for each in chain(rule))

    def is_reviewed(self, column: str) -> bool:
        return self.rule_for(column).rule is RuleName.REVIEW

    def of_each_store(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Those of the columns that have no central value."""
        own = {part.column for part in self.key}
        return tuple(column for column in columns if column not in own and not self.decides(column))

    def decides(self, column: str) -> bool:
        return self.rule_for(column).rule is not RuleName.PER_STORE


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All shared tables; a table that is not in here is isolated."""

    version: int
    tables: Mapping[str, TablePolicy] = field(hash=False)
    fingerprint: str  # sha256 in hex, over everything but the version
    # isolated table → its column → the shared table whose rows' ids it holds
    references: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    source: "PolicySource | None" = field(default=None, compare=False, repr=False)
    cases: tuple[Case, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySource:
    """All that a policy is made of."""

    text: str  # the YAML
    stores: Mapping[str, Mapping[str, Any]] | None  # what is said of each store; None where that was not at hand
    files: Mapping[str, str] = field(default_factory=dict)  # the text of those that the YAML names, as it names them
    modules: Modules = field(default_factory=lambda: MappingProxyType({}))  # that its functions are in


# --- the fingerprint --------------------------------------------------------------------------------------


def policy_of(
    version: int, tables: dict[str, TablePolicy], references: Mapping[str, Mapping[str, str]] = MappingProxyType({})
) -> Policy:
    decides = {name: _what_decides(table) for name, table in tables.items()}
    said = [decides, {name: dict(each) for name, each in references.items()}] if references else decides
    text = json.dumps(said, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    return Policy(version=version, tables=MappingProxyType(tables), fingerprint=fingerprint, references=references)


def _what_decides(table: TablePolicy) -> dict[str, Any]:
    """Written out field by field: the fingerprint is stored, so renaming a field must not change it."""
    guards = {"guards": _guards(table.guards)} if table.guards else {}
    return {
        **guards,
        "key": [part.facts for part in table.key],
        "changed_at": table.changed_at,
        "columns": {name: _rule(rule) for name, rule in table.columns.items() if rule != table.default},
        "default": _rule(table.default),
        "deletes": table.deletes,
        "contest_within_seconds": table.contest_within_seconds,
        "contest_ignore": sorted(table.contest_ignore),
    }


def _guards(guards: Guards) -> dict[str, Any]:
    return {
        "deletes": guards.deletes,
        "rewrites": guards.rewrites,
        "within_seconds": guards.within_seconds,
        "at_least": guards.at_least,
        "dark_seconds": guards.dark_seconds,
        "rows_per_key": guards.rows_per_key,
        "same": list(guards.same),
        "flip_flops": guards.flip_flops,
        "balances": [[each.column, each.table, each.row, each.change] for each in guards.balances],
    }


def _rule(rule: ColumnRule) -> dict[str, Any]:
    then = _rule(rule.then) if rule.then else None
    said: dict[str, Any] = {"rule": rule.rule, "stores": list(rule.stores), "then": then}
    if rule.by:
        said["ranks"] = rule.ranks
    if rule.order:
        said["order"] = rule.order
    if rule.rule is RuleName.UNION:
        said["separator"] = rule.separator
    if rule.rule is RuleName.CONSTANT:
        said["value"] = rule.value
    if rule.rule is RuleName.OWNER:
        said["column"], said["owners"] = rule.column, rule.owners
    if rule.rule is RuleName.SUM_OF_CHANGES:
        said["opening_us"] = rule.opening_us
    if rule.function is not None:
        said["function"] = [rule.function.name, rule.function.seconds, rule.function.digest]
    if rule.when is not None:
        said["when"] = fingerprinted(rule.when)
    return said


EMPTY_POLICY = policy_of(0, {})
