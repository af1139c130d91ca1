"""What is known of the stores' clocks: looked at by the probe, and asked by whoever reads what stores contribute."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from psycopg import sql

from conflict.clock import TELLING_US, Correction, LastLook, Look, Place, StoreClock, corrections_after
from conflict.resolution import ColumnStamp
from sinks.policy_versions import alone
from sinks.statements import quoted
from sinks.store_orders import shared_tables
from sinks.warehouse import Transaction, Warehouse
from tillstream import metrics

_CORRECTIONS = """\
SELECT store, epoch, file, pos, offset_us, uncertainty_us, earliest_us, latest_us
FROM tillstream.clock_corrections ORDER BY id"""
_LAST_LOOK = """\
SELECT clock_file, clock_pos, clock_looked_us FROM tillstream.epochs WHERE store = %s AND epoch = %s FOR UPDATE"""
_LOOKED = """\
UPDATE tillstream.epochs SET clock_file = %s, clock_pos = %s, clock_looked_us = %s WHERE store = %s AND epoch = %s"""
_APPEND = """\
INSERT INTO tillstream.clock_corrections
  (store, epoch, file, pos, offset_us, uncertainty_us, earliest_us, latest_us) VALUES
  (%s, %s, %s, %s, %s, %s, %s, %s)"""
_DIRTY = sql.SQL("""\
INSERT INTO tillstream.dirty_keys SELECT DISTINCT {name}, _key FROM stores.{table}
WHERE _store = %s AND (_epoch, _file, _pos) >= (%s, %s, %s) AND _key IS NOT NULL ON CONFLICT DO NOTHING""")


def read_clocks(tx: Transaction) -> Mapping[str, StoreClock]:
    """Of every store; one that is not named has never been off."""
    found: dict[str, list[Correction]] = defaultdict(list)
    for store, *since, offset_us, uncertainty_us, earliest_us, latest_us in tx.rows(_CORRECTIONS):
        found[store].append(
            Correction(
                since=tuple(since),
                offset_us=offset_us,
                uncertainty_us=uncertainty_us,
                earliest_us=earliest_us,
                latest_us=latest_us,
            )
        )
    return defaultdict(StoreClock, {store: StoreClock(corrections) for store, corrections in found.items()})


def read_stamps(clock: StoreClock, stored: Mapping[str, list[Any]] | None) -> dict[str, ColumnStamp]:
    """`_stamps` as the warehouse keeps them: see `tillstream.join_stamps`."""
    return {name: _timed(clock, *stamp) for name, stamp in (stored or {}).items()}


def _timed(
    clock: StoreClock, epoch: int, file: int, pos: int, row: int, order: int, at_us: int, _: int, ahead: Any = None
) -> ColumnStamp:
    return clock.timed((epoch, file, pos, row, order), at_us, None if ahead is None else (tuple(ahead[:5]), ahead[5]))


class Clocks:
    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def look(self, store: str, look: Look) -> int | None:
        """By how much the store's clock is another than it was taken for, in us; None if it is not.

        What the store contributed since is decided again by the worker, key by key.
        """
        if look.uncertainty_us > TELLING_US:
            return None
        with self._warehouse.transaction() as tx:
            clock = read_clocks(tx)[store]
            found = corrections_after(clock, _last_look(tx, store, look.place[0]), look)
            tx.execute(_LOOKED, [*look.place[1:], look.began_us, store, look.place[0]])
            if not found:
                return None
            _append(tx, store, found)
        metrics.CLOCK_CORRECTIONS.labels(store).inc()
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
    for table in shared_tables(tx):
        tx.execute(_DIRTY.format(name=sql.Literal(table), table=quoted(table)), [store, *since])
