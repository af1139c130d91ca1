"""What a worker may rely on, whoever brings the lanes: the engines of this process, or a recording."""

import threading
from typing import Protocol

import pytest
from lanes import Delivery, RecordedLanes

from connectors.embedded import EmbeddedLanes, Handover, hand_over
from sinks.worker import Lanes
from tillstream.envelope import LaneBatch, Resume
from tillstream.errors import RefusedError, TillstreamError, TransientError

WAIT_SECONDS = 5.0  # how long a thread may take that has nothing to wait for
SOON_SECONDS = 0.05  # how long one is watched that must not go on


class Side(Protocol):
    """Lanes, and the other end of them: who delivers."""

    lanes: Lanes

    def deliver(self, store: str, number: int) -> "Sent": ...


class Sent:
    """A batch that somebody delivered: waits until it is settled, in a thread of its own."""

    def __init__(self, wait: threading.Event, delivery: Delivery | Handover) -> None:
        self._settled, self._delivery = wait, delivery

    def done(self, seconds: float = WAIT_SECONDS) -> bool:
        return self._settled.wait(seconds)

    @property
    def error(self) -> TillstreamError | None:
        return self._delivery.error


def resume(number: int) -> Resume:
    return Resume(file="mysql-bin.000001", pos=number, in_snapshot=False, raw={})


class Embedded:
    """As an engine does it: the next batch is delivered behind the one before it."""

    def __init__(self) -> None:
        self.lanes = EmbeddedLanes()
        self._last: dict[str, Handover] = {}

    def deliver(self, store: str, number: int) -> Sent:
        handover = hand_over(store, 1, b'{"op":null}\nnull', resume(number))
        self.lanes.deliver(handover, self._last.get(store))
        self._last[store] = handover
        return Sent(handover.settled, handover)


class Recorded:
    def __init__(self) -> None:
        self.lanes = RecordedLanes()

    def deliver(self, store: str, number: int) -> Sent:
        batch = LaneBatch(store=store, epoch=1, events=[], resume=resume(number))
        (delivery,) = self.lanes.record([batch])
        return Sent(delivery.settled, delivery)


@pytest.fixture(params=[Embedded, Recorded])
def side(request: pytest.FixtureRequest) -> Side:
    made: Side = request.param()
    return made


def polled(side: Side, seconds: float = 0.0) -> list[tuple[str, int]]:
    return [(batch.store, _number(batch)) for batch in side.lanes.poll(seconds)]


def _number(batch: LaneBatch) -> int:
    assert batch.resume is not None
    return batch.resume.pos


def test_a_batch_is_given_once_and_its_deliverer_waits_for_its_commit(side: Side) -> None:
    """Polled, it is on its way; only the commit lets the source forget it."""
    sent = side.deliver("s1", 1)
    (batch,) = side.lanes.poll(0.0)
    assert (batch.store, _number(batch), batch.epoch) == ("s1", 1, 1)
    assert polled(side) == []
    assert not sent.done(SOON_SECONDS)
    side.lanes.commit([batch])
    assert sent.done()
    assert sent.error is None


def test_a_lane_keeps_its_order(side: Side) -> None:
    """However many of its batches arrive in one poll."""
    for number in (1, 2):
        side.deliver("s1", number)
        side.deliver("s2", number)
    seen = polled(side)
    assert [number for store, number in seen if store == "s1"] == [1, 2]
    assert [number for store, number in seen if store == "s2"] == [1, 2]


def test_a_commit_releases_what_was_committed_and_nothing_else(side: Side) -> None:
    """Neither the lane's next batch nor another lane."""
    sent = [side.deliver("s1", 1), side.deliver("s1", 2), side.deliver("s2", 1)]
    batches = side.lanes.poll(0.0)
    side.lanes.commit([batch for batch in batches if (batch.store, _number(batch)) == ("s1", 1)])
    assert sent[0].done()
    assert not sent[1].done(SOON_SECONDS)
    assert not sent[2].done(SOON_SECONDS)


def test_a_refusal_reaches_whoever_delivered(side: Side) -> None:
    """With its reason, for all that the lane has on its way; another lane is not touched."""
    sent = [side.deliver("s1", 1), side.deliver("s1", 2), side.deliver("s2", 1)]
    side.lanes.poll(0.0)
    why = RefusedError("s1 must not be worked with")
    side.lanes.refuse("s1", why)
    assert [each.done() for each in sent[:2]] == [True, True]
    assert [each.error for each in sent] == [why, why, None]
    assert not sent[2].done(SOON_SECONDS)


def test_what_was_refused_before_it_was_polled_never_comes(side: Side) -> None:
    """It will be read again, from its beginning."""
    side.deliver("s1", 1)
    side.deliver("s2", 1)
    side.lanes.refuse("s1", TransientError("the engine is stopping"))
    assert polled(side) == [("s2", 1)]


def test_a_lane_begins_again_after_a_refusal(side: Side) -> None:
    """What the next run of its engine delivers is given as ever."""
    side.deliver("s1", 1)
    side.lanes.poll(0.0)
    side.lanes.refuse("s1", RefusedError("once"))
    if isinstance(side, Embedded):
        side._last.clear()  # a new engine
    sent = side.deliver("s1", 1)
    (batch,) = side.lanes.poll(0.0)
    side.lanes.commit([batch])
    assert sent.done()
    assert sent.error is None


def test_an_idle_poll_waits_and_a_batch_ends_it(side: Side) -> None:
    """It comes back with nothing after its time, and at once with what arrives."""
    assert polled(side, SOON_SECONDS) == []
    timer = threading.Timer(SOON_SECONDS, lambda: side.deliver("s1", 1))
    timer.start()
    assert polled(side, WAIT_SECONDS) == [("s1", 1)]
    timer.join()


def test_nothing_comes_behind_a_batch_that_was_refused() -> None:
    """The batch before it would be missing: an engine that has not noticed yet is told, and delivers nothing."""
    side = Embedded()
    side.deliver("s1", 1)
    (batch,) = side.lanes.poll(0.0)
    why = RefusedError("no")
    side.lanes.refuse("s1", why)
    with pytest.raises(RefusedError, match="no"):
        side.deliver("s1", 2)
    assert polled(side) == []
    assert batch.handle.error is why


def test_a_recording_runs_no_further_ahead_than_it_is_told() -> None:
    """With one batch at a time, the next comes after the commit; a deliverer waits, and is told of a refusal."""
    lanes = RecordedLanes(ahead=1)
    batches = [LaneBatch(store="s1", epoch=1, events=[], resume=resume(number)) for number in (1, 2)]
    lanes.record(batches)
    (first,) = lanes.poll(0.0)
    assert lanes.poll(0.0) == []
    lanes.commit([first])
    (second,) = lanes.poll(0.0)
    assert (_number(first), _number(second)) == (1, 2)
    told: list[TillstreamError] = []

    def deliver() -> None:
        try:
            lanes.deliver(LaneBatch(store="s2", epoch=1, events=[], resume=resume(1)))
        except TillstreamError as error:
            told.append(error)

    thread = threading.Thread(target=deliver)
    thread.start()
    while not (found := lanes.poll(0.0)):
        thread.join(0.001)
    assert [batch.store for batch in found] == ["s2"]
    why = RefusedError("no")
    lanes.refuse("s2", why)
    thread.join(WAIT_SECONDS)
    assert told == [why]
    assert lanes.busy
    lanes.commit([second])
    assert not lanes.busy
