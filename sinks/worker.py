"""The worker: one batch of many lanes after another, each all the way into the warehouse or not at all."""

import gc
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Protocol

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from conflict.policy import Policy
from sinks.central import Central
from sinks.dead_letters import DeadLetters
from sinks.evolution import Catalog
from sinks.fold import DeadLetter, Fold, Lane, fold, stamp_of
from sinks.ledger import Advance, Ledger
from sinks.mirror import Mirror
from sinks.schema_changes import SchemaChanges
from sinks.warehouse import DataError, Transaction, Warehouse
from tillstream import metrics
from tillstream.envelope import ChangeEvent, LaneBatch, Stamp, file_number
from tillstream.errors import LeaseLostError, RefusedError, TransientError

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5  # how long an idle worker waits; a waiting batch ends it at once
DIRTY_SECONDS = 5.0  # how soon keys that another process left are noticed
# A batch is tens of thousands of objects and no cycle: at the default of 700 the collector takes a tenth of the time.
GC_THRESHOLD = (100_000, 20, 50)
FIRST_RETRY_SECONDS, MOST_RETRY_SECONDS = 0.2, 30.0


class Lanes(Protocol):
    """Where batches come from: the embedded engines, or Kafka."""

    def poll(self, timeout_seconds: float) -> list[LaneBatch]:
        """What has arrived, in each lane's order; how far a lane runs ahead of its commits is its own affair."""

    def commit(self, batches: Iterable[LaneBatch]) -> None:
        """They are in the warehouse: the source may forget them."""

    def refuse(self, store: str, error: RefusedError | LeaseLostError) -> None:
        """Stop this lane, and no other, for the reason given."""


