"""The lanes of a chain as topics: those that the consumer group gives to this worker.

Positions are the warehouse's: a lane that is given to us begins where the ledger says, after the ledger has been told
that it is ours. Nothing is ever committed to Kafka.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors import records
from connectors.connector_offsets import ConnectorOffsets
from connectors.connector_options import HEADER, Tag
from connectors.kafka_names import names_of
from connectors.topics import Topics, broker_error
from tillstream import metrics
from tillstream.config import KafkaCapture
from tillstream.envelope import LaneBatch, LaneClosed, LaneOpened
from tillstream.errors import LeaseLostError, RefusedError, TillstreamError, TransientError

log = logging.getLogger(__name__)

MOST_RECORDS = 10_000  # taken from the consumer at once
MOST_WAITING_EVENTS = 60_000  # decoded, and not in the warehouse yet
REOPEN_SECONDS = 5.0  # longer than a group takes to notice that a worker is no member any more
AWAY_SECONDS = 5.0
POSITIONS_SECONDS = 0.25  # how often Connect's offsets are looked at
Arrived = LaneBatch | LaneOpened | LaneClosed


@dataclass(slots=True, eq=False)
class _Lane:
    """A topic that the group has given to us."""

    store: str
    next_offset: int | None = None  # of the record that comes next; None: it has not begun
    generation: int = 0  # what earlier ones captured does not count, be it readable or not
    tag: Tag | None = None  # what the last record was captured with
    waiting_events: int = 0  # handed over, and not in the warehouse yet
    reopen_at: float | None = 0.0  # when it is to be opened; None: it is open, or being opened


class KafkaLanes:
    """For one worker, and used by its thread; `commit` may come from another."""

    def __init__(
        self,
        capture: KafkaCapture,
        *,
        on_refusal: Callable[[str, TillstreamError], None] = lambda store, error: None,
    ) -> None:
        self._on_refusal, self._names = on_refusal, names_of(capture)
        self._topics = Topics(capture)
        self._offsets = ConnectorOffsets(capture)
        self._lanes: dict[str, _Lane] = {}
        self._closed: list[LaneClosed] = []
        self._room = threading.Condition()
        self._looked_at = 0.0
        self._away_until = 0.0
        self._is_draining = False
        self._consumer = Consumer(
            {
                **capture.client_properties(),
                "group.id": self._names.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",  # a place that is gone is no reason to go on from another
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": 10_000,
                "heartbeat.interval.ms": 2_000,
                "topic.metadata.refresh.interval.ms": 5_000,  # a store that was added is taken up as fast
                "fetch.wait.max.ms": 100,
                # What is fetched comes compressed, and is ten times as much in memory. A broker sends a record that is
                # larger than this all the same.
                "fetch.message.max.bytes": 512 * 1024,
                "fetch.max.bytes": 16 * 1024 * 1024,
                "queued.max.messages.kbytes": 16 * 1024,
                "queued.min.messages": MOST_RECORDS,
                # A full queue is emptied within milliseconds; the default waits a second, half the rate of a worker.
                "fetch.queue.backoff.ms": 5,
                "log_level": 0,  # what goes wrong comes as an event
            }
        )
        self._consumer.subscribe(
            [self._names.lanes], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    # --- for the worker ---------------------------------------------------------------------------------

    def poll(self, timeout_seconds: float) -> list[Arrived]:
        if self._is_draining:
            return []
        with self._room:
            if not self._room.wait_for(self._has_room, timeout_seconds or 0.001):
                return []
        messages = self._consume(timeout_seconds)
        arrived: list[Arrived] = [*self._closed]
        self._closed.clear()
        arrived.extend(self._unless_away(self._opened))
        by_topic: dict[str, list[Any]] = {}
        for message in messages:
            if (error := message.error()) is not None:
                self._note(error, message.topic())
            else:
                by_topic.setdefault(message.topic() or "", []).append(message)
        for topic, of_lane in by_topic.items():
            arrived.extend(self._batches(topic, of_lane))
        arrived.extend(self._unless_away(self._positions))
        return arrived

    def drain(self) -> None:
        """From now on nothing more comes; what has come may be finished."""
        self._is_draining = True

    def commit(self, batches: Iterable[LaneBatch]) -> None:
        with self._room:
            for batch in batches:
                if batch.handle is not None:
                    lane, events = batch.handle
                    lane.waiting_events = max(lane.waiting_events - events, 0)  # none are left of one that was stopped
            self._room.notify_all()

    def _has_room(self) -> bool:
        return sum(lane.waiting_events for lane in self._lanes.values()) < MOST_WAITING_EVENTS

    def refuse(self, store: str, error: RefusedError | LeaseLostError) -> None:
        """Read it again from where the warehouse has it, in a while: another worker may have it by then, and what
        was wrong may have been put right."""
        lane = self._lanes.get(store)
        if lane is not None:
            self._stop(lane)
        if isinstance(error, RefusedError):
            self._on_refusal(store, error)

    def close(self) -> None:
        """Leave the group: others take the lanes over at once."""
        self._consumer.close()
        self._offsets.close()

    # --- the group --------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign([])  # each is assigned once it is known where it begins
        for partition in partitions:
            store = self._names.store_of(partition.topic)
            self._lanes[store] = _Lane(store)
        if partitions:
            log.info("lanes taken over: %s", ", ".join(sorted(self._names.store_of(each.topic) for each in partitions)))

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(consumer, partitions)
        if partitions:
            log.info("lanes given up: %s", ", ".join(sorted(self._names.store_of(each.topic) for each in partitions)))

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(consumer, partitions)
        log.warning("this worker was silent for too long, and others have its lanes now")

    def _drop(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        begun = []
        for partition in partitions:
            lane = self._lanes.pop(self._names.store_of(partition.topic), None)
            if lane is not None:
                self._closed.append(LaneClosed(store=lane.store))
                if lane.next_offset is not None:
                    begun.append(TopicPartition(partition.topic, 0))
        consumer.incremental_unassign(begun)

    def _unless_away(self, look: Callable[[], Sequence[Arrived]]) -> Sequence[Arrived]:
        """A broker that does not answer is waited for: its lanes come again when it does."""
        if time.monotonic() < self._away_until:
            return []
        try:
            return look()
        except TransientError as error:
            log.warning("%s; trying again in %.0f s", error, AWAY_SECONDS)
            self._away_until = time.monotonic() + AWAY_SECONDS
            return []

    def _opened(self) -> list[LaneOpened]:
        now = time.monotonic()
        due = [each for each in self._lanes.values() if each.reopen_at is not None and each.reopen_at <= now]
        found = self._topics.look([self._names.lane(lane.store) for lane in due])
        opened = []
        for lane in due:
            state = found.get(self._names.lane(lane.store))
            lane.reopen_at = None if state is not None else now + REOPEN_SECONDS
            if state is not None:
                begin = partial(self._begin, lane)
                opened.append(
                    LaneOpened(store=lane.store, topic_id=state.id, low=state.low, high=state.high, begin=begin)
                )
        return opened

    def _begin(self, lane: _Lane, offset: int, generation: int) -> None:
        if self._lanes.get(lane.store) is lane:
            lane.next_offset, lane.generation = offset, generation
            lane.reopen_at = None  # it may have been stopped while it was being opened
            self._consumer.incremental_assign([TopicPartition(self._names.lane(lane.store), 0, offset)])

    def _stop(self, lane: _Lane) -> None:
        if lane.next_offset is not None:
            self._consumer.incremental_unassign([TopicPartition(self._names.lane(lane.store), 0)])
            lane.next_offset = None
        with self._room:
            lane.waiting_events = 0
        lane.reopen_at = time.monotonic() + REOPEN_SECONDS

    # --- records ----------------------------------------------------------------------------------------

    def _consume(self, timeout_seconds: float) -> list[Message]:
        try:
            # the driver waits for the whole number or the whole time: the first record ends the wait
            first = self._consumer.consume(1, min(timeout_seconds, POSITIONS_SECONDS))
            return first + self._consumer.consume(MOST_RECORDS, 0) if first else first
        except KafkaException as error:
            raise broker_error(error, "bring the lanes' records") from error

    def _note(self, error: KafkaError, topic: str | None) -> None:
        lane = self._lanes.get(self._names.store_of(topic)) if topic else None
        if error.fatal():
            raise RefusedError(f"this worker's Kafka consumer cannot go on: {error.str()}; start it again")
        if lane is not None:
            log.warning("store %s: its lane cannot be read (%s); looking at it again", lane.store, error.str())
            self._stop(lane)
        else:
            log.warning("Kafka: %s", error.str())

    def _batches(self, topic: str, messages: list[Any]) -> list[LaneBatch]:
        """One for each run of records that were captured in the same way."""
        lane = self._lanes.get(self._names.store_of(topic))
        if lane is None or lane.next_offset is None:
            return []  # fetched before the lane was another's
        messages = [each for each in messages if each.offset() >= lane.next_offset]  # or before it was begun again
        if not messages:
            return []
        batches: list[LaneBatch] = []
        values: list[bytes] = []
        headers: Any = None
        tag: Tag | None = None  # of a record without headers
        try:
            for message in messages:
                if (found := message.headers()) != headers:  # the same in nearly all of them
                    headers, tag = found, _tag(message)
                    if tag is not None:
                        if tag != lane.tag and values:
                            batches.append(self._batch(lane, values, message.offset()))
                            values = []
                        lane.tag = tag
                if tag is None:
                    self._tell_foreign(lane, message)
                elif (value := message.value()) is not None and tag.generation >= lane.generation:
                    values.append(value)
            lane.next_offset = messages[-1].offset() + 1
            if lane.tag is not None:
                batches.append(self._batch(lane, values, lane.next_offset))
        except RefusedError as error:
            log.error("%s", error)
            self.refuse(lane.store, error)
        return batches

    def _tell_foreign(self, lane: _Lane, message: Any) -> None:
        """Nothing of the store's log is in it: our connector marks each of its records."""
        metrics.FOREIGN_RECORDS.inc()
        log.warning(
            "store %s: the record at offset %d of %s was written by somebody else (it lacks the header `%s`) and is "
            "left out", lane.store, message.offset(), message.topic(), HEADER,
        )  # fmt: skip

    def _batch(self, lane: _Lane, values: list[bytes], next_offset: int) -> LaneBatch:
        lines = b"\n".join(values)
        try:
            events = records.decode(lines)
        except ValueError:
            index, reason = records.first_unreadable(values) or (0, "")
            raise RefusedError(
                f"store {lane.store}: record {index + 1} of {len(values)} before offset {next_offset} of "
                f"{self._names.lane(lane.store)} cannot be read: {reason}; `tillstream resync {lane.store}` goes on "
                "behind it and reads the store anew"
            ) from None
        assert lane.tag is not None
        with self._room:
            lane.waiting_events += len(events)
        return LaneBatch(
            store=lane.store,
            epoch=lane.tag.epoch,
            generation=lane.tag.generation,
            events=events,
            resume=None,
            odd_text=records.holds_odd_text(lines),
            schema_only=lane.tag.schema_only,
            lane_offset=next_offset,
            handle=(lane, len(events)),
        )

    # --- where the log itself was read to -----------------------------------------------------------------

    def _positions(self) -> list[LaneBatch]:
        """What Connect has noted of logs that went on without a row for us: it holds for a lane that has brought all
        that was in it when that was seen."""
        now = time.monotonic()
        if now - self._looked_at < POSITIONS_SECONDS:
            return []
        self._looked_at = now
        self._offsets.read()
        ours = [lane for lane in self._lanes.values() if lane.next_offset is not None and lane.tag is not None]
        unmarked = [self._names.lane(lane.store) for lane in ours if self._offsets.is_new(lane.store)]
        for topic, end in self._topics.ends(unmarked).items():
            self._offsets.mark(self._names.store_of(topic), end)
        batches = []
        for lane in ours:
            assert lane.next_offset is not None
            assert lane.tag is not None
            resume = self._offsets.reached(lane.store, lane.tag.generation, lane.next_offset)
            if resume is not None:
                batches.append(
                    LaneBatch(
                        store=lane.store,
                        epoch=lane.tag.epoch,
                        generation=lane.tag.generation,
                        events=[],
                        resume=resume,
                        schema_only=lane.tag.schema_only,
                        lane_offset=lane.next_offset,
                    )
                )
        return batches


def _tag(message: Any) -> Tag | None:
    for name, value in message.headers() or ():
        if name == HEADER:
            return Tag.read(value)
    return None
