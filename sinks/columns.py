"""One table of types: how a MySQL column is decoded, kept in PostgreSQL, and rendered alike on both sides.

Source type → this table → warehouse type; nothing else in the project knows a MySQL type name. The two text forms
are what `verify` hashes: the same value gives the same text in the store and in the warehouse.
"""

import base64
import math
import re
import struct
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache, lru_cache
from typing import Any

from sinks.json_values import from_store, from_warehouse, kept_json
from sinks.nul_escape import IN_STORE, SIGN, escape_nul
from tillstream.envelope import DeclaredColumn
from tillstream.errors import RefusedError

Decode = Callable[[Any], Any]


class UntoldError(ValueError):
    """The log does not tell the value, but the store has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnType:
    """`decode` takes a JSON value that is not null and raises ValueError with the reason it cannot be kept."""

    warehouse: str
    decode: Decode | None = None  # None: the JSON value is what COPY takes
    store_text: str = "CAST({c} AS CHAR)"
    warehouse_text: str = "{c}::text"
    implicit: str | None = "0"  # what MySQL gives old rows for an added NOT NULL column without a default
    # no text form is alike on both sides: `verify` compares what these make of the two, row by row
    store_value: Callable[[Any], Any] | None = None
    warehouse_value: Callable[[Any], Any] | None = None
    only_odd_text: bool = False  # decode passes a text through, or refuses it if it holds something odd
    stand_ins: frozenset[str] = frozenset()  # as text: in the log these stand for NULL as well
    is_doubtful: bool = False  # its NULLs, in a column that has none, may be something else: the store is asked
    decode_snapshot: Decode | None = None  # where Debezium renders snapshot rows otherwise than streamed ones
    # How the store itself is asked for a value, and what is made of the answer: the same as `decode` makes of an event.
    asked: str = "{c}"
    decode_asked: Decode | None = None

    @property
    def by_value(self) -> bool:
        return self.store_value is not None


_NIL = "00000000-0000-0000-0000-000000000000"
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
# MySQL's names of the character sets that `real_charset` may name → Python's.
_PYTHON_CHARSETS = {"utf8": "utf-8", "utf8mb4": "utf-8", "gbk": "gbk", "gb2312": "gb2312", "big5": "big5",
                    "tis620": "iso8859_11", "cp1251": "cp1251"}  # fmt: skip
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}
_GREGORIAN_GAP_US = (-12_219_292_800_000_000, -12_218_428_800_000_000)  # 1582-10-15 … 1582-10-25


@lru_cache(maxsize=4096)
def _date(days: int) -> date:
    try:
        return date.fromordinal(days + _EPOCH_ORDINAL)
    except (ValueError, OverflowError):
        raise ValueError(f"the date {days} days from 1970-01-01 lies outside the years 1 to 9999") from None


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    try:
        return date.fromordinal(days + _EPOCH_ORDINAL).isoformat()
    except (ValueError, OverflowError):
        raise ValueError(f"the time {days} days from 1970 lies outside the years 1 to 9999") from None


@lru_cache(maxsize=86_400)
def _second(second: int) -> str:
    return f" {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def _datetime(microseconds: int) -> str:
    """As PostgreSQL reads it. By way of datetime it takes three times as long, and most tables of a POS have one."""
    days, rest = divmod(microseconds, 86_400_000_000)
    second, micro = divmod(rest, 1_000_000)
    text = _day(days) + _second(second)
    return f"{text}.{micro:06d}" if micro else text


def _snapshot_datetime(microseconds: int) -> str:
    # java.sql.Timestamp moves the ten days that the Gregorian reform left out (1582-10-05 to 14) onto these:
    # from a snapshot the two cannot be told apart. The stream renders both right.
    if _GREGORIAN_GAP_US[0] <= microseconds < _GREGORIAN_GAP_US[1]:
        raise UntoldError("a DATETIME between 1582-10-05 and 1582-10-24 cannot be told apart in a snapshot")
    return _datetime(microseconds)


def _time(microseconds: int) -> str:
    return f"{microseconds} microseconds"


def _text(value: str) -> str:
    return escape_nul(value) if "\x00" in value or SIGN in value else value


def _narrow_text(value: str) -> str:
    # None of these charsets has U+FFFD: bytes were lost on the way (latin1 81 8D 8F 90 9D are the known ones).
    if "\ufffd" in value:
        raise UntoldError("the text holds bytes that its declared character set does not define")
    return _text(value)


# Characters that Java reads, in the stream, for another one of MySQL's, which has no other use for them there.
_MISREAD = {
    "gbk": str.maketrans("\u2641", "\u2295"),
    "sjis": str.maketrans("\u2014", "\u2015"),
    "ujis": str.maketrans("\u2014", "\u2015"),
}


def _misread_text(charset: str) -> Decode:
    table = _MISREAD[charset]

    def decode(value: str) -> str:
        if value.isascii():
            return _text(value)
        if "\uff3c" in value and charset != "gbk":  # not mended: whoever writes COPY trusts us to add no backslash
            raise UntoldError("the text holds a backslash that cannot be told from a full-width one")
        return _narrow_text(value.translate(table))

    return decode


# Single-byte character sets as MySQL names them → Python: what was read by one of them can be turned back into bytes.
_SINGLE_BYTE = {
    "latin1": "cp1252", "latin2": "iso8859_2", "latin5": "iso8859_9", "latin7": "iso8859_13", "cp1250": "cp1250",
    "cp1251": "cp1251", "cp1257": "cp1257", "cp850": "cp850", "cp852": "cp852", "cp866": "cp866", "ascii": "ascii",
    "greek": "iso8859_7", "hebrew": "iso8859_8", "koi8r": "koi8_r", "koi8u": "koi8_u", "tis620": "iso8859_11",
}  # fmt: skip
_UNDEFINED_IN_CP1252 = "\x81\x8d\x8f\x90\x9d"  # MySQL's latin1 has them all the same


def _as_written(declared: str, real: str) -> Decode:
    """What a single-byte column was read as, turned back into its bytes and read by what the POS really wrote."""
    by, read = _SINGLE_BYTE[declared], _as_read(real)
    extra = {ord(sign): sign.encode("latin1") for sign in _UNDEFINED_IN_CP1252} if declared == "latin1" else {}

    def octets(value: str) -> bytes:
        if any(sign in value for sign in map(chr, extra)):
            return b"".join(extra.get(ord(sign)) or sign.encode(by) for sign in value)
        return value.encode(by)

    def decode(value: str) -> str:
        try:
            return read(value.encode("ascii") if value.isascii() else octets(value))
        except UnicodeEncodeError:
            raise UntoldError(
                f"the text holds bytes that its declared character set {declared} does not define"
            ) from None

    return decode


def _as_read(real: str) -> Callable[[bytes], str]:
    """Bytes, read by the character set that the POS really wrote them in."""
    python = _PYTHON_CHARSETS[real]

    def read(value: bytes) -> str:
        try:
            return _text(value.decode(python))
        except UnicodeDecodeError:
            raise ValueError(f"the text holds bytes that are not {real}, its real_charset") from None

    return read


def _bytes(value: str) -> bytes:
    return base64.b64decode(value)


def _spatial(value: Mapping[str, Any]) -> bytes:
    """As MySQL itself keeps it: four bytes of SRID, then WKB."""
    return int(value["srid"] or 0).to_bytes(4, "little") + base64.b64decode(value["wkb"])


def _vector(value: list[float]) -> bytes:
    """As MySQL itself keeps it: 32-bit floats, little end first."""
    return struct.pack(f"<{len(value)}f", *value)


def _uuid(value: str) -> str:
    """The stream drops zero bytes at the end, and Debezium puts as many at the front.

    So a value that begins with a zero byte may be another one turned around. The one that RFC 9562 knows is meant.
    """
    if value[:2] != "00" or value == _NIL:
        return value
    octets = bytes.fromhex(value.replace("-", ""))
    zeros = len(octets) - len(octets.lstrip(b"\0"))
    turned = [uuid.UUID(bytes=octets[count:] + octets[:count]) for count in range(zeros + 1)]
    known = [each for each in turned if each.variant == uuid.RFC_4122 and 1 <= (each.version or 0) <= 8]
    if len(known) != 1:
        raise UntoldError(f"the UUID {value} may be another one whose last bytes are zero: the log does not tell")
    return str(known[0])


def _bits(value: str) -> int:
    return int.from_bytes(base64.b64decode(value), "little")


def _bit(value: bool | str) -> bool:
    return value if isinstance(value, bool) else bool(_bits(value))


def _asked_bit(text: str) -> bool:
    return text == "1"


def _asked_date(text: str) -> str:
    """ValueError for a day that no calendar has: MySQL keeps 2024-02-30 if told so."""
    return date.fromisoformat(text).isoformat()


def _asked_datetime(text: str) -> str:
    return f"{_asked_date(text[:10])}{text[10:].removesuffix('.000000')}"


def _asked_timestamp(text: str) -> str:
    return _instant(f"{_asked_date(text[:10])}T{text[11:]}Z")


def _instant(text: str) -> str:
    """Without zeros at the end of its fraction: now Debezium drops them, now it does not."""
    return f"{text[:-1].rstrip('0').rstrip('.')}Z" if "." in text else text


def _asked_time(text: str) -> str:
    return f"{text} microseconds"


def _unsigned_64(value: int) -> int:
    return value if value >= 0 else value + 2**64


def _year(value: int) -> int:
    return 0 if value == 1900 else value  # the stream's rendering of 0000; YEAR itself begins at 1901


def _enum(column: DeclaredColumn) -> Decode:
    """The stream gives a member as its declaration spells it, commas escaped besides; the snapshot gives it plainly."""
    members = enum_members(column)
    meant = {}
    for member, literal in zip(members, column.enum_values or (), strict=True):
        for form in (member, _between_quotes(literal).replace("''", "'")):
            meant[form] = meant[form.replace(",", "\\,")] = member
    meant.update((member, member) for member in members)

    def decode(value: str) -> str:
        return _text(meant.get(value, value))

    return decode


def enum_members(column: DeclaredColumn) -> tuple[str, ...]:
    """The members of an ENUM or SET, which Debezium gives as the SQL literals of the declaration."""
    return tuple(without_escapes(_between_quotes(literal)) for literal in column.enum_values or ())


def _between_quotes(literal: str) -> str:
    return literal[1:-1] if literal[:1] in ("'", '"') else literal


def without_escapes(text: str) -> str:
    """What stands between the quotes of a SQL literal → what it means."""
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), text.replace("''", "'"))


_ZEROFILL_SAFE = "CAST({c} + 0 AS CHAR)"  # + 0 drops the padding of ZEROFILL and turns BIT into a number


def _number(warehouse: str, decode: Decode | None = None) -> ColumnType:
    return ColumnType(warehouse=warehouse, decode=decode, store_text=_ZEROFILL_SAFE, asked=_ZEROFILL_SAFE)


def _double(value: float) -> float | str:
    """Equal if the values are: 0 without its sign, NaN like itself, which MySQL has not."""
    return "NaN" if math.isnan(value) else value + 0.0


def _single(value: float) -> float | str:
    """By its 32 bits; no FLOAT can be too large for them, but what came to stand in its place can."""
    try:
        return _double(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return value


def _asked_single(value: float) -> float:
    """By its shortest digits, of which Java shows two at least: events have it so."""
    return next(short for digits in range(2, 10) if _single(short := float(f"{value:.{digits}g}")) == _single(value))


def _float(warehouse: str, compared: Callable[[Any], Any], decode_asked: Decode | None = None) -> ColumnType:
    return ColumnType(
        warehouse=warehouse,
        store_text="{c} + 0e0",
        asked="{c} + 0e0",
        decode_asked=decode_asked,
        warehouse_text="{c}::float8",
        store_value=compared,
        warehouse_value=compared,
    )


_SMALL, _INTEGER, _BIGINT = _number("smallint"), _number("integer"), _number("bigint")
_NUMERIC = _number("numeric")  # without a scale: nothing is ever rounded, and nothing needs widening
_UNSIGNED_64 = _number("numeric", _unsigned_64)
_REAL = _float("real", _single, _asked_single)
_SCALED_REAL = _float("real", _single)  # FLOAT(7,3): events have all digits of its 32 bits
_DOUBLE = _float("double precision", _double)
_TEXT = ColumnType(
    warehouse="text",
    decode=_text,
    decode_asked=_text,
    only_odd_text=True,
    store_text=IN_STORE.format(c="CONVERT({c} USING utf8mb4)"),
    warehouse_text="{c}",
    implicit="",
)
_BYTEA = ColumnType(
    warehouse="bytea",
    decode=_bytes,
    store_text="LOWER(HEX({c}))",
    warehouse_text="encode({c}, 'hex')",
    implicit="",
)
_SPATIAL = replace(_BYTEA, decode=_spatial)
_UUID_TEXT = "LOWER(CAST({c} AS CHAR))"
_MICROSECONDS = (  # MariaDB's TIME_TO_SEC has the fraction, MySQL's has not
    "CAST(IF({c} < CAST('00:00:00' AS TIME), -1, 1)"
    " * (TRUNCATE(ABS(TIME_TO_SEC({c})), 0) * 1000000 + MICROSECOND({c})) AS CHAR)"
)
# A date without a year, a month or a day has no place in PostgreSQL: it is NULL there.
_DATED = "IF(YEAR({{c}}) * MONTH({{c}}) * DAY({{c}}) = 0, NULL, DATE_FORMAT({{c}}, '{}'))"
_DATE_TEXT = _DATED.format("%Y-%m-%d")
_DATETIME_TEXT = _DATED.format("%Y-%m-%d %H:%i:%s.%f")
_TYPES: dict[str, ColumnType] = {
    "TINYINT": _SMALL,
    "BOOL": _number("smallint", int),  # said so in the stream, Debezium gives true and false, and 2 as true
    "SMALLINT": _SMALL,
    "MEDIUMINT": _INTEGER,
    "INT": _INTEGER,
    "BIGINT": _BIGINT,
    "TINYINT UNSIGNED": _SMALL,
    "SMALLINT UNSIGNED": _INTEGER,
    "MEDIUMINT UNSIGNED": _INTEGER,
    "INT UNSIGNED": _BIGINT,
    "BIGINT UNSIGNED": _UNSIGNED_64,
    "DECIMAL": _NUMERIC,
    "FLOAT": _REAL,
    "DOUBLE": _DOUBLE,
    "YEAR": _number("smallint", _year),
    "DATE": ColumnType(
        warehouse="date",
        decode=_date,
        store_text=_DATE_TEXT,
        asked=_DATE_TEXT,
        decode_asked=_asked_date,
        warehouse_text="to_char({c}, 'YYYY-MM-DD')",
        implicit=None,
    ),
    "DATETIME": ColumnType(
        warehouse="timestamp",
        decode=_datetime,
        decode_snapshot=_snapshot_datetime,
        store_text=_DATETIME_TEXT,
        asked=_DATETIME_TEXT,
        decode_asked=_asked_datetime,
        warehouse_text="to_char({c}, 'YYYY-MM-DD HH24:MI:SS.US')",
        implicit=None,
    ),
    "TIMESTAMP": ColumnType(
        warehouse="timestamptz",
        store_text=_DATETIME_TEXT,  # the session that asks runs in UTC
        asked=_DATETIME_TEXT,
        decode_asked=_asked_timestamp,
        warehouse_text="to_char({c} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
        implicit=None,
    ),
    "TIME": ColumnType(
        warehouse="interval",
        decode=_time,
        store_text=_MICROSECONDS,
        asked=_MICROSECONDS,
        decode_asked=_asked_time,
        warehouse_text="(extract(epoch FROM {c}) * 1000000)::bigint::text",
        implicit="00:00:00",
    ),
    "BIT": _number("numeric", _bits),
    "CHAR": _TEXT,
    "VARCHAR": _TEXT,
    "TINYTEXT": _TEXT,
    "TEXT": _TEXT,
    "MEDIUMTEXT": _TEXT,
    "LONGTEXT": _TEXT,
    "ENUM": _TEXT,
    "SET": _TEXT,
    "BINARY": _BYTEA,
    "VARBINARY": _BYTEA,
    "TINYBLOB": _BYTEA,
    "BLOB": _BYTEA,
    "MEDIUMBLOB": _BYTEA,
    "LONGBLOB": _BYTEA,
    "JSON": ColumnType(
        warehouse="jsonb",
        decode=kept_json,
        asked="CAST({c} AS CHAR)",
        decode_asked=kept_json,
        store_value=from_store,
        warehouse_value=from_warehouse,
        implicit=None,
    ),
    "VECTOR": replace(_BYTEA, decode=_vector, asked="CAST({c} AS BINARY)"),
    "UUID": ColumnType(
        warehouse="uuid",
        decode=_uuid,
        decode_snapshot=str,
        store_text=_UUID_TEXT,
        asked=_UUID_TEXT,
        implicit=_NIL,
    ),
    "GEOMETRY": _SPATIAL,
    "POINT": _SPATIAL,
    "LINESTRING": _SPATIAL,
    "POLYGON": _SPATIAL,
    "MULTIPOINT": _SPATIAL,
    "MULTILINESTRING": _SPATIAL,
    "MULTIPOLYGON": _SPATIAL,
    "GEOMETRYCOLLECTION": _SPATIAL,
}
_FRACTIONAL_TIMESTAMP = replace(_TYPES["TIMESTAMP"], decode=_instant)
_BOOLEAN_BIT = ColumnType(
    warehouse="boolean",
    decode=_bit,
    store_text=_ZEROFILL_SAFE,
    warehouse_text="{c}::int::text",
    asked=_ZEROFILL_SAFE,
    decode_asked=_asked_bit,
)
_SYNONYMS = {
    "INTEGER": "INT", "BOOLEAN": "BOOL", "INT1": "TINYINT", "INT2": "SMALLINT",
    "INT3": "MEDIUMINT", "INT4": "INT", "INT8": "BIGINT", "NUMERIC": "DECIMAL", "DEC": "DECIMAL",
    "FIXED": "DECIMAL", "REAL": "DOUBLE", "DOUBLE PRECISION": "DOUBLE", "CHARACTER": "CHAR",
    "CHARACTER VARYING": "VARCHAR", "NCHAR": "CHAR", "NVARCHAR": "VARCHAR", "LONG VARCHAR": "MEDIUMTEXT",
    "GEOMCOLLECTION": "GEOMETRYCOLLECTION",
}  # fmt: skip
_UNICODE_CHARSETS = frozenset({"utf8", "utf8mb3", "utf8mb4", "ucs2", "utf16", "utf16le", "utf32"})


def column_type(column: DeclaredColumn) -> ColumnType:
    """How this declared column is kept. RefusedError for a type that has no place here yet."""
    kind = _declared_type(column)
    if column.optional or kind.warehouse not in _ZERO_DATES:
        return kind
    return replace(
        kind,
        is_doubtful=True,
        stand_ins=_stand_ins(column, kind),
        decode=_none_for_zero(column, kind, kind.decode),
        decode_snapshot=kind.decode_snapshot and _none_for_zero(column, kind, kind.decode_snapshot),
    )


def _none_for_zero(column: DeclaredColumn, kind: ColumnType, decode: Decode | None) -> Decode:
    """For a zero date in a column without NULLs Debezium gives 1970-01-01, or the column's default.

    Either is far more often a zero date than itself. It becomes NULL, as in columns that may be NULL, and the store
    is asked which it was.
    """
    stands_for_zero = _stands_for_zero(column, kind)

    def decode_or_none(value: Any) -> Any:
        found = decode(value) if decode else value
        return None if value in stands_for_zero or found in stands_for_zero else found

    return decode_or_none


def _stands_for_zero(column: DeclaredColumn, kind: ColumnType) -> set[Any]:
    as_given = _ZERO_DATES[kind.warehouse]
    found = {as_given("1970-01-01 00:00:00")}
    if column.default_value_expression:
        with suppress(ValueError):  # CURRENT_TIMESTAMP, a zero date
            found.add(as_given(column.default_value_expression))
    return found


def _stand_ins(column: DeclaredColumn, kind: ColumnType) -> frozenset[str]:
    values = _stands_for_zero(column, kind)
    return frozenset(str(kind.decode(value) if kind.decode else value) for value in values)


def _as_days(text: str) -> int:
    return date.fromisoformat(text[:10]).toordinal() - _EPOCH_ORDINAL


def _as_microseconds(text: str) -> int:
    since = datetime.fromisoformat(text) - datetime(1970, 1, 1)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _as_instant(text: str) -> str:
    return str(_asked_timestamp(text))


# By warehouse type: a default as it is declared → as Debezium gives it.
_ZERO_DATES: dict[str, Callable[[str], Any]] = {
    "date": _as_days,
    "timestamp": _as_microseconds,
    "timestamptz": _as_instant,
}


def _declared_type(column: DeclaredColumn) -> ColumnType:
    words = column.type_name.upper().split()
    unsigned = "UNSIGNED" in words or "ZEROFILL" in words  # ZEROFILL implies UNSIGNED
    name = type_name(column)
    if name == "BIT" and (column.length or 1) == 1:
        return _BOOLEAN_BIT
    if name == "FLOAT" and (column.length or 0) > 24 and column.scale is None:
        return _DOUBLE  # FLOAT(25) and up is MySQL's other spelling of DOUBLE
    if name == "DECIMAL":
        return _decimal(column.scale or 0)
    if name == "FLOAT" and column.scale is not None:
        return _SCALED_REAL
    if name == "TIMESTAMP" and column.length:
        return _FRACTIONAL_TIMESTAMP
    found = _TYPES.get(f"{name} UNSIGNED") if unsigned else None
    found = found or _TYPES.get(name)
    if found is None:
        raise RefusedError(
            f"column {column.name}: the type {column.type_name} cannot be kept yet; "
            "leave it out with tables.exclude_columns"
        )
    return _for_text(column, name) if found is _TEXT else found


@cache
def _decimal(scale: int) -> ColumnType:
    """Compared as the store writes it: a value may be kept with more zeros, of a time when the column had them."""
    whole = f"round({{c}}, {scale})"
    return replace(_NUMERIC, warehouse_text=f"(CASE WHEN {{c}} = {whole} THEN {whole} ELSE {{c}} END)::text")


def type_name(column: DeclaredColumn) -> str:
    """MySQL's own name of the type, without its attributes: `NUMERIC UNSIGNED` → DECIMAL."""
    words = column.type_name.upper().split()
    name = " ".join(w for w in words if w not in {"UNSIGNED", "ZEROFILL", "SIGNED", "BINARY"}) or "BINARY"
    return _SYNONYMS.get(name, name)


