"""Many events in log order → at most one change per row, with what was observed on the way.

Isolated tables keep the last full image: MySQL's row image is complete, so nothing of the earlier ones is missing
in it. Shared tables also keep, per column, the stamp of its last observed change. Both folds are associative: cut
the same events anywhere and the warehouse ends up the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import msgspec

from conflict.resolution import CHANGED, INSERTED, OPENING, SINCE, SNAPSHOT
from sinks.columns import UntoldError
from sinks.row_codec import RowCodec
from tillstream.envelope import ChangeEvent, LaneBatch, Source, Stamp, file_number
from tillstream.errors import PoisonError, RefusedError

SURELY_AFTER_US = 86_400_000_000  # a day: so far ahead a store's clock may be; its migration says it, too
MOVED = "m"  # the old half of a primary-key change: a withdrawal, not a delete
_new_stamp = tuple.__new__  # a third of the time of Stamp(...), once an event
TableId = tuple[str, str]  # (database, table) as the store names them
Dated = tuple[Stamp, int]  # a change and the store's own time of it, in us
Mark = tuple[Stamp, int, Dated | None]  # and of the row's changes before it the one dated the latest, if that is later


@dataclass(slots=True)
class Lane:
    """What the worker remembers of one store's lane between batches."""

    store: str
    stamp: Stamp  # everything at or below it is in the warehouse
    codecs: dict[TableId, RowCodec]
    generation: int = 0
    snapshot_done: bool = False
    snapshot_tables: dict[TableId, Stamp] = field(default_factory=dict)  # named by the snapshot that is running
    begins_anew: bool = False  # the snapshot that is running brings no rows: a resync waits for its end
    snapshot_rows: dict[TableId, int] = field(default_factory=dict)  # of each table, handed over so far
    lane_offset: int | None = None  # of a lane that is a topic: the record to go on with
    capture_generation: int = 0  # what an earlier one captured does not count


class Change:
    """The last state of one row in this batch."""

    __slots__ = ("codec", "event", "stamp")

    def __init__(self, codec: RowCodec, stamp: Stamp, event: ChangeEvent) -> None:
        self.codec = codec
        self.stamp = stamp
        self.event = event


class KeylessChange(Change):
    """One change of a keyless row; `event.ordinal` tells rows of one snapshot apart, which share its stamp."""

    __slots__ = ()


class SharedChange(Change):
    """Also what was observed on the way to it."""

    __slots__ = ("around", "first", "first_us", "latest", "moved_from", "stamps")

    def __init__(self, codec: RowCodec, stamp: Stamp, event: ChangeEvent, at_us: int) -> None:
        super().__init__(codec, stamp, event)
        self.first, self.first_us = stamp, at_us
        self.latest: Dated | None = None  # of the row's changes so far the one that the store dates the latest
        self.stamps: dict[str, Mark] = {}
        self.around: dict[str, list[tuple[Any, Mark | None]]] = {}  # column → its values in order, and how each came
        self.moved_from: str | None = None


@dataclass(slots=True)
class DeadLetter:
    store: str
    codec: RowCodec
    pk: str
    stamp: Stamp
    event: ChangeEvent
    reason: str
    ask_store: bool = False  # the log does not tell the value for certain, the store does


@dataclass(slots=True)
class Fold:
    """One batch, ready for the warehouse. `rows` is by (store, primary key) within a stage's shape."""

    rows: dict[tuple[Any, ...], dict[tuple[str, str], Change]] = field(default_factory=lambda: defaultdict(dict))
    keyless: list[tuple[str, KeylessChange]] = field(default_factory=list)  # in order, store first
    dead_letters: list[DeadLetter] = field(default_factory=list)
    reached: dict[str, Stamp] = field(default_factory=dict)  # per store, the last event's stamp
    events: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # row changes taken in
    dropped: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # already in the warehouse
    last_event_us: dict[str, int] = field(default_factory=dict)
    odd_text: bool = False  # some text may hold what its column cannot keep: only then is every text looked at


def stamp_of(event: ChangeEvent, epoch: int) -> Stamp:
    """Where a record that has a source stands."""
    source = event.source
    assert source is not None
    row, order = place_within(event, source)
    return Stamp(epoch, file_number(source.file), source.pos, row, order)


