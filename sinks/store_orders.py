"""What a person has said of a store, beyond tillstream.yaml: that it rests, or is closed for good."""

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

from sinks.evolution import Catalog
from sinks.history import because
from sinks.policy_versions import alone
from sinks.statements import quoted
from sinks.statements.holds import DECIDE_HELD_AGAIN
from sinks.warehouse import Transaction, Warehouse

_KEEP = """\
INSERT INTO tillstream.store_orders (store, paused, retired) VALUES (%s, %s, %s)
ON CONFLICT (store) DO UPDATE SET
  paused = EXCLUDED.paused, retired = EXCLUDED.retired, noted_at = clock_timestamp()"""
_DIRTY = sql.SQL("""\
INSERT INTO tillstream.dirty_keys (table_name, key) SELECT DISTINCT {name}, _key FROM stores.{table}
WHERE _store = %s AND _key IS NOT NULL ON CONFLICT DO NOTHING""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    paused: frozenset[str] = frozenset()
    retired: frozenset[str] = frozenset()


class StoreOrders:
    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def read(self) -> Orders:
        with self._warehouse.transaction() as tx:
            return read_orders(tx)

    def pause(self, store: str) -> None:
        self._give(store, paused=True, retired=False)

    def retire(self, store: str) -> None:
        """Its rows stay as they are; what they decided is decided again without them."""
        self._give(store, paused=False, retired=True)

    def resume(self, store: str) -> None:
        self._give(store, paused=False, retired=False)

    def _give(self, store: str, *, paused: bool, retired: bool) -> None:
        with self._warehouse.transaction() as tx:
            was_retired = store in read_orders(tx).retired
            tx.execute(_KEEP, [store, paused, retired])
            if was_retired != retired:
                decide_again(
                    tx, store, shared_tables(tx), f"store {store} was {'retired' if retired else 'taken up again'}"
                )


def shared_tables(tx: Transaction) -> list[str]:
    catalog = Catalog()
    catalog.load(tx)
    return [table for table in sorted(catalog.tables) if catalog.central_columns(table)]


def decide_again(tx: Transaction, store: str, tables: Iterable[str], reason: str) -> None:
    """Every key to which the store contributes is left to the worker, which takes them in chunks.

    Alone, or one that is being decided meanwhile, without what has just changed, would be left out.
    """
    alone(tx)
    because(tx, reason)
    for table in tables:
        tx.execute(_DIRTY.format(name=sql.Literal(table), table=quoted(table)), [store])
        tx.execute(DECIDE_HELD_AGAIN, [table, store])


def read_orders(tx: Transaction) -> Orders:
    rows = tx.rows("SELECT store, paused, retired FROM tillstream.store_orders")
    return Orders(
        paused=frozenset(store for store, paused, _ in rows if paused),
        retired=frozenset(store for store, _, retired in rows if retired),
    )
