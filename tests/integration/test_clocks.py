"""Stores whose clocks are wrong, and jump: later is what was later, or the decision says that nobody can tell."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Chain, assert_no_difference
from invocation import write_config

from conflict.clock import Look, StoreClock
from conflict.resolution import CHANGED, SNAPSHOT, ColumnStamp
from connectors import examination
from connectors.examination import Clock
from sinks import migrations
from sinks.clock_looks import ClockLooks
from sinks.clocks import read_stamps
from sinks.warehouse import Warehouse
from tillstream import metrics
from tillstream.commands import main
from tillstream.rehearsal.mysql import MySQLServer

SECOND_US = 1_000_000
HOURS_FAST = 3 * 3600
CLOCKS_VERSION = 9  # of the bookkeeping: corrections, and the stores' own times
SLOW_LINE = 10_000.0  # seconds of doubt: nothing is known of a clock by such a look
WAIT_SECONDS = 30.0
POLICIES = "version: 1\ntables: {member: {scope: shared, key: {phone: exact}}}\n"
CENTRAL = "SELECT phone, name, _uncertain FROM central.member ORDER BY 1"
CORRECTIONS = "SELECT offset_us, uncertainty_us FROM tillstream.clock_corrections WHERE store = 'fast' ORDER BY id"


class Measured:
    """What the probe finds the clock of `fast` to be: the servers themselves share this machine's."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.clock = Clock(offset_seconds=HOURS_FAST, uncertainty_seconds=SLOW_LINE, utc_offset_seconds=0)
        self._read = examination.read_clock

    def __call__(self, connection: Any, version: Any) -> Clock:
        return self.clock if connection.port == self.port else self._read(connection, version)

    def put(self, offset_seconds: float) -> None:
        self.clock = Clock(offset_seconds=offset_seconds, uncertainty_seconds=0.01, utc_offset_seconds=0)


@pytest.fixture(scope="module")
def measured(mysql56: MySQLServer) -> Iterator[Measured]:
    with pytest.MonkeyPatch.context() as patch:
        measured = Measured(mysql56.port)
        patch.setattr(examination, "read_clock", measured)
        yield measured


@pytest.fixture(scope="module")
def chain(make_chain: Callable[..., Chain], mysql56: MySQLServer, mysql97: MySQLServer, measured: Measured) -> Chain:
    stores = {"fast": mysql56, "good": mysql97}
    chain = make_chain(stores, database="clocks", policies=POLICIES, probe_seconds=0.2)
    chain.on_all(
        "CREATE TABLE member (id INT PRIMARY KEY, phone VARCHAR(20), name VARCHAR(40))",
        "INSERT INTO member VALUES (1, '138', 'first'), (2, '139', 'first')",
    )
    chain.start()
    return chain


def name(chain: Chain, store: str, row: int, name: str, *, by_its_clock: float | None = None) -> None:
    """Only MySQL 5.6 lets a session say when it is; where there are GTIDs its events are dated by their commits."""
    clock = [f"SET timestamp = {by_its_clock}"] if by_its_clock is not None else []
    chain.on(store, *clock, f"UPDATE member SET name = '{name}' WHERE id = {row}")


def wait_for_corrections(chain: Chain, number: int) -> list[tuple[Any, ...]]:
    deadline = time.monotonic() + WAIT_SECONDS
    while len(found := chain.rows(CORRECTIONS)) < number:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    chain.settle()
    return found


