"""One table's rows as SQL expressions that come out alike in the store and in the warehouse."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from psycopg import sql

from sinks.columns import ColumnType, column_type
from sinks.names import identifier
from sinks.statements import quoted, render
from tillstream.envelope import DeclaredColumn, TableVersion

SHOWN_CHARACTERS = 200  # of a value, in a sample
_INTEGERS = frozenset({"smallint", "integer", "bigint"})
# a whole number as well, though the warehouse keeps it as numeric
_UNSIGNED_64 = column_type(DeclaredColumn(name="", type_name="BIGINT UNSIGNED", position=0))
_JOINED = " || ',' || "


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashing:
    """One hash in both dialects, as lower-case hexadecimal text."""

    store: str
    of_text: str  # in the warehouse
    of_bytes: str


MD5 = Hashing(store="MD5({})", of_text="md5({})", of_bytes="md5({})")
SHA256 = Hashing(  # MySQL 9.6 took MD5 away; builds of 5.6 without SSL have no SHA2
    store="SHA2({}, 256)",
    of_text="encode(sha256(convert_to({}, 'UTF8')), 'hex')",
    of_bytes="encode(sha256({}), 'hex')",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The expressions of one side. Columns are in the version's order, `exact` and `shown` are parallel to it."""

    source: str  # the table
    identity: str  # hash of the primary key; of the whole row where there is none
    digest: str  # hash of every column but those compared by value
    by_value: tuple[str, ...]  # those
    values: tuple[Callable[[Any], Any], ...]  # parallel to them: what is compared of each
    key: tuple[str, ...]  # the text of each part of the primary key
    lead: str | None  # the first part of the primary key, where it is an integer and can be cut into ranges
    exact: tuple[str, ...]  # per column: equal here exactly if equal at all
    shown: tuple[str, ...]  # per column: what a person gets to see


@dataclass(frozen=True, slots=True, kw_only=True)
class RowForms:
    store: Side
    warehouse: Side
    names: tuple[str, ...]
    value_at: tuple[int | None, ...]  # per column: its place among those compared by value
    pk_is_plain: bool  # the warehouse's _pk can be told from the key's texts, without doubt


def row_forms(
    version: TableVersion, columns: tuple[DeclaredColumn, ...], present: Mapping[str, str], hashing: Hashing
) -> RowForms:
    """Of these columns of the version; `present` are the warehouse's: one it lacks reads as NULL."""
    kinds = {column.name: column_type(column) for column in columns}
    by_value = [name for name, kind in kinds.items() if kind.by_value]
    key = [name for name in version.primary_key if name in kinds]
    return RowForms(
        store=_store_side(version, kinds, key, hashing),
        warehouse=_warehouse_side(version, kinds, key, present, hashing),
        names=tuple(kinds),
        value_at=tuple(by_value.index(name) if name in by_value else None for name in kinds),
        pk_is_plain=bool(key) and all(_is_plain(kinds[name]) for name in key),
    )


def _is_plain(kind: ColumnType) -> bool:
    return kind.warehouse == "text" or _is_integer(kind)


def _is_integer(kind: ColumnType) -> bool:
    return kind.warehouse in _INTEGERS or kind is _UNSIGNED_64


def _store_side(version: TableVersion, kinds: Mapping[str, ColumnType], key: list[str], hashing: Hashing) -> Side:
    exact = {name: _store_exact(kind, _backticked(name), hashing) for name, kind in kinds.items()}
    by_value = tuple(_store_text(kind, _backticked(name)) for name, kind in kinds.items() if kind.by_value)
    identity = [exact[name] for name in key if not kinds[name].by_value]
    digest = _store_digest([exact[name] for name, kind in kinds.items() if not kind.by_value], hashing)
    return Side(
        source=f"{_backticked(version.database)}.{_backticked(version.table)}",
        identity=_store_digest(identity, hashing) if key else digest,
        digest=digest,
        by_value=by_value,
        values=tuple(kind.store_value for kind in kinds.values() if kind.store_value),
        key=tuple(_store_text(kinds[name], _backticked(name)) for name in key),
        lead=_backticked(key[0]) if key and _is_integer(kinds[key[0]]) else None,
        exact=tuple(exact.values()),
        shown=tuple(_store_shown(kind, _backticked(name)) for name, kind in kinds.items()),
    )


