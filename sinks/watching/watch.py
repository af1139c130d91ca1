"""The thread in `run` that looks at the warehouse now and then, and tells in figures what it sees."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sinks.warehouse import Transaction, Warehouse
from tillstream import metrics
from tillstream.errors import TillstreamError

log = logging.getLogger(__name__)

MOST_SECONDS = 30  # no figure is worth more of the warehouse's time


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """`tell` reads what it needs in a transaction of its own and puts it into the metrics."""

    name: str
    every_seconds: float
    tell: Callable[[Transaction], None]


class Watch(threading.Thread):
    """A look that fails is told, and tried again when it is due next; it stops no other."""

    def __init__(self, warehouse: Warehouse, looks: Sequence[Look]) -> None:
        super().__init__(name="watch", daemon=True)
        self._warehouse, self._looks = warehouse, looks
        self._due = {look.name: 0.0 for look in looks}
        for look in looks:
            metrics.LOOK_FAILURES.labels(look.name)  # told as 0 before the first: Prometheus counts from there
        self._failing: set[Look] = set()
        self._stopping = threading.Event()
        self._answered_at = float("-inf")

    @property
    def seconds_since_answer(self) -> float:
        """Since the warehouse last answered a look."""
        return time.monotonic() - self._answered_at

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            self.look()
            self._stopping.wait(max(0.1, min(self._due.values()) - time.monotonic()))

    def look(self) -> None:
        """All that is due."""
        for look in self._looks:
            if time.monotonic() >= self._due[look.name] and not self._stopping.is_set():
                self._due[look.name] = time.monotonic() + look.every_seconds
                self._take(look)

    def _take(self, look: Look) -> None:
        began = time.monotonic()
        try:
            with self._warehouse.transaction() as tx:
                tx.execute(f"SET LOCAL statement_timeout = '{MOST_SECONDS}s'")
                look.tell(tx)
        except TillstreamError as error:  # said once: it may go on for days
            log.log(logging.DEBUG if look in self._failing else logging.WARNING, "looking at %s: %s", look.name, error)
            self._failed(look)
        except Exception:
            log.exception("looking at %s: unexpected", look.name)
            self._failed(look)
        else:
            self._failing.discard(look)
            self._answered_at = time.monotonic()
            metrics.WAREHOUSE_ANSWER_TIMESTAMP_SECONDS.replace({(): time.time()})
            metrics.LOOK_SECONDS.labels(look.name).set(time.monotonic() - began)

    def _failed(self, look: Look) -> None:
        self._failing.add(look)
        metrics.LOOK_FAILURES.labels(look.name).inc()
