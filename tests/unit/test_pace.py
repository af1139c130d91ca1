"""A store is read in a share of its time, in stretches of a tenth of a second."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from sinks.resync import pace as pacing
from sinks.resync.pace import FIRST_ROWS, LEAST_ROWS, MOST_ROWS, ChunkSize, Pace
from tillstream.commands.resync import left_in_words
from tillstream.errors import TransientError


class Clock:
    """Time that goes by only while somebody reads or waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waited: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        self.now += seconds
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    return clock


def read(pace: Pace, clock: Clock, seconds: float) -> None:
    with pace.reading():
        clock.now += seconds


def test_reading_is_a_share_of_the_time(clock: Clock) -> None:
    pace = Pace(20, clock.wait)
    for seconds in (0.1, 0.4, 0.05):
        read(pace, clock, seconds)
    read(pace, clock, 0.0)
    assert clock.waited == pytest.approx([0.0, 0.4, 1.6, 0.2])
    assert clock.now - 1000 == pytest.approx((0.1 + 0.4 + 0.05) / 0.2)


def test_what_is_done_meanwhile_is_rest_too(clock: Clock) -> None:
    """Rows are written into the warehouse while the store has its time for itself."""
    pace = Pace(10, clock.wait)
    read(pace, clock, 0.1)
    clock.now += 5
    read(pace, clock, 0.1)
    assert clock.waited == [0.0, 0.0]


def test_a_statement_that_fails_has_cost_the_store_as_much(clock: Clock) -> None:
    pace = Pace(50, clock.wait)
    with suppress(ValueError), pace.reading():
        clock.now += 3
        raise ValueError("no such column")
    read(pace, clock, 0.0)
    assert clock.waited == pytest.approx([0.0, 3.0])


def test_rows_of_one_statement_are_taken_with_rests(clock: Clock) -> None:
    def rows() -> Iterator[int]:
        for number in range(1000):
            clock.now += 0.001
            yield number

    assert list(Pace(25, clock.wait).spread(rows())) == list(range(1000))
    assert clock.now - 1000 == pytest.approx(1 / 0.25, rel=0.15)
    assert max(clock.waited) < 0.5


def test_who_is_told_to_stop_does_not_read_on(clock: Clock) -> None:
    pace = Pace(10, lambda seconds: True)
    with pytest.raises(TransientError), pace.reading():
        pytest.fail("it has read on")


@pytest.mark.parametrize(
    ("seconds_a_row", "rows"), [(0.00001, MOST_ROWS), (0.0001, 1000), (0.001, 100), (1.0, LEAST_ROWS)]
)
def test_a_chunk_is_what_a_store_reads_in_a_tenth_of_a_second(seconds_a_row: float, rows: int) -> None:
    size = ChunkSize(MOST_ROWS)
    assert size.rows == FIRST_ROWS
    for _ in range(10):
        size.learn(size.rows * seconds_a_row)
    assert size.rows == pytest.approx(rows, rel=0.05)


def test_a_table_of_large_rows_is_read_in_small_chunks() -> None:
    size = ChunkSize(3)
    size.learn(0.000001)
    assert size.rows == LEAST_ROWS


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (59.6, ", some 60 s left"), (125, ", some 2 minutes left"), (9000, ", some 2 hours left")],
)
def test_what_is_left_in_words(seconds: float | None, words: str) -> None:
    assert left_in_words(seconds) == words
