"""The line from 200 connectors to 1,000."""

import pytest

from tillstream.rehearsal.bench_connectors import Cost, line, lines


def cost(connectors: int, megabytes: float, heap: float | None = None) -> Cost:
    return Cost(
        connectors=connectors, resident_megabytes=megabytes, heap_megabytes=heap, threads=50 + 12 * connectors,
        idle_millicores=2.0 * connectors, start_seconds=1.0,
    )  # fmt: skip


def test_the_line_goes_through_points_that_lie_on_one() -> None:
    drawn = line([(10, 230.0), (50, 350.0), (200, 800.0)])
    assert (drawn.base, drawn.each) == pytest.approx((200.0, 3.0))
    assert drawn.at(1_000) == pytest.approx(3_200.0)


def test_what_was_not_measured_has_no_line() -> None:
    found = lines([cost(10, 220.0), cost(100, 400.0)])
    assert "heap_megabytes" not in found
    assert found["resident_megabytes"] == {"worker": 200.0, "each": 2.0, "at_1000": 2200}
    assert found["threads"]["each"] == 12.0
