"""The in-memory twin of the embedded lanes: logs brought to a worker in any cut, order and repetition."""

import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from tillstream.envelope import (
    LaneBatch,
)
from tillstream.errors import LeaseLostError, RefusedError, TillstreamError, TransientError


@dataclass(slots=True, eq=False)
class Delivery:
    """One batch on its way; whoever delivers it waits for `settled`."""

    batch: LaneBatch
    settled: threading.Event = field(default_factory=threading.Event)
    error: TillstreamError | None = None


class RecordedLanes:
    """The lanes of recorded logs. `turns` says, poll by poll, which stores are heard; after them, all are.

    A lane runs `ahead` batches before its commits, at most.
    """

    def __init__(self, turns: Iterable[Collection[str]] = (), *, ahead: int = 2) -> None:
        self._ahead = ahead
        self._turns: Iterator[Collection[str]] = iter(turns)
        self._queues: dict[str, deque[Delivery]] = {}
        self._out: dict[str, deque[Delivery]] = {}
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self.refused: dict[str, TillstreamError] = {}

    def record(self, batches: Iterable[LaneBatch]) -> list[Delivery]:
        """Queue them behind what their lanes already hold; waits for nothing."""
        deliveries = [Delivery(batch) for batch in batches]
        with self._lock:
            for delivery in deliveries:
                self._queues.setdefault(delivery.batch.store, deque()).append(delivery)
        self._arrived.set()
        return deliveries

    def deliver(self, batch: LaneBatch) -> None:
        """As an engine's thread does it: returns once the batch is committed, raises if it never will be."""
        (delivery,) = self.record([batch])
        delivery.settled.wait()
        if delivery.error is not None:
            raise delivery.error

    def poll(self, timeout_seconds: float) -> list[LaneBatch]:
        found = self._heard()
        if found is None:
            self._arrived.wait(timeout_seconds)
            found = self._heard()
        return found or []

    def _heard(self) -> list[LaneBatch] | None:
        """None where there is nothing to hear until something is recorded or committed."""
        with self._lock:
            self._arrived.clear()
            heard = next(self._turns, None)
            found: list[LaneBatch] = []
            for store, queue in self._queues.items():
                out = self._out.setdefault(store, deque())
                while queue and len(out) < self._ahead and (heard is None or store in heard):
                    out.append(queue.popleft())
                    found.append(replace(out[-1].batch, handle=out[-1]))
            return None if heard is None and not found else found

    def commit(self, batches: Iterable[LaneBatch]) -> None:
        with self._lock:
            for batch in batches:
                batch.handle.settled.set()
                if batch.handle in self._out.get(batch.store, ()):
                    self._out[batch.store].remove(batch.handle)
        self._arrived.set()

    def refuse(self, store: str, error: RefusedError | LeaseLostError | TransientError) -> None:
        """The whole recording of this lane ends here; a new one may begin."""
        with self._lock:
            self.refused[store] = error
            for delivery in [*self._out.pop(store, ()), *self._queues.pop(store, ())]:
                delivery.error = error
                delivery.settled.set()

    @property
    def busy(self) -> bool:
        """Whether anything is still to be committed or refused."""
        return any(self._out.values()) or any(self._queues.values())
