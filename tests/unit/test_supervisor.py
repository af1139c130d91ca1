"""What one store's supervisor tells of a capture that does not come about, or does not last."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from connectors import preflight
from connectors.supervisor import MOST_LOG_ENDS, Bookkeeping, Capture, Freshness, Supervisor
from tillstream.config import load_config
from tillstream.errors import StoreUnreachableError, TransientError, UnreachableError
from tillstream.states import StoreReport, StoreState

FILE = """\
retry: {first_seconds: 0.01, most_seconds: 0.02}
stores: [{id: s1, host: localhost, user: u, password: {env: P}, database: d}]
"""
HEAD = (1, 900)


class Books:
    """The warehouse stands behind the store's log."""

    def __init__(self) -> None:
        self.told: list[StoreReport] = []

    def must_begin_anew(self, store: str) -> bool:
        return False

    def reached(self, store: str) -> tuple[bool, tuple[int, int]]:
        return True, (1, 500)

    def report(self, report: StoreReport) -> None:
        self.told.append(report)


class ShortLived:
    """An engine that is looked at once and has failed by then."""

    def __init__(self) -> None:
        self._looks = 0

    def start(self) -> None: ...

    def wait(self, timeout_seconds: float) -> bool:
        self._looks += 1
        return self._looks > 1

    def position(self, reached: tuple[int, int]) -> tuple[int, int]:
        return reached

    def leave(self) -> None: ...

    def close(self) -> None: ...

    def raise_failure(self) -> None:
        raise TransientError("store s1: the capture engine stopped: out of order")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[StoreReport]]:
    """What is reported until `enough`, by a supervisor whose store and capture answer like this."""

    def supervise(examine: Callable[..., Any], prepare: Callable[..., Any], enough: int) -> list[StoreReport]:
        file = tmp_path / "tillstream.yaml"
        file.write_text(FILE)
        config = load_config(file)
        books, done = Books(), threading.Event()
        monkeypatch.setattr(preflight, "examine", examine)
        monkeypatch.setattr(preflight, "read_head", lambda store: HEAD)
        capture = SimpleNamespace(prepare=prepare, engine=lambda *given: ShortLived())
        supervisor = Supervisor(
            config, config.stores[0], cast("Capture", capture), cast("Bookkeeping", books), {}, probe_seconds=0.01
        )
        monkeypatch.setattr(supervisor, "_look", lambda: None)
        supervisor.start()
        while len(books.told) < enough:
            done.wait(0.01)
        supervisor.stop()
        supervisor.join()
        return books.told[:enough]

    return supervise


def facts(*given: Any) -> Any:
    return SimpleNamespace(server_uuid="one")


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*given: Any) -> Any:
        raise error

    return fail


def test_a_store_is_dark_only_if_it_is_the_store_that_does_not_answer(told: Callable[..., list[StoreReport]]) -> None:
    """Where Kafka Connect is away nobody has to call the shop; the reason is told all the same."""
    away = raising(StoreUnreachableError("store s1 at localhost:3306 does not answer"))
    (first,) = told(away, facts, 1)
    assert (first.state, first.reason) == (StoreState.UNREACHABLE, "store s1 at localhost:3306 does not answer")
    (first,) = told(facts, raising(UnreachableError("Kafka Connect does not answer")), 1)
    assert (first.state, first.reason) == (StoreState.STARTING, "Kafka Connect does not answer")


def test_a_store_whose_engine_fails_again_and_again_stays_behind(told: Callable[..., list[StoreReport]]) -> None:
    """How long its log has been ahead is told in every state, and goes on from run to run of the engine."""
    beginning = SimpleNamespace(reason="", schema_only=False)
    reports = told(facts, lambda *given: beginning, 9)
    assert [each.state for each in reports[:4]] == ["starting", "live", "starting", "starting"]
    lags = [each.lag_seconds for each in reports[1:]]
    assert lags == sorted(lags, key=lambda lag: lag or 0.0)
    assert None not in lags
    assert 0.0 not in lags[1:]


def test_lag_is_the_age_of_the_oldest_log_end_that_is_not_in() -> None:
    """A store that stays an hour behind is told to be an hour behind, and complete as of an hour ago, at each look; it
    is not caught up when its log is first seen ahead."""
    freshness = Freshness()
    assert freshness.lag_seconds((1, 1_000), (1, 1_000), 0.0) == 0.0
    assert freshness.is_caught_up
    for minute in range(1, 61):
        lag = freshness.lag_seconds((1, 1_000 + minute), (1, 1_000), 60.0 * minute)
        assert lag == 60.0 * (minute - 1)
        assert not freshness.is_caught_up
    for minute in range(61, 200):
        lag = freshness.lag_seconds((1, 1_000 + minute), (1, 1_000 + minute - 60), 60.0 * minute)
        assert lag == 60.0 * 59
        assert freshness.complete_at == 60.0 * (minute - 60)
    assert freshness.lag_seconds((1, 1_199), (1, 1_199), 60.0 * 200) == 0.0
    assert (freshness.is_caught_up, freshness.complete_at) == (True, 60.0 * 200)


def test_a_store_that_is_behind_for_days_takes_no_more_memory_than_for_hours() -> None:
    """And what is told of it stays true."""
    freshness = Freshness()
    for look in range(20 * MOST_LOG_ENDS):
        assert freshness.lag_seconds((1, 1_000 + look), (1, 0), 5.0 * look) == 5.0 * look
    assert len(freshness._ahead) <= MOST_LOG_ENDS
    freshness.lag_seconds(None, (1, 11_000), 1e6)
    assert 5.0 * 9_000 < (freshness.complete_at or 0.0) <= 5.0 * 10_000


def test_what_a_dark_store_had_captured_before_may_still_come_in() -> None:
    """Its watermark goes on to the last log end that was seen."""
    freshness = Freshness()
    freshness.lag_seconds((1, 2_000), (1, 1_000), 50.0)
    freshness.lag_seconds(None, (1, 2_000), 90.0)
    assert (freshness.complete_at, freshness.last_lag_seconds(91.0)) == (50.0, None)
