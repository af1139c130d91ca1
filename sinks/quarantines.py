"""Quarantines: from when on what a store contributes is not believed, and what that makes of central.*."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg import sql

from conflict.policy import Policy
from conflict.resolution import Contribution
from sinks.central import Central, read_contributions
from sinks.evolution import Catalog
from sinks.previews import KEYS_AT_ONCE, Contributions, Preview, preview
from sinks.statements import quoted
from sinks.store_orders import decide_again, shared_tables
from sinks.warehouse import Transaction, Warehouse
from tillstream.errors import RefusedError

_ADD = """\
INSERT INTO tillstream.quarantines (store, table_name, since, reason, author) VALUES (%s, %s, %s, %s, %s)
RETURNING id"""
_LIFT = """\
UPDATE tillstream.quarantines SET lifted_at = clock_timestamp() WHERE id = %s AND lifted_at IS NULL
RETURNING store, table_name"""
_LIST = """\
SELECT id, store, table_name, since, reason, author, added_at, lifted_at FROM tillstream.quarantines
WHERE %s OR lifted_at IS NULL ORDER BY id"""
_KEYS = sql.SQL("""\
SELECT DISTINCT _key FROM stores.{table} WHERE _store = %s AND _key > %s ORDER BY 1 LIMIT %s""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    id: int
    store: str
    table: str | None  # None: all of the store's tables
    since: datetime
    reason: str
    author: str
    added_at: datetime
    lifted_at: datetime | None


class Quarantines:
    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def add(self, store: str, table: str | None, since: datetime, *, reason: str, author: str) -> int:
        """Its number. What the store contributes is decided again by the worker, key by key."""
        with self._warehouse.transaction() as tx:
            tables = _tables(tx, table)
            number = int(tx.value(_ADD, [store, table, since, reason, author]))
            decide_again(tx, store, tables, f"quarantine {number} of store {store} by {author}: {reason}")
            return number

    def lift(self, number: int) -> Quarantine:
        with self._warehouse.transaction() as tx:
            lifted = tx.rows(_LIFT, [number])
            if not lifted:
                raise RefusedError(f"there is no open quarantine {number}; `tillstream quarantine list` shows them")
            store, table = lifted[0]
            decide_again(tx, store, _tables(tx, table), f"quarantine {number} of store {store} was lifted")
            return next(each for each in _read(tx, everything=True) if each.id == number)

    def known(self, *, everything: bool) -> list[Quarantine]:
        with self._warehouse.transaction() as tx:
            return _read(tx, everything=everything)

    def preview(self, policy: Policy, store: str, table: str | None, since: datetime) -> list[Preview]:
        """Table by table, by the policy given: the worker's own function over the same contributions."""
        since_us = int(since.timestamp() * 1_000_000)
        with self._warehouse.transaction() as tx:
            tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            catalog = Catalog()
            catalog.load(tx)
            central = Central(catalog, policy, 0)
            return [
                _preview(tx, catalog, central, name, store, since_us)
                for name in _tables(tx, table)
                if name in policy.tables
            ]


def _read(tx: Transaction, *, everything: bool) -> list[Quarantine]:
    names = ("id", "store", "table", "since", "reason", "author", "added_at", "lifted_at")
    return [Quarantine(**dict(zip(names, row, strict=True))) for row in tx.rows(_LIST, [everything])]


def _tables(tx: Transaction, table: str | None) -> list[str]:
    shared = shared_tables(tx)
    if table is not None and table not in shared:
        raise RefusedError(f"no shared table is known as {table}; there are: {', '.join(shared) or 'none yet'}")
    return shared if table is None else [table]


def _preview(tx: Transaction, catalog: Catalog, central: Central, table: str, store: str, since_us: int) -> Preview:
    def read(keys: list[str]) -> tuple[Contributions, Contributions]:
        now = read_contributions(tx, catalog, table, keys)
        return now, {key: [_quarantined(each, store, since_us) for each in rows] for key, rows in now.items()}

    return preview(tx, central, table, _keys(tx, table, store), read)


def _keys(tx: Transaction, table: str, store: str) -> Iterator[list[str]]:
    last = ""
    while keys := [key for (key,) in tx.rows(_KEYS.format(table=quoted(table)), [store, last, KEYS_AT_ONCE])]:
        yield keys
        last = keys[-1]


def _quarantined(each: Contribution, store: str, since_us: int) -> Contribution:
    if each.store != store:
        return each
    earlier = each.quarantined_us
    return replace(each, quarantined_us=since_us if earlier is None else min(earlier, since_us))
