"""`tillstream status` as a person sees it: the worst first, in words."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console, RenderableType

from tillstream.alerts import Alerts
from tillstream.commands import status
from tillstream.commands.config import Output
from tillstream.commands.status_shown import _Stores, shown, watched
from tillstream.commands.status_troubles import troubles
from tillstream.errors import UnreachableError

NOTHING = {
    "reading_anew": [],
    "not_read_anew": [],
    "holds": [],
    "dead_letters": 0,
    "dead_letters_by_store": {},
    "parked_keys": 0,
    "parked_keys_by_table": {},
    "reviews": 0,
    "oldest_review_at": None,
    "anomalies": 0,
}


def a_store(store: str, state: str = "live", **facts: Any) -> dict[str, Any]:
    ago = facts.pop("ago", 1.0)
    return {
        "id": store, "name": f"name of {store}", "timezone": "Asia/Shanghai", "state": state, "reason": "",
        "lag_seconds": 0.0, "state_seconds": ago, "complete_seconds_ago": ago,
        "complete_at": (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(),
        "position": "000001:120", "events": 1234,
        "clock_correction_seconds": 0.0, "clock_moved_at": None, "binlog_hours_left": None, **facts,
    }  # fmt: skip


def found(*stores: dict[str, Any], alerts: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    at = min(each["complete_at"] for each in stores)
    all_of_it = {"running": True, "stores": list(stores), "complete_at": at, "waits_for": "s4", **NOTHING, **facts}
    told = troubles(all_of_it, Alerts(**(alerts or {})))
    return {**all_of_it, "needs_a_person": [asdict(each) for each in told]}


def lines(
    answer: dict[str, Any], width: int = 200, show: Callable[[dict[str, Any]], RenderableType] = shown
) -> list[str]:
    console = Console(width=width, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(show(answer), soft_wrap=True)
    return [line.rstrip() for line in capture.get().splitlines()]


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def test_a_chain_without_trouble_needs_nobody() -> None:
    """Behind by seconds is the way of things."""
    answer = found(a_store("s1"), a_store("s2", lag_seconds=4.0))
    assert answer["needs_a_person"] == []
    first, _, one, two = lines(answer)
    assert first.startswith("2 of 2 stores live, the chain complete as of ")
    assert "because of" not in first
    assert one.split()[:5] == ["s1", "name", "of", "s1", "live"]
    assert "1,234" in two


def test_what_looks_wrong_in_rows_is_told_and_since_when() -> None:
    """A low stock is no trouble of the chain's: it needs nobody to look after Tillstream."""
    answer = found(a_store("s1"), anomalies=3, anomalies_since="2026-11-29T14:05:00+08:00")
    assert answer["needs_a_person"] == []
    told = "3 things in the stores' rows look wrong, the first since 2026-11-29 06:05 UTC: `tillstream anomalies`"
    assert lines(answer)[-1] == told


def test_the_worst_stands_first_and_says_what_is_left() -> None:
    """A store that was refused, then the dark ones, then those that are behind; the chain says whom it waits for."""
    dark = a_store(
        "s4", "unreachable", ago=5 * 3600.0, binlog_hours_left=38.0,
        reason="store s4 at 10.0.4.5 does not answer",
    )  # fmt: skip
    refused = a_store("s3", "refused", reason="store s3: binlog_format is STATEMENT; put it right")
    answer = found(a_store("s1"), a_store("s2", lag_seconds=600.0, ago=600.0), dark, refused)
    told = lines(answer)
    assert told[0].endswith(" because of s4")
    assert told[0].startswith("2 of 4 stores live")
    assert [line.split()[0] for line in told[2:6]] == ["s3", "s4", "s2", "s1"]
    assert "stands still" in told[2]
    assert "dark for 5 h" in told[3]
    assert "38 h" in told[3]
    assert "live, 10 min behind" in told[4]
    assert told[6:] == [each["told"] for each in answer["needs_a_person"]]
    assert [each["store"] for each in answer["needs_a_person"]] == ["s4", "s3"]


def test_a_line_that_broke_a_minute_ago_needs_nobody_yet() -> None:
    """Its reason is told all the same."""
    answer = found(a_store("s1", "unreachable", ago=60.0, reason="store s1 does not answer"))
    assert answer["needs_a_person"] == []
    assert "s1: store s1 does not answer" in lines(answer)


def test_a_log_that_will_be_purged_needs_a_person_while_the_store_is_away() -> None:
    """A store that is followed loses nothing, however short it keeps its log."""
    assert found(a_store("s1", binlog_hours_left=2.0))["needs_a_person"] == []
    (trouble,) = found(a_store("s1", "paused", binlog_hours_left=2.0))["needs_a_person"]
    assert trouble["told"] == "s1: its MySQL may purge what the warehouse does not have in 2 hours"


def test_a_retired_store_needs_nobody() -> None:
    """It is no store that should be live, and its log may be purged."""
    answer = found(a_store("s1"), a_store("s2", "retired", ago=9e6, binlog_hours_left=None))
    assert answer["needs_a_person"] == []
    assert lines(answer)[0].startswith("1 of 1 store live")