class LaneRefused(Exception):  # noqa: N818 - carries one lane's RefusedError out of a transaction of many
    def __init__(self, store: str, error: RefusedError) -> None:
        self.store, self.error = store, error


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What one transaction put into the warehouse, for whoever watches."""

    events: Mapping[str, int]
    conflicts: int
    dead_letters: int


class Worker:
    def __init__(
        self,
        warehouse: Warehouse,
        lanes: Lanes,
        policy: Policy,
        *,
        policy_id: int,
        on_commit: Callable[[Committed], None] = lambda committed: None,
    ) -> None:
        self._warehouse = warehouse
        self._lanes = lanes
        self._policy = policy
        self._on_commit = on_commit
        self._catalog = Catalog()
        self._catalog_loaded = False
        self._ledger = Ledger()
        self._dead_letters = DeadLetters()
        self._mirror = Mirror(self._catalog, self._dead_letters)
        self._central = Central(self._catalog, policy, policy_id)
        self._schema = SchemaChanges(self._catalog, self._ledger, policy)
        self._patience = Retrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_exponential_jitter(multiplier=FIRST_RETRY_SECONDS, max=MOST_RETRY_SECONDS),
            before_sleep=_tell_retry,
        )
        gc.set_threshold(*GC_THRESHOLD)
        self._state: dict[str, Lane] = {}
        self._waiting: dict[str, deque[LaneBatch]] = {}
        self._led = False  # the batch had control events, which may leave keys to be decided
        self._look_for_dirty_at = 0.0

    # --- the loop ---------------------------------------------------------------------------------------

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Work until told to stop; what has been taken from a lane by then is finished first."""
        while not should_stop() or self._waiting:
            self.run_once(0.0 if self._waiting or self._dirty_due() else POLL_SECONDS)

    def run_once(self, timeout_seconds: float = POLL_SECONDS) -> None:
        """Take one part of every waiting lane into the warehouse."""
        self._receive(self._lanes.poll(timeout_seconds))
        parts = self._take()
        if parts or self._dirty_due():
            done = self._with_patience(parts)
            self._lanes.commit(part for part in done if part.resume is not None)

    def _write(self, parts: list[LaneBatch], poisoned: str | None = None) -> Committed:
        with self._warehouse.transaction() as tx:
            self._load_catalog(tx)
            lanes = self._lead(tx, parts)
            folded = fold(parts, lanes) if poisoned is None else self._bury(parts, lanes, poisoned)
            applied = self._mirror.apply(tx, folded)
            letters = len(self._dead_letters.flush(tx)) + len(folded.dead_letters)
            dirty = self._central.take_dirty(tx)
            conflicts = self._central.decide(tx, applied.touched | dirty)
            advances = [self._advance_of(part, lanes[part.store], folded) for part in parts]
            if advances:
                self._ledger.advance(tx, advances)  # last: all of it, or none of it
        self._remember(lanes, advances)
        more = bool(dirty) or self._led
        self._look_for_dirty_at = 0.0 if more else time.monotonic() + DIRTY_SECONDS
        return Committed(events=dict(folded.events), conflicts=conflicts, dead_letters=letters)

    # --- what goes wrong --------------------------------------------------------------------------------

    def _with_patience(self, parts: list[LaneBatch]) -> list[LaneBatch]:
        """Try until it is in. Faults that may pass are waited out; a lane that must stop is left out."""
        while True:
            try:
                return self._patience(self._write_all, parts)
            except LaneRefused as refused:
                self._refuse(refused.store, refused.error)
                parts = [part for part in parts if part.store != refused.store]
            except LeaseLostError as lost:
                for part in parts:
                    self._refuse(part.store, lost)
                return []

    def _write_all(self, parts: list[LaneBatch]) -> list[LaneBatch]:
        started = time.monotonic()
        try:
            committed = self._write(parts)
        except DataError as error:
            self._catalog_loaded = False
            self._isolate(parts, error)
            return parts
        except RefusedError as error:
            self._catalog_loaded = False
            self._dead_letters.forget()
            self._refuse_alone(parts, error)
            return parts
        except BaseException:
            self._catalog_loaded = False  # what the transaction made of it was rolled back with it
            self._dead_letters.forget()
            raise
        self._count(committed, time.monotonic() - started)
        return parts

    def _isolate(self, parts: list[LaneBatch], error: DataError) -> None:
        """PostgreSQL refused a value: halve until the one event that holds it stands alone, and set that aside."""
        pieces = parts if len(parts) > 1 else _halves(parts[0])
        if len(parts) == 1 and len(pieces) == 1:
            if any(_is_control(event) for event in parts[0].events):
                raise LaneRefused(parts[0].store, RefusedError(f"store {parts[0].store}: {error}"))
            self._dead_letters.forget()
            self._count(self._write(parts, poisoned=str(error)), 0.0)
            return
        for piece in pieces:
            self._dead_letters.forget()
            self._write_all([piece])

    def _refuse_alone(self, parts: list[LaneBatch], error: RefusedError) -> None:
        """The warehouse refused something: only the lanes that bring it stop."""
        if len(parts) == 1:
            raise LaneRefused(parts[0].store, error) from error
        if not parts:
            raise error
        for part in parts:
            self._write_all([part])

    def _bury(self, parts: list[LaneBatch], lanes: Mapping[str, Lane], reason: str) -> Fold:
        """The fold of one single event whose value the warehouse refused."""
        (part,) = parts
        lane = lanes[part.store]
        result = fold([replace(part, events=[])], lanes)
        for event in part.events:
            if event.op is None or event.source is None or event.op == "t":
                continue
            codec = lane.codecs[event.source.db, event.source.table or ""]
            image = event.after if event.after is not None else event.before
            stamp = stamp_of(event, part.epoch)
            pk = str(stamp) if codec.keyless else codec.pk_of(image or {})
            result.dead_letters.append(DeadLetter(part.store, codec, pk, stamp, event, reason))
            result.events[part.store] += 1
            if event.op != "r":
                result.reached[part.store] = stamp
        return result

    def _refuse(self, store: str, error: RefusedError | LeaseLostError) -> None:
        log.error("%s", error)
        self._waiting.pop(store, None)
        self._state.pop(store, None)
        self._lanes.refuse(store, error)

    # --- lanes ------------------------------------------------------------------------------------------

    def _receive(self, batches: Iterable[LaneBatch]) -> None:
        for batch in batches:
            lane = self._state.get(batch.store)
            if lane is None or lane.stamp.epoch != batch.epoch:
                lane = self._claim(batch.store)
            self._waiting.setdefault(batch.store, deque()).extend(_parts(batch, lane))

    def _claim(self, store: str) -> Lane:
        with self._warehouse.transaction() as tx:
            lane = self._ledger.claim(tx, store, self._policy)
            self._catalog.load(tx)
            for codec in lane.codecs.values():
                self._catalog.ensure(tx, codec)  # a policy may share by now what it did not when the table was made
        self._state[store] = lane
        return lane

    def _take(self) -> list[LaneBatch]:
        parts = [queue.popleft() for queue in self._waiting.values()]
        self._waiting = {store: queue for store, queue in self._waiting.items() if queue}
        return parts

    def _dirty_due(self) -> bool:
        """Keys are left to be decided by this worker's own batches, and by other processes at any time."""
        return time.monotonic() >= self._look_for_dirty_at

    def _load_catalog(self, tx: Transaction) -> None:
        if not self._catalog_loaded:
            self._catalog.load(tx)
            self._catalog_loaded = True

    def _lead(self, tx: Transaction, parts: list[LaneBatch]) -> dict[str, Lane]:
        """The control events that lead each part, applied to copies: the originals change once it is committed."""
        lanes: dict[str, Lane] = {}
        self._led = False
        for part in parts:
            lane = copy(self._state[part.store])
            lane.codecs = dict(lane.codecs)
            lane.snapshot_tables = dict(lane.snapshot_tables)
            lanes[part.store] = lane
            try:
                for event in takewhile(_is_no_row, part.events):
                    if event.source is not None:
                        self._led = True
                        self._schema.apply(tx, lane, event, stamp_of(event, part.epoch))
                if part.resume is not None and not part.resume.in_snapshot and lane.snapshot_tables:
                    # the rows of this part are still to come, but none of them lies below its own snapshot
                    self._led = True
                    self._schema.finish_snapshot(tx, lane)
            except RefusedError as error:
                raise LaneRefused(part.store, error) from error
        return lanes

    def _advance_of(self, part: LaneBatch, lane: Lane, folded: Fold) -> Advance:
        stamp = max(lane.stamp, folded.reached.get(part.store, lane.stamp))
        for event in takewhile(_is_no_row, part.events):
            if event.source is not None and not event.is_snapshot:
                stamp = max(stamp, stamp_of(event, part.epoch))
        if part.resume is not None and not part.resume.in_snapshot:
            resume = part.resume
            stamp = max(stamp, Stamp(part.epoch, file_number(resume.file), resume.pos))
        return Advance(
            lane=lane,
            stamp=stamp,
            snapshot_done=lane.snapshot_done,
            events=folded.events.get(part.store, 0),
            last_event_us=folded.last_event_us.get(part.store),
        )

    def _remember(self, lanes: Mapping[str, Lane], advances: Iterable[Advance]) -> None:
        for advance in advances:
            lane = lanes[advance.lane.store]
            lane.stamp = advance.stamp
            self._state[lane.store] = lane

    def _count(self, committed: Committed, seconds: float) -> None:
        metrics.BATCH_SECONDS.labels("all").observe(seconds)
        metrics.BATCH_ROWS.observe(sum(committed.events.values()))
        metrics.CONFLICTS.inc(committed.conflicts)
        for store, events in committed.events.items():
            metrics.EVENTS.labels(store, "applied").inc(events)
        self._on_commit(committed)


