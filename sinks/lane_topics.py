"""Where in its topic a lane goes on; and what to do where that place is gone."""

import logging
import threading
import time
from dataclasses import dataclass

from sinks.fold import Lane
from sinks.resync import requests
from sinks.warehouse import Transaction, Warehouse
from tillstream.envelope import LaneOpened

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0

_TOPIC = "SELECT topic_id FROM tillstream.ledger WHERE store = %s"
_ENTER = "UPDATE tillstream.ledger SET topic_id = %s, lane_offset = %s WHERE store = %s"
# What was captured so far does not count any more: what came before it was not read.
_LOSE = """\
UPDATE tillstream.ledger SET topic_id = %s, lane_offset = %s, capture_generation = capture_generation + 1
WHERE store = %s RETURNING capture_generation"""
_REACHED = "SELECT store, file, pos, lane_offset, capture_generation, refusal FROM tillstream.ledger"
_REFUSALS = "SELECT store, refusal FROM tillstream.ledger WHERE refusal IS NOT NULL"
_REFUSE = "UPDATE tillstream.ledger SET refusal = %s WHERE store = %s"


def enter(tx: Transaction, lane: Lane, opened: LaneOpened) -> None:
    """Make `lane.lane_offset` the record to go on with. Where what was to come next is gone, the store is to begin
    anew, and nothing counts until it has."""
    known = tx.value(_TOPIC, [lane.store])
    lost = what_is_lost(known, lane.lane_offset, opened)
    if lost:
        log.warning("store %s: %s; reading the store anew", lane.store, lost)
        requests.add(tx, lane.store, lost)
        lane.capture_generation = int(tx.value(_LOSE, [opened.topic_id, opened.low, lane.store]))
        lane.lane_offset = opened.low
    elif lane.lane_offset is None:
        tx.execute(_ENTER, [opened.topic_id, opened.low, lane.store])
        lane.lane_offset = opened.low


def what_is_lost(topic_id: str | None, offset: int | None, opened: LaneOpened) -> str | None:
    if offset is None:
        return "the beginning of its lane has passed its retention" if opened.low > 0 else None
    if topic_id != opened.topic_id:
        return "its lane's topic was deleted and made anew"
    if offset < opened.low:
        return f"{opened.low - offset} records of its lane passed their retention before they were read"
    if offset > opened.high:
        return f"its lane's topic ends at offset {opened.high}, before {offset}, which was next"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far a store is in the warehouse: in its log, and in its lane (None: nothing of that was read)."""

    position: tuple[int, int]
    lane_offset: int | None
    generation: int  # of its connector
    refusal: str | None


def reached(warehouse: Warehouse) -> dict[str, Reached]:
    with warehouse.transaction() as tx:
        return {
            store: Reached(position=(file, pos), lane_offset=offset, generation=generation, refusal=refusal)
            for store, file, pos, offset, generation, refusal in tx.rows(_REACHED)
        }


class LaneRefusals:
    """Why a lane stands still, for whoever watches over the stores."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._lock = threading.Lock()
        self._seen: dict[str, str] = {}
        self._seen_at = float("-inf")

    def note(self, store: str, reason: str) -> None:
        with self._warehouse.transaction() as tx:
            tx.execute(_REFUSE, [reason, store])

    def why(self, store: str) -> str | None:
        """As of a second ago at most: the warehouse is asked once for all stores, which may be a thousand."""
        with self._lock:
            if time.monotonic() - self._seen_at >= LOOK_SECONDS:
                with self._warehouse.transaction() as tx:
                    self._seen = dict(tx.rows(_REFUSALS))
                self._seen_at = time.monotonic()
            return self._seen.get(store)
