"""The rows of one table of one store, read in the store and in the warehouse in forms that can be compared."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sinks.statements import verification as statements
from sinks.store_session import StoreSession
from sinks.verification.row_forms import RowForms, Side, row_forms
from sinks.warehouse import Warehouse
from tillstream.envelope import DeclaredColumn, TableVersion

CHUNK_ROWS = 5_000  # an old till's MySQL hashes them in some ten milliseconds

Sums = dict[Any, tuple[int, int]]  # chunk → (rows, sum of their hashes)
Content = tuple[str, tuple[float | str | None, ...]]  # all of a row: the hash of what has a text, and the floats
Shown = tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    identity: str
    content: Content
    key: tuple[str | None, ...]
    # of the warehouse's only
    pk: str = ""
    stamp: tuple[int, ...] = ()
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRow:
    """`exact` is equal on both sides if the values are; `shown` is for people, and cut."""

    exact: tuple[float | str | None, ...]
    shown: Shown


class BothSides:
    """`columns` are those of the version that the store still has; none of them: it has not got the table."""

    def __init__(
        self,
        session: StoreSession,
        warehouse: Warehouse,
        version: TableVersion,
        columns: tuple[DeclaredColumn, ...],
        present: Mapping[str, str],
    ) -> None:
        self._session, self._warehouse, self._version = session, warehouse, version
        self._in_store, self._in_warehouse = bool(columns), bool(present)
        self.forms = row_forms(version, columns or version.columns, present, session.hashing)
        self._bounds = self._walk() if self.has_ranges else []
        self._digits = 0 if self.has_ranges else self._bucket_digits()

    @property
    def has_ranges(self) -> bool:
        """Whether it is cut by ranges of its key; otherwise by a hash of it."""
        return self._in_store and self.forms.store.lead is not None

    # --- chunks -----------------------------------------------------------------------------------------

    def store_sums(self) -> Sums:
        if not self._in_store:
            return {}
        side = self.forms.store
        if not self.has_ranges:
            found = self._session.rows(statements.store_sums(side.source, side.digest, self._bucket(side)))
            return {chunk: (count, int(total)) for chunk, count, total in found}
        sums = {}
        for chunk in range(len(self._bounds) + 1):
            (count, total), *_ = self._session.rows(statements.store_sum(side.source, side.digest, self._range(chunk)))
            if count:
                sums[chunk] = (count, int(total))
        return sums

    def warehouse_sums(self) -> Sums:
        side = self.forms.warehouse
        text = statements.warehouse_sums(side.source, side.digest, self._warehouse_chunk())
        return {chunk: (count, int(total)) for chunk, count, total in self._ask(text)}

    def store_chunks(self, chunks: Sequence[Any]) -> list[Row]:
        if self.has_ranges:
            return self._store_rows(" OR ".join(f"({self._range(chunk)})" for chunk in chunks))
        wanted = ", ".join(f"'{chunk}'" for chunk in chunks)
        return self._store_rows(f"{self._bucket(self.forms.store)} IN ({wanted})")

    def warehouse_chunks(self, chunks: Sequence[Any]) -> list[Row]:
        side = self.forms.warehouse
        text = statements.warehouse_chunks(side.source, _columns(side), self._warehouse_chunk())
        return [self._warehouse_row(values) for values in self._ask(text, chunks=list(chunks))]

    def _walk(self) -> list[int]:
        """Keys that cut the store's table into ranges of about CHUNK_ROWS; the outer two are open."""
        side = self.forms.store
        assert side.lead is not None
        bounds: list[int] = []
        at = self._first(statements.store_first(side.source, side.lead))
        while at is not None:
            following = self._first(statements.store_next(side.source, side.lead, at, CHUNK_ROWS))
            if following == at:  # more rows than that share the first part of their key
                following = self._first(statements.store_above(side.source, side.lead, at))
            if following is not None:
                bounds.append(following)
            at = following
        return bounds

    def _first(self, statement: str) -> int | None:
        found = self._session.rows(statement)
        return None if not found or found[0][0] is None else int(found[0][0])

    def _bucket_digits(self) -> int:
        count = sum(rows for (rows,) in self._ask(statements.warehouse_count(self.forms.warehouse.source)))
        return math.ceil(math.log(max(count / CHUNK_ROWS, 1), 16))

    def _bucket(self, side: Side) -> str:
        return f"LEFT({side.identity}, {self._digits})"

    def _range(self, chunk: int) -> str:
        lead, bounds = self.forms.store.lead, self._bounds
        above = [f"{lead} >= {bounds[chunk - 1]}"] if chunk > 0 else []
        below = [f"{lead} < {bounds[chunk]}"] if chunk < len(bounds) else []
        return " AND ".join([*above, *below]) or "TRUE"

    def _warehouse_chunk(self) -> str:
        side = self.forms.warehouse
        if not self.has_ranges:
            return self._bucket(side)
        if not self._bounds:
            return "0"
        bounds = ", ".join(map(str, self._bounds))
        return f"coalesce(width_bucket({side.lead}::numeric, ARRAY[{bounds}]::numeric[]), 0)"

    # --- rows -------------------------------------------------------------------------------------------

    def store_found(self, identities: Collection[str], leads: Collection[int]) -> list[Row]:
        return [row for row in self._store_rows(self._found_where(identities, leads)) if row.identity in identities]

    def warehouse_found(self, identities: Collection[str], pks: Collection[str]) -> list[Row]:
        """Deleted ones too: their stamps tell whether something is under way."""
        side = self.forms.warehouse
        by, wanted = ("_pk", pks) if self.forms.pk_is_plain else (side.identity, identities)
        possible = sorted(text for text in wanted if "\x00" not in text)  # PostgreSQL refuses even to look for NUL
        text = statements.warehouse_found(side.source, _columns(side), by)
        rows = [self._warehouse_row(values) for values in self._ask(text, wanted=possible)]
        return [row for row in rows if row.identity in identities]

    def shown(
        self, identities: Collection[str], leads: Collection[int]
    ) -> tuple[dict[str, list[ShownRow]], dict[str, list[ShownRow]]]:
        """Live rows by identity, of the store and of the warehouse."""
        store, warehouse = self.forms.store, self.forms.warehouse
        here: Iterable[tuple[Any, ...]] = ()
        if self._in_store:
            where = self._found_where(identities, leads)
            here = self._session.rows(statements.store_rows(store.source, _shown_columns(store), where))
        text = statements.warehouse_found(warehouse.source, _shown_columns(warehouse), warehouse.identity)
        meta = statements.ROW_COLUMNS
        there = [values[meta:] for values in self._ask(text, wanted=sorted(identities)) if not values[meta - 1]]
        return self._by_identity(store, here), self._by_identity(warehouse, there)

    def _found_where(self, identities: Collection[str], leads: Collection[int]) -> str:
        """By an index where there is one that is sure to help."""
        side = self.forms.store
        if self.has_ranges:
            return f"{side.lead} IN ({', '.join(map(str, sorted(leads)))})" if leads else "FALSE"
        return f"{side.identity} IN ({', '.join(repr(identity) for identity in sorted(identities))})"

    def _store_rows(self, where: str) -> list[Row]:
        if not self._in_store:
            return []
        side = self.forms.store
        found = self._session.rows(statements.store_rows(side.source, _columns(side), where))
        return [self._row(side, values) for values in found]

    def _ask(self, text: str, **parameters: Any) -> list[tuple[Any, ...]]:
        if not self._in_warehouse:
            return []
        with self._warehouse.transaction() as tx:
            return tx.rows(text, {"store": self._version.store, **parameters})

    def _row(self, side: Side, values: Sequence[Any], **meta: Any) -> Row:
        identity, digest, *rest = values
        count = len(side.values)
        compared = tuple(_compared(*pair) for pair in zip(side.values, rest[:count], strict=True))
        return Row(identity=identity, content=(digest, compared), key=tuple(rest[count:]), **meta)

    def _warehouse_row(self, values: Sequence[Any]) -> Row:
        *stamp, pk, deleted = values[: statements.ROW_COLUMNS]
        side = self.forms.warehouse
        return self._row(side, values[statements.ROW_COLUMNS :], stamp=tuple(stamp), pk=pk, deleted=deleted)

    def _by_identity(self, side: Side, found: Iterable[Sequence[Any]]) -> dict[str, list[ShownRow]]:
        rows = defaultdict(list)
        count = len(self.forms.names)
        for identity, *values in found:
            exact = (
                value if at is None else _compared(side.values[at], value)
                for value, at in zip(values[:count], self.forms.value_at, strict=True)
            )
            shown = (None if value is None else str(value) for value in values[count:])
            rows[identity].append(ShownRow(exact=tuple(exact), shown=tuple(shown)))
        return rows


def _columns(side: Side) -> tuple[str, ...]:
    return (side.identity, side.digest, *side.by_value, *side.key)


def _shown_columns(side: Side) -> tuple[str, ...]:
    return (side.identity, *side.exact, *side.shown)


def _compared(value_of: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else value_of(value)


def leads_of(forms: RowForms, rows: Iterable[Row]) -> frozenset[int]:
    """The integers that these rows' keys begin with, by which the store finds them."""
    return frozenset() if forms.store.lead is None else frozenset(int(row.key[0]) for row in rows if row.key[0])
