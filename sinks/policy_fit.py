"""What a policy asks of a store's columns before anything is captured under it: a key, numbers to add up."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from conflict.policy import ColumnRule, Policy, RuleName, TablePolicy, chain
from sinks.names import identifier
from tillstream.envelope import TableVersion
from tillstream.errors import RefusedError

_WHOLE = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
_NUMBERS = frozenset({*_WHOLE, "numeric", "real", "double precision"})


def require_fit(policy: TablePolicy, version: TableVersion, kinds: Mapping[str, str]) -> None:
    """`kinds` are the warehouse's types of its columns. RefusedError names the store, the table, the column and a way
    out."""
    _require_key(policy, version, kinds)
    undecided = {part.column for part in policy.key} | {identifier(name) for name in version.primary_key}
    for column, kind in kinds.items():
        for rule in chain(policy.rule_for(column)) if column not in undecided else ():
            if (why := _misfit(rule, kind)) is not None:
                raise RefusedError(
                    f"store {version.store}: {version.table}.{column} is declared as {kind}, {why}; give it another "
                    "rule in the policies"
                )


def require_one_id(policy: Policy, version: TableVersion) -> None:
    """RefusedError where another table's column refers to rows of this one, whose primary key is of several columns."""
    table = identifier(version.table)
    named = [f"{name}.{column}" for name, each in policy.references.items() for column, to in each.items()
             if to == table]  # fmt: skip
    if named and len(version.primary_key) > 1:
        raise RefusedError(
            f"store {version.store}: the primary key of {version.table} is {', '.join(version.primary_key)}, to which "
            f"{', '.join(named)} alone cannot refer; take it out of `references:` in the policies"
        )


def _misfit(rule: ColumnRule, kind: str) -> str | None:
    if rule.rule in (RuleName.SUM, RuleName.SUM_OF_CHANGES) and kind not in _NUMBERS:
        return "which has no sum"
    if rule.rule is RuleName.SUM_OF_CHANGES and kind == "real":
        return "which keeps too few digits for changes to add up"
    if rule.rule is RuleName.UNION and kind != "text":
        return "which is no text that a union could be made of"
    if rule.rule is RuleName.CONSTANT and rule.value is not None and not _holds(kind, rule.value):
        return f'which cannot hold the constant "{rule.value}"'
    return None


def _holds(kind: str, text: str) -> bool:
    if kind in _NUMBERS:
        return _is_number(text, kind)
    if kind == "text":
        return True
    read = _READ.get(kind)
    if read is None:
        return False
    try:
        read(text)
    except (ValueError, KeyError):
        return False
    return True


_READ: Mapping[str, Callable[[str], object]] = {
    "boolean": {"true": True, "false": False}.__getitem__,
    "date": date.fromisoformat,
    "timestamp": datetime.fromisoformat,
    "timestamptz": datetime.fromisoformat,
}


def _is_number(text: str, kind: str) -> bool:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return False
    if not number.is_finite():
        return False
    most = _WHOLE.get(kind)
    return most is None or (number == number.to_integral_value() and -most <= number < most and "." not in text)


def _require_key(policy: TablePolicy, version: TableVersion, kinds: Mapping[str, str]) -> None:
    missing = [part.column for part in policy.key if part.column not in kinds]
    if not version.primary_key:
        raise RefusedError(
            f"table {version.table} has no primary key in store {version.store} and cannot be "
            "`scope: shared`; take it out of the policies or give it a key"
        )
    if missing:
        raise RefusedError(
            f"table {version.table} of store {version.store} has no column {', '.join(missing)}, "
            "which the policy's `key:` names; correct the policy or exclude the table for this store"
        )
