"""One warehouse for the laws that need one."""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from harness import fresh_warehouse
from ways import Place

from conflict.resolution import Resolution
from sinks import batch, central, key_change, worker


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults pass at once, keys left by others are looked for all the time, and every key that can be decided from a
    few of its rows is; keys are made two at a time, and the workers come between."""
    monkeypatch.setattr(worker, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(worker, "MOST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(batch, "DIRTY_SECONDS", 0.01)
    monkeypatch.setattr(central, "MANY_STORES", 1)
    monkeypatch.setattr(key_change, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(key_change, "FEW_ROWS", 1)


@pytest.fixture(scope="module")
def only_place(warehouse_url: str) -> Iterator[Place]:
    """One database for all of a file's: making one takes longer than most of these tests, and in one for all files
    each statement would take three times as long at the end, so many tables have come and gone by then."""
    made = Place(fresh_warehouse(warehouse_url, f"laws_{os.getpid()}"))
    yield made
    made.close()


@pytest.fixture
def place(only_place: Place, hasty: None) -> Place:
    only_place.empty()
    return only_place


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many of a property's examples had what: what none had is not tested by it."""
    found: Counter[str] = Counter()
    shortened = central.shortened

    def counted(*given: Any) -> Resolution | None:
        answer = shortened(*given)
        found.update(["key decided from a few rows"] if answer else [])
        return answer

    monkeypatch.setattr(central, "shortened", counted)
    return found