def place_within(event: ChangeEvent, source: Source) -> tuple[int, int]:
    """(row, order) at the event's position.

    A snapshot's row stands before all that begins at that position, be it a TRUNCATE.
    With a running number that alone counts: the rows of a compressed transaction's next statement are numbered from 0
    again, at the same position. Without one, the two halves of a primary-key change share their row.
    """
    if event.op == "r":
        return -1, 0
    if event.transaction is not None:
        return 0, event.transaction.total_order
    return source.row, int(event.oldkey is not None)


def fold(batches: Iterable[LaneBatch], lanes: Mapping[str, Lane]) -> Fold:
    """Fold the row changes of a batch; schema changes and TRUNCATE never stand among them (see `Worker`)."""
    result = Fold()
    for batch in batches:
        result.odd_text = result.odd_text or batch.odd_text
        _fold_lane(batch, lanes[batch.store], result)
    return result


def _fold_lane(batch: LaneBatch, lane: Lane, result: Fold) -> None:
    store, epoch, floor = batch.store, batch.epoch, lane.stamp
    taken = dropped = 0
    reached: Stamp | None = None
    last_us: int | None = None
    file, number = "", 0
    table: TableId | None = None  # of the event before: most are of the same one
    for event in batch.events:
        source = event.source
        if source is None or event.op is None or event.op == "t":
            continue
        if source.file != file:
            file, number = source.file, file_number(source.file)
        row, order = place_within(event, source)
        stamp = _new_stamp(Stamp, (epoch, number, source.pos, row, order))
        if stamp <= floor:  # a snapshot's row too: of one that ended long ago, and was delivered again
            dropped += 1
            continue
        if event.op != "r":
            reached = stamp
        taken += 1
        last_us = source.ts_us
        if table != (named := (source.db, source.table or "")):
            table, codec = named, _codec(lane, named, stamp)
            rows = result.rows[codec.shape]
        if codec.isolated:
            image = event.after if event.after is not None else event.before
            try:
                rows[store, codec.pk_of(image)] = Change(codec, stamp, event)  # type: ignore[arg-type]
            except (ValueError, KeyError, TypeError) as error:
                result.dead_letters.append(no_key(store, codec, stamp, event, error))
        elif codec.keyless:
            result.keyless.append((store, KeylessChange(codec, stamp, event)))
        else:
            _fold_shared(rows, result.dead_letters, store, codec, stamp, event)
    result.events[store] += taken
    result.dropped[store] += dropped
    if last_us is not None:
        result.last_event_us[store] = last_us
    if reached is not None:
        result.reached[store] = reached


def _codec(lane: Lane, table: TableId, stamp: Stamp) -> RowCodec:
    codec = lane.codecs.get(table)
    if codec is None:
        raise RefusedError(
            f"store {lane.store}: a change of {'.'.join(table)} at {stamp}, but no CREATE TABLE was seen for it; "
            "resync the store"
        )
    return codec


def _fold_shared(
    rows: dict[tuple[str, str], Change],
    dead_letters: list[DeadLetter],
    store: str,
    codec: RowCodec,
    stamp: Stamp,
    event: ChangeEvent,
) -> None:
    image = event.after if event.after is not None else event.before
    try:
        pk = codec.pk_of(image or {})
    except (ValueError, KeyError) as error:
        dead_letters.append(no_key(store, codec, stamp, event, error))
        return
    earlier = rows.get((store, pk))
    assert earlier is None or isinstance(earlier, SharedChange)
    rows[store, pk] = _observe(earlier, codec, stamp, event)


def no_key(store: str, codec: RowCodec, stamp: Stamp, event: ChangeEvent, error: Exception) -> DeadLetter:
    return DeadLetter(store, codec, "", stamp, event, f"the primary key cannot be read: {error}")


def _observe(earlier: SharedChange | None, codec: RowCodec, stamp: Stamp, event: ChangeEvent) -> SharedChange:
    """Join one event to what the batch already saw of the row: per column the last change wins."""
    assert event.source is not None
    at_us = event.source.ts_us
    change = earlier or SharedChange(codec, stamp, event, at_us)
    change.stamp, change.event = stamp, event
    if event.op == "r":
        if codec.opened:
            _observe_values(change, codec, event, None)
        return change
    latest = change.latest
    if latest is None or latest[1] <= at_us:
        latest = change.latest = (stamp, at_us)
    mark = (stamp, at_us, None if latest[0] is stamp else latest)
    change.stamps[CHANGED] = mark
    if codec.opened:
        _observe_values(change, codec, event, mark)
    before, after = event.before, event.after
    if after is None:
        return change
    if event.oldkey is not None:
        # the new half of a primary-key change: what it changed is found by comparing with the old row's last state
        with suppress(ValueError, KeyError):  # an old row whose key cannot be read was never kept
            change.moved_from = codec.pk_of(event.oldkey)
            return change
    for name, column in codec.stamped:
        if before is None or before.get(name) != after.get(name):
            change.stamps[column] = mark
    for name, column in codec.since:
        if after.get(name) is not None and (before is None or before.get(name) is None):
            change.stamps[column + SINCE] = mark
    if before is None and codec.keeps_inserts:
        change.stamps[INSERTED] = mark
    return change


