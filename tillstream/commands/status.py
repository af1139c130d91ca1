"""tillstream status: how every store is doing, from what the warehouse knows."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.commands.resync import left_in_words
from tillstream.commands.stores import held_in_words
from tillstream.config import Config

if TYPE_CHECKING:
    from sinks.resync.requests import Request
    from sinks.warehouse import Warehouse

LITTLE_BINLOG_HOURS = 24.0
SILENT_SECONDS = 30.0  # a supervisor reports every five seconds: after six missed ones nobody is at work


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(config: ConfigPath = DEFAULT_PATH, output: OutputOption = Output.TEXT) -> None:
    """Every store's state, how far its log is in, and what waits for a person."""
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        found = _answer(settings, warehouse)
    if output is Output.JSON:
        print(json.dumps(found, ensure_ascii=False))
    else:
        _print(found)


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
        holds = open_holds(tx)
        anew = requests.open_requests(tx)
        unread = requests.failed_requests(tx)
    stores = [_store(store.id, store.name, known.get(store.id)) for store in settings.stores]
    return {
        "schema": 1,
        "running": any(each["reported_seconds_ago"] is not None
                       and each["reported_seconds_ago"] < SILENT_SECONDS for each in stores),
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
        "conflicts": conflicts,
        "keys_to_decide": dirty,
    }  # fmt: skip


def _store(store: str, name: str, row: dict[str, Any] | None) -> dict[str, Any]:
    now = datetime.now(UTC)
    reported = row and row["reported_at"]
    ago = (now - reported).total_seconds() if reported else None
    state = "never seen" if row is None or row["state"] is None else row["state"]
    return {
        "id": store,
        "name": name,
        "state": state if ago is None or ago < SILENT_SECONDS else "not running",
        "reason": (row and row["reason"]) or "",
        "lag_seconds": row["lag_seconds"] if row else None,
        "position": f"{row['file']:06d}:{row['pos']}" if row and row["file"] is not None else None,
        "snapshot_done": bool(row and row["snapshot_done"]),
        "events": (row and row["events"]) or 0,
        "last_event_at": row["last_event_at"].isoformat() if row and row["last_event_at"] else None,
        "clock_offset_seconds": row["clock_offset_seconds"] if row else None,
        "clock_correction_seconds": (row and row["clock_correction_seconds"]) or 0.0,
        "clock_moved_at": row["clock_moved_at"].isoformat() if row and row["clock_moved_at"] else None,
        "binlog_hours_left": _hours(row["binlog_seconds_left"] if row else None),
        "reported_seconds_ago": round(ago, 1) if ago is not None else None,
    }


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


def _in_words(reading: dict[str, Any]) -> str:
    if reading["table"] is None:
        return f"{reading['store']}: is to begin anew ({reading['reason']})"
    far = f"{reading['rows']:,} of about {reading['expected_rows']:,} rows" if reading["rows"] else "waiting"
    left = left_in_words(reading["seconds_left"])
    return f"{reading['store']}: reading {reading['table']} anew, {far}{left} ({reading['reason']})"


def _clock_in_words(store: dict[str, Any]) -> str:
    """Of a clock that is off, or was put right within the last day."""
    from connectors.findings import beside_ours

    moved_at, off = store["clock_moved_at"], -store["clock_correction_seconds"]
    if moved_at is None or (not off and datetime.now(UTC) - datetime.fromisoformat(moved_at) > timedelta(days=1)):
        return ""
    at = datetime.fromisoformat(moved_at).astimezone(UTC)
    how = (
        f"{beside_ours(off)}, noticed {at:%Y-%m-%d %H:%M} UTC: its changes are timed without that"
        if off
        else (f"put right, noticed {at:%Y-%m-%d %H:%M} UTC")
    )
    return f"{store['id']}: its clock is {how}"


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("store", "name", "state", "lag", "position", "row changes", "last change"):
        table.add_column(heading, justify="right" if heading in ("lag", "row changes") else "left")
    for store in found["stores"]:
        lag = store["lag_seconds"]
        table.add_row(
            store["id"], store["name"], store["state"], "-" if lag is None else f"{lag:.0f} s",
            store["position"] or "-", str(store["events"]), store["last_event_at"] or "-",
        )  # fmt: skip
    console = Console()
    console.print(table)
    for store in found["stores"]:
        left = store["binlog_hours_left"]
        if left is not None and left < LITTLE_BINLOG_HOURS:
            console.print(f"{store['id']}: its MySQL may purge what the warehouse does not have in {left:.0f} hours")
        if told := _clock_in_words(store):
            console.print(told, soft_wrap=True, highlight=False)
        if store["reason"]:
            console.print(f"{store['id']}: {store['reason']}", soft_wrap=True, highlight=False)
    for each in found["holds"]:
        remedy = f"`tillstream stores release {each['store']}` shows what it would change"
        console.print(f"{each['store']}: {each['told']}; {remedy}", soft_wrap=True, highlight=False)
    for each in found["reading_anew"]:
        console.print(_in_words(each), soft_wrap=True, highlight=False)
    for each in found["not_read_anew"]:
        told = f"{each['store']}: {each['table']} could not be read anew ({each['reason']}): {each['error']}"
        console.print(told, soft_wrap=True, highlight=False)
    if not found["running"]:
        console.print("`tillstream run` is not at work on this warehouse.")
    if found["reviews"]:
        console.print(f"{found['reviews']} values wait to be decided by a person: `tillstream reviews list`")
    if found["parked_keys"]:
        console.print(f"{found['parked_keys']} keys could not be decided by their rules: `tillstream parked list`")
    if found["dead_letters"]:
        console.print(f"{found['dead_letters']} events are set aside: `tillstream dead-letters list`")
