"""Which anomalies there are, since when, and which are gone: tillstream.found_anomalies."""

from collections.abc import Collection, Iterable
from datetime import datetime

from sinks.anomalies import Anomaly, Identity, Search
from sinks.statements import business as statements
from sinks.warehouse import Transaction

KEPT_DAYS = 30  # after it is gone

Scope = tuple[str, str]  # (kind, table)


def record(tx: Transaction, search: Search, found: Collection[Anomaly], *, is_all: bool) -> None:
    """What a search has found now. Where that is not all there is, one that is not among them need not be gone."""
    scope = (search.kind.value, search.table)
    known = {identity: number for identity, (number, _) in _open(tx).items() if identity[:2] == scope}
    for each in found:
        known.pop(each.identity, None)
        kind, table, store, key, row, column = each.identity
        tx.execute(statements.FOUND, [kind, table, store, list(each.stores), key, row, column, each.told])
    if is_all:
        _gone(tx, known.values())


def keep_only(tx: Transaction, scopes: Collection[Scope]) -> None:
    """What is looked for no longer is there no longer; what has been gone for long is let go."""
    _gone(tx, [number for identity, (number, _) in _open(tx).items() if identity[:2] not in scopes])
    tx.execute(statements.LET_GO, [KEPT_DAYS])


def counts(tx: Transaction) -> dict[tuple[str, ...], float]:
    """(kind, store) → how many; one between several stores counts for each."""
    return {(kind, store): count for kind, store, count in tx.rows(statements.COUNTS)}


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
