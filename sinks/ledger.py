"""Where every store's lane stands: positions, leases, floors and the shapes its tables had."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from sinks.fold import Lane, TableId
from sinks.row_codec import RowCodec, Shapes
from sinks.warehouse import Transaction
from tillstream.envelope import DeclaredColumn, Stamp, TableVersion
from tillstream.errors import LeaseLostError

_CLAIM = """\
INSERT INTO tillstream.ledger (store, lease_generation) VALUES (%s, 1)
ON CONFLICT (store) DO UPDATE SET lease_generation = tillstream.ledger.lease_generation + 1
RETURNING epoch, file, pos, row, ord, lease_generation, snapshot_done, lane_offset, capture_generation"""

_ADVANCE = """\
UPDATE tillstream.ledger l SET
  file = n.file, pos = n.pos, row = n.row, ord = n.ord, snapshot_done = n.snapshot_done,
  events = l.events + n.events, moved_at = clock_timestamp(),
  last_event_at = coalesce(timestamptz 'epoch' + n.event_us * interval '1 microsecond', l.last_event_at),
  lane_offset = coalesce(n.lane_offset, l.lane_offset), refusal = NULL
FROM unnest(%s::text[], %s::bigint[], %s::int[], %s::bigint[], %s::int[], %s::bigint[], %s::boolean[],
            %s::bigint[], %s::bigint[], %s::bigint[])
     AS n(store, generation, file, pos, row, ord, snapshot_done, events, event_us, lane_offset)
WHERE l.store = n.store AND l.lease_generation = n.generation
RETURNING pg_current_xact_id()::text"""

_VERSIONS = """\
SELECT DISTINCT ON (database, table_name)
       database, table_name, epoch, file, pos, row, ord, columns, primary_key
FROM tillstream.schema_versions WHERE store = %s AND (epoch, file, pos, row, ord) <= (%s, %s, %s, %s, %s)
ORDER BY database, table_name, epoch DESC, file DESC, pos DESC, row DESC, ord DESC"""

END_OF_TIME = Stamp(2**31 - 1, 0, 0)

_KEEP_VERSION = """\
INSERT INTO tillstream.schema_versions
  (store, database, table_name, epoch, file, pos, row, ord, columns, primary_key)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (store, database, table_name, epoch, file, pos, row, ord)
DO UPDATE SET columns = EXCLUDED.columns, primary_key = EXCLUDED.primary_key"""

_KEEP_PRESENCE = """\
INSERT INTO tillstream.presence (store, table_name, columns) VALUES (%s, %s, %s)
ON CONFLICT (table_name, store) DO UPDATE SET columns = EXCLUDED.columns"""

_RAISE_FLOOR = """\
INSERT INTO tillstream.floors AS f (store, table_name, epoch, file, pos, row, ord)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (table_name, store) DO UPDATE SET
  epoch = EXCLUDED.epoch, file = EXCLUDED.file, pos = EXCLUDED.pos, row = EXCLUDED.row, ord = EXCLUDED.ord
WHERE (f.epoch, f.file, f.pos, f.row, f.ord)
    < (EXCLUDED.epoch, EXCLUDED.file, EXCLUDED.pos, EXCLUDED.row, EXCLUDED.ord)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """How far one lane got in one batch."""

    lane: Lane
    stamp: Stamp
    snapshot_done: bool
    events: int
    last_event_us: int | None
    lane_offset: int | None = None


class Ledger:
    """The bookkeeping of lanes; every method works inside the caller's transaction."""

    def claim(self, tx: Transaction, store: str, shapes: Shapes) -> Lane:
        """Take the lane over: whoever held it before can no longer write for it."""
        epoch, file, pos, row, ord_, generation, snapshot_done, *of_topic = tx.rows(_CLAIM, [store])[0]
        lane_offset, capture_generation = of_topic
        return Lane(
            store=store,
            stamp=Stamp(epoch, file, pos, row, ord_),
            codecs=self.codecs_at(tx, store, END_OF_TIME, shapes),
            generation=generation,
            snapshot_done=snapshot_done,
            lane_offset=lane_offset,
            capture_generation=capture_generation,
        )

    def codecs_at(self, tx: Transaction, store: str, stamp: Stamp, shapes: Shapes) -> dict[TableId, RowCodec]:
        """The shapes that the store's tables had at that position of its log."""
        versions = versions_at(tx, store, stamp)
        return {(version.database, version.table): shapes.of(version) for version in versions}

    def keep_version(self, tx: Transaction, codec: RowCodec) -> None:
        version = codec.version
        tx.execute(
            _KEEP_VERSION,
            [version.store, version.database, version.table, *version.since,
             msgspec.json.encode(version.columns).decode(), msgspec.json.encode(version.primary_key).decode()],
        )  # fmt: skip
        tx.execute(_KEEP_PRESENCE, [version.store, codec.table, list(codec.columns)])

    def keep_drop(self, tx: Transaction, codec: RowCodec, stamp: Stamp) -> None:
        """From here on the store has no such table: a version without columns."""
        version = codec.version
        tx.execute(_KEEP_VERSION, [version.store, version.database, version.table, *stamp, "[]", "[]"])

    def raise_floor(self, tx: Transaction, store: str, table: str, stamp: Stamp) -> None:
        tx.execute(_RAISE_FLOOR, [store, table, *stamp])

    def advance(self, tx: Transaction, advances: Sequence[Advance]) -> int:
        """The last statement of a batch's transaction, and the one that decides whether it counts.

        The positions move in the transaction that holds the rows, so either all of it is there or none of it: a
        crash between rows and position cannot happen. And they move only under the lease generation this worker
        claimed. If any row is not touched, another worker has the lane, and what this one wrote must not be seen:
        the exception rolls the whole batch back. Returns the transaction's number: by it PostgreSQL tells whether a
        COMMIT whose answer was lost took place.
        """
        columns = list(zip(*(_parameters(each) for each in advances), strict=True))
        moved = tx.rows(_ADVANCE, [list(column) for column in columns])
        if len(moved) != len(advances):
            names = ", ".join(each.lane.store for each in advances)
            raise LeaseLostError(f"another worker has taken over a lane of {names}; this one stops writing for it")
        return int(moved[0][0])


def versions_at(tx: Transaction, store: str, stamp: Stamp = END_OF_TIME) -> list[TableVersion]:
    """The store's tables as they were declared at that position of its log; without those dropped by then."""
    return [
        TableVersion(
            store=store,
            database=database,
            table=table,
            since=Stamp(*since),
            columns=tuple(msgspec.convert(columns, list[DeclaredColumn])),
            primary_key=tuple(primary_key),
        )
        for database, table, *since, columns, primary_key in tx.rows(_VERSIONS, [store, *stamp])
        if columns
    ]


def _parameters(each: Advance) -> tuple[object, ...]:
    stamp = each.stamp
    return (
        each.lane.store, each.lane.generation, stamp.file, stamp.pos, stamp.row, stamp.order,
        each.snapshot_done, each.events, each.last_event_us, each.lane_offset,
    )  # fmt: skip


def mark_dirty(tx: Transaction, touched: Iterable[tuple[str, str]], reason: str) -> None:
    """Keys to decide again, later and in chunks: they may be too many for one transaction."""
    tables_keys = sorted(touched)
    if tables_keys:
        tables, keys = zip(*tables_keys, strict=True)
        tx.execute(
            "INSERT INTO tillstream.dirty_keys (table_name, key, reason)"
            " SELECT *, %s FROM unnest(%s::text[], %s::text[]) ON CONFLICT DO NOTHING",
            [reason, list(tables), list(keys)],
        )
