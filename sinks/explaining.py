"""All that `explain` tells of one business key, read in one snapshot."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from conflict.explain import KeyExplanation, explain
from conflict.identity import business_key
from conflict.policy import Policy, TablePolicy
from conflict.resolution import Contribution
from sinks.central import Central, read_contributions
from sinks.evolution import Catalog
from sinks.history import Change, changes_of
from sinks.identities import Identity, aliases_of, standing_identities
from sinks.parked_keys import ParkedKey, parked_keys
from sinks.policy_switch import require_applied
from sinks.reviews import standing_decisions
from sinks.statements import explaining as statements
from sinks.statements.holds import HELD_IN
from sinks.statements.verification import DIRTY, ONE_SNAPSHOT
from sinks.warehouse import Transaction
from tillstream.errors import RefusedError

MOST_CONFLICTS = 20  # the latest; the table itself keeps all
MOST_CHANGES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCounting:
    """A row under the key that takes part in nothing."""

    store: str
    pk: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedConflict:
    column: str
    rule: str
    winner: str | None
    value: str | None
    losers: list[dict[str, Any]]  # store, value, effective_us
    reason: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Rows of the store below this place of its log do not live."""

    store: str
    epoch: int
    file: int
    pos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    table: str
    key: str
    policy_version: int
    policy_applied_at: datetime
    decided_version: int | None  # of the policy that decided the row as it stands; None where none stands
    decided_at: datetime | None
    pending: bool  # the key is still to be decided anew, so what stands may not be what is explained
    parked: ParkedKey | None  # what stands is what was decided before that
    standing: dict[str, Any] | None  # column → the value in central.<table>
    contested: list[str]
    explanation: KeyExplanation
    deleted: list[Contribution]
    not_counting: list[NotCounting]
    floors: list[Floor]
    held: dict[str, str]  # store → why its rows are those from before
    conflicts: list[RecordedConflict]
    history: list[Change]  # the latest first
    identities: list[Identity]  # why rows of other keys count under this one


def key_of(policy: TablePolicy, given: str) -> str | None:
    """The business key as a person has it, normalised; of several parts a JSON array or a comma between them.

    RefusedError where it has not as many parts as the policy's key.
    """
    names = [part.column for part in policy.key]
    parts = [given] if len(names) == 1 else _parts(given)
    if len(parts) != len(names):
        raise RefusedError(
            f'the key of {policy.table} has {len(names)} parts, {", ".join(names)}, but "{given}" has {len(parts)}; '
            'write them with a comma between, or as a JSON array such as ["a", "b,c"]'
        )
    return business_key(policy.key, dict(zip(names, parts, strict=True)), None)


def _parts(given: str) -> list[str]:
    if given.startswith("["):
        try:
            found = json.loads(given)
        except ValueError:
            found = None
        if isinstance(found, list):
            return [str(part) for part in found]
    return given.split(",")


class Explainer:
    """Asks one shared table about a key. `policy` speaks in the warehouse's names."""

    def __init__(self, tx: Transaction, policy: Policy, table: str) -> None:
        self._tx, self._table = tx, table
        tx.execute(f"{ONE_SNAPSHOT}, READ ONLY")
        require_applied(tx, policy)
        self._catalog = Catalog()
        self._catalog.load(tx)
        if not self._catalog.central_columns(table):
            raise RefusedError(f"central.{table} is not in the warehouse; `tillstream run` makes it")
        central = Central(self._catalog, policy, 0)
        self._policy, self.columns = central.asking(table), central.decided_columns(table)

    def explain(self, key: str, columns: Collection[str] | None = None) -> Explained:
        """Of all decided columns, or only these; RefusedError where nothing is under the key.

        A key that counts under another one is explained as that.
        """
        wanted = self.columns if columns is None else tuple(columns)
        aliases = aliases_of(self._tx, self._policy)
        key = aliases.get(key, key)
        found = read_contributions(self._tx, self._catalog, self._table, [key]).get(key, [])
        decisions = [each for _, each in standing_decisions(self._tx, self._table, [key])]
        not_counting = self._not_counting(key)
        under = [key, *(each for each in aliases if aliases[each] == key)]
        row = self._standing(key)
        if not found and not not_counting and row is None:
            raise RefusedError(f"no store has a row of {self._table} under the key {key}")
        version, applied_at = self._tx.rows(statements.POLICY)[0]
        stores = {each.store for each in found} | {each.store for each in not_counting}
        return Explained(
            table=self._table,
            key=key,
            policy_version=version,
            policy_applied_at=applied_at,
            decided_version=row[0] if row else None,
            decided_at=row[1] if row else None,
            pending=bool(self._tx.rows(DIRTY, {"table": self._table, "keys": [key]})),
            parked=next(iter(parked_keys(self._tx, self._table, [key])), None),
            standing=dict(zip(self._catalog.central_columns(self._table), row[3:], strict=True)) if row else None,
            contested=row[2] if row else [],
            explanation=explain(self._policy, wanted, [*found, *decisions]),
            deleted=[each for each in found if each.deleted],
            not_counting=not_counting,
            floors=[
                Floor(store=store, epoch=epoch, file=file, pos=pos)
                for store, epoch, file, pos in self._tx.rows(statements.FLOORS, [self._table, sorted(stores)])
            ],
            held={store: why for store, why in self._tx.rows(HELD_IN, [self._table]) if store in stores},
            conflicts=self._conflicts(under, wanted),
            history=changes_of(self._tx, self._table, under, list(wanted), MOST_CHANGES),
            identities=[
                each for each in standing_identities(self._tx, self._policy) if aliases.get(each.key, each.key) == key
            ],
        )

    def _standing(self, key: str) -> tuple[Any, ...] | None:
        rows = self._tx.rows(statements.standing(self._table, self._catalog.central_columns(self._table)), [key])
        return rows[0] if rows else None

    def _not_counting(self, key: str) -> list[NotCounting]:
        return [
            NotCounting(store=store, pk=pk, why=_WHY_NOT[why])
            for store, pk, why in self._tx.rows(statements.not_counting(self._table), [key])
        ]

    def _conflicts(self, keys: list[str], columns: Collection[str]) -> list[RecordedConflict]:
        return [
            RecordedConflict(
                column=column, rule=rule, winner=winner, value=value, losers=losers, reason=reason, decided_at=at
            )
            for column, rule, winner, value, losers, reason, at in self._tx.rows(
                statements.CONFLICTS, [self._table, keys, list(columns), MOST_CONFLICTS]
            )
        ]


_WHY_NOT = {
    "t": "withdrawn: a TRUNCATE, a DROP or a table read anew that no longer had it",
    "m": "withdrawn: its primary key was changed, and it goes on under the new one",
    "retired": "its store is retired",
    "held": "its store is held, and had no such row before: it counts after `tillstream stores release`",
}
