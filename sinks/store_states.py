"""How each store is doing, kept where `status` finds it."""

from collections.abc import Collection, Iterable
from time import monotonic
from typing import Any

from sinks.warehouse import Warehouse
from tillstream.states import StoreReport

_REPORT = """\
INSERT INTO tillstream.store_states AS s (store, name, state, reason, head_file, head_pos, lag_seconds, reported_at,
  caught_up_at, complete_at, capture_lag_seconds, retention_seconds, clock_offset_seconds, clock_uncertainty_seconds)
VALUES (%(store)s, %(name)s, %(state)s, %(reason)s, %(file)s, %(pos)s, %(lag)s, clock_timestamp(),
  CASE WHEN %(caught_up)s THEN clock_timestamp() END,
  statement_timestamp() - %(complete_seconds_ago)s * interval '1 second', %(capture_lag)s,
  %(retention)s, %(offset)s, %(uncertainty)s)
ON CONFLICT (store) DO UPDATE SET name = EXCLUDED.name, state = EXCLUDED.state, reason = EXCLUDED.reason,
  state_since = CASE WHEN s.state = EXCLUDED.state THEN s.state_since ELSE clock_timestamp() END,
  head_file = coalesce(EXCLUDED.head_file, s.head_file), head_pos = coalesce(EXCLUDED.head_pos, s.head_pos),
  lag_seconds = EXCLUDED.lag_seconds, reported_at = EXCLUDED.reported_at,
  caught_up_at = coalesce(EXCLUDED.caught_up_at, s.caught_up_at),
  -- what is to be read anew may lack what was committed long before
  complete_at = CASE WHEN EXISTS (SELECT FROM tillstream.tables_to_read r
                                  WHERE r.store = s.store AND r.condition IS NULL) THEN s.complete_at
                     ELSE greatest(EXCLUDED.complete_at, s.complete_at) END,
  capture_lag_seconds = EXCLUDED.capture_lag_seconds,
  -- both come of one look; without it nothing new is known, and with it no retention is for ever
  retention_seconds = CASE WHEN EXCLUDED.clock_offset_seconds IS NULL THEN s.retention_seconds
                           ELSE EXCLUDED.retention_seconds END,
  clock_offset_seconds = coalesce(EXCLUDED.clock_offset_seconds, s.clock_offset_seconds),
  clock_uncertainty_seconds = coalesce(EXCLUDED.clock_uncertainty_seconds, s.clock_uncertainty_seconds)"""

_LIST = "UPDATE tillstream.store_states SET listed = store = ANY(%s) WHERE listed <> (store = ANY(%s))"

_NAMES = ("store", "name", "state", "reason", "lag_seconds", "reported_at", "epoch", "file", "pos", "snapshot_done",
          "events", "last_event_at", "moved_at", "head_file", "head_pos", "clock_offset_seconds",
          "clock_uncertainty_seconds", "binlog_seconds_left", "clock_correction_seconds", "clock_moved_at",
          "complete_at", "state_since")  # fmt: skip
# What was written since the warehouse last had all is at most that old: so much sooner is the first of it purged. A
# first snapshot goes on with the log of its begin; of a retired store nobody waits for anything.
BINLOG_SECONDS_LEFT = """\
extract(epoch FROM coalesce(s.caught_up_at, CASE s.state WHEN 'snapshot' THEN s.state_since END)
  + CASE WHEN s.state <> 'retired' THEN s.retention_seconds END * interval '1 second' - clock_timestamp())::float8"""
_READ = f"""\
SELECT store, s.name, s.state, s.reason, s.lag_seconds, s.reported_at, l.epoch, l.file, l.pos,
       l.snapshot_done, l.events, l.last_event_at, l.moved_at, s.head_file, s.head_pos,
       s.clock_offset_seconds, s.clock_uncertainty_seconds,
       {BINLOG_SECONDS_LEFT}, -c.offset_us / 1e6::float8, c.found_at, s.complete_at, s.state_since
FROM tillstream.ledger l FULL JOIN tillstream.store_states s USING (store)
LEFT JOIN (
  SELECT DISTINCT ON (store) store, offset_us, found_at FROM tillstream.clock_corrections ORDER BY store, id DESC
) c USING (store)
ORDER BY store"""


class StoreStates:
    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def report(self, report: StoreReport) -> None:
        file, pos = report.head or (None, None)
        with self._warehouse.transaction() as tx:
            tx.execute(
                _REPORT,
                {
                    "store": report.store,
                    "name": report.name,
                    "state": report.state.value,
                    "reason": report.reason,
                    "file": file,
                    "pos": pos,
                    "lag": report.lag_seconds,
                    "caught_up": report.is_caught_up,
                    # reckoned here: a wait for the warehouse would make the watermark later than it is
                    "complete_seconds_ago": None if report.complete_at is None else monotonic() - report.complete_at,
                    "capture_lag": report.capture_lag_seconds,
                    "retention": report.retention_seconds,
                    "offset": report.clock_offset_seconds,
                    "uncertainty": report.clock_uncertainty_seconds,
                },
            )

    def list_only(self, stores: Collection[str]) -> None:
        """These stand in tillstream.yaml; what is known of others is known, but nobody waits for it."""
        with self._warehouse.transaction() as tx:
            tx.execute(_LIST, [list(stores), list(stores)])

    def reached(self, store: str) -> tuple[bool, tuple[int, int]]:
        """Whether the store's snapshot is in, and how far its log is in: (file, position)."""
        with self._warehouse.transaction() as tx:
            row = tx.rows("SELECT snapshot_done, file, pos FROM tillstream.ledger WHERE store = %s", [store])[0]
        return bool(row[0]), (int(row[1]), int(row[2]))

    def read(self) -> Iterable[dict[str, Any]]:
        """Every store the warehouse knows, as `status` shows it."""
        with self._warehouse.transaction() as tx:
            return [dict(zip(_NAMES, row, strict=True)) for row in tx.rows(_READ)]
