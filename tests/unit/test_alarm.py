"""The tests' own alarm: what was raised is noted, and that nothing was raised is said by nobody who heard nothing."""

import json
import time
from collections.abc import Callable, Iterator
from http.client import IncompleteRead
from itertools import chain, repeat

import alarm
import pytest
from alarm import Alarm

from tillstream.rehearsal.prometheus import Alert, Monitoring

DARK = Alert(name="StoreDark", labels={"store": "s1"}, annotations={}, is_held_back=False)
HELD_BACK = Alert(name="StoreLagging", labels={"store": "s1"}, annotations={}, is_held_back=True)


class Played(Monitoring):
    """Answers with one after the other, or fails with it."""

    def __init__(self, answers: Iterator[list[Alert] | Exception]) -> None:
        self._answers = answers

    def alerts(self) -> list[Alert]:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm, "LOOK_SECONDS", 0.001)


def listen(*answers: list[Alert] | Exception, last: list[Alert] | Exception) -> Alarm:
    return Alarm(Played(chain(answers, repeat(last))))


def test_what_was_raised_is_noted_until_it_is_forgotten() -> None:
    """Also once it is over; what another alert holds back is not raised."""
    with listen([DARK, HELD_BACK], last=[]) as heard:
        heard.wait_for(lambda: bool(heard.ever) and not heard.now, "it is over")
        assert heard.ever.keys() == {("StoreDark", "s1")}
        heard.forget()
        assert heard.ever == {}


@pytest.mark.parametrize(
    "failure", [ConnectionRefusedError(), IncompleteRead(b""), json.JSONDecodeError("no JSON", "", 0)], ids=repr
)
def test_one_answer_that_fails_ends_nothing(failure: Exception) -> None:
    """Whatever came instead of it, the next one counts."""
    with listen(failure, last=[DARK]) as heard:
        heard.wait_for(lambda: bool(heard.now), "it is heard")


@pytest.mark.parametrize("ended", [lambda: ConnectionRefusedError(), lambda: [DARK]], ids=["down", "there again"])
def test_nothing_was_raised_only_where_it_answered_all_along(
    monkeypatch: pytest.MonkeyPatch, ended: Callable[[], list[Alert] | Exception]
) -> None:
    """It fails on leaving, whether Alertmanager is silent still or was so meanwhile."""
    monkeypatch.setattr(alarm, "MOST_SILENT_SECONDS", 0.2)
    until = time.monotonic() + 0.4

    def answers() -> Iterator[list[Alert] | Exception]:
        yield []
        while time.monotonic() < until:
            yield ConnectionRefusedError()
        yield from repeat(ended())

    with pytest.raises(AssertionError, match=r"Alertmanager was silent for .*ConnectionRefusedError"):  # noqa: SIM117
        with Alarm(Played(answers())) as heard:
            heard.wait_for(lambda: time.monotonic() > until + 0.1, "its silence is over")