def _tell_retry(state: RetryCallState) -> None:
    metrics.RETRIES.inc()
    error = state.outcome.exception() if state.outcome else None
    log.warning("%s; trying again in %.1f s", error, state.upcoming_sleep)


def _is_no_row(event: ChangeEvent) -> bool:
    """A schema change, a TRUNCATE or a heartbeat."""
    return event.op is None or event.op == "t"


def _is_control(event: ChangeEvent) -> bool:
    return event.source is not None and _is_no_row(event)


def _parts(batch: LaneBatch, lane: Lane) -> Iterator[LaneBatch]:
    """Cut before every control event that follows a row, so that schema changes and TRUNCATE always lead.

    The new half of a primary-key change of a shared table leads too: it inherits from the old row as it is stored.
    """
    start = 0
    rows = False
    for index, event in enumerate(batch.events):
        op = event.op
        if op is None or op == "t":
            is_row, leads = False, event.source is not None
        else:
            is_row, leads = True, event.oldkey is not None and _is_shared(event, lane)
        if leads and rows:
            yield replace(batch, events=batch.events[start:index], resume=None)
            start, rows = index, False
        rows = rows or is_row
    yield replace(batch, events=batch.events[start:] if start else batch.events)


def _is_shared(event: ChangeEvent, lane: Lane) -> bool:
    assert event.source is not None
    codec = lane.codecs.get((event.source.db, event.source.table or ""))
    return codec is None or codec.policy is not None


def _halves(part: LaneBatch) -> list[LaneBatch]:
    middle = len(part.events) // 2
    if middle == 0:
        return [part]
    return [
        replace(part, events=part.events[:middle], resume=None),
        replace(part, events=part.events[middle:]),
    ]
