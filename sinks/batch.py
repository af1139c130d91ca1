"""One batch: prepared without the warehouse where that is possible, written in one transaction."""

import time
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from itertools import takewhile

from conflict.clock import StoreClock
from sinks import lane_topics
from sinks.central import Central
from sinks.dead_letters import DeadLetters
from sinks.evolution import Catalog
from sinks.fold import DeadLetter, Fold, Lane, fold, stamp_of
from sinks.ledger import Advance, Ledger
from sinks.mirror import Mirror
from sinks.parts import is_no_row
from sinks.policy_versions import enter
from sinks.row_codec import Shapes
from sinks.schema_changes import SchemaChanges
from sinks.stage import Stage, render
from sinks.views import Views
from sinks.warehouse import Transaction, Warehouse
from tillstream.envelope import LaneBatch, LaneOpened, Stamp, file_number
from tillstream.errors import LeaseLostError, RefusedError, TransientError

BatchKey = tuple[tuple[str, int, int], ...]
DIRTY_SECONDS = 5.0  # how soon keys that another process left are noticed
CLOCKS_SECONDS = 30.0  # and what a store's clock was found to be, where it is only told


class LaneRefused(Exception):  # noqa: N818 - carries one lane's error out of a transaction of many
    def __init__(self, store: str, error: RefusedError | LeaseLostError) -> None:
        self.store, self.error = store, error


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What one transaction put into the warehouse, for whoever watches."""

    events: Mapping[str, int]  # row changes taken in, by store
    dropped: Mapping[str, int]  # delivered again, and in the warehouse already
    last_event_us: Mapping[str, int]  # when each store made its last change in it, by its clock put right
    conflicts: Mapping[tuple[str, str], int]  # contests not seen before, by table and rule
    lost: Mapping[str, int]  # of these, by each store whose value was not taken
    uncertain: int
    parked: int  # keys that could not be decided since
    dead_letters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Parts of many lanes, folded and rendered; `lanes` are as they will be once it is in."""

    parts: list[LaneBatch]
    lanes: dict[str, Lane]
    folded: Fold
    stages: list[Stage]
    advances: list[Advance]


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """A transaction whose COMMIT was sent, until its answer has come."""

    key: BatchKey
    transaction: int
    lanes: dict[str, Lane]
    committed: Committed


