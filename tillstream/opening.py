"""The warehouse that tillstream.yaml names, open: the embedded one started or joined, or somebody's PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL

from sinks.embedded_warehouse import EmbeddedWarehouse
from sinks.warehouse import Warehouse
from tillstream.config import Config
from tillstream.errors import UnreachableError


def embedded_directory(config: Config) -> Path:
    return config.data / "warehouse"


@contextmanager
def open_warehouse(config: Config) -> Iterator[Warehouse]:
    """A warehouse that answers; UnreachableError with the remedy otherwise.

    An embedded one is ours alone and is brought to this program's version; a shared one waits for `tillstream migrate`.
    """
    if config.warehouse is None:
        with EmbeddedWarehouse(embedded_directory(config)) as embedded:
            yield from _opened(embedded.url, f"look into {embedded.log}", migrate=True)
    else:
        url = config.warehouse.url()
        remedy = f"check `warehouse:` in {config.file}, the password it names, and that PostgreSQL runs there"
        yield from _opened(url.render_as_string(hide_password=False), remedy)


def _opened(url: str, remedy: str, *, migrate: bool = False) -> Iterator[Warehouse]:
    warehouse = Warehouse(url)
    try:
        _require_answer(warehouse, remedy)
        if migrate:
            warehouse.migrate()
        yield warehouse
    finally:
        warehouse.dispose()


def _require_answer(warehouse: Warehouse, remedy: str) -> None:
    try:
        with warehouse.transaction() as tx:
            tx.value("SELECT 1")
    except UnreachableError as error:
        raise UnreachableError(f"{error} ({_place(warehouse.url)}); {remedy}") from error


def _place(url: URL) -> str:
    return f"{url.host}:{url.port or 5432}/{url.database}"
