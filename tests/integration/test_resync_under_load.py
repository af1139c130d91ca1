"""A large table read anew while tills write: nothing differs, memory stays flat, and what it costs the store is told.

TILLSTREAM_RESYNC_ROWS=1000000 reads as many rows as a chain's largest table may have.
"""

import os
import statistics
import threading
import time
from collections.abc import Callable

import psutil
import pytest
from harness import Chain

from sinks.resync import requests
from tillstream.rehearsal.mysql import MySQLServer
from tillstream.verifying import verification_for

ROWS = int(os.environ.get("TILLSTREAM_RESYNC_ROWS", "60000"))
WRITES_PER_SECOND = 100
ALONE_SECONDS = 5.0
MOST_GROWTH_MEGABYTES = 120  # a chunk or two in flight, and what Python keeps of them; not a table


class Till:
    """Writes at its pace in a thread of its own, and notes how long each statement took."""

    def __init__(self, chain: Chain, store: str, first: int) -> None:
        """`first`: the ids of its new rows go on from there."""
        self._chain, self._store, self._first = chain, store, first
        self.took: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Till":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        number, due = 0, time.monotonic()
        with self._chain.session(self._store) as cursor:
            while not self._stop.is_set():
                number += 1
                row = number * 7919 % ROWS + 1
                text = (
                    f"UPDATE big SET n = n + 1 WHERE id = {row}",
                    f"INSERT INTO big (id, a, n) VALUES ({self._first + number}, 'new', 0)",
                    f"DELETE FROM big WHERE id = {row}",
                    f"SELECT * FROM big WHERE id = {row}",
                )[number % 4]
                began = time.perf_counter()
                cursor.execute(text)
                self.took.append(time.perf_counter() - began)
                due += 1 / WRITES_PER_SECOND
                self._stop.wait(max(due - time.monotonic(), 0))


@pytest.fixture(scope="module")
def chain(make_chain: Callable[..., Chain], mysql56: MySQLServer) -> Chain:
    """A store whose large table is there without its log: all of it is to be read."""
    chain = make_chain({"old": mysql56}, database="load")
    chain.on("old", "CREATE TABLE big (id INT PRIMARY KEY, a VARCHAR(40), b DECIMAL(10,2), c DATETIME, n INT)")
    chain.start()
    doublings = [
        f"INSERT INTO big SELECT id + {2**step}, a, b, c, n FROM big WHERE id + {2**step} <= {ROWS}"
        for step in range(ROWS.bit_length())
    ]
    first = "INSERT INTO big VALUES (1, '一杯珍珠奶茶 with pearls', 12.50, '2026-11-23 10:00:00', 0)"
    chain.on("old", "SET sql_log_bin = 0", first, *doublings)
    return chain


def test_a_large_table_under_traffic(chain: Chain, request: pytest.FixtureRequest) -> None:
    """No difference afterwards; the process has not grown by the table."""
    with Till(chain, "old", ROWS) as alone:
        time.sleep(ALONE_SECONDS)
    chain.settle()
    process = psutil.Process()
    before = highest = process.memory_info().rss
    began = time.monotonic()
    with chain.warehouse.transaction() as tx:
        number = requests.add(tx, "old", "a test", database=chain.database, table="big")
    assert number is not None
    with Till(chain, "old", 2 * ROWS) as beside:
        while True:
            with chain.warehouse.transaction() as tx:
                (found,) = requests.found(tx, [number])
            highest = max(highest, process.memory_info().rss)
            if found.state in ("done", "failed"):
                break
            assert time.monotonic() - began < 900, found
            time.sleep(0.2)
    seconds = time.monotonic() - began
    assert found.error is None
    assert found.rows > ROWS * 0.9
    chain.settle()
    result = verification_for(chain.config, chain.policy, chain.warehouse).run()
    assert (result.differences, result.set_aside, result.unreachable) == (0, 0, ()), result.samples
    grown = (highest - before) / 2**20
    _tell(
        request,
        f"{found.rows:,} rows read anew in {seconds:.0f} s ({found.rows / seconds:,.0f}/s) beside "
        f"{WRITES_PER_SECOND} statements/s, which took {_milliseconds(beside.took)} and alone "
        f"{_milliseconds(alone.took)} (median, 95 of 100); grown by {grown:.0f} MB",
    )
    assert grown < MOST_GROWTH_MEGABYTES


def _milliseconds(took: list[float]) -> str:
    return f"{statistics.median(took) * 1000:.2f} ms, {statistics.quantiles(took, n=20)[-1] * 1000:.2f} ms"


def _tell(request: pytest.FixtureRequest, line: str) -> None:
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    terminal.write_line(f"\n{line}")
