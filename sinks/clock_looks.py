"""Looks at the stores' clocks: what they add to what is known, and the keys that are decided again by that."""

from psycopg import sql

from conflict.clock import TELLING_US, Correction, LastLook, Look, Place, corrections_after
from sinks.clocks import KnownClocks
from sinks.history import because
from sinks.policy_versions import alone
from sinks.statements import quoted
from sinks.statements.holds import DECIDE_HELD_AGAIN
from sinks.store_orders import shared_tables
from sinks.warehouse import Transaction, Warehouse
from tillstream import metrics

_LAST_LOOK = """\
SELECT clock_file, clock_pos, clock_looked_us FROM tillstream.epochs WHERE store = %s AND epoch = %s FOR UPDATE"""
_LOOKED = """\
UPDATE tillstream.epochs SET clock_file = %s, clock_pos = %s, clock_looked_us = %s WHERE store = %s AND epoch = %s"""
_APPEND = """\
INSERT INTO tillstream.clock_corrections
  (store, epoch, file, pos, offset_us, uncertainty_us, earliest_us, latest_us) VALUES
  (%s, %s, %s, %s, %s, %s, %s, %s)"""
_DIRTY = sql.SQL("""\
INSERT INTO tillstream.dirty_keys (table_name, key) SELECT DISTINCT {name}, _key FROM stores.{table}
WHERE _store = %s AND (_epoch, _file, _pos) >= (%s, %s, %s) AND _key IS NOT NULL ON CONFLICT DO NOTHING""")


class ClockLooks:
    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def look(self, store: str, look: Look) -> int | None:
        """By how much the store's clock is another than it was taken for, in us; None if it is not.

        What the store contributed since is decided again by the worker, key by key.
        """
        if look.uncertainty_us > TELLING_US:
            return None
        with self._warehouse.transaction() as tx:
            clock = KnownClocks().read(tx)[store]
            found = corrections_after(clock, _last_look(tx, store, look.place[0]), look)
            tx.execute(_LOOKED, [*look.place[1:], look.began_us, store, look.place[0]])
            if not found:
                return None
            _append(tx, store, found)
        metrics.CLOCK_CORRECTIONS.inc()
        return look.offset_us - clock.at(look.place).offset_us


def _last_look(tx: Transaction, store: str, epoch: int) -> LastLook | None:
    rows = tx.rows(_LAST_LOOK, [store, epoch])
    if not rows or rows[0][0] is None:
        return None
    file, pos, looked_us = rows[0]
    return LastLook(place=(epoch, file, pos), began_us=looked_us)


def _append(tx: Transaction, store: str, found: tuple[Correction, ...]) -> None:
    """Alone, or a key that is being decided meanwhile, by the times as they were, would be left out."""
    alone(tx)
    for each in found:
        facts = (each.offset_us, each.uncertainty_us, each.earliest_us, each.latest_us)
        tx.execute(_APPEND, [store, *each.since, *facts])
    _decide_again(tx, store, found[0].since)


def _decide_again(tx: Transaction, store: str, since: Place) -> None:
    because(tx, f"the clock of store {store}")
    for table in shared_tables(tx):
        tx.execute(_DIRTY.format(name=sql.Literal(table), table=quoted(table)), [store, *since])
        tx.execute(DECIDE_HELD_AGAIN, [table, store])
