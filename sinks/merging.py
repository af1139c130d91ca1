"""Two business keys become one because a person says so, and two again when that is taken back.

The rows of both stand under one key in stores.<table>, so whatever decides, locks or verifies knows only that one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conflict.aliases import canonical_keys
from conflict.policy import Policy, TablePolicy
from conflict.resolution import Resolution
from conflict.resolve import resolve
from sinks.central import Central, read_contributions
from sinks.evolution import Catalog
from sinks.guards import require_none_held
from sinks.identities import Identity, aliases_of, keep_aliases, key_columns_of, read_identities, standing_identities
from sinks.ledger import mark_dirty
from sinks.policy_switch import rekey, require_applied, set_keys
from sinks.policy_versions import alone
from sinks.statements.verification import ONE_SNAPSHOT
from sinks.warehouse import Transaction, Warehouse
from tillstream.errors import RefusedError, UndecidableError

_ACCEPT = """\
INSERT INTO tillstream.identities (table_name, key_columns, key, other_key, reason, author)
VALUES (%s, %s, %s, %s, %s, %s) RETURNING id"""
_UNDO = "INSERT INTO tillstream.identities_undone (identity, reason, author) VALUES (%s, %s, %s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What one central row would be made of two. A row is None where there is none."""

    table: str
    keys: tuple[str, str]  # as they count today
    merged_key: str
    rows: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]
    merged: Mapping[str, Any] | None


class Merging:
    """`policy`, wherever one is taken, is the whole of those in force, in the warehouse's names."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def preview(self, policy: Policy, table: str, key: str, other: str) -> Merge:
        """By the worker's own function over the same contributions. RefusedError where there is nothing to merge."""
        with self._warehouse.transaction() as tx:
            tx.execute(f"{ONE_SNAPSHOT}, READ ONLY")
            require_applied(tx, policy)
            catalog = _catalog(tx, table)
            central = Central(catalog, policy, 0)
            of_table, columns = central.asking(table), central.decided_columns(table)
            keys = _require_two(tx, of_table, key, other)
            found = read_contributions(tx, catalog, table, keys)
            for each in keys:
                if each not in found:
                    raise RefusedError(f"no store has a row of {table} under the key {each}")
            one, two = (found[each] for each in keys)
            try:
                made = [_row(resolve(of_table, columns, rows)) for rows in (one, two, [*one, *two])]
            except UndecidableError as error:
                raise RefusedError(f"{table}: what they would be cannot be shown: {error}") from error
            return Merge(
                table=table,
                keys=keys,
                merged_key=_merged_key(tx, of_table, key, other),
                rows=(made[0], made[1]),
                merged=made[2],
            )

    def accept(self, policy: Policy, table: str, key: str, other: str, *, reason: str, author: str) -> int:
        """Its number. Both keys are decided again by the worker."""
        of_table = policy.tables[table]
        with self._warehouse.transaction() as tx:
            before = _hold(tx, policy, of_table)
            _require_two(tx, of_table, key, other)
            number = int(tx.value(_ACCEPT, [table, key_columns_of(of_table), key, other, reason, author]))
            _follow(tx, of_table, before, f"identity {number} by {author}: {reason}")
            return number

    def undo(self, policy: Policy, number: int, *, reason: str, author: str) -> Identity:
        """Each row under the key that its values make, or that other identities make of it."""
        with self._warehouse.transaction() as tx:
            identity = next((each for each in read_identities(tx) if each.id == number), None)
            if identity is None or identity.undone_at is not None:
                raise RefusedError(f"no identity {number} stands; `tillstream identity list` shows those that do")
            of_table = policy.tables.get(identity.table)
            if of_table is None or key_columns_of(of_table) != identity.key_columns:
                tx.execute(_UNDO, [number, reason, author])  # of keys that nothing has today
                return identity
            before = _hold(tx, policy, of_table)
            tx.execute(_UNDO, [number, reason, author])
            _follow(tx, of_table, before, f"identity {number} undone by {author}: {reason}")
            return identity

    def known(self, *, everything: bool) -> list[Identity]:
        with self._warehouse.transaction() as tx:
            return [each for each in read_identities(tx) if everything or each.undone_at is None]


def _catalog(tx: Transaction, table: str) -> Catalog:
    catalog = Catalog()
    catalog.load(tx)
    if not catalog.central_columns(table):
        raise RefusedError(f"central.{table} is not in the warehouse; `tillstream run` makes it")
    return catalog


def _require_two(tx: Transaction, policy: TablePolicy, key: str, other: str) -> tuple[str, str]:
    """What the two count under today."""
    aliases = aliases_of(tx, policy)
    keys = aliases.get(key, key), aliases.get(other, other)
    if keys[0] == keys[1]:
        raise RefusedError(f"{key} and {other} are one key of {policy.table} already")
    return keys


def _merged_key(tx: Transaction, policy: TablePolicy, key: str, other: str) -> str:
    pairs = [(each.key, each.other_key) for each in standing_identities(tx, policy)]
    return canonical_keys([*pairs, (key, other)]).get(other, other)


def _row(resolution: Resolution) -> Mapping[str, Any] | None:
    return resolution.values if resolution.exists else None


def _hold(tx: Transaction, policy: Policy, of_table: TablePolicy) -> dict[str, str]:
    """The aliases as they are until this transaction changes them.

    Alone: a row that a worker has brought by the aliases as they were would be neither seen and moved here nor counted
    under the new key.
    """
    alone(tx)
    require_applied(tx, policy)
    require_none_held(tx, of_table.table, "no identities can be told")
    return aliases_of(tx, of_table)


def _follow(tx: Transaction, policy: TablePolicy, before: Mapping[str, str], reason: str) -> None:
    """The rows of every key that counts under another one by now, and all keys that this touches."""
    table = policy.table
    keep_aliases(tx, table, policy)
    after = aliases_of(tx, policy)
    moved = [key for key in before.keys() | after.keys() if before.get(key, key) != after.get(key, key)]
    under = {before.get(key, key) for key in moved}
    set_keys(tx, table, rekey(tx, _catalog(tx, table), table, policy, under=sorted(under)))
    mark_dirty(tx, {(table, key) for key in under | {after.get(key, key) for key in moved}}, reason)