def _for_text(column: DeclaredColumn, name: str) -> ColumnType:
    if column.charset_name == "binary" and name not in {"ENUM", "SET"}:
        return _BYTEA
    if column.real_charset and column.charset_name in _SINGLE_BYTE and name not in {"ENUM", "SET"}:
        real = "utf8mb4" if column.real_charset == "utf8" else column.real_charset
        stored = "CONVERT(CONVERT(CAST({c} AS BINARY) USING " + real + ") USING utf8mb4)"
        return replace(
            _TEXT,
            decode=_as_written(column.charset_name, column.real_charset),
            asked="CAST({c} AS BINARY)",
            decode_asked=_as_read(column.real_charset),
            only_odd_text=False,
            store_text=IN_STORE.format(c=stored),
        )
    if name == "ENUM":
        decode: Decode = _enum(column)
    elif column.charset_name is None or column.charset_name in _UNICODE_CHARSETS:
        return _TEXT
    else:
        decode = _misread_text(column.charset_name) if column.charset_name in _MISREAD else _narrow_text
    return ColumnType(
        warehouse="text",
        decode=decode,
        decode_asked=_text,
        only_odd_text=column.charset_name not in _MISREAD and not any("\\" in m for m in column.enum_values or ()),
        store_text=_TEXT.store_text,
        warehouse_text="{c}",
        implicit="",
    )


_WIDENING = ("boolean", "smallint", "integer", "bigint", "numeric")


def wider(present: str, wanted: str) -> str | None:
    """The warehouse type that holds both, or None where nothing does without bending a value."""
    if present == wanted:
        return present
    if present in _WIDENING and wanted in _WIDENING and "boolean" not in (present, wanted):
        return max(present, wanted, key=_WIDENING.index)
    if {present, wanted} == {"real", "double precision"}:
        return "double precision"
    return None
