"""tillstream stores: what a person says of a store."""

from typing import Annotated

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, load_all
from tillstream.config import Config
from tillstream.errors import RefusedError

StoreId = Annotated[str, typer.Argument(metavar="STORE", help="The store's id.")]


def register(app: typer.Typer) -> None:
    stores = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    stores.command("accept-epoch")(accept_epoch)
    app.add_typer(stores, name="stores", help="What a person says of a store.")


def accept_epoch(store: StoreId, config: ConfigPath = DEFAULT_PATH) -> None:
    """The log that is there now is the store's: read it from its present end, and all of the store's tables anew.

    What the store no longer has is withdrawn. Refused while the log is the one that has been read.
    """
    from sinks.epochs import Epochs
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    require_store(settings, store)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        broken = Epochs(warehouse).accept(store)
    print(f"store {store} begins a new epoch ({broken}); `tillstream run` reads it anew")


def require_store(settings: Config, store: str) -> None:
    known = [each.id for each in settings.stores]
    if store not in known:
        raise RefusedError(f"no store is known as {store}; there are: {', '.join(known)}")
