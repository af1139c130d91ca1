"""One table of one store read along its primary key, by SELECTs that the oldest MySQL runs along an index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sinks.columns import ColumnType, column_type, type_name
from sinks.nul_escape import unescape_nul
from sinks.resync.pace import MOST_ROWS, ChunkSize, Pace
from sinks.row_codec import RowCodec
from sinks.store_session import StoreSession
from tillstream.errors import RefusedError

CHUNK_BYTES = 8 * 1024 * 1024  # as the store estimates its rows: one chunk is held in memory

_ESTIMATE = """\
SELECT table_rows, avg_row_length FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRow:
    """A row as the store answers; `key` is its primary key as SQL literals, to go on from."""

    image: dict[str, Any]
    key: tuple[str, ...]


class TableReader:
    """`codec` is one for rows that are asked for. RefusedError for a table that cannot be read along a key."""

    def __init__(self, session: StoreSession, codec: RowCodec, condition: str | None = None) -> None:
        self._session, self._codec, self._condition = session, codec, condition
        version = codec.version
        kinds = {column.name: column_type(column) for column in version.columns}
        ordinals = {column.name for column in version.columns if type_name(column) in ("ENUM", "SET")}
        asked = [kind.asked.format(c=backticked(name)) for name, kind in kinds.items()]
        for name in version.primary_key:
            if kinds[name].by_value:
                raise RefusedError(
                    f"store {version.store}: {version.table} has a floating-point column in its primary key and cannot "
                    "be read along it"
                )
        keys = [_key_literal(backticked(name), kinds[name], name in ordinals) for name in version.primary_key]
        self._order = [f"{backticked(name)} + 0" if name in ordinals else backticked(name)
                       for name in version.primary_key]  # fmt: skip
        self._select = f"SELECT {', '.join([*asked, *keys])} FROM {source(codec)}"
        self.expected_rows, row_bytes = 0, 0
        for rows, length in session.rows(_ESTIMATE, (version.database, version.table)):
            self.expected_rows, row_bytes = int(rows or 0), int(length or 0)
        self._size = ChunkSize(min(MOST_ROWS, CHUNK_BYTES // max(row_bytes, 1)))

    def chunk(self, after: Sequence[str] | None, pace: Pace) -> tuple[list[AskedRow], bool]:
        """The next rows behind that key, and whether they are the last ones."""
        where = [] if after is None else [_behind(self._order, after)]
        if self._condition:
            where.append(f"({self._condition})")
        limit = self._size.rows
        with pace.reading():
            rows = self._rows(where, f" ORDER BY {', '.join(self._order)} LIMIT {limit}")
        self._size.learn(pace.took_seconds)
        return rows, len(rows) < limit

    def rows_with(self, keys: Sequence[Sequence[str]]) -> list[AskedRow]:
        """Those of these keys, given as SQL literals, that the store has."""
        wanted = [
            " AND ".join(f"{name} = {literal}" for name, literal in zip(self._order, key, strict=True)) for key in keys
        ]
        return self._rows([" OR ".join(f"({each})" for each in wanted)], "")

    def _rows(self, where: Sequence[str], tail: str) -> list[AskedRow]:
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        names = self._codec.names
        return [
            AskedRow(
                image=dict(zip(names, values[: len(names)], strict=True)),
                key=tuple(map(self._session.literal, values[len(names) :])),
            )
            for values in self._session.rows(f"{self._select}{condition}{tail}")
        ]


def source(codec: RowCodec) -> str:
    return f"{backticked(codec.version.database)}.{backticked(codec.version.table)}"


def backticked(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def key_literals(codec: RowCodec, image: Mapping[str, Any], session: StoreSession) -> tuple[str, ...]:
    """The primary key of a row as its store's log has it, as SQL literals."""
    literals = []
    for column in codec.version.columns:
        if column.name in codec.version.primary_key:
            kind = column_type(column)
            value = image[column.name]
            decoded = kind.decode(value) if kind.decode else value
            if kind.warehouse in ("interval", "timestamptz") or type_name(column) in ("ENUM", "SET"):
                raise ValueError(f"a key of type {column.type_name} is not asked for alone")
            if kind.warehouse == "numeric" and isinstance(decoded, str):
                decoded = Decimal(decoded)
            if column.real_charset:
                decoded = value  # as the server itself reads it, who compares it with the column
            elif kind.warehouse == "text":
                decoded = unescape_nul(decoded)
            literals.append((codec.version.primary_key.index(column.name), session.literal(decoded)))
    return tuple(literal for _, literal in sorted(literals))


def _key_literal(column: str, kind: ColumnType, is_ordinal: bool) -> str:
    """The expression whose answer, written as a literal, compares with the column as ORDER BY does."""
    if kind.warehouse in ("text", "bytea") and not is_ordinal:
        return column
    if kind.warehouse in ("date", "timestamp", "timestamptz", "interval", "uuid"):
        return f"CAST({column} AS CHAR)"
    return f"{column} + 0"  # a member of an ENUM by its number: in that order they are sorted


def _behind(names: Sequence[str], literals: Sequence[str]) -> str:
    """`(a, b) > (x, y)`, which old servers do not run along an index as it stands."""
    name, literal = names[0], literals[0]
    if len(names) == 1:
        return f"{name} > {literal}"
    return f"({name} >= {literal} AND ({name} > {literal} OR {_behind(names[1:], literals[1:])}))"
