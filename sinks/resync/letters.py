"""Rows that were set aside because the log does not tell a value for certain: the store itself is asked."""

from collections import defaultdict
from contextlib import suppress

import msgspec

from sinks.ledger import versions_at
from sinks.resync import requests
from sinks.resync.table_reader import TableReader, key_literals
from sinks.resync.table_resync import write_rows
from sinks.row_codec import Shapes
from sinks.store_session import StoreSession
from sinks.warehouse import Warehouse
from tillstream.envelope import ChangeEvent, TableVersion

MOST_AT_ONCE = 500

_OPEN = """\
SELECT id, event FROM tillstream.dead_letters
WHERE status = 'open' AND ask_store AND store = %s ORDER BY id LIMIT %s"""
_LEAVE = "UPDATE tillstream.dead_letters SET ask_store = false WHERE id = ANY(%s)"


def ask_for_letters(session: StoreSession, warehouse: Warehouse, shapes: Shapes, store: str) -> None:
    """Read these rows from the store. A row that has come supersedes its letter; one that is gone needs none.

    A letter that cannot be asked for stays with the others, for a person.
    """
    with warehouse.transaction() as tx:
        letters = tx.rows(_OPEN, [store, MOST_AT_ONCE])
        versions = {(each.database, each.table): each for each in versions_at(tx, store)}
    by_table = defaultdict(list)
    for number, raw in letters:
        event = msgspec.json.decode(raw, type=ChangeEvent)
        assert event.source is not None
        by_table[event.source.db, event.source.table or ""].append((number, event))
    for place, found in by_table.items():
        version = versions.get(place)
        if version is None or not version.primary_key or _ask(session, warehouse, shapes, version, found):
            with warehouse.transaction() as tx:
                tx.execute(_LEAVE, [[number for number, _ in found]])


def _ask(
    session: StoreSession,
    warehouse: Warehouse,
    shapes: Shapes,
    version: TableVersion,
    found: list[tuple[int, ChangeEvent]],
) -> bool:
    """Whether that is done: not yet, while the warehouse does not follow the store's log."""
    logged, asked = shapes.of(version), shapes.of(version, asked=True)
    keys = set()
    for _, event in found:
        image = event.after if event.after is not None else event.before
        with suppress(ValueError, KeyError):
            keys.add(key_literals(logged, image or {}, session))
    if not keys:
        return True
    low = session.low()
    rows = TableReader(session, asked).rows_with(sorted(keys))
    epoch = session.follow()
    if epoch is None:
        return False
    with warehouse.transaction() as tx:
        stamp = requests.asked_stamp(epoch, low, requests.next_number(tx))
        write_rows(tx, asked, version.store, rows, stamp)
    return True