def _observe_values(change: SharedChange, codec: RowCodec, event: ChangeEvent, mark: Mark | None) -> None:
    """What columns had before and after the event. A row that was inserted had nothing; the halves of a primary-key
    change are one row, which had before what it has after unless the old row's last state says otherwise."""
    images = [event.before, event.after]
    if event.op == "r" or event.oldkey is not None:
        images = [event.after]
    elif event.newkey is not None:
        images = [event.before]
    for name, column, *_ in codec.opened:
        values = change.around.setdefault(column, [])
        for image in images:
            value = None if image is None else image.get(name)
            if not values:
                values.append((value, None))
            elif values[-1][0] != value:
                values.append((value, mark))


def decoded(change: Change, store: str, *, odd_text: bool = True) -> list[Any]:
    """The row's values for COPY. PoisonError where one cannot be kept."""
    event, codec = change.event, change.codec
    image = event.after if event.after is not None else event.before
    try:
        return codec.values(image or {}, snapshot=event.op == "r", odd_text=odd_text)
    except (ValueError, KeyError) as error:
        reason = f"column {error} is missing in the event" if isinstance(error, KeyError) else str(error)
        raise PoisonError(
            reason,
            store=store,
            table=codec.version.table,
            position=str(change.stamp),
            ask_store=isinstance(error, UntoldError),
        ) from None


def stamps_json(change: SharedChange, changed_at_us: int | None) -> str:
    """The sparse stamps as `tillstream.join_stamps` takes them; "" holds the batch's first stamp."""
    texts: dict[int, str] = {}  # one change of the store's is mostly the mark of many columns
    first = _mark_json((change.first, change.first_us, None))
    marks = []
    for mark in change.stamps.values():
        text = texts.get(id(mark))
        if text is None:
            text = texts[id(mark)] = first if mark[0] is change.first else _mark_json(mark)
        marks.append(text)
    stamps = _stamps_format(tuple(change.stamps)) % (first, *marks)
    if changed_at_us is not None and change.event.op == "r":
        stamps += f",{_name_json(SNAPSHOT)}:{_mark_json((change.stamp, changed_at_us, None))}"
    if change.around:
        stamps = ",".join((stamps, *_around_openings(change)))
    return f"{{{stamps}}}"


@lru_cache(maxsize=4096)
def _stamps_format(columns: tuple[str, ...]) -> str:
    return ",".join(f"{_name_json(name).replace('%', '%%')}:%s" for name in ("", *columns))


def _around_openings(change: SharedChange) -> Iterator[str]:
    """As `tillstream.join_around` takes them; of columns that were seen changing, up to the first change that surely
    came after the opening."""
    for _, column, opening_us, decode in change.codec.opened:
        values = change.around.get(column, ())
        if len(values) < 2:
            continue
        kept: list[str] = []
        for value, mark in values:
            text = msgspec.json.encode(None if value is None else str(decode(value) if decode else value)).decode()
            kept.append(f"[{text}]" if mark is None else f"[{text},{_mark_json(mark)}]")
            if mark is not None and mark[1] >= opening_us + SURELY_AFTER_US:
                break
        yield f'{_name_json(column + OPENING)}:{{"{opening_us}":[{",".join(kept)}]}}'


def _mark_json(mark: Mark) -> str:
    stamp, at_us, ahead = mark
    after = "" if ahead is None else f",[{_numbers(*ahead)}]"
    return f"[{_numbers(stamp, at_us)},0{after}]"


def _numbers(stamp: Stamp, at_us: int) -> str:
    return f"{stamp.epoch},{stamp.file},{stamp.pos},{stamp.row},{stamp.order},{at_us}"


@cache
def _name_json(column: str) -> str:
    return msgspec.json.encode(column).decode()
