"""Debezium inside this process: one engine per store, handing whole batches over and waiting for the warehouse.

The order that loses nothing: the warehouse commits, then the batch is marked processed, then Debezium flushes its
offset. So its offset is never ahead of the ledger; behind is redelivery, which the ledger recognises.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jpype

from connectors import jvm, mariadb
from connectors.beginning import Beginning, Prepare
from connectors.debezium import SCHEMA_ONLY, OffsetStore, engine_options
from connectors.engine_failures import engine_failure
from connectors.preflight import ServerFacts
from connectors.records import decode, holds_odd_text
from tillstream import metrics
from tillstream.config import Config, Store
from tillstream.envelope import ChangeEvent, LaneBatch, Resume, file_number
from tillstream.errors import TillstreamError, TransientError

log = logging.getLogger(__name__)

CLOSE_SECONDS = 20.0  # an engine's own way out takes a few; what it leaves undone is read again
LAST_BATCH_SECONDS = 0.5  # a batch that is being committed while its engine is told to stop
# Decoded events that wait for the worker, over all lanes; a batch is let in beyond it only when none is.
MOST_WAITING_EVENTS = 60_000


@dataclass(slots=True, eq=False)
class Handover:
    """One batch on its way into the warehouse."""

    store: str
    epoch: int
    events: list[ChangeEvent]
    odd_text: bool
    resume: Resume
    schema_only: bool = False
    settled: threading.Event = field(default_factory=threading.Event)
    error: TillstreamError | None = None

    def wait(self) -> None:
        """Until it is in the warehouse; raises why, if it never will be."""
        self.settled.wait()
        if self.error is not None:
            raise self.error


class EmbeddedLanes:
    """The lanes of all engines in this process, for one worker."""

    def __init__(self) -> None:
        self._arrived: queue.SimpleQueue[Handover] = queue.SimpleQueue()
        self._open: set[Handover] = set()
        self._room = threading.Condition()

    def deliver(self, handover: Handover, after: Handover | None = None) -> None:
        """Called by an engine's thread, which then waits for the batch before this one: two are on their way.

        `after` is that one. Raises its error if it was refused: what follows it would be taken in without it.
        """
        with self._room:
            self._room.wait_for(lambda: not self._open or self._waiting_events < MOST_WAITING_EVENTS)
            if after is not None and after.error is not None:
                raise after.error
            self._open.add(handover)
            self._arrived.put(handover)

    @property
    def _waiting_events(self) -> int:
        return sum(len(each.events) for each in self._open)

    def poll(self, timeout_seconds: float) -> list[LaneBatch]:
        batches: list[LaneBatch] = []
        try:
            batches.append(_batch(self._arrived.get(timeout=timeout_seconds or 0.001)))
            while True:
                batches.append(_batch(self._arrived.get_nowait()))
        except queue.Empty:
            pass
        return [batch for batch in batches if not batch.handle.settled.is_set()]

    def commit(self, batches: Iterable[LaneBatch]) -> None:
        self._settle([batch.handle for batch in batches])

    def refuse(self, store: str, error: TillstreamError) -> None:
        with self._room:
            refused = [handover for handover in self._open if handover.store == store]
            for handover in refused:
                handover.error = error
        self._settle(refused)

    def refuse_all(self, error: TillstreamError) -> None:
        with self._room:
            stores = {handover.store for handover in self._open}
        for store in stores:
            self.refuse(store, error)

    def _settle(self, handovers: Iterable[Handover]) -> None:
        with self._room:
            for handover in handovers:
                handover.settled.set()
                self._open.discard(handover)
            self._room.notify_all()


def _batch(handover: Handover) -> LaneBatch:
    return LaneBatch(
        store=handover.store,
        epoch=handover.epoch,
        events=handover.events,
        resume=handover.resume,
        odd_text=handover.odd_text,
        schema_only=handover.schema_only,
        handle=handover,
    )


def hand_over(store: str, epoch: int, lines: bytes, resume: Resume) -> Handover:
    """A batch decoded: one JSON document a line, as `_Java.values` brings them.

    Called by the engine's own thread, so that one lane is decoded while the worker waits for PostgreSQL with another.
    """
    return Handover(
        store,
        epoch,
        decode(lines),
        holds_odd_text(lines),
        resume,
    )


class EmbeddedCapture:
    """Makes engines of this process; the warehouse keeps their offsets."""

    def __init__(self, config: Config, lanes: EmbeddedLanes, kept: OffsetStore, prepare: Prepare) -> None:
        self._config, self._lanes, self._kept, self._prepare = config, lanes, kept, prepare

    def prepare(self, store: Store, facts: ServerFacts) -> Beginning:
        return self._prepare(store.id, oldest_file=file_number(facts.oldest_file))

    def engine(self, store: Store, facts: ServerFacts, beginning: Beginning) -> "EmbeddedEngine":
        options = engine_options(self._config, store, self._kept, facts, schema_only=beginning.schema_only)
        return EmbeddedEngine(store.id, beginning.epoch, options, self._lanes)


class EmbeddedEngine:
    """One run of one store's engine. Not restarted: a new run is a new object."""

    def __init__(self, store: str, epoch: int, options: dict[str, str], lanes: EmbeddedLanes) -> None:
        self.store = store
        self._epoch = epoch
        self._lanes = lanes
        self._failure: TillstreamError | None = None
        self._closing = False
        self._previous: tuple[Handover, Any] | None = None  # with its last record
        self._committer: Any = None
        self._stopped = threading.Event()
        self._schema_only = options["snapshot.mode"] == SCHEMA_ONLY
        self._engine = self._build(options)

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"engine-{self.store}", daemon=True).start()

    def wait(self, timeout_seconds: float) -> bool:
        """Whether the engine has stopped by then, or has to be: a batch of its was refused."""
        return self._stopped.wait(timeout_seconds) or self._refused()

    def _refused(self) -> bool:
        if self._previous is not None and self._previous[0].error is not None:
            self._failure = self._failure or self._previous[0].error
            return True
        return False

    def close(self) -> None:
        """Stop it; a batch that waits for the warehouse is given up and will be read again."""
        self._closing = True
        self._mark_last()
        self._lanes.refuse(self.store, TransientError("the engine is stopping"))
        if not self._stopped.is_set():
            # in a thread of its own: Debezium waits for its own threads without a bound when a connection hangs
            threading.Thread(target=self._close, name=f"closing-{self.store}", daemon=True).start()
            if not self._stopped.wait(CLOSE_SECONDS):
                log.warning("store %s: its engine did not stop within %.0f s; left behind", self.store, CLOSE_SECONDS)

    def leave(self) -> None:
        """It ends with this process."""
        self.close()

    def position(self, reached: tuple[int, int]) -> tuple[int, int]:
        """What it has not handed over stands nowhere: the warehouse's."""
        return reached

    def _close(self) -> None:
        try:
            self._engine.close()
        except jpype.JException as error:  # already on its way out
            log.debug("store %s: closing the engine: %s", self.store, error)

    def _note(self, error: TillstreamError) -> None:
        if not self._closing:  # what is given up then has not failed
            self._failure = self._failure or error

    def raise_failure(self) -> None:
        """What stopped it, if anything but `close` did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._engine.run()
        except Exception as error:  # Java's and ours: whatever ends an engine is told by its supervisor
            log.debug("store %s: its engine ended", self.store, exc_info=True)
            self._note(engine_failure(self.store, str(error)))
        finally:
            self._stopped.set()

    def _build(self, options: dict[str, str]) -> Any:
        java = _java()
        properties = java.properties()
        for key, value in options.items():
            properties.setProperty(key, value)
        if options["connector.class"] == mariadb.CONNECTOR_CLASS:
            jvm.add_jars(mariadb.jars(), mariadb.DRIVER_CLASS)
        return (
            java.engine.create(java.json_format.class_)
            .using(properties)
            .using(self._completion())
            .notifying(self._consumer())
            .build()
        )

    def _consumer(self) -> Any:
        engine = self

        @jpype.JImplements("io.debezium.engine.DebeziumEngine$ChangeConsumer")
        class Consumer:
            @jpype.JOverride
            def handleBatch(self, records: Any, committer: Any) -> None:
                engine._hand_over(records, committer)

            @jpype.JOverride
            def supportsTombstoneEvents(self) -> bool:
                return True

        return Consumer()

    def _hand_over(self, records: Any, committer: Any) -> None:
        count = int(records.size())
        if count == 0:
            return
        self._committer = committer
        last = records.get(count - 1)
        resume = _resume(last.sourceRecord().sourceOffset())
        started = time.thread_time()
        lines = _java().values(records)
        metrics.HANDED_OVER.inc(count)
        metrics.HAND_OVER_CPU_SECONDS.inc(time.thread_time() - started)
        handover = hand_over(self.store, self._epoch, lines, resume)
        handover.schema_only = self._schema_only
        previous, self._previous = self._previous, (handover, last)
        try:
            self._lanes.deliver(handover, previous[0] if previous is not None else None)
        except TillstreamError as error:
            self._note(error)
            raise
        if previous is not None:
            # This batch is decoded and waits; the one before it must be in the warehouse before more is taken, and
            # is marked only now. The last one of a quiet store is marked when its next heartbeat comes.
            self._mark(*previous, committer)

    def _mark_last(self) -> None:
        """The last batch, if it is in: Debezium flushes what is marked as it stops. Without this mark a store that is
        stopped right after its first snapshot would have no offset, and be read anew."""
        last, committer = self._previous, self._committer
        if last is not None and last[0].settled.wait(LAST_BATCH_SECONDS) and last[0].error is None:
            committer.markProcessed(last[1])

    def _mark(self, handover: Handover, last: Any, committer: Any) -> None:
        try:
            handover.wait()
        except TillstreamError as error:
            self._note(error)
            raise
        committer.markProcessed(last)  # an offset is a position: the last one covers all before it
        committer.markBatchFinished()

    def _completion(self) -> Any:
        engine = self

        @jpype.JImplements("io.debezium.engine.DebeziumEngine$CompletionCallback")
        class Completion:
            @jpype.JOverride
            def handle(self, success: bool, message: Any, error: Any) -> None:
                if not success:
                    reason = jvm.deepest_message(error) if error is not None else str(message)
                    engine._note(engine_failure(engine.store, reason))

        return Completion()


def _resume(offset: Any) -> Resume:
    raw = {str(key): _plain(offset.get(key)) for key in offset.keySet()}
    return Resume(file=str(raw.get("file", "")), pos=int(raw.get("pos", 0)), in_snapshot="snapshot" in raw, raw=raw)


def _plain(value: Any) -> Any:
    if isinstance(value, jpype.JLong | jpype.JInt) or hasattr(value, "longValue"):
        return int(value)
    return None if value is None else str(value)


@cache
def _java() -> "_Java":
    return _Java()


class _Java:
    """The Java classes, and the one call that brings a whole batch over.

    The functions of the stream are Java's own and never call back into Python; value by value the same costs nine
    times as much. JSON escapes its own newlines, so lines are records.
    """

    def __init__(self) -> None:
        self.properties = jpype.JClass("java.util.Properties")
        self.engine = jpype.JClass("io.debezium.engine.DebeziumEngine")
        self.json_format = jpype.JClass("io.debezium.engine.format.Json")
        self._collectors = jpype.JClass("java.util.stream.Collectors")
        self._utf8 = jpype.JClass("java.nio.charset.StandardCharsets").UTF_8
        proxies = jpype.JClass("java.lang.invoke.MethodHandleProxies")
        lookup = jpype.JClass("java.lang.invoke.MethodHandles").publicLookup()
        method_type = jpype.JClass("java.lang.invoke.MethodType").methodType
        function = jpype.JClass("java.util.function.Function").class_
        event = jpype.JClass("io.debezium.engine.ChangeEvent").class_
        string = jpype.JClass("java.lang.String").class_
        anything = jpype.JClass("java.lang.Object").class_
        self._value = proxies.asInterfaceInstance(function, lookup.findVirtual(event, "value", method_type(anything)))
        self._text = proxies.asInterfaceInstance(
            function, lookup.findStatic(string, "valueOf", method_type(string, anything))
        )

    def values(self, records: Any) -> bytes:
        """The records' values, one JSON document a line; a tombstone is `null`."""
        joined = records.stream().map(self._value).map(self._text).collect(self._collectors.joining("\n"))
        return bytes(memoryview(joined.getBytes(self._utf8)))
