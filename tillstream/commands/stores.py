"""tillstream stores: which there are, and what a person says of one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.commands.person import person
from tillstream.commands.previews import PREVIEWED, agrees, plain
from tillstream.config import Config
from tillstream.errors import RefusedError

if TYPE_CHECKING:
    from sinks.holds import Hold
    from sinks.warehouse import Warehouse


StoreId = Annotated[str, typer.Argument(metavar="STORE", help="The store's id.")]


def register(app: typer.Typer) -> None:
    stores = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for name, verb in (
        ("list", list_stores), ("add", add), ("pause", pause), ("resume", resume), ("retire", retire),
        ("accept-epoch", accept_epoch), ("release", release),
    ):  # fmt: skip
        stores.command(name)(verb)
    app.add_typer(stores, name="stores", help="Which stores there are, and what a person says of one.")


def list_stores(config: ConfigPath = DEFAULT_PATH, output: OutputOption = Output.TEXT) -> None:
    """Every store of tillstream.yaml, where it is, and what was said of it."""
    with _opened(config) as (settings, warehouse):
        found = _listed(settings, warehouse)
    if output is Output.JSON:
        print(json.dumps({"schema": 1, "stores": found}, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("store", "name", "address", "database", "state", "epoch", box=None, pad_edge=False)
    for each in found:
        place = (each["address"], each["database"], each["state"], str(each["epoch"] or "-"))
        table.add_row(each["id"], each["name"], *place)
    Console().print(table)
    for each in found:
        for held in each["held"]:
            Console().print(f"{each['id']}: {held}", soft_wrap=True, highlight=False)


def add(
    store: StoreId,
    host: Annotated[str, typer.Option("--host", help="Address of the store's MySQL.")],
    config: ConfigPath = DEFAULT_PATH,
    port: Annotated[int | None, typer.Option("--port", help="Its port, if not the default one.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name for people.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="MySQL user, if not the default one.")] = None,
    database: Annotated[str | None, typer.Option("--database", help="The POS's database, if not the default.")] = None,
    password_env: Annotated[
        str | None, typer.Option("--password-env", metavar="NAME", help="Variable that holds the password.")
    ] = None,
    password_file: Annotated[
        str | None, typer.Option("--password-file", metavar="PATH", help="File that holds the password.")
    ] = None,
) -> None:
    """Write one more store into tillstream.yaml; `run` takes it up without a restart.

    What is not given comes from `defaults`. The rest of the file, its comments included, stays as it is.
    """
    from tillstream.more_stores import with_store

    if password_env and password_file:
        raise typer.BadParameter("--password-env and --password-file exclude each other")
    password = {"env": password_env} if password_env else {"file": password_file} if password_file else None
    entry = {"id": store, "name": name, "host": host, "port": port, "user": user, "database": database,
             "password": password}  # fmt: skip
    with_store(config, {key: value for key, value in entry.items() if value is not None})
    print(f"store {store} is in {config}; look at it with `tillstream doctor {store}`")


def pause(store: StoreId, config: ConfigPath = DEFAULT_PATH) -> None:
    """Capture nothing of this store until it is resumed; its log waits, as long as the store keeps it."""
    from sinks.store_orders import StoreOrders

    with _opened(config, store) as (_, warehouse):
        StoreOrders(warehouse).pause(store)
    print(f"store {store} is paused; `tillstream stores resume {store}` goes on where it stopped")


def resume(store: StoreId, config: ConfigPath = DEFAULT_PATH) -> None:
    """Go on with a store that was paused, or retired."""
    from sinks.store_orders import StoreOrders

    with _opened(config, store) as (_, warehouse):
        StoreOrders(warehouse).resume(store)
    print(f"store {store} goes on")


def retire(store: StoreId, config: ConfigPath = DEFAULT_PATH) -> None:
    """The store is closed: nothing is captured, its rows stay, and shared rows are decided without it.

    `stores resume` takes it back.
    """
    from sinks.store_orders import StoreOrders

    with _opened(config, store) as (_, warehouse):
        StoreOrders(warehouse).retire(store)
    print(f"store {store} is retired: its rows stay, and what it shared is decided without it")


def accept_epoch(store: StoreId, config: ConfigPath = DEFAULT_PATH) -> None:
    """The log that is there now is the store's: read it from its present end, and all of the store's tables anew.

    What the store no longer has is withdrawn. Refused while the log is the one that has been read.
    """
    from sinks.epochs import Epochs

    with _opened(config, store) as (_, warehouse):
        broken = Epochs(warehouse).accept(store)
    print(f"store {store} begins a new epoch ({broken}); `tillstream run` reads it anew")


def release(
    store: StoreId,
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="One table; all it is held in without.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the hold.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what central.* would be with all that a store brought since a guard held it, and, once agreed, have it so.

    Until then its rows of before count. What it did by mistake is mended in the store first, or put in quarantine.

    Exit code 1 if nobody was there to agree.
    """
    from sinks.holds import Holds, of_store
    from sinks.names import identifier, in_warehouse_names
    from tillstream.opening import open_warehouse
    from tillstream.policies import in_force

    settings, written = load_all(config)
    require_store(settings, store)
    named = None if table is None else identifier(table)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        holds = Holds(warehouse)
        found = of_store(holds.open(), store, named)
        previews = holds.preview(in_warehouse_names(in_force(warehouse, written)), found)
        heading = [
            *(f"{store}: {held_in_words(each)}" for each in found),
            f"With all that store {store} has brought since:",
        ]
        agreed = yes or agrees(heading, previews, output)
        released = holds.release(store, named, reason=reason, author=person()) if agreed else []
    if output is Output.JSON:
        reasons = {each.table: each.reason for each in found}
        tables = [{**plain(each), "reason": reasons[each.table]} for each in previews]
        print(json.dumps({"schema": 1, "released": bool(released), "tables": tables}, ensure_ascii=False, default=str))
    elif released:
        where = ", ".join(each.table for each in released)
        print(f"store {store} is released in {where}: what it has counts again, decided by `run`, key by key")
    if not released:
        raise typer.Exit(PREVIEWED)


def held_in_words(hold: "Hold") -> str:
    return f"held in {hold.table} since {hold.held_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {hold.reason}"


def require_store(settings: Config, store: str) -> None:
    known = [each.id for each in settings.stores]
    if store not in known:
        raise RefusedError(f"no store is known as {store}; there are: {', '.join(known)}")


@contextmanager
def _opened(config: ConfigPath, store: str | None = None) -> "Iterator[tuple[Config, Warehouse]]":
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    if store is not None:
        require_store(settings, store)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        yield settings, warehouse


def _listed(settings: Config, warehouse: "Warehouse") -> list[dict[str, Any]]:
    from sinks.holds import Holds
    from sinks.store_orders import StoreOrders
    from sinks.store_states import StoreStates

    holds = Holds(warehouse).open()
    orders = StoreOrders(warehouse).read()
    known = {row["store"]: row for row in StoreStates(warehouse).read()}
    found = []
    for store in settings.stores:
        row = known.get(store.id, {})
        said = "retired" if store.id in orders.retired else "paused" if store.id in orders.paused else None
        found.append(
            {
                "id": store.id,
                "name": store.name,
                "address": f"{store.host}:{store.port}",
                "database": store.database,
                "state": said or row.get("state") or "never seen",
                "epoch": row.get("epoch"),
                "held": [held_in_words(each) for each in holds if each.store == store.id],
            }
        )
    return found
