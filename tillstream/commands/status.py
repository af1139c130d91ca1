"""tillstream status: the chain at a glance, from what the warehouse knows."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.commands.status_shown import shown, watched
from tillstream.commands.status_troubles import troubles
from tillstream.commands.stores import held_in_words
from tillstream.config import Config
from tillstream.errors import TransientError

if TYPE_CHECKING:
    from sinks.resync.requests import Request
    from sinks.warehouse import Warehouse

SILENT_SECONDS = 30.0  # a supervisor reports every five seconds: after six missed ones nobody is at work
WATCH_SECONDS = 2.0
PIPE_COLUMNS = 1_000  # nothing is left out or wrapped where programs read
NEEDS_A_PERSON = 1

_LETTERS = "SELECT store, count(*) FROM tillstream.dead_letters WHERE status = 'open' GROUP BY store"
_REVIEWS = "SELECT count(*), min(opened_at) FROM tillstream.reviews WHERE closed_at IS NULL"
_PARKED = "SELECT table_name, count(*) FROM tillstream.parked_keys GROUP BY table_name"
_ANOMALIES = "SELECT count(*), min(found_at) FROM tillstream.found_anomalies WHERE gone_at IS NULL"


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(
    config: ConfigPath = DEFAULT_PATH,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds, until Ctrl-C.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Every store's state, the worst first, how far the warehouse is complete, and what needs a person.

    Exit code 1 if something does.
    """
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        if watch:
            _watch(settings, warehouse, output)
        found = _answer(settings, warehouse)
    _print(found, output)
    if found["needs_a_person"]:
        raise typer.Exit(NEEDS_A_PERSON)


def _print(found: dict[str, Any], output: Output) -> None:
    from rich.console import Console

    if output is Output.JSON:
        print(json.dumps(found, ensure_ascii=False), flush=True)
    else:
        console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
        console.print(shown(found), soft_wrap=True)


def _watch(settings: Config, warehouse: "Warehouse", output: Output) -> NoReturn:
    """On a terminal in one place, elsewhere one answer after the other; until Ctrl-C."""
    from rich.live import Live

    def print_(found: dict[str, Any], trouble: str) -> None:
        if trouble:
            print(trouble, file=sys.stderr, flush=True)
        else:
            _print(found, output)

    if output is Output.JSON or not sys.stdout.isatty():
        _again_and_again(settings, warehouse, print_)
    with Live(auto_refresh=False, screen=True) as live:
        _again_and_again(settings, warehouse, lambda found, trouble: live.update(watched(found, trouble), refresh=True))


def _again_and_again(settings: Config, warehouse: "Warehouse", show: Callable[[dict[str, Any], str], None]) -> NoReturn:
    """`show` gets what was known last, and why it is not known anew: a warehouse that restarts ends nothing."""
    found = _answer(settings, warehouse)
    trouble = ""
    while True:
        show(found, trouble)
        time.sleep(WATCH_SECONDS)
        try:
            found, trouble = _answer(settings, warehouse), ""
        except TransientError as error:
            trouble = str(error)


def _answer(settings: Config, warehouse: "Warehouse") -> dict[str, Any]:
    from sinks.holds import open_holds
    from sinks.resync import requests
    from sinks.store_states import StoreStates

    known = {row["store"]: row for row in StoreStates(warehouse).read()}
    with warehouse.transaction() as tx:
        letters = dict(tx.rows(_LETTERS))
        reviews, oldest_review_at = tx.rows(_REVIEWS)[0]
        parked = dict(tx.rows(_PARKED))
        conflicts = tx.value("SELECT count(*) FROM tillstream.conflicts")
        dirty = tx.value("SELECT count(*) FROM tillstream.dirty_keys")
        chain = tx.rows("SELECT complete_at, waits_for FROM tillstream.chain_watermark")
        anomalies, since = tx.rows(_ANOMALIES)[0]
        holds = open_holds(tx)
        anew = requests.open_requests(tx)
        unread = requests.failed_requests(tx)
    stores = [_store(store.id, store.name, store.timezone, known.get(store.id)) for store in settings.stores]
    complete_at, waits_for = chain[0] if chain else (None, None)
    found = {
        "schema": 1,
        "running": any(_is_reported(each) for each in stores),
        "complete_at": complete_at.isoformat() if complete_at else None,
        "waits_for": waits_for,
        "stores": stores,
        "reading_anew": [_reading(each) for each in anew],
        "not_read_anew": [
            {"store": each.store, "table": each.table, "error": each.error, "reason": each.reason} for each in unread
        ],
        "holds": [
            {"store": each.store, "table": each.table, "held_at": each.held_at.isoformat(), "reason": each.reason,
             "told": held_in_words(each)}
            for each in holds
        ],
        "dead_letters": sum(letters.values()),
        "dead_letters_by_store": letters,
        "parked_keys": sum(parked.values()),
        "parked_keys_by_table": parked,
        "reviews": reviews,
        "oldest_review_at": oldest_review_at.isoformat() if oldest_review_at else None,
        "anomalies": anomalies,
        "anomalies_since": since.isoformat() if since else None,
        "conflicts": conflicts,
        "keys_to_decide": dirty,
    }  # fmt: skip
    return {
        **found,
        "needs_a_person": [asdict(each) for each in troubles(found, settings.alerts)],
    }


def _store(store: str, name: str, timezone: str, row: dict[str, Any] | None) -> dict[str, Any]:
    now = datetime.now(UTC)
    reported = row and row["reported_at"]
    ago = (now - reported).total_seconds() if reported else None
    state = "never seen" if row is None or row["state"] is None else row["state"]
    return {
        "id": store,
        "name": name,
        "timezone": timezone,
        "state": state if ago is None or ago < SILENT_SECONDS else "not running",
        "state_seconds": (now - row["state_since"]).total_seconds() if row and row["state_since"] else None,
        "reason": (row and row["reason"]) or "",
        "lag_seconds": row["lag_seconds"] if row else None,
        "complete_at": _iso(row, "complete_at"),
        "complete_seconds_ago": (now - row["complete_at"]).total_seconds() if row and row["complete_at"] else None,
        "position": f"{row['file']:06d}:{row['pos']}" if row and row["file"] is not None else None,
        "snapshot_done": bool(row and row["snapshot_done"]),
        "events": (row and row["events"]) or 0,
        "last_event_at": _iso(row, "last_event_at"),
        "clock_offset_seconds": row["clock_offset_seconds"] if row else None,
        "clock_correction_seconds": (row and row["clock_correction_seconds"]) or 0.0,
        "clock_moved_at": _iso(row, "clock_moved_at"),
        "binlog_hours_left": _hours(row["binlog_seconds_left"] if row else None),
        "reported_seconds_ago": round(ago, 1) if ago is not None else None,
    }


def _is_reported(store: dict[str, Any]) -> bool:
    """By a `run` that is at work: one that ends says so."""
    ago = store["reported_seconds_ago"]
    return ago is not None and ago < SILENT_SECONDS and store["state"] != "stopped"


def _iso(row: dict[str, Any] | None, name: str) -> str | None:
    return row[name].isoformat() if row and row[name] else None


def _reading(request: "Request") -> dict[str, Any]:
    return {
        "store": request.store,
        "table": request.table,
        "reason": request.reason,
        "rows": request.rows,
        "expected_rows": max(request.expected_rows, request.rows),
        "seconds_left": None if request.seconds_left is None else round(request.seconds_left),
    }


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 3600, 1)
