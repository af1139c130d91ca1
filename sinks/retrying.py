"""What was set aside, from a person's side: dead letters found, shown, tried again, given up; parked keys, too."""

from typing import Any

import msgspec

from sinks.central import Central
from sinks.dead_letters import DeadLetters
from sinks.evolution import Catalog
from sinks.fold import Lane, fold
from sinks.ledger import Ledger
from sinks.mirror import Applied, Mirror
from sinks.parked_keys import ParkedKey, parked_keys
from sinks.policy_versions import enter
from sinks.resync import requests
from sinks.resync.table_resync import ASKED
from sinks.row_codec import Shapes
from sinks.stage import render
from sinks.warehouse import DataError, Transaction, Warehouse
from tillstream.envelope import ORIGIN, ChangeEvent, LaneBatch, Stamp
from tillstream.errors import PoisonError, RefusedError

_FIND = """\
SELECT id, store, database, table_name, pk, epoch, file, pos, row, ord, op, reason, status, set_aside_at, event
FROM tillstream.dead_letters
WHERE (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s)) AND (NOT %(only_open)s OR status = 'open')
ORDER BY id"""
_SETTLE = """\
UPDATE tillstream.dead_letters SET status = %s, settled_at = clock_timestamp()
WHERE id = %s AND status = 'open'"""


def find(
    warehouse: Warehouse, *, ids: list[int] | None = None, only_open: bool = False, with_event: bool = False
) -> list[dict[str, Any]]:
    with warehouse.transaction() as tx:
        return [_shown(row, with_event) for row in _rows(tx, ids, only_open)]


def open_ids(warehouse: Warehouse) -> list[int]:
    return [letter["id"] for letter in find(warehouse, only_open=True)]


def discard(warehouse: Warehouse, letter: int) -> bool:
    """Whether it was open."""
    with warehouse.transaction() as tx:
        return tx.execute(_SETTLE, ["discarded", letter]) == 1


def retry_letter(warehouse: Warehouse, shapes: Shapes, letter: int) -> str:
    """Apply it with its own stamp: a later change of the row stays. PoisonError if it still cannot be kept."""
    try:
        with warehouse.transaction() as tx:
            return _retry(tx, shapes, letter)
    except DataError as error:
        raise PoisonError(str(error), store="", table="") from error


def retry_parked(warehouse: Warehouse, shapes: Shapes, parked: ParkedKey) -> list[ParkedKey]:
    """Decide it again; what is left of it, if that cannot be done yet."""
    with warehouse.transaction() as tx:
        enter(tx, shapes.policy_id)
        catalog = Catalog()
        catalog.load(tx)
        place = (parked.table, parked.key)
        Central(catalog, shapes.policy, shapes.policy_id or 0).decide(tx, {place: None}, {place: "tried again"})
        return parked_keys(tx, parked.table, [parked.key])


def _retry(tx: Transaction, shapes: Shapes, letter: int) -> str:
    enter(tx, shapes.policy_id)
    found = _rows(tx, [letter], True)
    if not found:
        raise RefusedError(f"there is no open dead letter {letter}")
    row = found[0]
    store, stamp, event = row[1], Stamp(*row[5:10]), msgspec.json.decode(row[14], type=ChangeEvent)
    assert event.source is not None
    if event.source.snapshot == ASKED:  # what a store answered is not kept in the form of its log: it is asked again
        requests.add(tx, store, "a dead letter is tried again", database=event.source.db, table=event.source.table)
        return "its table is read anew by `tillstream run`; the letter is settled if the row can be kept by then"
    catalog, dead_letters = Catalog(), DeadLetters()
    catalog.load(tx)
    codecs = Ledger().codecs_at(tx, store, stamp, shapes)
    lane = Lane(store=store, stamp=ORIGIN, codecs=codecs)
    batch = LaneBatch(store=store, epoch=stamp.epoch, events=[event], resume=None)
    folded = fold([batch], {store: lane})
    stages = render(folded)
    applied = Applied()
    if not folded.dead_letters:
        applied = Mirror(catalog, dead_letters, late=True).apply(tx, folded, stages)
    refused = [*folded.dead_letters, *dead_letters.gathered()]
    if refused:
        raise PoisonError(refused[0].reason, store=store, table=row[3], key=row[4], position=str(stamp))
    Central(catalog, shapes.policy, shapes.policy_id or 0).decide(tx, applied.touched, applied.reasons())
    tx.execute(_SETTLE, ["applied", letter])
    return "the row has changed since: nothing to do" if applied.stale else "applied"


def _rows(tx: Transaction, ids: list[int] | None, only_open: bool) -> list[tuple[Any, ...]]:
    return tx.rows(_FIND, {"ids": ids, "only_open": only_open})


def _shown(row: tuple[Any, ...], with_event: bool) -> dict[str, Any]:
    letter = {
        "id": row[0],
        "store": row[1],
        "database": row[2],
        "table": row[3],
        "key": row[4],
        "position": str(Stamp(*row[5:10])),
        "op": row[10],
        "reason": row[11],
        "status": row[12],
        "set_aside_at": row[13].isoformat(),
    }
    if with_event:
        letter["event"] = msgspec.json.decode(row[14])
    return letter
