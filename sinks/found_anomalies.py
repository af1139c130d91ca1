"""Which anomalies there are, since when, and which are gone: tillstream.found_anomalies."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from sinks.anomalies import Anomaly, Identity, Search
from sinks.statements import business as statements
from sinks.warehouse import Transaction

KEPT_DAYS = 30  # after it is gone

Scope = tuple[str, str]  # (kind, table)
Counted = Mapping[tuple[str, str, str], int]  # (kind, table, store) → how many


def record(tx: Transaction, search: Search, found: Collection[Anomaly], most: int) -> Counted:
    """What a search has found now, no more than so many; returns how many there are in all, by store.

    Where that is not all there is, of a store or of all, one that is not among them need not be gone.
    """
    scope = (search.kind.value, search.table)
    known = {identity: number for identity, (number, _) in _open(tx).items() if identity[:2] == scope}
    for each in found:
        known.pop(each.identity, None)
        kind, table, store, key, row, column = each.identity
        tx.execute(statements.FOUND, [kind, table, store, list(each.stores), key, row, column, each.told])
    cut = {each.stores[0] for each in found if each.of_store is not None and each.of_store > most}
    if sum(each.of_store is None for each in found) < most:
        _gone(tx, [number for identity, number in known.items() if identity[2] not in cut])
    in_all = {(*scope, each.stores[0], each.column): each.of_store for each in found if each.of_store is not None}
    counted: Counter[tuple[str, str, str]] = Counter()
    for (kind, table, store, _), count in in_all.items():
        counted[kind, table, store] += count
    return counted


def keep_only(tx: Transaction, scopes: Collection[Scope]) -> None:
    """What is looked for no longer is there no longer; what has been gone for long is let go."""
    _gone(tx, [number for identity, (number, _) in _open(tx).items() if identity[:2] not in scopes])
    tx.execute(statements.LET_GO, [KEPT_DAYS])


def counts(tx: Transaction, in_all: Counted) -> dict[tuple[str, ...], float]:
    """(kind, store) → how many; one between several stores counts for each. `in_all` are more than are kept."""
    kept = {(kind, table, store): count for kind, table, store, count in tx.rows(statements.COUNTS)}
    total: Counter[tuple[str, ...]] = Counter()
    for (kind, _, store), count in {**kept, **in_all}.items():
        total[kind, store] += count
    return dict(total)


def known_since(tx: Transaction) -> dict[Identity, datetime]:
    return {identity: found_at for identity, (_, found_at) in _open(tx).items()}


def _open(tx: Transaction) -> dict[Identity, tuple[int, datetime]]:
    return {
        (kind, table, store, key, row, column): (number, found_at)
        for number, kind, table, store, key, row, column, found_at in tx.rows(statements.OPEN)
    }


def _gone(tx: Transaction, numbers: Iterable[int]) -> None:
    if gone := list(numbers):
        tx.execute(statements.GONE, [gone])
