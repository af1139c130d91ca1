"""policies.yaml: what it may say. A Policy is made of it only if everything in it was understood."""

import re
from collections.abc import Collection, Iterator
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator
from pydantic.functional_validators import AfterValidator

from conflict.policy import (
    CONTEST_WITHIN_SECONDS,
    LATEST,
    ColumnRule,
    Deletes,
    KeyPart,
    Normaliser,
    Policy,
    RuleName,
    TablePolicy,
    policy_of,
)
from tillstream.checked_yaml import Document, Entry, json_schema, suggestion, validate
from tillstream.errors import Fault

REST = "*"  # in `columns`: every column that is not named
_UNITS_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TAKES_STORES = (RuleName.PRIORITY, RuleName.FIRST_NON_NULL)


def _known_store(store: str, info: ValidationInfo) -> str:
    known: Collection[str] | None = (info.context or {}).get("known_stores")
    if known is not None and store not in known:
        near = suggestion(store, known, otherwise=" of tillstream.yaml")
        raise ValueError(f'"{store}" is not a store{near}')
    return store


def _rule_mapping(given: Any) -> Any:
    return {"rule": given} if isinstance(given, str) else given


def _normaliser_mapping(given: Any) -> Any:
    return {"as": given} if isinstance(given, str) else given


def _key_mapping(given: Any) -> Any:
    """[sku] is short for {sku: exact}."""
    if not isinstance(given, list):
        return given
    if not all(isinstance(column, str) for column in given) or len(set(given)) < len(given):
        raise ValueError("must be a list of different columns, such as [sku], or {column: normaliser}")
    return dict.fromkeys(given, Normaliser.EXACT.value)


def _duration_seconds(given: Any) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", given) if isinstance(given, str) else None
    if match is None:
        raise ValueError("must be a duration with its unit, such as 30s, 10m, 2h or 1d")
    return float(match[1]) * _UNITS_SECONDS[match[2]]


Name = Annotated[str, Field(min_length=1)]


class RuleEntry(Entry):
    rule: RuleName = Field(title="rule", description="How the column's central value is decided.")
    stores: tuple[Annotated[Name, AfterValidator(_known_store)], ...] = Field(
        default=(), description="Store ids, best first; for priority and first_non_null."
    )
    then: Annotated[
        "RuleEntry | None",
        BeforeValidator(_rule_mapping, json_schema_input_type="RuleName | RuleEntry | None"),
    ] = Field(default=None, description="For priority: what decides if none of its stores has a row.")

    @model_validator(mode="after")
    def _means_something(self) -> "RuleEntry":
        if self.rule is RuleName.PRIORITY and not self.stores:
            raise ValueError("priority needs `stores`, best first: {rule: priority, stores: [hq]}")
        if self.stores and self.rule not in _TAKES_STORES:
            raise ValueError(f"{self.rule} does not look at `stores`; only priority and first_non_null do")
        if self.then and self.rule is not RuleName.PRIORITY:
            raise ValueError(f"{self.rule} has no use for `then`; only priority takes it")
        if len(set(self.stores)) < len(self.stores):
            raise ValueError("`stores` names a store twice")
        return self

    def value(self) -> ColumnRule:
        then = self.then.value() if self.then else None
        return ColumnRule(rule=self.rule, stores=self.stores, then=then)


class KeyPartEntry(Entry):
    normaliser: Normaliser = Field(
        alias="as", title="normaliser", description="How the column's text is made comparable."
    )
    stop: tuple[Name, ...] = Field(default=(), description="Values that identify nothing, such as 00000000.")


class ContestEntry(Entry):
    within: Annotated[
        float,
        BeforeValidator(
            _duration_seconds,
            json_schema_input_type=Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?[smhd]$")],
        ),
    ] = Field(
        default=CONTEST_WITHIN_SECONDS,
        description="Different values of two stores this close in time are contested; such as 10m.",
        json_schema_extra={"default": "10m"},
    )
    ignore: tuple[Name, ...] = Field(default=(), description="Columns whose differences are no contest.")


