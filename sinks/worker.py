"""The worker: one batch of many lanes after another, each all the way into the warehouse or not at all.

While one batch is being written the next is folded and rendered: the rows of both are in their lanes' order, and
what was prepared ahead is thrown away and done anew if the one before it does not go in as it stands.
"""

import gc
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from conflict.policy import Policy, RuleName
from sinks.batch import Batch, BatchWriter, Committed, LaneRefused
from sinks.fold import Lane
from sinks.parts import cut, halves, is_control
from sinks.policy_versions import PolicyChangedError
from sinks.row_codec import Shapes
from sinks.warehouse import DataError, Warehouse
from tillstream import metrics
from tillstream.envelope import LaneBatch, LaneClosed, LaneOpened
from tillstream.errors import LeaseLostError, RefusedError, TransientError

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5  # how long an idle worker waits; a waiting batch ends it at once
# A batch is tens of thousands of objects and no cycle: at the default of 700 the collector takes a tenth of the time.
GC_THRESHOLD = (100_000, 20, 50)
# Who has an answer of PostgreSQL waits for the thread that prepares the next batch to let go: at the default of 5 ms,
# a dozen times a batch, that is a sixth of the whole.
SWITCH_SECONDS = 0.001
FIRST_RETRY_SECONDS, MOST_RETRY_SECONDS = 0.2, 30.0


class Lanes(Protocol):
    """Where batches come from: the embedded engines, or Kafka."""

    def poll(self, timeout_seconds: float) -> Sequence[LaneBatch | LaneOpened | LaneClosed]:
        """What has arrived, in each lane's order; how far a lane runs ahead of its commits is its own affair.

        Lanes that change hands between workers are told of: batches come only once such a lane has begun.
        """

    def commit(self, batches: Iterable[LaneBatch]) -> None:
        """They are in the warehouse: the source may forget them."""

    def refuse(self, store: str, error: RefusedError | LeaseLostError) -> None:
        """Stop this lane, and no other, for the reason given."""


