"""tillstream resync: a store, or one of its tables, read anew while everything goes on."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.commands.stores import require_store
from tillstream.config import Config
from tillstream.errors import RefusedError

if TYPE_CHECKING:
    from sinks.resync.requests import Request
    from sinks.warehouse import Warehouse

LOOK_SECONDS, TELL_SECONDS = 0.5, 5.0
FAILED, NOT_AT_WORK = 1, 3
BY_HAND = "asked for by hand"


def register(app: typer.Typer) -> None:
    app.command("resync")(resync)


def resync(
    store: Annotated[str, typer.Argument(metavar="STORE", help="The store's id.")],
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="One table, as the store names it.")] = None,
    config: ConfigPath = DEFAULT_PATH,
    where: Annotated[
        str | None, typer.Option("--where", help="Only these rows: an expression in the store's own SQL.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show how far it is, until it is done.")] = True,
    output: OutputOption = Output.TEXT,
) -> None:
    """Read a store's tables anew, in chunks, while its tills go on; what it no longer has is withdrawn.

    `tillstream run` does the work, also if it is started later. Without TABLE the store's capture begins anew at its
    log's present end, which also gets past a schema change that could not be followed. With --where nothing is
    withdrawn.

    Exit code 1 if a table cannot be read, 3 if `run` is not at work.
    """
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    require_store(settings, store)
    if where is not None and table is None:
        raise typer.BadParameter("--where needs the TABLE whose rows it picks")
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        _require_followed(warehouse, store)
        number = _ask(warehouse, settings, store, table, where)
        if wait:
            _require_at_work(warehouse)
            _follow(warehouse, store, number)
        found = _state(warehouse, store, number)
    _print(found, output)
    if any(each.state == "failed" for each in found):
        raise typer.Exit(FAILED)


def _ask(warehouse: "Warehouse", settings: Config, store: str, table: str | None, where: str | None) -> int:
    from sinks.ledger import versions_at
    from sinks.resync import requests

    with warehouse.transaction() as tx:
        database = None
        if table is not None:
            places = {version.table: version.database for version in versions_at(tx, store)}
            if table not in places:
                raise RefusedError(
                    f"store {store} has no table {table} in the warehouse; there are: "
                    f"{', '.join(sorted(places)) or 'none yet'}"
                )
            database = places[table]
        number = requests.add(tx, store, BY_HAND, database=database, table=table, condition=where)
        if number is not None:
            return number
        waiting = requests.open_requests(tx, store)
        return next(
            each.id for each in waiting
            if (each.table, each.condition) == (table, where) and each.state == "waiting"
        )  # fmt: skip


def _require_followed(warehouse: "Warehouse", store: str) -> None:
    from sinks.store_orders import StoreOrders

    orders = StoreOrders(warehouse).read()
    if store in orders.paused | orders.retired:
        said = "paused" if store in orders.paused else "retired"
        raise RefusedError(
            f"store {store} is {said}, and only a store that is followed can be read anew; first "
            f"`tillstream stores resume {store}`"
        )


def _require_at_work(warehouse: "Warehouse") -> None:
    from tillstream.pipeline import is_at_work

    if not is_at_work(warehouse):
        typer.echo("Noted, but `tillstream run` is not at work: it is done as soon as that runs.", err=True)
        raise typer.Exit(NOT_AT_WORK)


def _follow(warehouse: "Warehouse", store: str, number: int) -> None:
    told_at = 0.0
    while True:
        found = _state(warehouse, store, number)
        if all(each.state in ("done", "failed") for each in found):
            return
        if time.monotonic() - told_at > TELL_SECONDS:
            told_at = time.monotonic()
            typer.echo(_progress(found), err=True)
        time.sleep(LOOK_SECONDS)


def _state(warehouse: "Warehouse", store: str, number: int) -> "list[Request]":
    from sinks.resync import requests

    with warehouse.transaction() as tx:
        first, *later = requests.since(tx, number, store)
    if first.table is not None:
        return [first]
    return [first, *(each for each in later if each.table is not None and each.condition is None)]


def _progress(found: "list[Request]") -> str:
    tables = [each for each in found if each.table is not None]
    if not tables:
        return "the store's capture begins anew"
    done = sum(each.state in ("done", "failed") for each in tables)
    reading = "".join(
        f"; {each.table}: {each.rows:,} of about {max(each.expected_rows, each.rows):,} rows"
        f"{left_in_words(each.seconds_left)}"
        for each in tables
        if each.state == "reading"
    )
    return f"{done} of {len(tables)} tables done{reading}"


def left_in_words(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 120:
        return f", some {seconds:.0f} s left"
    if seconds < 2 * 3600:
        return f", some {seconds / 60:.0f} minutes left"
    return f", some {seconds / 3600:.0f} hours left"


def _print(found: "list[Request]", output: Output) -> None:
    tables = [each for each in found if each.table is not None]
    if output is Output.JSON:
        print(json.dumps({"schema": 1, "tables": [_plain(each) for each in tables]}, ensure_ascii=False))
        return
    for each in tables:
        if each.state == "failed":
            print(f"{each.table}: {each.error}")
        elif each.state == "done":
            print(f"{each.table}: {each.rows:,} rows read, {each.mended:,} mended, {each.withdrawn:,} withdrawn")
        else:
            print(f"{each.table}: {each.state}")


def _plain(each: "Request") -> dict[str, Any]:
    return {
        "table": each.table,
        "state": each.state,
        "rows": each.rows,
        "mended": each.mended,
        "withdrawn": each.withdrawn,
        "reason": each.reason,
        "error": each.error,
    }