KeyForm = dict[str, Normaliser | KeyPartEntry] | list[str]
KeyPartForm = Annotated[
    KeyPartEntry, BeforeValidator(_normaliser_mapping, json_schema_input_type=Normaliser | KeyPartEntry)
]
KeyMapping = Annotated[
    dict[Name, KeyPartForm],
    Field(min_length=1),
    BeforeValidator(_key_mapping, json_schema_input_type=KeyForm),
]


class TableEntry(Entry):
    scope: Literal["shared", "isolated"] = Field(
        default="isolated", description="shared: one central row per business key; isolated: none."
    )
    key: KeyMapping | None = Field(
        default=None, description="Business key: {column: normaliser}, or [column] to take it as it is."
    )
    changed_at: Name | None = Field(
        default=None,
        description="The POS's own column with the time of change, for snapshots.",
    )
    columns: dict[Name, RuleEntry] = Field(
        default_factory=dict, description='Rule per column; "*" is for the rest, latest if left out.'
    )
    deletes: Deletes = Field(default=Deletes.LATEST, description="What a store's delete means for the chain.")
    contest: ContestEntry = Field(default_factory=ContestEntry, description="When stores count as in conflict.")

    def value(self, table: str) -> TablePolicy:
        rules = {column: entry.value() for column, entry in self.columns.items()}
        return TablePolicy(
            table=table,
            key=tuple(
                KeyPart(column=column, normaliser=part.normaliser, stop=frozenset(part.stop))
                for column, part in (self.key or {}).items()
            ),
            changed_at=self.changed_at,
            default=rules.pop(REST, LATEST),
            columns=MappingProxyType(rules),
            deletes=self.deletes,
            contest_within_seconds=self.contest.within,
            contest_ignore=frozenset(self.contest.ignore),
        )


class PolicyFile(Entry):
    """policies.yaml as it is written."""

    version: Annotated[int, Field(strict=True, ge=1)] = Field(description="Raise it with every change.")
    tables: dict[Name, TableEntry] = Field(description="Tables by name; one not named is isolated.")


def parse_policy(document: Document, known_stores: Collection[str] | None = None) -> Policy:
    """The checked policy; ConfigError with every fault. Store ids are checked if `known_stores` is given."""
    further = list(_faults_between_parts(document))
    entry = validate(document, PolicyFile, further=further, context={"known_stores": known_stores})
    shared = {name: table.value(name) for name, table in entry.tables.items() if table.scope == "shared"}
    return policy_of(entry.version, shared)


def policy_schema() -> dict[str, Any]:
    return json_schema(PolicyFile, title="policies.yaml")


# Faults between parts are looked for in the raw data, so that they are found beside the faults of the parts.


def _faults_between_parts(document: Document) -> Iterator[Fault]:
    tables = document.data.get("tables") if isinstance(document.data, dict) else None
    for name, table in (tables if isinstance(tables, dict) else {}).items():
        if not isinstance(table, dict):
            continue
        if table.get("scope", "isolated") == "isolated":
            yield from _rules_without_scope(document, name, table)
        elif table.get("key") is None and table["scope"] == "shared":
            message = "a shared table needs its business key, such as {phone: phone_cn}"
            yield document.fault(("tables", name, "key"), message)
        yield from _rules_of_key_columns(document, name, table)


def _rules_without_scope(document: Document, name: str, table: dict[str, Any]) -> Iterator[Fault]:
    for word in table:
        if word in TableEntry.model_fields and word != "scope":
            message = "means nothing in an isolated table; write `scope: shared` or take it out"
            yield document.fault(("tables", name, word), message)


def _rules_of_key_columns(document: Document, name: str, table: dict[str, Any]) -> Iterator[Fault]:
    key, columns = table.get("key"), table.get("columns")
    if not isinstance(key, list | dict) or not isinstance(columns, dict):
        return
    for column in columns:
        if column in key:
            message = "is part of the key, which is the same in every store; take its rule out"
            yield document.fault(("tables", name, "columns", column), message)
