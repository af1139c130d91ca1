"""What a policy makes of business keys, put beside what stands in central.<table>, so that PostgreSQL compares them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from conflict.policy import Policy
from sinks.central import Central, central_row
from sinks.evolution import Catalog
from sinks.statements import central as central_sql
from sinks.statements import stage_name
from sinks.statements import verification as statements
from sinks.warehouse import Transaction
from tillstream.errors import UndecidableError

KEYS_AT_ONCE = 500
CONTRIBUTIONS_AT_ONCE = 20_000  # about 100 MB: a price list stands in every store

Undecided = Mapping[str, UndecidableError]  # by key


class DecidedBeside:
    """Works in the caller's one snapshot. `rekeyed`: table → temporary table of other keys than the stored ones."""

    def __init__(
        self, tx: Transaction, catalog: Catalog, policy: Policy, rekeyed: Mapping[str, str] | None = None
    ) -> None:
        self._tx, self._catalog = tx, catalog
        self._central = Central(catalog, policy, 0)
        self._rekeyed = rekeyed or {}

    def make_stages(self, tables: Iterable[str]) -> None:
        """After this the transaction may be made read-only: temporary tables can be written even then."""
        for table in tables:
            if self._catalog.central_columns(table):
                self._tx.execute(self._stage(table)[0])

    def columns(self, table: str) -> tuple[str, ...]:
        return tuple(self._catalog.central_columns(table))

    def keys(self, table: str, stores: Sequence[str] | None = None) -> Iterator[list[str]]:
        """All keys that have a central row or should have one, in chunks; of these stores, if any are given."""
        rekeyed = self._rekeyed.get(table)
        if self.columns(table):
            statement = statements.central_keys(table, rekeyed)
        else:
            assert rekeyed is not None
            statement = statements.keys_by(rekeyed)
        wanted: dict[str, Any] = {"last": "", "limit": self._keys_at_once(table), "stores": stores}
        while keys := [key for (key,) in self._tx.rows(statement, wanted)]:
            yield keys
            wanted["last"] = keys[-1]

    def _keys_at_once(self, table: str) -> int:
        stores = int(self._tx.value(statements.STORES_WITH, [table]))
        return min(KEYS_AT_ONCE, max(1, CONTRIBUTIONS_AT_ONCE // max(1, stores)))

    def existing(self, table: str, keys: Sequence[str]) -> tuple[list[str], Undecided]:
        """Those that should have a central row, and those of which nobody can tell."""
        made = self._central.resolutions(self._tx, table, keys, self._rekeyed.get(table))
        return [key for key, resolution in made.resolutions.items() if resolution.exists], made.undecided

    def differing(self, table: str, keys: Sequence[str]) -> tuple[list[tuple[Any, ...]], Undecided]:
        """(key, whether it should exist, whether it does, and per column and fact of the decision: whether it differs,
        what should stand there, what does), of keys where anything differs; and those of which nobody can tell."""
        undecided = self._decide(table, keys)
        statement = statements.central_differing(table, self.columns(table), self._stage_name(table))
        return self._tx.rows(statement, [[key for key in keys if key not in undecided]]), undecided

    def dirty(self, table: str, keys: Sequence[str]) -> set[str]:
        return {key for (key,) in self._tx.rows(statements.DIRTY, {"table": table, "keys": list(keys)})}

    def _decide(self, table: str, keys: Sequence[str]) -> Undecided:
        """Into the stage that Central writes through: the types are alike."""
        self._tx.execute(statements.empty_stage(self._stage_name(table)))
        made = self._central.resolutions(self._tx, table, keys, self._rekeyed.get(table))
        policy, columns = self._central.table_policy(table), self.columns(table)
        rows = (
            central_row(policy, columns, key, resolution, 0)
            for key, resolution in made.resolutions.items()
            if resolution.exists
        )
        self._tx.copy(self._stage(table)[1], rows)
        return made.undecided

    def _stage(self, table: str) -> tuple[str, str, str]:
        kinds = self._catalog.central_columns(table)
        return central_sql.stage(table, tuple(kinds), tuple(kinds.values()))

    def _stage_name(self, table: str) -> str:
        kinds = self._catalog.central_columns(table)
        return stage_name("central", table, tuple(kinds), tuple(kinds.values()))
