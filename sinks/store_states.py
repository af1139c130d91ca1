"""How each store is doing, kept where `status` finds it."""

from collections.abc import Iterable
from typing import Any

from sinks.warehouse import Warehouse
from tillstream import metrics
from tillstream.states import StoreReport, StoreState

_REPORT = """\
INSERT INTO tillstream.store_states (store, name, state, reason, head_file, head_pos, lag_seconds, reported_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp())
ON CONFLICT (store) DO UPDATE SET name = EXCLUDED.name, state = EXCLUDED.state, reason = EXCLUDED.reason,
  head_file = coalesce(EXCLUDED.head_file, tillstream.store_states.head_file),
  head_pos = coalesce(EXCLUDED.head_pos, tillstream.store_states.head_pos),
  lag_seconds = EXCLUDED.lag_seconds, reported_at = EXCLUDED.reported_at"""

_READ = """\
SELECT store, s.name, s.state, s.reason, s.lag_seconds, s.reported_at, l.epoch, l.file, l.pos,
       l.snapshot_done, l.events, l.last_event_at, l.moved_at, s.head_file, s.head_pos
FROM tillstream.ledger l FULL JOIN tillstream.store_states s USING (store) ORDER BY store"""


class StoreStates:
    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def report(self, report: StoreReport) -> None:
        head = report.head or (None, None)
        for state in StoreState:
            metrics.STORE_STATE.labels(report.store, state.value).set(state is report.state)
        if report.lag_seconds is not None:
            metrics.STORE_LAG_SECONDS.labels(report.store).set(report.lag_seconds)
        with self._warehouse.transaction() as tx:
            tx.execute(
                _REPORT,
                [report.store, report.name, report.state.value, report.reason, *head, report.lag_seconds],
            )

    def reached(self, store: str) -> tuple[bool, tuple[int, int]]:
        """Whether the store's snapshot is in, and how far its log is in: (file, position)."""
        with self._warehouse.transaction() as tx:
            row = tx.rows("SELECT snapshot_done, file, pos FROM tillstream.ledger WHERE store = %s", [store])[0]
        return bool(row[0]), (int(row[1]), int(row[2]))

    def read(self) -> Iterable[dict[str, Any]]:
        """Every store the warehouse knows, as `status` shows it."""
        with self._warehouse.transaction() as tx:
            names = ("store", "name", "state", "reason", "lag_seconds", "reported_at", "epoch", "file", "pos",
                     "snapshot_done", "events", "last_event_at", "moved_at", "head_file", "head_pos")  # fmt: skip
            return [dict(zip(names, row, strict=True)) for row in tx.rows(_READ)]
