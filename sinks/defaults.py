"""What MySQL gave the rows that were there when a column was added: no event tells, so it is worked out.

What cannot be worked out for certain from the statement is refused, never guessed.
"""

import re
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

from sinks.columns import column_type, enum_members, type_name, without_escapes
from sinks.nul_escape import escape_nul
from tillstream.envelope import DeclaredColumn

# Values that the statement alone does not give: of an expression, of a counter, of a literal that is read wrong.
_UNTOLD = re.compile(r"\bDEFAULT\s*\(|\bAS\s*\(|\bAUTO_INCREMENT\b|\bSERIAL\b|\b0x[0-9a-f]|\bx'", re.IGNORECASE)
_QUOTED = re.compile(r"""(?<=[\s(,=])('(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`[^`]*`)""", re.DOTALL)
_WHOLE_DATE = re.compile(r"(?!0000-|\d{4}-00|\d{4}-\d\d-00)\d{4}-\d\d-\d\d")
_CLOCK = r"\d\d:\d\d:\d\d(?:\.(?P<fraction>\d{1,6}))?"
_WHOLE_DATETIME = re.compile(_WHOLE_DATE.pattern + " " + _CLOCK)
_WHOLE_TIME = re.compile(r"-?\d{2,3}:\d\d:\d\d(?:\.(?P<fraction>\d{1,6}))?")
_WITHOUT_A_PLAIN_DEFAULT = frozenset(
    {"VECTOR", "GEOMETRY", "POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON",
     "GEOMETRYCOLLECTION"}
)  # fmt: skip
_CURRENT = "1970-01-01 00:00:00"  # how Debezium puts CURRENT_TIMESTAMP
_BOOLEANS = {"TRUE": "1", "FALSE": "0"}


def value_of_old_rows(column: DeclaredColumn, ddl: str) -> str | None:
    """As text that PostgreSQL reads as the column's type, None for NULL; ValueError where nobody can say."""
    if _UNTOLD.search(_QUOTED.sub("", ddl)):
        raise ValueError("the statement has them computed")
    name = type_name(column)
    written = column.default_value_expression
    if written is None and column.optional:
        return None
    kind = column_type(column).warehouse
    if name in _WITHOUT_A_PLAIN_DEFAULT or kind in ("jsonb", "uuid"):
        raise ValueError(f"what a {name} is without a value is not written out")
    if kind == "bytea":
        return _bytes(column, written or "", padded=name == "BINARY")
    if kind in ("text", "date", "timestamp", "timestamptz") or written is not None:
        return _CHECKS[kind](column, name, written)
    return column_type(column).implicit


def _text(column: DeclaredColumn, name: str, written: str | None) -> str:
    if name == "ENUM":
        members = enum_members(column)
        return members[0] if written is None else _member(written, members)
    if name == "SET":
        given = {_member(each, enum_members(column)) for each in (written or "").split(",") if each}
        return ",".join(member for member in enum_members(column) if member in given)
    plain = without_escapes(written or "")
    return escape_nul(plain.rstrip(" ") if name == "CHAR" else plain)


def _member(written: str, members: tuple[str, ...]) -> str:
    plain = without_escapes(written)
    if plain in members:
        return plain
    alike = [member for member in members if member.casefold() == plain.casefold()]
    if len(alike) != 1:
        raise ValueError(f"the default {written} is none of the column's members")
    return alike[0]


def _bytes(column: DeclaredColumn, written: str, *, padded: bool) -> str:
    plain = without_escapes(written)
    if not plain.isascii():
        raise ValueError("the default of a binary column is not ASCII")
    width = column.length or 1
    return "\\x" + (plain.encode().ljust(width, b"\x00") if padded else plain.encode()).hex()


def _number(column: DeclaredColumn, name: str, written: str | None) -> str:
    text = (written or "0").strip()
    try:
        if name == "BIT":
            return str(int(text, 2))
        number = Decimal(_BOOLEANS.get(text.upper(), text))
    except (ValueError, InvalidOperation):
        raise ValueError(f"the default {written} is not a plain number") from None
    if name == "YEAR" and not 1901 <= number <= 2155:
        raise ValueError(f"the default {written} is no four-digit year")
    return _rounded(number, column.scale or 0)


def _rounded(number: Decimal, scale: int) -> str:
    return f"{number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, Context(prec=70)):f}"


def _float(column: DeclaredColumn, name: str, written: str | None) -> str:
    if column.scale is not None:
        return _rounded(Decimal(written or 0), column.scale)
    return str(float(_BOOLEANS.get((written or "0").upper(), written or "0")))


def _boolean(column: DeclaredColumn, name: str, written: str | None) -> str:
    return "true" if _number(column, name, written) != "0" else "false"


def _date(column: DeclaredColumn, name: str, written: str | None) -> str:
    return _whole(_WHOLE_DATE, column, written)


def _datetime(column: DeclaredColumn, name: str, written: str | None) -> str:
    if name == "TIMESTAMP" or written == _CURRENT:
        raise ValueError("the default is a moment that only the store's session knew")
    return _whole(_WHOLE_DATETIME, column, written)


def _time(column: DeclaredColumn, name: str, written: str | None) -> str:
    return _whole(_WHOLE_TIME, column, written)


def _whole(form: re.Pattern[str], column: DeclaredColumn, written: str | None) -> str:
    found = form.fullmatch(written or "")
    fraction = found.groupdict().get("fraction") if found else None
    if not found or not written or len(fraction or "") > (column.length or 0):
        raise ValueError(f"the default {written} is not written out")
    return written


_CHECKS = {
    "text": _text,
    "smallint": _number,
    "integer": _number,
    "bigint": _number,
    "numeric": _number,
    "real": _float,
    "double precision": _float,
    "boolean": _boolean,
    "date": _date,
    "timestamp": _datetime,
    "timestamptz": _datetime,
    "interval": _time,
}