def _warehouse_side(
    version: TableVersion,
    kinds: Mapping[str, ColumnType],
    key: list[str],
    present: Mapping[str, str],
    hashing: Hashing,
) -> Side:
    column = partial(_column, kinds=kinds, present=present)
    exact = {name: _warehouse_exact(kind, column(name), hashing) for name, kind in kinds.items()}
    identity = [exact[name] for name in key if not kinds[name].by_value]
    digest = _warehouse_digest([exact[name] for name, kind in kinds.items() if not kind.by_value], hashing)
    return Side(
        source=f"stores.{_quoted(version.table)}",
        identity=_warehouse_digest(identity, hashing) if key else digest,
        digest=digest,
        by_value=tuple(_warehouse_text(kind, column(name)) for name, kind in kinds.items() if kind.by_value),
        values=tuple(kind.warehouse_value for kind in kinds.values() if kind.warehouse_value),
        key=tuple(_warehouse_text(kinds[name], column(name)) for name in key),
        lead=column(key[0]) if key and _is_integer(kinds[key[0]]) else None,
        exact=tuple(exact.values()),
        shown=tuple(_warehouse_shown(kind, column(name)) for name, kind in kinds.items()),
    )


def _column(name: str, kinds: Mapping[str, ColumnType], present: Mapping[str, str]) -> str:
    return _quoted(name) if identifier(name) in present else f"NULL::{kinds[name].warehouse}"


def _backticked(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _quoted(name: str) -> str:
    return render(sql.Composed([quoted(identifier(name))]))


def _store_text(kind: ColumnType, column: str) -> str:
    return kind.store_text.format(c=column)


def _warehouse_text(kind: ColumnType, column: str) -> str:
    return kind.warehouse_text.format(c=column)


# Texts and bytes enter by their own hash: then no value can imitate the comma between two of them, and nothing grows
# past the store's max_allowed_packet, where MySQL's CONCAT and HEX answer NULL.


def _store_exact(kind: ColumnType, column: str, hashing: Hashing) -> str:
    if kind.warehouse == "bytea":
        return hashing.store.format(column)
    text = _store_text(kind, column)
    return hashing.store.format(text) if kind.warehouse == "text" else text


def _warehouse_exact(kind: ColumnType, column: str, hashing: Hashing) -> str:
    if kind.warehouse == "bytea":
        return hashing.of_bytes.format(column)
    text = _warehouse_text(kind, column)
    return hashing.of_text.format(text) if kind.warehouse == "text" else text


def _store_digest(texts: list[str], hashing: Hashing) -> str:
    parts = [f"COALESCE(CONCAT('=', {text}), '-')" for text in texts]
    return hashing.store.format(f"CONCAT_WS(',', {', '.join(parts)})" if parts else "''")


def _warehouse_digest(texts: list[str], hashing: Hashing) -> str:
    # not concat_ws: a PostgreSQL function takes at most 100 arguments
    parts = [f"coalesce('=' || {text}, '-')" for text in texts]
    return hashing.of_text.format(_JOINED.join(parts) or "''")


def _store_shown(kind: ColumnType, column: str) -> str:
    if kind.warehouse == "bytea":
        return f"LOWER(HEX(LEFT(CAST({column} AS BINARY), {SHOWN_CHARACTERS // 2})))"  # LEFT knows no VECTOR
    text = _store_text(kind, column)
    return f"LEFT({text}, {SHOWN_CHARACTERS})" if kind.warehouse == "text" else text


def _warehouse_shown(kind: ColumnType, column: str) -> str:
    if kind.warehouse == "bytea":
        return f"encode(substr({column}, 1, {SHOWN_CHARACTERS // 2}), 'hex')"
    text = _warehouse_text(kind, column)
    return f"left({text}, {SHOWN_CHARACTERS})" if kind.warehouse == "text" else text
