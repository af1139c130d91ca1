"""What a watcher of the rehearsal sees: stores, the pool of points, conflicts as they are decided."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, Self

import pymysql

from sinks.warehouse import Warehouse
from tillstream.errors import TillstreamError
from tillstream.rehearsal.chain import Shop
from tillstream.states import StoreReport, StoreState

log = logging.getLogger(__name__)

SHOWN_CONFLICTS = 6
LOOK_SECONDS = 0.5
RATE_LOOKS = 5  # rows a second are those of so many looks: of one alone they would flicker
POOL_SECONDS_PER_SHOP = 0.2  # asking a shop means to log in there: many shops are asked less often

# What stays in a shop although the chain has no such member any more: another shop deleted it later.
_POOL = """\
SELECT (SELECT coalesce(sum(points), 0) FROM central.members),
       (SELECT coalesce(sum(points), 0) FROM stores.members m WHERE NOT _deleted
        AND NOT EXISTS (SELECT FROM central.members c WHERE c._key = m._key))"""
_CONFLICTS = """\
SELECT table_name, key, column_name, winner, value, losers, reason, count(*) OVER ()
FROM tillstream.conflicts ORDER BY decided_at DESC, fingerprint LIMIT %s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """All points of the chain: what it agreed on, what only single shops still hold, and what the shops' books say."""

    central: Decimal
    withheld: Decimal
    shops: Decimal

    @property
    def adds_up(self) -> bool:
        return self.central + self.withheld == self.shops

    def __str__(self) -> str:
        withheld = f" + {self.withheld:,} of members deleted elsewhere" if self.withheld else ""
        return f"{self.central:,} agreed{withheld}, {self.shops:,} in the shops' own books"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLine:
    id: str
    name: str
    state: str
    lag_seconds: float | None
    per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One look at everything. `conflicts` are the newest, each told in a line."""

    stores: tuple[StoreLine, ...]
    row_changes: int
    pool: Pool | None
    conflict_count: int
    conflicts: tuple[str, ...]


class Display(Protocol):
    seconds: float  # how often it wants to be shown a picture

    def say(self, line: str) -> None: ...

    def show(self, picture: Picture) -> None: ...


class Watch:
    """A thread that looks on; what the pipeline calls only writes down what it is told."""

    def __init__(
        self, shops: Sequence[Shop], warehouse: Warehouse, display: Display, resident_bytes: Callable[[], int]
    ) -> None:
        self.peak_bytes = 0
        self._resident_bytes = resident_bytes
        self.reports: dict[str, StoreReport] = {}
        self._shops, self._warehouse, self._display = shops, warehouse, display
        self._looks = deque([(time.monotonic(), dict.fromkeys((shop.id for shop in shops), 0))], maxlen=RATE_LOOKS)
        self._points = dict.fromkeys((shop.id for shop in shops), Decimal(0))
        self._pool: Pool | None = None
        self._pool_at = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="watch", daemon=True)

    def on_report(self, report: StoreReport) -> None:
        self.reports[report.store] = report

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def state(self, store: str) -> StoreState:
        report = self.reports.get(store)
        return report.state if report else StoreState.STARTING

    def pool(self) -> Pool:
        """Asked of the shops themselves; a dark one counts with what it had last."""
        for shop in self._shops:
            with suppress(pymysql.err.MySQLError, OSError):
                self._points[shop.id] = shop.points()
        with self._warehouse.transaction() as tx:
            ((central, withheld),) = tx.rows(_POOL)
        return Pool(central=central, withheld=withheld, shops=sum(self._points.values(), Decimal(0)))

    def conflicts(self) -> tuple[int, tuple[str, ...]]:
        """How many there were, and the newest, each in a line."""
        with self._warehouse.transaction() as tx:
            rows = tx.rows(_CONFLICTS, [SHOWN_CONFLICTS])
        return (rows[0][-1] if rows else 0), tuple(_told(*row[:-1]) for row in rows)

    def _look_on(self) -> None:
        shown_at = time.monotonic()
        while not self._done.wait(LOOK_SECONDS):
            self.peak_bytes = max(self.peak_bytes, self._resident_bytes())
            if time.monotonic() - shown_at >= self._display.seconds:
                shown_at = time.monotonic()
                self._show()

    def _show(self) -> None:
        try:
            self._display.show(self._picture())
        except TillstreamError as error:
            log.debug("nothing to see: %s", error)

    def _picture(self) -> Picture:
        everything_read = all(self.state(shop.id) is not StoreState.STARTING for shop in self._shops)
        count, conflicts = self.conflicts()
        taken_in = self._taken_in()
        return Picture(
            stores=self._stores(taken_in),
            row_changes=sum(taken_in.values()),
            pool=self._pool_if_any() if everything_read else None,
            conflict_count=count,
            conflicts=conflicts,
        )

    def _pool_if_any(self) -> Pool | None:
        if time.monotonic() - self._pool_at < POOL_SECONDS_PER_SHOP * len(self._shops):
            return self._pool
        self._pool_at = time.monotonic()
        with self._warehouse.transaction() as tx:
            if tx.value("SELECT to_regclass('central.members')") is None:
                return None
        self._pool = self.pool()
        return self._pool

    def _taken_in(self) -> dict[str, int]:
        """Row changes by store: whoever brought them, the ledger has counted them."""
        with self._warehouse.transaction() as tx:
            counted = dict(tx.rows("SELECT store, events FROM tillstream.ledger"))
        return {shop.id: int(counted.get(shop.id, 0)) for shop in self._shops}

    def _stores(self, taken_in: dict[str, int]) -> tuple[StoreLine, ...]:
        now = time.monotonic()
        earlier, before = self._looks[0]
        self._looks.append((now, taken_in))
        return tuple(
            StoreLine(
                id=shop.id,
                name=shop.name,
                state=self.state(shop.id).value,
                lag_seconds=self.reports[shop.id].lag_seconds if shop.id in self.reports else None,
                per_second=(taken_in[shop.id] - before[shop.id]) / (now - earlier),
            )
            for shop in self._shops
        )


def _told(
    table: str, key: str, column: str, winner: str | None, value: str | None, losers: list[dict[str, Any]], reason: str
) -> str:
    others = ", ".join(f"{loser['store']} {loser['value']}" for loser in losers)
    return f"{table} {key} {column}: {winner or 'all'} {value} over {others} ({reason})"