def test_what_is_purged_already_is_told_as_that() -> None:
    """No hours are left of it."""
    (trouble,) = found(a_store("s1", "unreachable", ago=60.0, binlog_hours_left=-3.0))["needs_a_person"]
    assert trouble["told"] == "s1: its MySQL may have purged what the warehouse does not have"


def test_everything_that_waits_for_a_person_is_told_with_its_command() -> None:
    """Holds, tables that could not be read, reviews, parked keys, dead letters, and that nobody is at work."""
    answer = found(
        a_store("s1", "not running"),
        running=False, reviews=3, oldest_review_at=ago(days=3), parked_keys=2, parked_keys_by_table={"members": 2},
        dead_letters=1, dead_letters_by_store={"s1": 1},
        holds=[{"store": "s1", "told": "held in members since yesterday: deleted 9 of 9 rows"}],
        not_read_anew=[{"store": "s1", "table": "sale", "reason": "lost rows", "error": "no right to read it"}],
    )  # fmt: skip
    assert [each["told"] for each in answer["needs_a_person"]] == [
        "`tillstream run` is not at work on this warehouse.",
        "s1: held in members since yesterday: deleted 9 of 9 rows; `tillstream stores release s1` shows what it would "
        "change",
        "s1: sale could not be read anew (lost rows): no right to read it",
        "3 values wait to be decided by a person: `tillstream reviews list`",
        "2 keys could not be decided by their rules: `tillstream parked list`",
        "1 event is set aside: `tillstream dead-letters list`",
    ]


def test_what_alerts_let_pass_needs_nobody_and_is_told_all_the_same() -> None:
    """By the thresholds of `alerts:`, each of its store or table; one that is switched off lets everything pass."""
    answer = found(
        a_store("s1", "refused", reason="store s1: no"),
        reviews=1, oldest_review_at=ago(days=1), parked_keys=4, parked_keys_by_table={"members": 2, "products": 2},
        dead_letters=20, dead_letters_by_store={"s1": 10, "s2": 10}, holds=[{"store": "s1", "told": "held"}],
        alerts={"DeadLetters": 10, "KeysParked": 3, "StoreHeld": False, "StoreRefused": False},
    )  # fmt: skip
    assert answer["needs_a_person"] == []
    assert lines(answer)[-4:] == [
        "s1: store s1: no",
        "1 value waits to be decided by a person: `tillstream reviews list`",
        "4 keys could not be decided by their rules: `tillstream parked list`",
        "20 events are set aside: `tillstream dead-letters list`",
    ]
    more = found(a_store("s1"), dead_letters=21, dead_letters_by_store={"s1": 11}, alerts={"DeadLetters": 10})
    assert [each["told"] for each in more["needs_a_person"]] == [
        "11 events are set aside: `tillstream dead-letters list`"
    ]


def test_a_store_with_another_trouble_says_why_it_is_dark() -> None:
    """One sentence is no reason to leave out another."""
    answer = found(
        a_store("s1", "unreachable", ago=60.0, reason="it does not answer"), holds=[{"store": "s1", "told": "held"}]
    )
    assert "s1: it does not answer" in lines(answer)


@pytest.mark.parametrize(("width", "columns"), [(200, 7), (80, 6), (40, 3)])
def test_a_narrow_terminal_leaves_out_columns_and_never_part_of_a_word(width: int, columns: int) -> None:
    """Which store it is and how it stands is told on any."""
    answer = found(
        *(a_store(f"s{number:03}", "unreachable", ago=86_400.0 * 3, reason="it does not answer") for number in (1, 2))
    )
    _, heading, *rows = lines(answer, width)[:4]
    assert heading.split()[0] == "store"
    assert sum(f" {name}" in f" {heading}" for name in _Stores.COLUMNS) == columns
    assert [row.split()[0] for row in rows] == ["s001", "s002"]
    assert all("dark for 3 days" in row or "dark for 3 d" in row for row in rows)
    assert not any("…" in row for row in rows)


def test_on_a_wall_what_needs_a_person_stands_above_the_stores() -> None:
    """A screen cuts off what does not fit on it: those that are well."""
    stores = [a_store("s99", "refused", reason="store s99: no"), *(a_store(f"s{number}") for number in range(30))]
    told = lines(found(*stores), show=watched)
    assert told[1] == "s99: store s99: no"
    assert told[3].startswith("s99 ")


def test_watching_outlives_a_warehouse_that_restarts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into a file one answer stands below the other, and why there was none for a while on stderr."""
    answers: list[Any] = [found(a_store("s1")), UnreachableError("the warehouse did not answer"), found(a_store("s2"))]

    def answer(*given: Any) -> Any:
        if not answers:
            raise KeyboardInterrupt
        each = answers.pop(0)
        if isinstance(each, Exception):
            raise each
        return each

    monkeypatch.setattr(status, "_answer", answer)
    monkeypatch.setattr(status, "WATCH_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        status._watch(None, None, Output.TEXT)  # type: ignore[arg-type]
    told = capsys.readouterr()
    assert told.err == "the warehouse did not answer\n"
    first, second = told.out.split("store  name")[1:]
    assert "s1" in first
    assert "s2" in second
