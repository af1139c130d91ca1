"""A business day's bounds, and what is said of a store's."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest

from sinks.business_days import BusinessDay, StoreDay, Total, last_ended
from tillstream.commands.day_close import exit_code, in_words

DATE = dt.date(2026, 11, 29)
DAY = BusinessDay(date=DATE, ends_at=dt.time(4), timezone="Asia/Shanghai")
SOLD = Total(sales=412, amount=Decimal("8120.50"))
CLOSED = StoreDay(
    store="s001", name="中山路店", day=DAY, complete_at=DAY.ends, missing="", here=SOLD, asked=SOLD, not_asked="",
    is_exact=True,
)  # fmt: skip
MISSING = replace(CLOSED, missing="the warehouse has all of it up to 2026-11-29 21:10 only")
DARK = replace(CLOSED, asked=None, not_asked="store s001 at 10.0.1.5:3306 does not answer: timed out")
MORE = replace(CLOSED, asked=Total(sales=413, amount=Decimal("8138.50")))


def test_a_day_goes_on_into_the_night() -> None:
    """In each form in which a column may hold a time."""
    assert DAY.bounds("datetime") == (dt.datetime(2026, 11, 29, 4), dt.datetime(2026, 11, 30, 4))
    assert DAY.bounds("timestamp") == (dt.datetime(2026, 11, 28, 20), dt.datetime(2026, 11, 29, 20))
    assert DAY.bounds("date") == (DATE, dt.date(2026, 11, 30))
    assert [each.isoformat() for each in DAY.bounds("timestamptz")] == [
        "2026-11-29T04:00:00+08:00",
        "2026-11-30T04:00:00+08:00",
    ]


def test_a_day_is_an_hour_shorter_when_summer_time_begins() -> None:
    """By the wall's clock it is as long as ever."""
    day = BusinessDay(date=dt.date(2026, 3, 28), ends_at=dt.time(4), timezone="Europe/Berlin")
    begins, ends = day.bounds("timestamp")
    assert ends - begins == dt.timedelta(hours=23)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-11-30T03:59+08:00", "2026-11-28"),
        ("2026-11-30T04:00+08:00", "2026-11-29"),
        ("2026-11-30T20:01+00:00", "2026-11-30"),
    ],
)
def test_the_last_day_that_is_over(now: str, last: str) -> None:
    """At three in the night yesterday's is not."""
    assert last_ended(dt.datetime.fromisoformat(now), dt.time(4), "Asia/Shanghai").isoformat() == last


@pytest.mark.parametrize(
    ("day", "told"),
    [
        (CLOSED, "complete; 412 sales, 8,120.50; the store says the same"),
        (MORE, "complete; 412 sales, 8,120.50; the store says 413 sales, 8,138.50: +1 sale, +18.00"),
        (
            DARK,
            "complete; 412 sales, 8,120.50; not asked: store s001 at 10.0.1.5:3306 does not answer: timed out",
        ),
        (
            replace(MISSING, asked=Total(sales=1, amount=Decimal("9"))),
            "incomplete, the warehouse has all of it up to 2026-11-29 21:10 only; 412 sales, 8,120.50; the store says "
            "1 sale, 9: -411 sales, -8,111.50",
        ),
    ],
)
def test_it_is_told_in_words(day: StoreDay, told: str) -> None:
    assert in_words(day) == told


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([], 0),
        ([CLOSED, CLOSED], 0),
        ([CLOSED, MISSING], 1),
        ([CLOSED, MORE], 1),
        ([CLOSED, DARK], 3),
        ([MORE, DARK], 1),
        ([DARK, DARK], 3),
        ([replace(DARK, missing="never")], 3),
    ],
)
def test_the_exit_code_says_whether_a_person_has_to_look(found: list[StoreDay], code: int) -> None:
    """1: incomplete or different; 3: not all could be asked, and what could be is in order."""
    assert exit_code(found) == code


def test_amounts_that_are_not_exact_differ_by_more_than_half_a_cent() -> None:
    """What floating point adds up to depends on the order."""
    nearly = Total(sales=412, amount=Decimal("8120.5000000001"))
    assert replace(CLOSED, asked=nearly).differs
    assert not replace(CLOSED, asked=nearly, is_exact=False).differs
    assert replace(CLOSED, asked=replace(SOLD, amount=Decimal("8120.51")), is_exact=False).differs
