"""From a row as the store's log gives it to a row as COPY takes it, by the columns declared at its position."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from conflict.identity import business_key
from conflict.policy import Deletes, Policy, TablePolicy
from sinks.columns import ColumnType, Decode, column_type
from sinks.names import identifier
from sinks.policy_fit import require_fit, require_one_id
from tillstream.envelope import DeclaredColumn, TableVersion

Row = Mapping[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shapes:
    """What a declared table becomes: its policy, in the warehouse's names, and its store's time zone (IANA).

    `excluded_columns`: table → columns never captured. `real_charsets`: table → column → what it holds whatever is
    declared. Both as the stores spell them.
    """

    policy: Policy
    policy_id: int | None = None  # under which it is in force; None where none ever was
    timezones: Mapping[str, str] = field(default_factory=dict)
    excluded_columns: Mapping[str, Collection[str]] = field(default_factory=dict)
    real_charsets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, version: TableVersion, *, asked: bool = False) -> "RowCodec":
        """`asked`: rows come as the store answers a SELECT, and not as its log has them."""
        excluded = self.excluded_columns.get(version.table)
        if excluded:  # the engine leaves their values out of its events, but not their declarations
            columns = tuple(column for column in version.columns if column.name not in excluded)
            version = replace(version, columns=columns)
        require_one_id(self.policy, version)
        zone = self.timezones.get(version.store, "UTC")
        return RowCodec(version, self.policy.tables.get(identifier(version.table)), zone, asked=asked)

    def columns(self, table: str, declared: Iterable[DeclaredColumn]) -> tuple[DeclaredColumn, ...]:
        """A table's columns as the store declared them, with what tillstream.yaml says of them. Kept with the table's
        declaration: whoever decodes or asks for a value goes by what it was taken in with."""
        real = self.real_charsets.get(table, {})
        return tuple(
            msgspec.structs.replace(column, real_charset=real[column.name]) if column.name in real else column
            for column in declared
        )


class RowCodec:
    """One shape of one table. Everything that can be worked out per shape is worked out here, once.

    `policy` speaks in the warehouse's names.
    """

    def __init__(
        self, version: TableVersion, policy: TablePolicy | None, timezone: str = "UTC", *, asked: bool = False
    ) -> None:
        names = version.column_names
        types = [column_type(column) for column in version.columns]
        self.version = version
        self.policy = policy
        self.table = identifier(version.table)
        self.names = names
        self.columns = tuple(identifier(name) for name in names)
        self.warehouse_types = tuple(kind.warehouse for kind in types)
        self.keyless = not version.primary_key
        self.isolated = policy is None and not self.keyless
        # what a stage and its statements depend on: stores that agree in this share one COPY
        self.shape = (self.table, self.columns, policy is not None, self.keyless)
        self.stamped = tuple(
            (name, identifier(name)) for name in names if policy and policy.decides_by_time(identifier(name))
        )
        self.since = tuple((name, column) for name, column in self.stamped if policy and policy.asks_since(column))
        self.opened = tuple(
            (name, identifier(name), opening_us, kind.decode_asked if asked else kind.decode)
            for name, kind in zip(names, types, strict=True)
            if policy and (opening_us := policy.opening_us(identifier(name))) is not None
        )
        self.keeps_inserts = policy is not None and policy.deletes is Deletes.ANY
        self._asked = asked
        self._forms = tuple(map(_content_form, types))
        self.doubtful = tuple(i for i, kind in enumerate(types) if kind.is_doubtful and not asked)
        self._get = _tuple_getter(names)
        self._decoders = {
            (snapshot, odd_text): [
                (i, decode)
                for i, kind in enumerate(types)
                if (decode := kind.decode_asked if asked else (snapshot and kind.decode_snapshot) or kind.decode)
                and (odd_text or not kind.only_odd_text)
            ]
            for snapshot in (False, True)
            for odd_text in (False, True)
        }
        self.pk_of = self._pk_getter()
        # in COPY's text, and in a primary key, they have backslashes, though the event that brings them has none
        self.has_bytes = any(kind.warehouse == "bytea" for kind in types)
        self._key_parts = policy.key if policy else ()
        self._key_places = [
            (part.column, self.columns.index(part.column)) for part in self._key_parts if part.column in self.columns
        ]
        changed_at = policy.changed_at if policy else None
        self._changed_at = self.columns.index(changed_at) if changed_at in self.columns else None
        self._zone = ZoneInfo(timezone)
        if policy:
            require_fit(policy, version, dict(zip(self.columns, self.warehouse_types, strict=True)))

    def values(self, row: Row, *, snapshot: bool = False, odd_text: bool = True) -> list[Any]:
        """The row's values for COPY, in `columns` order. ValueError names the column that cannot be kept.

        `odd_text=False` says that no text in sight holds NUL, U+FFFD or an escaped comma: none is looked at then.
        """
        values = list(self._get(row))
        index = 0
        try:
            for index, decode in self._decoders[snapshot, odd_text]:
                value = values[index]
                if value is not None:
                    values[index] = decode(value)
        except ValueError as error:
            raise type(error)(f"column {self.names[index]}: {error}") from None
        return values

    def key_of(self, values: list[Any]) -> str | None:
        """The business key of decoded values; None where a part of it is missing."""
        values_of = {column: values[place] for column, place in self._key_places}
        return business_key(self._key_parts, values_of, self.version.store)

    def changed_at_us(self, values: list[Any]) -> int | None:
        """The POS's own time of the row's last change, from decoded values; in us. A DATETIME is the store's time."""
        at = values[self._changed_at] if self._changed_at is not None else None
        if not isinstance(at, str):
            return None
        at = datetime.fromisoformat(at)  # of a TIMESTAMP with its UTC
        since = (at if at.tzinfo else at.replace(tzinfo=self._zone)) - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

    def content_pk(self, values: list[Any]) -> str:
        """The first half of a keyless row's identity: equal rows share it, so an equal row is found by index."""
        # by name and without NULLs: a column that is added as NULL leaves what rows are equal to as it was
        pairs = ((name, form(value)) for name, form, value in zip(self.names, self._forms, values, strict=True))
        text = "\x1f".join(f"{name}\x1e{value}" for name, value in sorted(pairs) if value is not None)
        return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()

    def _pk_getter(self) -> Callable[[Row], str]:
        """The primary key as one exact text: of one column its value, of several a JSON array."""
        key = self.version.primary_key
        if not key:
            return lambda row: ""
        decoders = [self._pk_decoder(name) for name in key]
        if len(key) == 1:
            name, decode = key[0], decoders[0]
            if decode is None:
                return lambda row: str(row[name])
            return lambda row: str(decode(row[name]))
        return lambda row: msgspec.json.encode(
            [str(decode(row[name]) if decode else row[name]) for name, decode in zip(key, decoders, strict=True)]
        ).decode()

    def _pk_decoder(self, name: str) -> Decode | None:
        column = next(column for column in self.version.columns if column.name == name)
        kind = column_type(column)
        decode = kind.decode_asked if self._asked else kind.decode
        return decode if decode is None or kind.warehouse not in _DATES else _no_zero_date(decode)


def _content_form(kind: ColumnType) -> Callable[[Any], Any]:
    """What a value adds to what its row is known by: the same whether the log has told it or the store was asked."""
    if kind.warehouse in ("real", "double precision"):
        compared = kind.warehouse_value  # a FLOAT's 32 bits, of which the log has the shortest spelling
        return lambda value: value if value is None or compared is None else compared(value)
    if kind.stand_ins:
        return lambda value: None if str(value) in kind.stand_ins else value
    return lambda value: value


_DATES = frozenset({"date", "timestamp", "timestamptz"})


def _no_zero_date(decode: Decode) -> Decode:
    def decode_key(value: Any) -> Any:
        found = None if value is None else decode(value)
        if found is None:
            raise ValueError("a date in its primary key is, or may be, a zero date, which has no place here")
        return found

    return decode_key


def _tuple_getter(names: tuple[str, ...]) -> Callable[[Row], tuple[Any, ...]]:
    if len(names) == 1:
        only = names[0]
        return lambda row: (row[only],)
    return itemgetter(*names)