class Worker:
    def __init__(
        self,
        warehouse: Warehouse,
        lanes: Lanes,
        shapes: Shapes,
        *,
        in_force: Callable[[], Shapes] | None = None,
        on_commit: Callable[[Committed], None] = lambda committed: None,
    ) -> None:
        """`in_force` is asked where another policy than that of `shapes` is met; without it that is an error."""
        self._lanes = lanes
        self._in_force = in_force
        self._writer = BatchWriter(warehouse, shapes)
        _tell_rules(shapes.policy)
        self._on_commit = on_commit
        self._should_stop: Callable[[], bool] = lambda: False
        self.trouble = ""  # why nothing is written just now, if it is so
        self._patience = Retrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_exponential_jitter(multiplier=FIRST_RETRY_SECONDS, max=MOST_RETRY_SECONDS),
            stop=lambda state: self._should_stop(),  # the warehouse is away and we are told to go: it is read again
            before_sleep=self._tell_retry,
            reraise=True,
        )
        gc.set_threshold(*GC_THRESHOLD)
        sys.setswitchinterval(SWITCH_SECONDS)
        self._state: dict[str, Lane] = {}  # as the warehouse has it
        self._waiting: dict[str, deque[LaneBatch]] = {}
        # Lanes that stopped since the last poll: what it brought of them comes behind something that is missing.
        self._gone: set[str] = set()
        self._ahead: Batch | None = None  # being written, by the one thread below
        self._written: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")

    # --- the loop ---------------------------------------------------------------------------------------

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Work until told to stop; what has been taken from a lane by then is finished first."""
        self._should_stop = should_stop
        try:
            while not should_stop() or self._waiting or self._ahead is not None:
                self.run_once(0.0 if self._waiting or self._writer.keys_are_left else POLL_SECONDS)
        except TransientError as error:
            if not should_stop():
                raise
            log.warning("%s; what was not written yet is read again at the next start", error)
        finally:
            self._thread.shutdown()

    def run_once(self, timeout_seconds: float = POLL_SECONDS) -> None:
        """Take one part of every waiting lane on its way into the warehouse."""
        self._receive(self._lanes.poll(timeout_seconds))
        parts = self._take()
        try:
            self._bring_in(parts)
        except PolicyChangedError as changed:
            self._take_up_policy(parts, changed)

    def _bring_in(self, parts: list[LaneBatch]) -> None:
        if parts and self._writer.can_run_ahead(parts, self._lanes_ahead(parts)):
            started = time.monotonic()
            batch = self._writer.prepare(parts, self._lanes_ahead(parts))
            metrics.BATCH_SECONDS.labels("prepare").observe(time.monotonic() - started)
            if self.settle():
                self._ahead, self._written = batch, self._thread.submit(self._write_ahead, batch)
            else:
                self._write_now(self._still_ours(parts))  # the lanes are not where `prepare` took them to be
        elif parts or self._writer.keys_are_left:
            self.settle()
            self._write_now(self._still_ours(parts))
        elif self._written is not None and (self._should_stop() or self._written.done()):
            self.settle()

    def settle(self) -> bool:
        """Wait for the batch that is being written; False if it had to be done again in another way."""
        if self._ahead is None or self._written is None:
            return True
        batch, written = self._ahead, self._written
        if not isinstance(written.exception(), PolicyChangedError):
            self._ahead = self._written = None
        try:
            written.result()
        except (RefusedError, DataError, LeaseLostError):
            self._write_now(self._still_ours(batch.parts))
            return False
        self._state.update({store: lane for store, lane in batch.lanes.items() if store in self._state})
        return True

    def _take_up_policy(self, parts: list[LaneBatch], changed: PolicyChangedError) -> None:
        """What was on its way begins anew under the policy that is in force now; where some of it is in the warehouse
        already, its lane's position tells."""
        if self._in_force is None:
            raise changed
        shapes = self._patience(self._in_force)
        self._writer.take_up(shapes)
        _tell_rules(shapes.policy)
        log.info("policy %s (version %d) is in force now", shapes.policy_id, shapes.policy.version)
        on_their_way = [*(self._ahead.parts if self._ahead else ()), *parts]
        self._ahead = self._written = None
        waiting, self._waiting = self._waiting, {}
        for store, lane in list(self._state.items()):
            try:
                self._state[store] = self._writer.remade(lane)
            except RefusedError as error:
                self._refuse(store, error)
                continue
            again = [*(part for part in on_their_way if part.store == store), *waiting.get(store, ())]
            pieces = [piece for part in again for piece in cut(part, self._state[store], again=True)]
            if pieces:
                self._waiting[store] = deque(pieces)

    def _write_ahead(self, batch: Batch) -> None:
        started = time.monotonic()
        committed = self._patience(self._writer.write, batch)
        self._tell(committed, time.monotonic() - started)
        self._commit(batch.parts)

    def _write_now(self, parts: list[LaneBatch]) -> None:
        self._commit(self._with_patience(parts))

    def _commit(self, parts: list[LaneBatch]) -> None:
        self._lanes.commit(part for part in parts if part.ends)

    # --- what goes wrong --------------------------------------------------------------------------------

    def _with_patience(self, parts: list[LaneBatch]) -> list[LaneBatch]:
        """Try until it is in. Faults that may pass are waited out; a lane that must stop is left out."""
        while True:
            try:
                return self._patience(self._write_all, parts)
            except LaneRefused as refused:
                self._refuse(refused.store, refused.error)
                parts = [part for part in parts if part.store != refused.store]

    def _write_all(self, parts: list[LaneBatch]) -> list[LaneBatch]:
        started = time.monotonic()
        try:
            committed = self._writer.write_led(parts, self._state)
        except DataError as error:
            self._isolate(parts, error)
        except (RefusedError, LeaseLostError) as error:
            self._refuse_alone(parts, error)
        else:
            self._tell(committed, time.monotonic() - started)
        return parts

    def _isolate(self, parts: list[LaneBatch], error: DataError) -> None:
        """PostgreSQL refused a value: halve until the one event that holds it stands alone, and set that aside."""
        pieces = parts if len(parts) > 1 else halves(parts[0])
        if len(parts) == 1 and len(pieces) == 1:
            if any(is_control(event) for event in parts[0].events):
                raise LaneRefused(parts[0].store, RefusedError(f"store {parts[0].store}: {error}"))
            self._tell(self._writer.write_led(parts, self._state, poisoned=str(error)), 0.0)
            return
        for piece in pieces:
            self._write_all([piece])

    def _refuse_alone(self, parts: list[LaneBatch], error: RefusedError | LeaseLostError) -> None:
        """The warehouse refused something, or a lane is another worker's by now: only the lanes concerned stop."""
        if len(parts) == 1:
            raise LaneRefused(parts[0].store, error) from error
        if not parts:
            raise error
        for part in parts:
            self._write_all([part])

    def _refuse(self, store: str, error: RefusedError | LeaseLostError) -> None:
        log.error("%s", error)
        self._forget(store)
        self._lanes.refuse(store, error)

    # --- lanes ------------------------------------------------------------------------------------------

    def _receive(self, arrived: Iterable[LaneBatch | LaneOpened | LaneClosed]) -> None:
        self._gone.clear()
        for each in arrived:
            match each:
                case LaneBatch():
                    self._receive_batch(each)
                case LaneOpened():
                    self._gone.discard(each.store)
                    lane = self._claim(each.store, each)
                    if lane is not None and lane.lane_offset is not None:
                        each.begin(lane.lane_offset, lane.capture_generation)
                case LaneClosed():
                    self._forget(each.store)

    def _receive_batch(self, batch: LaneBatch) -> None:
        lane = self._state.get(batch.store)
        is_ours = lane is not None or batch.lane_offset is None  # a topic's lane is ours only once it is opened
        if is_ours and batch.store not in self._gone and (lane is None or lane.stamp.epoch < batch.epoch):
            lane = self._claim(batch.store)
        if lane is None or batch.store in self._gone:
            return
        if batch.epoch < lane.stamp.epoch or batch.generation < lane.capture_generation:
            batch = _without_events(batch)  # captured before the store began anew
        self._waiting.setdefault(batch.store, deque()).extend(cut(batch, lane))

    def _claim(self, store: str, opened: LaneOpened | None = None) -> Lane | None:
        """The lane as the warehouse has it, and nobody else's from now on; None where it must stop."""
        try:
            self.settle()
        except PolicyChangedError as changed:
            self._take_up_policy([], changed)
        try:
            self._state[store] = self._patience(self._writer.claim, store, opened)
        except RefusedError as error:
            self._refuse(store, error)
        metrics.LANES.set(len(self._state))
        return self._state.get(store)

    def _forget(self, store: str) -> None:
        self._waiting.pop(store, None)
        self._state.pop(store, None)
        metrics.LANES.set(len(self._state))
        self._gone.add(store)

    def _take(self) -> list[LaneBatch]:
        parts = [queue.popleft() for queue in self._waiting.values()]
        self._waiting = {store: queue for store, queue in self._waiting.items() if queue}
        return parts

    def _still_ours(self, parts: list[LaneBatch]) -> list[LaneBatch]:
        """Without those of lanes that were refused since they were taken: what comes before them is not in."""
        return [part for part in parts if part.store in self._state]

    def _lanes_ahead(self, parts: list[LaneBatch]) -> dict[str, Lane]:
        """The lanes as they will be once the batch that is being written is in."""
        ahead = self._ahead.lanes if self._ahead is not None else {}
        return {part.store: ahead.get(part.store, self._state[part.store]) for part in parts}

    def _tell(self, committed: Committed, seconds: float) -> None:
        metrics.BATCH_SECONDS.labels("write").observe(seconds)
        metrics.BATCH_ROWS.observe(sum(committed.events.values()))
        for (table, rule), contests in committed.conflicts.items():
            metrics.CONFLICTS.labels(table, rule).inc(contests)
        for store, contests in committed.lost.items():
            metrics.STORE_LOST_CONFLICTS.labels(store).inc(contests)
        metrics.UNCERTAIN_DECISIONS.inc(committed.uncertain)
        metrics.PARKED_KEYS.inc(committed.parked)
        for store, events in committed.events.items():
            metrics.EVENTS.labels(store, "applied").inc(events)
        for store, events in committed.dropped.items():
            metrics.EVENTS.labels(store, "dropped").inc(events)
        self.trouble, now = "", time.time()
        for at_us in committed.last_event_us.values():
            metrics.COMMIT_LATENCY_SECONDS.observe(max(0.0, now - at_us / 1_000_000))
        metrics.DEAD_LETTERS.inc(committed.dead_letters)
        self._on_commit(committed)

    def _tell_retry(self, state: RetryCallState) -> None:
        metrics.RETRIES.inc()
        error = state.outcome.exception() if state.outcome else None
        self.trouble = str(error)
        log.warning("%s; trying again in %.1f s", error, state.upcoming_sleep)


def _tell_rules(policy: Policy) -> None:
    """Contests are told as 0 before the first: Prometheus counts from there."""
    for table, each in policy.tables.items():
        for rule in {rule.rule for rule in (each.default, *each.columns.values())} - {RuleName.PER_STORE}:
            metrics.CONFLICTS.labels(table, rule.value)


def _without_events(batch: LaneBatch) -> LaneBatch:
    """Settled like any other, but nothing of it counts, where it ends neither."""
    resume = None if batch.resume is None else replace(batch.resume, in_snapshot=True)
    return replace(batch, events=[], resume=resume)
