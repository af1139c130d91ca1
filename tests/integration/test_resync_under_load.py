"""A large table read anew while a till writes: nothing differs, memory stays flat, the till hardly notices.

TILLSTREAM_RESYNC_ROWS=1000000 reads as many rows as a chain's largest table may have.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import till
from harness import Chain, assert_no_difference

from sinks.resync import requests
from sinks.resync.requests import Request
from tillstream.rehearsal.mysql import MySQLServer

ROWS = int(os.environ.get("TILLSTREAM_RESYNC_ROWS", "40000"))
ROUNDS = 3 if ROWS < 500_000 else 1
READ_SECONDS = 30 + ROWS / 1_000  # at the most
WRITES_PER_SECOND = 100
ALONE_SECONDS = 3.0 if ROWS < 500_000 else 30.0
MOST_GROWTH_MEGABYTES = 120  # a chunk or two in flight, and what Python keeps of them; not a table
MOST_SLOWER = 1.5  # 1.2 is promised; on two cores the store shares with its reader and the warehouse, noise is as much


class Till:
    """A store's own statements, at their pace, and how long each took."""

    def __init__(self, chain: Chain, store: str, first: int) -> None:
        """`first`: the ids of its new rows go on from there."""
        server = chain.stores[store]
        login = {"host": server.host, "port": server.port, "user": "root", "database": chain.database}
        script = [sys.executable, str(Path(till.__file__)), json.dumps(login)]
        self._command = [*script, *map(str, (first, ROWS, WRITES_PER_SECOND))]
        self.took: list[float] = []

    def __enter__(self) -> "Till":
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *error: object) -> None:
        answer, _ = self._process.communicate()
        self.took = json.loads(answer)


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
    """No difference afterwards; the process has not grown by the table; the store's own statements are not held up.

    Those alone and those beside a resync take turns: what else the machine does meets both.
    """
    alone: list[list[float]] = []
    beside: list[list[float]] = []
    grown = 0.0
    for number in range(ROUNDS):
        with Till(chain, "old", (2 * number + 1) * ROWS) as before:
            time.sleep(ALONE_SECONDS)
        chain.settle()
        began = time.monotonic()
        with Till(chain, "old", (2 * number + 2) * ROWS) as during:
            found, more = _read_anew(chain)
        seconds = time.monotonic() - began
        assert found.rows > ROWS * 0.7  # the till deletes some, and adds some
        alone.append(before.took)
        beside.append(during.took)
        grown = max(grown, more)
        _tell(
            request,
            f"{found.rows:,} rows read anew in {seconds:.0f} s ({found.rows / seconds:,.0f}/s) beside "
            f"{WRITES_PER_SECOND} statements/s, which took {_milliseconds(during.took)} and alone "
            f"{_milliseconds(before.took)} (median, 95 of 100); grown by {more:.0f} MB",
        )
    chain.settle()
    assert_no_difference(chain)
    slower = statistics.median(map(_ratio, beside, alone))
    _tell(request, f"the median statement took {slower:.2f} times as long as alone")
    assert grown < MOST_GROWTH_MEGABYTES
    assert slower < MOST_SLOWER


def _read_anew(chain: Chain) -> tuple[Request, float]:
    """The request once it is done, and by how many megabytes this process had grown meanwhile."""
    process = psutil.Process()
    before = highest = process.memory_info().rss
    deadline = time.monotonic() + READ_SECONDS
    with chain.warehouse.transaction() as tx:
        number = requests.add(tx, "old", "a test", database=chain.database, table="big")
    assert number is not None
    while True:
        with chain.warehouse.transaction() as tx:
            (found,) = requests.found(tx, [number])
        highest = max(highest, process.memory_info().rss)
        if found.state in ("done", "failed"):
            assert found.error is None
            return found, (highest - before) / 2**20
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def _ratio(beside: list[float], alone: list[float]) -> float:
    return statistics.median(beside) / statistics.median(alone)


def _milliseconds(took: list[float]) -> str:
    return f"{statistics.median(took) * 1000:.2f} ms, {statistics.quantiles(took, n=20)[-1] * 1000:.2f} ms"


def _tell(request: pytest.FixtureRequest, line: str) -> None:
    plugins = request.config.pluginmanager
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        plugins.get_plugin("terminalreporter").write_line(f"\n{line}")
