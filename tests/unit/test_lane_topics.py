"""Whether a lane's topic still has what was to come next."""

import pytest

from sinks.lane_topics import what_is_lost
from tillstream.envelope import LaneOpened


def opened(*, topic: str = "t1", low: int = 0, high: int = 100) -> LaneOpened:
    return LaneOpened(store="s1", topic_id=topic, low=low, high=high, begin=lambda offset, generation: None)


@pytest.mark.parametrize(
    ("offset", "found"),
    [(0, opened()), (100, opened()), (40, opened(low=40)), (None, opened()), (7, opened(low=7, high=7))],
)
def test_a_place_that_is_there_is_gone_on_from(offset: int | None, found: LaneOpened) -> None:
    """The next record, the end, the first that is left; and the beginning, for who has read nothing."""
    assert what_is_lost("t1" if offset is not None else None, offset, found) is None


@pytest.mark.parametrize(
    ("topic", "offset", "found", "told"),
    [
        ("t1", 40, opened(low=43), "3 records of its lane passed their retention before they were read"),
        ("t1", 101, opened(), "its lane's topic ends at offset 100, before 101, which was next"),
        ("t0", 40, opened(), "its lane's topic was deleted and made anew"),
        (None, None, opened(low=1), "the beginning of its lane has passed its retention"),
    ],
)
def test_what_is_gone_is_told(topic: str | None, offset: int | None, found: LaneOpened, told: str) -> None:
    """By retention, by a broker that lost what it had acknowledged, by somebody who deleted the topic."""
    assert what_is_lost(topic, offset, found) == told
