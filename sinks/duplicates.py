"""Likely duplicates that the business keys miss: found within small blocks, scored, and left to a person."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from conflict.likeness import Both, Likeness, Rarity, likeness
from conflict.policy import Policy
from sinks.central import Central
from sinks.evolution import Catalog
from sinks.identities import read_identities
from sinks.policy_switch import require_applied
from sinks.statements import duplicates as statements
from sinks.statements.verification import ONE_SNAPSHOT
from sinks.warehouse import Transaction
from tillstream.errors import RefusedError

COMPARED = frozenset({"text", "date"})  # types by which people tell rows apart; sums and times are not among them
BLOCKING_COLUMNS = 5  # those with most distinct values; each, and each two together, make blocks if they tell enough
ALMOST_BITS = 1.0  # a value that half of all rows have to themselves
SHORTEST_KEY = 5  # characters: of a shorter one every character counts
MOST_IN_BLOCK = 50  # rows; what more have in common tells none of them from the others
MOST_PAIRS = 200_000  # 8 s and 40 MB, with 100,000 rows
SAMPLED_ROWS = 50_000
PAIRS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    keys: tuple[str, str]
    stores: tuple[list[str], list[str]]
    values: dict[str, Both]  # of the columns that were compared
    likeness: Likeness


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestions:
    duplicates: list[Duplicate]  # the likeliest first
    pairs: int  # that were looked at
    complete: bool  # False: there are more pairs than are ever looked at


class Duplicates:
    """Looks at one shared table's agreed rows, so what was merged already is one. The policy is in warehouse names."""

    def __init__(self, tx: Transaction, policy: Policy, table: str) -> None:
        self._tx, self._table = tx, table
        tx.execute(f"{ONE_SNAPSHOT}, READ ONLY")
        require_applied(tx, policy)
        catalog = Catalog()
        catalog.load(tx)
        kinds = catalog.central_columns(table)
        if not kinds:
            raise RefusedError(f"central.{table} is not in the warehouse; `tillstream run` makes it")
        decided = Central(catalog, policy, 0).decided_columns(table)
        of_table = policy.tables[table]
        self._columns = [name for name in decided if kinds[name] in COMPARED and of_table.decides(name)]

    def suggest(self, *, at_least: float, most: int) -> Suggestions:
        """At most so many, with that score or more. Pairs that a person took back are left out."""
        if not self._columns:
            raise RefusedError(
                f"central.{self._table} has no column of text or dates by which its rows could be compared"
            )
        rows, *distinct = self._tx.rows(statements.rarity(self._table, self._columns, SAMPLED_ROWS))[0]
        rarity = Rarity(rows=rows, distinct=dict(zip(self._columns, distinct, strict=True)))
        pairs = self._pairs(rarity)
        undone = {frozenset((each.key, each.other_key)) for each in read_identities(self._tx)
                  if each.table == self._table and each.undone_at is not None}  # fmt: skip
        looked_at = [pair for pair in pairs if frozenset(pair) not in undone]
        found = (each for each in self._compared(looked_at, rarity) if each.likeness.score >= at_least)
        best = heapq.nsmallest(most, found, key=lambda each: (-each.likeness.score, each.keys))
        return Suggestions(duplicates=best, pairs=len(looked_at), complete=len(pairs) < MOST_PAIRS)

    def _pairs(self, rarity: Rarity) -> list[tuple[Any, ...]]:
        telling = sorted(self._columns, key=lambda column: -rarity.distinct[column])[:BLOCKING_COLUMNS]
        columns = [*((column,) for column in telling), *combinations(telling, 2)]
        together = [each for each in columns if sum(map(rarity.bits, each)) >= rarity.enough_bits - ALMOST_BITS]
        statement = statements.pairs(self._table, together, shortest=SHORTEST_KEY, most=MOST_IN_BLOCK, limit=MOST_PAIRS)
        return self._tx.rows(statement)

    def _compared(self, pairs: Sequence[tuple[Any, ...]], rarity: Rarity) -> Iterator[Duplicate]:
        statement = statements.rows(self._table, self._columns)
        width = len(self._columns)
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            asked = [list(keys) for keys in zip(*pairs[start : start + PAIRS_AT_ONCE], strict=True)]
            for one, other, stores, others_stores, *values in self._tx.rows(statement, asked):
                both = dict(zip(self._columns, zip(values[:width], values[width:], strict=True), strict=True))
                yield Duplicate(
                    keys=(one, other),
                    stores=(stores, others_stores),
                    values=both,
                    likeness=likeness((one, other), both, rarity),
                )