class BatchWriter:
    """Everything that happens to a batch inside the warehouse's transaction, and what can be done before it."""

    def __init__(self, warehouse: Warehouse, shapes: Shapes) -> None:
        self._warehouse = warehouse
        self._ledger = Ledger()
        self._dead_letters = DeadLetters()
        self.take_up(shapes)
        self._in_doubt: InDoubt | None = None

    def take_up(self, shapes: Shapes) -> None:
        """From now on it is this policy that is expected to be in force."""
        self._shapes = shapes
        self._catalog = Catalog(Views(shapes.policy))
        self._catalog_loaded = False
        self._mirror = Mirror(self._catalog, self._dead_letters)
        self._central = Central(self._catalog, shapes.policy, shapes.policy_id or 0)
        self._schema = SchemaChanges(self._catalog, self._ledger, shapes)
        self._look_for_keys_at = 0.0
        self._read_clocks_at = 0.0
        self._clocks: Mapping[str, StoreClock] = {}

    def remade(self, lane: Lane) -> Lane:
        """The same lane where it stands, its tables read by the policy that was taken up. RefusedError where it
        cannot be."""
        codecs = {table: self._shapes.of(codec.version) for table, codec in lane.codecs.items()}
        return replace(lane, codecs=codecs)

    @property
    def keys_are_left(self) -> bool:
        """Keys wait to be decided: of this worker's own batches, or, now and then, of another process."""
        return time.monotonic() >= self._look_for_keys_at

    def claim(self, store: str, opened: LaneOpened | None = None) -> Lane:
        """`opened`: the lane's topic, where it has one."""
        with self._warehouse.transaction() as tx:
            lane = self._ledger.claim(tx, store, self._shapes)
            if opened is not None:
                lane_topics.enter(tx, lane, opened)
            self._catalog.load(tx)
            for codec in lane.codecs.values():
                self._catalog.ensure(tx, codec)  # a policy may share by now what it did not when the table was made
        return lane

    def can_run_ahead(self, parts: list[LaneBatch], lanes: Mapping[str, Lane]) -> bool:
        """Whether nothing but rows is in it: a schema change needs the warehouse before the rows are read."""
        return not any(self._leads(part, lanes[part.store]) for part in parts)

    def prepare(self, parts: list[LaneBatch], lanes: Mapping[str, Lane]) -> Batch:
        """Everything that needs no warehouse. `lanes` are left as they are."""
        return self._batch(parts, {store: copy(lane) for store, lane in lanes.items()}, None)

    def write(self, batch: Batch) -> Committed:
        """All of a prepared batch, or nothing."""
        if (done := self._done_before(batch.parts)) is not None:
            return done.committed
        try:
            with self._warehouse.transaction() as tx:
                keys_wait = enter(tx, self._shapes.policy_id)
                self._load_catalog(tx)
                committed = self._put(tx, batch, keys_wait=keys_wait, led=False)
        except BaseException:
            self._forget()
            raise
        self._in_doubt = None
        return committed

    def write_led(self, parts: list[LaneBatch], state: dict[str, Lane], *, poisoned: str | None = None) -> Committed:
        """The same for parts that schema changes lead; `state` moves on once it is committed.

        `poisoned` is why the single event in it cannot be kept.
        """
        if (done := self._done_before(parts)) is not None:
            state.update(done.lanes)
            return done.committed
        try:
            with self._warehouse.transaction() as tx:
                keys_wait = enter(tx, self._shapes.policy_id)
                self._load_catalog(tx)
                lanes, led = self._lead(tx, parts, state)
                batch = self._batch(parts, lanes, poisoned)
                committed = self._put(tx, batch, keys_wait=keys_wait or led, led=led)
        except BaseException:
            self._forget()
            raise
        self._in_doubt = None
        state.update(lanes)
        return committed

    def _done_before(self, parts: list[LaneBatch]) -> InDoubt | None:
        """The last try, if only the answer to its COMMIT was lost.

        PostgreSQL is asked, for not all of a batch would be no news: the row without a key that an update took is
        gone, and a second try would take another one that equals it.
        """
        doubt, self._in_doubt = self._in_doubt, None
        if doubt is None or doubt.key != _key(parts):
            return None
        self._in_doubt = doubt  # asking may fail too
        with self._warehouse.transaction() as tx:
            status = tx.value("SELECT pg_xact_status(%s::text::xid8)", [str(doubt.transaction)])
        if status == "in progress":
            raise TransientError("the warehouse is still at work on a transaction whose connection broke")
        self._in_doubt = None
        return doubt if status == "committed" else None

    def _put(self, tx: Transaction, batch: Batch, *, keys_wait: bool, led: bool) -> Committed:
        applied = self._mirror.apply(tx, batch.folded, batch.stages)
        letters = len(self._dead_letters.flush(tx)) + len(batch.folded.dead_letters)
        waiting = self._central.take_waiting(tx) if keys_wait else {}
        decided = self._central.decide(tx, applied.touched | dict.fromkeys(waiting), applied.reasons(waiting))
        committed = Committed(
            events=dict(batch.folded.events),
            dropped=dict(batch.folded.dropped),
            last_event_us=self._put_right(tx, batch),
            conflicts=decided.contests,
            lost=decided.lost,
            uncertain=decided.uncertain,
            parked=decided.parked,
            dead_letters=letters,
        )
        if batch.advances:
            number = self._ledger.advance(tx, batch.advances)  # last: all of it, or none of it
            self._in_doubt = InDoubt(key=_key(batch.parts), transaction=number, lanes=batch.lanes, committed=committed)
        self._look_for_keys_at = 0.0 if waiting or led else time.monotonic() + DIRTY_SECONDS
        return committed

    def _put_right(self, tx: Transaction, batch: Batch) -> dict[str, int]:
        if time.monotonic() >= self._read_clocks_at:
            self._clocks = self._catalog.clocks.read(tx)
            self._read_clocks_at = time.monotonic() + CLOCKS_SECONDS
        return {
            store: self._clocks[store].at(batch.lanes[store].stamp).corrected(at_us)
            for store, at_us in batch.folded.last_event_us.items()
        }

    def _batch(self, parts: list[LaneBatch], lanes: dict[str, Lane], poisoned: str | None) -> Batch:
        folded = fold(parts, lanes) if poisoned is None else _buried(parts, lanes, poisoned)
        stages = render(folded)
        advances = [_advance(part, lanes[part.store], folded) for part in parts]
        for advance in advances:
            advance.lane.stamp = advance.stamp
        return Batch(parts=parts, lanes=lanes, folded=folded, stages=stages, advances=advances)

    def _lead(self, tx: Transaction, parts: list[LaneBatch], state: Mapping[str, Lane]) -> tuple[dict[str, Lane], bool]:
        """The control events that lead each part, applied to copies of the lanes; whether there were any."""
        lanes: dict[str, Lane] = {}
        led = False
        for part in parts:
            lane = copy(state[part.store])
            lane.codecs = dict(lane.codecs)
            lane.snapshot_tables = dict(lane.snapshot_tables)
            lanes[part.store] = lane
            if not self._leads(part, lane):
                continue
            led = True
            try:
                self._lead_lane(tx, part, lane)
            except RefusedError as error:
                raise LaneRefused(part.store, error) from error
        return lanes, led

    def _lead_lane(self, tx: Transaction, part: LaneBatch, lane: Lane) -> None:
        for event in takewhile(is_no_row, part.events):
            if event.source is not None:
                self._finish_snapshot(tx, lane, streams=not event.is_snapshot)
                self._schema.apply(tx, lane, event, stamp_of(event, part.epoch), schema_only=part.schema_only)
        # the rows of this part are still to come, but none of them lies below its own snapshot
        self._finish_snapshot(tx, lane, streams=_streams(part))

    def _finish_snapshot(self, tx: Transaction, lane: Lane, *, streams: bool) -> None:
        """An engine that streams has read all of its snapshot: what it no longer found goes before anything comes."""
        if streams and (lane.snapshot_tables or lane.begins_anew):
            self._schema.finish_snapshot(tx, lane)

    def _leads(self, part: LaneBatch, lane: Lane) -> bool:
        control = any(event.source is not None for event in takewhile(is_no_row, part.events))
        return control or ((bool(lane.snapshot_tables) or lane.begins_anew) and _streams(part))

    def _load_catalog(self, tx: Transaction) -> None:
        if not self._catalog_loaded:
            self._catalog.load(tx)
            self._catalog_loaded = True

    def _forget(self) -> None:
        """What the transaction made of the catalog and of dead letters was rolled back with it."""
        self._catalog_loaded = False
        self._dead_letters.forget()


