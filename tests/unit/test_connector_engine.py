"""A store's connector is started whatever the list of connectors shows: a stop is seen there only after a while."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from connectors.connect import Connector
from connectors.connector_engine import ConnectorEngine, ConnectorPlaces
from connectors.connector_plan import Found, Wanted

NAME = "t.s1.0"
WANTED = Wanted(store="s1", name=NAME, options={"a": "b"}, topics={})
RUNNING = Connector(name=NAME, state="RUNNING", config={"a": "b"}, task_state="RUNNING")


class SlowToShow(ConnectorPlaces):
    """What is asked of Connect is noted, and its list goes on showing the same."""

    def __init__(self, shown: Connector | None) -> None:
        self.shown, self.rested, self.asked = shown, set(), list[str]()
        self.connect = Noted(self.asked)  # type: ignore[assignment]  # of Connect's, only what changes something

    def found(self, stores: Iterable[str] | None = None) -> dict[str, Found]:
        return {"s1": Found(connectors={NAME: self.shown} if self.shown else {})}


class Noted:
    def __init__(self, asked: list[str]) -> None:
        self._asked = asked

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **options: self._asked.append(name)


def engine(places: ConnectorPlaces) -> ConnectorEngine:
    return ConnectorEngine(WANTED, places, lambda: None)


@pytest.mark.parametrize(
    ("shown", "asked"),
    [(RUNNING, []), (None, ["configure"]), (replace(RUNNING, config={}), ["configure"])],
)
def test_one_that_was_stopped_a_moment_ago_goes_on_though_it_still_shows_as_running(
    shown: Connector | None, asked: list[str]
) -> None:
    """Or does not show at all, as it was made a moment ago; once it goes on, it is not told to again."""
    places = SlowToShow(shown)
    engine(places).close()
    engine(places).start()
    assert places.asked == ["stop", *asked, "resume"]
    engine(places).start()
    assert places.asked == ["stop", *asked, "resume", *asked]


def test_one_that_shows_as_stopped_is_told_once() -> None:
    places = SlowToShow(replace(RUNNING, state="STOPPED"))
    engine(places).close()
    engine(places).start()
    assert places.asked == ["stop", "resume"]
