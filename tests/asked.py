"""A store in memory that is asked for its rows as a real one's MySQL is, for a table that is read anew."""

from collections.abc import Callable
from typing import Any

from fake_store import DATABASE, FakeStore

from sinks.resync.pace import FIRST_ROWS


class AskedStore:
    """The twin of `StoreSession` for tables of one chunk. `follow` lets the warehouse take in the store's log."""

    def __init__(self, store: FakeStore, follow: Callable[[], object]) -> None:
        self._store, self._follow = store, follow

    def rows(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        if "information_schema" in statement:  # the estimate of a table's size
            return []
        (table,) = (each for each in self._store.tables.values() if f" FROM `{DATABASE}`.`{each.name}`" in statement)
        assert len(table.rows) < FIRST_ROWS, "one chunk: what stands in WHERE is not looked at"
        return [(*row.values(), *key) for key, row in sorted(table.rows.items())]

    def columns(self, database: str, table: str) -> frozenset[str]:
        return frozenset(self._store.tables[table].names)

    def literal(self, value: Any) -> str:
        return str(value)

    def settled_low(self) -> tuple[int, int]:
        return self._store.log_end

    def follow(self) -> int:
        self._follow()
        return self._store.epoch
