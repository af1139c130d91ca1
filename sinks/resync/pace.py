"""How much of a store's time its tables are read in. A till's MySQL has other things to do."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tillstream.errors import TransientError

READING_SECONDS = 0.1  # at a stretch: what a till's own statement may meet is over that soon
MOST_ROWS, FIRST_ROWS, LEAST_ROWS = 4_000, 1_000, 20  # the most are one transaction of the warehouse
MOST_GROWTH = 2.0  # from chunk to chunk: one that lay in the store's memory tells little of the next

Row = TypeVar("Row")


class Pace:
    """`wait` is Event.wait of what tells to stop: True at once if so."""

    def __init__(self, load_percent: float, wait: Callable[[float], bool]) -> None:
        self._share, self._wait = load_percent / 100, wait
        self._free_at = 0.0  # time.monotonic(): before, the store is left alone
        self.took_seconds = 0.0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around one statement, after the rest that the one before it earned."""
        self._rest()
        began = time.monotonic()
        try:
            yield
        finally:
            self._read_since(began)

    def spread(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows of one statement that goes on: while none is taken, the store waits with the next ones."""
        began = time.monotonic()
        for row in rows:
            yield row
            if time.monotonic() - began > READING_SECONDS:
                self._read_since(began)
                self._rest()
                began = time.monotonic()

    def _read_since(self, began: float) -> None:
        self.took_seconds = time.monotonic() - began
        self._free_at = began + self.took_seconds / self._share

    def _rest(self) -> None:
        if self._wait(max(self._free_at - time.monotonic(), 0.0)):
            raise TransientError("told to stop; what is in stays in")


class ChunkSize:
    """Rows that the store reads in about READING_SECONDS, as the chunks before took it."""

    def __init__(self, most: int) -> None:
        self._most = max(most, LEAST_ROWS)
        self.rows = min(FIRST_ROWS, self._most)

    def learn(self, took_seconds: float) -> None:
        """How long that many rows took."""
        growth = min(READING_SECONDS / max(took_seconds, 1e-6), MOST_GROWTH)
        self.rows = min(max(int(self.rows * growth), LEAST_ROWS), self._most)
