"""tillstream status: the chain at a glance, from what the warehouse knows."""

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.commands.status_shown import shown
from tillstream.commands.status_troubles import troubles
from tillstream.commands.stores import held_in_words
from tillstream.config import Config

if TYPE_CHECKING:
    from sinks.resync.requests import Request
    from sinks.warehouse import Warehouse

SILENT_SECONDS = 30.0  # a supervisor reports every five seconds: after six missed ones nobody is at work
WATCH_SECONDS = 2.0
NEEDS_A_PERSON = 1

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
        if watch and output is Output.TEXT:
            _show_again_and_again(settings, warehouse)
        found = _answer(settings, warehouse)
    if output is Output.JSON:
        print(json.dumps(found, ensure_ascii=False))
    else:
        from rich.console import Console

        Console().print(shown(found), soft_wrap=True)
    if found["needs_a_person"]:
        raise typer.Exit(NEEDS_A_PERSON)


def _show_again_and_again(settings: Config, warehouse: "Warehouse") -> None:
    """Ends by Ctrl-C."""
    from rich.live import Live

    with Live(shown(_answer(settings, warehouse)), auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            live.update(shown(_answer(settings, warehouse)), refresh=True)


def _answer(settings: Config, warehouse: "Warehouse") -> dict[str, Any]:
    from sinks.holds import open_holds
    from sinks.resync import requests
    from sinks.store_states import StoreStates

    known = {row["store"]: row for row in StoreStates(warehouse).read()}
    with warehouse.transaction() as tx:
        letters = tx.value("SELECT count(*) FROM tillstream.dead_letters WHERE status = 'open'")
        reviews = tx.value("SELECT count(*) FROM tillstream.reviews WHERE closed_at IS NULL")
        parked = tx.value("SELECT count(*) FROM tillstream.parked_keys")
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
        "dead_letters": letters,
        "parked_keys": parked,
        "reviews": reviews,
        "anomalies": anomalies,
        "anomalies_since": since.isoformat() if since else None,
        "conflicts": conflicts,
        "keys_to_decide": dirty,
    }  # fmt: skip
    return {
        **found,
        "needs_a_person": [{"store": each.store, "told": each.told} for each in troubles(found, settings.alerts)],
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
