"""A policy's own tests, run: its rows decided in many orders, beside the central rows expected."""

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from conflict.cases import Case, ExpectedRow, GivenRow
from conflict.explain import explain, quoted, rule_in_words
from conflict.identity import business_key
from conflict.policy import Policy, TablePolicy
from conflict.resolution import NEVER_OBSERVED, SINCE, UNSEEN, ColumnStamp, Contribution, Resolution
from conflict.resolve import resolve

FIRST_US = 1_767_268_800_000_000  # 2026-01-01 12:00 UTC: rows without a time are changed from then on, in turn
APART_US = 60_000_000
MOST_ORDERS = 120  # all of five rows; of more a sample, the same each time


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexpected:
    """One thing that is not as the case says."""

    table: str
    key: str
    column: str | None  # None: the row as a whole
    expected: str
    found: str
    why: str = ""


def differences(policy: Policy, case: Case) -> list[Unexpected]:
    """Empty where all is as expected, whatever the order in which the rows come."""
    return [
        each
        for table in case.expected
        for each in _table_differences(policy.tables[table], case.given.get(table, ()), case.expected[table])
    ]


def _table_differences(
    policy: TablePolicy, given: Sequence[GivenRow], expected: Sequence[ExpectedRow]
) -> Iterator[Unexpected]:
    by_key: dict[str, list[Contribution]] = defaultdict(list)
    for number, row in enumerate(given):
        key = business_key(policy.key, row.values)
        if key is not None:
            by_key[key].append(_contribution(policy, row, number))
    wanted = {business_key(policy.key, row.values) or "": row for row in expected}
    for key in sorted(by_key.keys() | wanted.keys()):
        yield from _key_differences(policy, key, by_key.get(key, []), wanted.get(key))


def _key_differences(
    policy: TablePolicy, key: str, rows: Sequence[Contribution], wanted: ExpectedRow | None
) -> Iterator[Unexpected]:
    def unlike(column: str | None, expected: str, found: str, why: str = "") -> Unexpected:
        return Unexpected(table=policy.table, key=key, column=column, expected=expected, found=found, why=why)

    own = {part.column for part in policy.key}
    columns = tuple(sorted({column for each in rows for column in each.columns} - own))
    try:
        found = resolve(policy, columns, rows)
        other = next((each for each in _in_other_orders(policy, columns, rows) if _facts(each) != _facts(found)), None)
    except (TypeError, ArithmeticError, InvalidOperation) as error:
        yield unlike(None, "a decision", "none", f"these values do not go together ({error})")
        return
    if other is not None:
        yield unlike(None, "one decision", "another one in another order", "the rule depends on the order of arrival")
    elif wanted is None:
        if found.exists:
            yield unlike(None, "no row", "a row", explain(policy, (), rows).because)
    elif not found.exists:
        yield unlike(None, "a row", "no row", explain(policy, (), rows).because)
    else:
        told = {each.column: each for each in explain(policy, columns, rows).columns}
        for column, value in wanted.values.items():
            if column in own or _same(value, found.values.get(column)):
                continue
            if column in told:
                whose = f" of store {told[column].winner}" if told[column].winner else ""
                why = f"{told[column].reason} ({rule_in_words(policy.rule_for(column))})"
                yield unlike(column, quoted(value), f"{quoted(found.values[column])}{whose}", why)
            elif value is not None:
                yield unlike(column, quoted(value), "nothing", "no store's row has the column, or no rule decides it")
        yield from _mark_differences(unlike, found, wanted)


def _mark_differences(unlike: Any, found: Resolution, wanted: ExpectedRow) -> Iterator[Unexpected]:
    for column, store in (wanted.winners or {}).items():
        if found.winners.get(column) != store:
            yield unlike(column, f"the value of store {store}", f"that of {found.winners.get(column) or 'no store'}")
    contested = frozenset(each.column for each in found.contests)
    for name, expected, marked in (
        ("_contested", wanted.contested, contested),
        ("_uncertain", wanted.uncertain, frozenset(found.uncertain)),
    ):
        if expected is not None and expected != marked:
            yield unlike(name, _listed(expected), _listed(marked))


def _contribution(policy: TablePolicy, row: GivenRow, number: int) -> Contribution:
    """As the warehouse would have it: times only of columns that are decided by them."""
    by_default = row.at_us.get("", FIRST_US + number * APART_US)
    at = {column: row.at_us.get(column, by_default) for column in row.values}
    position = (1, 1, number, 0, 0)
    stamps = {}
    for column in row.values if not row.snapshot else ():
        if policy.decides_by_time(column):
            since = row.since_us.get(column, row.since_us.get("", at[column]))
            stamps[column] = ColumnStamp(position, at[column])
            stamps[column + SINCE] = ColumnStamp(position, since)
    return Contribution(
        store=row.store,
        pk=row.row,
        position=position,
        changed_us=NEVER_OBSERVED if row.snapshot and not row.deleted else max([by_default, *at.values()]),
        deleted=row.deleted,
        snapshot=ColumnStamp(position, by_default) if row.snapshot and row.at_us else UNSEEN,
        inserted_us=NEVER_OBSERVED if row.snapshot else min([by_default, *at.values(), *row.since_us.values()]),
        columns=frozenset(row.values),
        values=row.values,
        stamps=stamps,
    )


def _in_other_orders(
    policy: TablePolicy, columns: tuple[str, ...], rows: Sequence[Contribution]
) -> Iterator[Resolution]:
    if math.factorial(len(rows)) <= MOST_ORDERS:
        orders: Iterator[Sequence[Contribution]] = itertools.permutations(rows)
    else:
        chance = random.Random(0)
        orders = (chance.sample(rows, len(rows)) for _ in range(MOST_ORDERS))
    return (resolve(policy, columns, order) for order in orders)


def _facts(resolution: Resolution) -> str:
    """Exact: 1.0 and 1.00 are equal to Python and are not the same decision."""
    return repr((resolution, sorted(resolution.values.items()), sorted(resolution.winners.items())))


def _same(expected: Any, found: Any) -> bool:
    """Numbers by their value, however they are written."""
    if isinstance(expected, Decimal) != isinstance(found, Decimal) and None not in (expected, found):
        try:
            return Decimal(str(expected)) == Decimal(str(found))
        except InvalidOperation:
            return False
    return bool(expected == found)


def _listed(columns: frozenset[str]) -> str:
    return ", ".join(sorted(columns)) or "none"