def _key(parts: list[LaneBatch]) -> BatchKey:
    """Tells a batch that is tried again from any other: its events are the same objects."""
    return tuple((part.store, id(part.events[0]) if part.events else 0, len(part.events)) for part in parts)


def _streams(part: LaneBatch) -> bool:
    """Whether the engine was past its snapshot by the end of this part's leading events, or of the part."""
    first_row = next((event for event in part.events if not is_no_row(event)), None)
    if first_row is not None and first_row.op != "r":
        return True
    return part.resume is not None and not part.resume.in_snapshot


def _advance(part: LaneBatch, lane: Lane, folded: Fold) -> Advance:
    stamp = max(lane.stamp, folded.reached.get(part.store, lane.stamp))
    for event in takewhile(is_no_row, part.events):
        if event.source is not None and not event.is_snapshot:
            stamp = max(stamp, stamp_of(event, part.epoch))
    if part.resume is not None and not part.resume.in_snapshot:
        stamp = max(stamp, Stamp(part.epoch, file_number(part.resume.file), part.resume.pos))
    return Advance(
        lane=lane,
        stamp=stamp,
        snapshot_done=lane.snapshot_done,
        events=folded.events.get(part.store, 0),
        last_event_us=folded.last_event_us.get(part.store),
        # who takes the lane over in the middle of a snapshot has to see what it declared, and begins with that
        lane_offset=None if lane.snapshot_tables or lane.begins_anew else part.lane_offset,
    )


def _buried(parts: list[LaneBatch], lanes: Mapping[str, Lane], reason: str) -> Fold:
    """The fold of one single event whose value the warehouse refused."""
    (part,) = parts
    lane = lanes[part.store]
    result = fold([replace(part, events=[])], lanes)
    for event in part.events:
        if event.source is None or is_no_row(event):
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
