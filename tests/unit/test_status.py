"""`tillstream status` as a person sees it: the worst first, in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from tillstream.alerts import Alerts
from tillstream.commands.status_shown import shown
from tillstream.commands.status_troubles import troubles

NOTHING = {
    "reading_anew": [],
    "not_read_anew": [],
    "holds": [],
    "dead_letters": 0,
    "parked_keys": 0,
    "reviews": 0,
    "anomalies": 0,
}


def a_store(store: str, state: str = "live", **facts: Any) -> dict[str, Any]:
    ago = facts.pop("ago", 1.0)
    return {
        "id": store, "name": f"name of {store}", "timezone": "Asia/Shanghai", "state": state, "reason": "",
        "lag_seconds": 0.0, "complete_at": (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(),
        "complete_seconds_ago": ago, "position": "000001:120", "events": 1234,
        "clock_correction_seconds": 0.0, "clock_moved_at": None, "binlog_hours_left": None, **facts,
    }  # fmt: skip


def found(*stores: dict[str, Any], **facts: Any) -> dict[str, Any]:
    at = min(each["complete_at"] for each in stores)
    all_of_it = {"running": True, "stores": list(stores), "complete_at": at, "waits_for": "s4", **NOTHING, **facts}
    return {**all_of_it, "needs_a_person": [{"store": e.store, "told": e.told} for e in troubles(all_of_it, Alerts())]}


def lines(answer: dict[str, Any]) -> list[str]:
    console = Console(width=200, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(shown(answer))
    return [line.rstrip() for line in capture.get().splitlines()]


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


def test_everything_that_waits_for_a_person_is_told_with_its_command() -> None:
    """Holds, tables that could not be read, reviews, parked keys, dead letters, and that nobody is at work."""
    answer = found(
        a_store("s1", "not running"),
        running=False, reviews=3, parked_keys=2, dead_letters=1,
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
        "1 events are set aside: `tillstream dead-letters list`",
    ]
