"""Stores that are held in a table: what they contribute to it is what they had before, until a person releases them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from conflict.policy import Policy
from sinks.central import Central, read_contributions
from sinks.evolution import Catalog
from sinks.history import because
from sinks.policy_versions import alone
from sinks.previews import KEYS_AT_ONCE, Contributions, Preview, preview
from sinks.statements import holds as statements
from sinks.statements import quoted
from sinks.warehouse import Transaction, Warehouse
from tillstream.errors import RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    id: int
    store: str
    table: str
    reason: str
    held_at: datetime


class Holds:
    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def open(self) -> list[Hold]:
        with self._warehouse.transaction() as tx:
            return open_holds(tx)

    def preview(self, policy: Policy, holds: list[Hold]) -> list[Preview]:
        """What central.* would be if these were released, by the policy given."""
        with self._warehouse.transaction() as tx:
            tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            catalog = Catalog()
            catalog.load(tx)
            central = Central(catalog, policy, 0)
            return [_preview(tx, catalog, central, each) for each in holds if each.table in policy.tables]

    def release(self, store: str, table: str | None, *, reason: str, author: str) -> list[Hold]:
        """What the store contributes counts as it is; it is decided again by the worker, key by key."""
        with self._warehouse.transaction() as tx:
            alone(tx)  # or a key that is being decided meanwhile would be left out
            released = of_store(open_holds(tx), store, table)
            because(tx, f"store {store} was released by {author}: {reason}")
            for each in released:
                place = {"name": sql.Literal(each.table), "table": quoted(each.table)}
                tx.execute(statements.DECIDE_AGAIN.format(**place), {"store": store})
                tx.execute(statements.FORGET_ROWS, [each.table, store])
                tx.execute(statements.RELEASE, [author, reason, store, each.table])
            return released


def open_holds(tx: Transaction) -> list[Hold]:
    names = ("id", "store", "table", "reason", "held_at")
    return [Hold(**dict(zip(names, row, strict=True))) for row in tx.rows(statements.OPEN)]


def of_store(holds: list[Hold], store: str, table: str | None) -> list[Hold]:
    """RefusedError where there are none."""
    found = [each for each in holds if each.store == store and table in (None, each.table)]
    if not found:
        held = ", ".join(f"{each.store} in {each.table}" for each in holds) or "none"
        where = f" in {table}" if table else ""
        raise RefusedError(f"store {store} is not held{where}; held are: {held}")
    return found


def _preview(tx: Transaction, catalog: Catalog, central: Central, hold: Hold) -> Preview:
    def read(keys: list[str]) -> tuple[Contributions, Contributions]:
        then = read_contributions(tx, catalog, hold.table, keys, released=hold.store)
        return read_contributions(tx, catalog, hold.table, keys), then

    return preview(tx, central, hold.table, _keys(tx, hold), read)


def _keys(tx: Transaction, hold: Hold) -> Iterator[list[str]]:
    statement = statements.KEYS.format(name=sql.Literal(hold.table), table=quoted(hold.table))
    place = {"store": hold.store, "last": "", "limit": KEYS_AT_ONCE}
    while keys := [key for (key,) in tx.rows(statement, place)]:
        yield keys
        place["last"] = keys[-1]
