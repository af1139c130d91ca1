"""A store's names as PostgreSQL can carry them: exact where they fit, cut with a hash where they do not."""

import hashlib
from dataclasses import fields, replace
from types import MappingProxyType

from conflict.policy import AuditedBalance, ColumnRule, Guards, Policy, TablePolicy

MOST_BYTES = 63  # PostgreSQL cuts longer identifiers silently, and then two of them collide

META_COLUMNS = (
    "_store", "_pk", "_epoch", "_file", "_pos", "_row", "_order", "_event_at", "_seen_at", "_op", "_deleted",
    "_key", "_stamps", "_stores", "_policy", "_decided_at", "_contested", "_uncertain", "_winners",
    "_newest", "_next_key", "_last_key",
)  # fmt: skip


def identifier(name: str) -> str:
    """The warehouse's name of a store's table or column: always the same, never another one's."""
    if len(name.encode()) <= MOST_BYTES and name not in META_COLUMNS:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{name.encode()[: MOST_BYTES - 11].decode(errors='ignore')}_{digest}"


def in_warehouse_names(policy: Policy) -> Policy:
    """The same policy, speaking of the warehouse's tables and columns."""
    tables = {identifier(table): _renamed(each) for table, each in policy.tables.items()}
    references = {
        identifier(table): MappingProxyType({identifier(column): identifier(to) for column, to in each.items()})
        for table, each in policy.references.items()
    }
    return replace(policy, tables=MappingProxyType(tables), references=MappingProxyType(references))


def _renamed(policy: TablePolicy) -> TablePolicy:
    return replace(
        policy,
        table=identifier(policy.table),
        key=tuple(replace(part, column=identifier(part.column)) for part in policy.key),
        changed_at=identifier(policy.changed_at) if policy.changed_at else None,
        columns=MappingProxyType({identifier(name): _rule_renamed(rule) for name, rule in policy.columns.items()}),
        default=_rule_renamed(policy.default),
        contest_ignore=frozenset(identifier(name) for name in policy.contest_ignore),
        guards=_guards_renamed(policy.guards) if policy.guards else None,
    )


def _guards_renamed(guards: Guards) -> Guards:
    balances = tuple(
        AuditedBalance(**{each.name: identifier(getattr(balance, each.name)) for each in fields(balance)})
        for balance in guards.balances
    )
    return replace(guards, same=tuple(map(identifier, guards.same)), balances=balances)


def _rule_renamed(rule: ColumnRule) -> ColumnRule:
    then = _rule_renamed(rule.then) if rule.then else None
    when = rule.when.renamed(identifier) if rule.when else None
    return replace(rule, column=identifier(rule.column) if rule.column else "", when=when, then=then)