def test_a_clock_three_hours_fast(
    chain: Chain,
    measured: Measured,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It wins for ever while nobody knows; once its clock is measured, what was decided is decided again."""
    name(chain, "fast", 1, "a minute ago", by_its_clock=time.time() - 60 + HOURS_FAST)
    name(chain, "good", 1, "now")
    chain.settle()
    assert chain.rows(CENTRAL)[0] == ("138", "a minute ago", [])

    caplog.set_level(logging.WARNING)
    measured.put(HOURS_FAST)
    assert wait_for_corrections(chain, 1) == [(HOURS_FAST * 1_000_000, 2_010_000)]
    assert chain.rows(CENTRAL)[0] == ("138", "now", [])
    assert "store fast: its clock was put forward by 3 h, it is 3 h ahead of ours now" in caplog.text
    assert_no_difference(chain)

    winner, loser = explained(chain, tmp_path, capsys, "138")["candidates"]
    assert (winner["store"], winner["correction_us"], winner["uncertainty_us"]) == ("good", 0, 0)
    assert (loser["store"], loser["correction_us"]) == ("fast", -HOURS_FAST * 1_000_000)
    assert winner["effective_us"] - loser["effective_us"] >= 60_000_000
    assert "fast: its clock is 3 h ahead of ours" in told(chain, tmp_path, capsys, "status")


def test_a_clock_that_jumps_back(
    chain: Chain, measured: Measured, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was written between two looks, nobody knows by which clock, is in doubt; what comes after is not."""
    counted = metrics.UNCERTAIN_DECISIONS._value.get()
    name(chain, "fast", 2, "by which clock", by_its_clock=time.time() + HOURS_FAST)
    name(chain, "good", 2, "meanwhile")
    measured.put(0.0)
    wait_for_corrections(chain, 3)
    assert chain.rows(CENTRAL)[1][2] == ["name"]
    assert metrics.UNCERTAIN_DECISIONS._value.get() > counted
    assert "fast: its clock is put right" in told(chain, tmp_path, capsys, "status")

    name(chain, "fast", 1, "two minutes after", by_its_clock=time.time() + 120)
    chain.settle()
    assert chain.rows(CENTRAL)[0] == ("138", "two minutes after", [])
    assert_no_difference(chain)


# --- how looks are kept -----------------------------------------------------------------------------------


@pytest.fixture
def warehouse(fresh_database: str) -> Iterator[Warehouse]:
    warehouse = Warehouse(fresh_database)
    warehouse.migrate()
    with warehouse.transaction() as tx:
        tx.execute(
            "INSERT INTO tillstream.epochs (store, epoch, reason) VALUES ('s1', 1, 'a test'), ('s1', 2, 'another')"
        )
    yield warehouse
    warehouse.dispose()


def look(*place: int, off_seconds: float, doubt_seconds: float = 0.1, at_seconds: int = 0) -> Look:
    at_us = at_seconds * SECOND_US
    return Look(
        place=place, began_us=at_us, ended_us=at_us + SECOND_US,
        offset_us=int(off_seconds * SECOND_US), uncertainty_us=int(doubt_seconds * SECOND_US),
    )  # fmt: skip


def test_what_looks_come_to(warehouse: Warehouse) -> None:
    """The first reaches back to the epoch's beginning, a jump to the look before it; a new epoch goes by the last clock
    of the one before until it is looked at; a line so slow that nothing is seen counts as no look."""
    clocks = ClockLooks(warehouse)
    assert clocks.look("s1", look(1, 1, 500, off_seconds=7200, doubt_seconds=900)) is None
    assert clocks.look("s1", look(1, 1, 500, off_seconds=60)) == 60 * SECOND_US
    assert clocks.look("s1", look(1, 1, 900, off_seconds=61.5, at_seconds=30)) is None
    assert clocks.look("s1", look(1, 2, 4, off_seconds=0.3, at_seconds=60)) == -59_700_000
    assert clocks.look("s1", look(2, 1, 700, off_seconds=0.2, at_seconds=90)) is None
    assert clocks.look("s1", look(2, 1, 800, off_seconds=-10, at_seconds=120)) == -10 * SECOND_US
    with warehouse.transaction() as tx:
        found = tx.rows(
            "SELECT epoch, file, pos, offset_us / 1e6, uncertainty_us / 1e6, earliest_us / 1e6, latest_us / 1e6"
            " FROM tillstream.clock_corrections ORDER BY id"
        )
    assert [tuple(None if each is None else float(each) for each in row) for row in found] == [
        (1, 0, 0, 60, 2.1, None, None),
        (1, 1, 900, 30, 31, 30, 61),
        (1, 2, 4, 0, 0, None, None),
        (2, 1, 700, -5, 7.1, 90, 121),
        (2, 1, 800, -10, 2.1, None, None),
    ]


def test_an_earlier_warehouse_keeps_its_times(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows that were taken in by a version that kept one time a row, and one a column."""
    warehouse = Warehouse(fresh_database)
    before = {version: text for version, text in migrations.available().items() if version < CLOCKS_VERSION}
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "available", lambda: before)
        warehouse.migrate()
    with warehouse.transaction() as tx:
        tx.execute(
            "CREATE TABLE stores.member (_store text, _epoch int, _file int, _pos bigint, _row int, _order bigint,"
            " _changed_us bigint, _stamps jsonb)"
        )
        tx.execute(
            "INSERT INTO stores.member VALUES ('changed', 1, 2, 300, 0, 1, 9, '{\"name\": [1, 2, 100, 0, 1, 7, 0]}'),"
            " ('read', 1, 2, 300, -1, 0, NULL, '{\" \": [5]}'), ('isolated', 1, 2, 300, 0, 1, NULL, NULL)"
        )
    assert CLOCKS_VERSION in warehouse.migrate()
    with warehouse.transaction() as tx:
        found = {
            store: read_stamps(StoreClock(), stamps)
            for store, stamps in tx.rows("SELECT _store, _stamps FROM stores.member")
        }
    assert found == {
        "changed": {"name": ColumnStamp((1, 2, 100, 0, 1), 7), CHANGED: ColumnStamp((1, 2, 300, 0, 1), 9)},
        "read": {SNAPSHOT: ColumnStamp((1, 0, 0, -1, 0), 5)},
        "isolated": {},
    }
    warehouse.dispose()


# --- what a person sees -----------------------------------------------------------------------------------


def explained(chain: Chain, directory: Path, capsys: pytest.CaptureFixture[str], key: str) -> dict[str, Any]:
    answer = told(chain, directory, capsys, "explain", "member", key, "name", "--output", "json")
    (column,) = json.loads(answer)["columns"]
    return dict(column)


def told(chain: Chain, directory: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    url = chain.warehouse.url.render_as_string(hide_password=False)
    write_config(directory, url, {store: server.port for store, server in chain.stores.items()}, policies=POLICIES)
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--config", str(directory / "tillstream.yaml")])
    assert not left.value.code
    return capsys.readouterr().out
