"""A policy's own tests, run: its rows decided in many orders, beside the central rows expected."""

import itertools
import math
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from conflict.cases import Case, ExpectedRow, GivenRow, time_us
from conflict.explain import explain, quoted, rule_in_words, shown
from conflict.identity import business_key
from conflict.policy import Policy, TablePolicy
from conflict.resolution import NEVER_OBSERVED, SINCE, UNSEEN, ColumnStamp, Contribution, Held, Resolution
from conflict.resolve import resolve
from tillstream.errors import UndecidableError

FIRST_US = 1_767_268_800_000_000  # 2026-01-01 12:00 UTC: rows without a time are changed from then on, in turn
APART_US = 60_000_000
MOST_ORDERS = 120  # all of five rows; of more a sample, the same each time
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")  # 007 is a code


_UNDECIDED = (TypeError, AttributeError, ArithmeticError, UndecidableError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexpected:
    """One thing that is not as the case says."""

    table: str
    key: str
    column: str | None = None  # None: the row as a whole
    expected: str
    found: str
    why: str = ""


def differences(policy: Policy, case: Case) -> list[Unexpected]:
    """Empty where all is as expected, whatever the order in which the rows come."""
    return [
        each
        for table, rows in case.expected.items()
        for each in _table_differences(policy.tables[table], case.given.get(table, ()), rows)
    ]


def _table_differences(
    policy: TablePolicy, given: Sequence[GivenRow], expected: Sequence[ExpectedRow]
) -> Iterator[Unexpected]:
    under: dict[str, list[Contribution]] = defaultdict(list)
    for number, row in enumerate(given):
        key = business_key(policy.key, row.values, row.store)
        if key is not None:
            under[key].append(_contribution(policy, row, number))
    wanted: dict[str, ExpectedRow] = {}
    for each in expected:
        key = business_key(policy.key, each.values)
        if key is None:
            written = ", ".join(quoted(each.values[part.column]) for part in policy.key)
            yield Unexpected(
                table=policy.table, key=written, expected="a row", found="none", why="this is no key, so no row has it"
            )
        elif key in wanted:
            yield Unexpected(
                table=policy.table, key=key, expected="two rows", found="one", why="a key has one central row"
            )
        else:
            wanted[key] = each
    for key in sorted(under.keys() | wanted.keys()):
        comparison = _Comparison(policy, key, under.get(key, []), wanted.get(key))
        yield from comparison.differences()


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One business key: what its rows make, beside the row expected, if one is."""

    policy: TablePolicy
    key: str
    rows: Sequence[Contribution]
    wanted: ExpectedRow | None

    def differences(self) -> Iterator[Unexpected]:
        try:
            decisions = [resolve(self.policy, self._columns(), rows) for rows in _orders(self.rows)]
        except _UNDECIDED:
            yield from self._undecidable()
            return
        found = decisions[0]
        if any(_facts(each) != _facts(found) for each in decisions[1:]):
            why = "the rule depends on the order of arrival"
            yield self._unlike("one decision", "another one in another order", why)
        elif found.exists is not (self.wanted is not None):
            words = {True: "a row", False: "no row"}
            because = explain(self.policy, (), self.rows).because
            yield self._unlike(words[self.wanted is not None], words[found.exists], because)
        elif self.wanted is not None:
            yield from self._of_values(self.wanted)
            yield from self._of_marks(self.wanted, found)

    def _columns(self) -> tuple[str, ...]:
        return tuple(sorted({column for each in self.rows for column in each.columns} - _key_columns(self.policy)))

    def _unlike(self, expected: str, found: str, why: str = "", column: str | None = None) -> Unexpected:
        return Unexpected(table=self.policy.table, key=self.key, column=column, expected=expected, found=found, why=why)

    def _undecidable(self) -> Iterator[Unexpected]:
        for column in self._columns():
            try:
                for rows in _orders(self.rows):
                    resolve(self.policy, [column], rows)
            except UndecidableError as error:
                yield self._unlike("a decision", "none", error.reason, column)
            except _UNDECIDED:
                values = ", ".join(quoted(each.values[column]) for each in self.rows if column in each.columns)
                why = f"{rule_in_words(self.policy.rule_for(column))} can make nothing of {values}"
                yield self._unlike("a decision", "none", why, column)

    def _of_values(self, wanted: ExpectedRow) -> Iterator[Unexpected]:
        told = {each.column: each for each in explain(self.policy, self._columns(), self.rows).columns}
        for column in sorted(wanted.values.keys() - _key_columns(self.policy)):
            value, decided = wanted.values[column], told.get(column)
            if decided is None:
                if value is not None:
                    why = "each store keeps its own" if column in self._columns() else "no row under this key has it"
                    yield self._unlike(quoted(value), "nothing", why, column)
            elif not _same(value, decided.value):
                whose = f" of store {decided.winner}" if decided.winner else ""
                why = f"{decided.reason} ({decided.rule})"
                yield self._unlike(quoted(value), f"{quoted(decided.value)}{whose}", why, column)

    def _of_marks(self, wanted: ExpectedRow, found: Resolution) -> Iterator[Unexpected]:
        for column, store in (wanted.winners or {}).items():
            winner = found.winners.get(column)
            if winner != store:
                yield self._unlike(f"the value of store {store}", f"that of {winner or 'no store'}", column=column)
        contested = frozenset(each.column for each in found.contests)
        for name, expected, marked in (
            ("_contested", wanted.contested, contested),
            ("_uncertain", wanted.uncertain, frozenset(found.uncertain)),
        ):
            if expected is not None and expected != marked:
                yield self._unlike(_listed(expected), _listed(marked), column=name)


def _contribution(policy: TablePolicy, row: GivenRow, number: int) -> Contribution:
    """As the warehouse would have it after the row's changes."""
    turn_us = row.at_us.get("", FIRST_US + number * APART_US)
    seen = row.at_us.keys() if row.snapshot else row.values.keys() - _key_columns(policy)
    at = {column: row.at_us.get(column, turn_us) for column in seen}
    since = {} if row.snapshot else {c: row.since_us.get(c, row.since_us.get("", us)) for c, us in at.items()}
    changed_us = max(at.values(), default=turn_us if row.deleted or not row.snapshot else NEVER_OBSERVED)
    if row.deleted_us is not None:
        changed_us = row.deleted_us
    position = (1, 1, number, 0, 0)
    return Contribution(
        store=row.store,
        pk=str(number),
        position=position,
        changed_us=changed_us,
        deleted=row.deleted,
        snapshot=ColumnStamp(position, _pos_time_us(policy, row)) if row.snapshot else UNSEEN,
        inserted_us=NEVER_OBSERVED if row.snapshot else min([changed_us, *at.values(), *since.values()]),
        columns=frozenset(row.values),
        values=row.values,
        stamps={
            **{column: ColumnStamp(position, us) for column, us in at.items() if policy.decides_by_time(column)},
            **{column + SINCE: ColumnStamp(position, us) for column, us in since.items() if policy.asks_since(column)},
        },
        around=dict(_around(policy, row, position, at)),
    )


def _around(
    policy: TablePolicy, row: GivenRow, position: tuple[int, ...], at: Mapping[str, int]
) -> Iterator[tuple[tuple[str, int], tuple[Held, ...]]]:
    """A row that came after the opening had nothing then, unless the case says what."""
    for column, value in row.values.items():
        opening_us = policy.opening_us(column)
        if opening_us is None:
            continue
        changed_us = at.get(column, NEVER_OBSERVED)
        if column in row.openings or changed_us >= opening_us:
            came = ColumnStamp(position, max(changed_us, opening_us))
            yield (column, opening_us), (Held(row.openings.get(column), UNSEEN), Held(value, came))


def _key_columns(policy: TablePolicy) -> set[str]:
    return {part.column for part in policy.key}


def _pos_time_us(policy: TablePolicy, row: GivenRow) -> int:
    at = row.values.get(policy.changed_at) if policy.changed_at else None
    try:
        return NEVER_OBSERVED if at is None else time_us(at)
    except ValueError:
        return NEVER_OBSERVED


def _orders(rows: Sequence[Contribution]) -> Iterator[Sequence[Contribution]]:
    """That of the file first."""
    yield rows
    if math.factorial(len(rows)) <= MOST_ORDERS:
        yield from itertools.permutations(rows)
    else:
        chance = random.Random(0)
        yield from (chance.sample(rows, len(rows)) for _ in range(MOST_ORDERS))


def _facts(resolution: Resolution) -> str:
    """Exact: 1.0 and 1.00 are equal to Python and are not the same decision."""
    return repr((resolution, sorted(resolution.values.items()), sorted(resolution.winners.items())))


def _same(expected: Any, found: Any) -> bool:
    """Numbers by their value, however they are written; else as the text that they show."""
    if isinstance(expected, Decimal) and isinstance(found, str):
        expected, found = found, expected
    if isinstance(expected, str) and isinstance(found, Decimal):
        return _PLAIN_NUMBER.fullmatch(expected) is not None and Decimal(expected) == found
    return bool(expected == found) or (isinstance(found, str) and shown(expected) == found)


def _listed(columns: frozenset[str]) -> str:
    return ", ".join(sorted(columns)) or "none"
