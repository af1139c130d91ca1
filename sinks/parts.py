"""A lane's batch, cut so that what changes the meaning of rows always stands before them."""

from collections.abc import Iterator
from dataclasses import replace

from sinks.fold import Lane
from tillstream.envelope import ChangeEvent, LaneBatch


def is_no_row(event: ChangeEvent) -> bool:
    """A schema change, a TRUNCATE or a heartbeat."""
    return event.op is None or event.op == "t"


def is_control(event: ChangeEvent) -> bool:
    return event.source is not None and is_no_row(event)


def cut(batch: LaneBatch, lane: Lane, *, again: bool = False) -> Iterator[LaneBatch]:
    """`again`: a piece that was cut before, by another policy; a snapshot's rows have their numbers already.

    Cut before every control event that follows a row, so that schema changes and TRUNCATE always lead.

    So does the first change after a snapshot's rows: only then are those it did not find known to be gone.

    The new half of a primary-key change of a shared table leads too: it inherits from the old row as it is stored.
    """
    start = 0
    rows = reading = False
    for index, event in enumerate(batch.events):
        op = event.op
        if op is None or op == "t":
            is_row, leads = False, event.source is not None
            if event.is_snapshot and not again:
                lane.snapshot_rows.clear()  # each table is declared before the rows of any
        else:
            is_row = True
            leads = (event.oldkey is not None and _is_shared(event, lane)) or (op != "r" and reading)
            reading = op == "r"
            if reading and not again:
                event.ordinal = _next_ordinal(lane, event)
        if leads and rows:
            yield replace(batch, events=batch.events[start:index], resume=None, lane_offset=None)
            start, rows = index, False
        rows = rows or is_row
    yield replace(batch, events=batch.events[start:] if start else batch.events)


def _next_ordinal(lane: Lane, event: ChangeEvent) -> int:
    """A snapshot row's number in its table. Given once, here: a batch may be tried several times."""
    assert event.source is not None
    table = (event.source.db, event.source.table or "")
    lane.snapshot_rows[table] = lane.snapshot_rows.get(table, 0) + 1
    return lane.snapshot_rows[table]


def _is_shared(event: ChangeEvent, lane: Lane) -> bool:
    assert event.source is not None
    codec = lane.codecs.get((event.source.db, event.source.table or ""))
    return codec is None or codec.policy is not None


def halves(part: LaneBatch) -> list[LaneBatch]:
    middle = len(part.events) // 2
    if middle == 0:
        return [part]
    return [
        replace(part, events=part.events[:middle], resume=None, lane_offset=None),
        replace(part, events=part.events[middle:]),
    ]
