"""Which stored values an ALTER leaves as they are: pure. What MySQL rewrites reaches no event, and without strict mode
(the default before 5.7) it rewrites what does not fit without a word."""

from collections.abc import Iterator

from sinks.columns import column_type, type_name, wider
from tillstream.envelope import DeclaredColumn

_NO_LIMIT = 2**32
_ROOM = {
    "TINYTEXT": 255, "TEXT": 65_535, "MEDIUMTEXT": 2**24 - 1,
    "TINYBLOB": 255, "BLOB": 65_535, "MEDIUMBLOB": 2**24 - 1,
}  # fmt: skip
_UNICODE = frozenset({"utf8mb4", "utf16", "utf32"})  # hold whatever another charset holds
_SHORT_UNICODE = frozenset({"utf8", "utf8mb3", "ucs2"})  # all but what lies beyond U+FFFF


def keeps_values(was: DeclaredColumn, now: DeclaredColumn) -> bool:
    """Whether every stored value is the same after the change, but for those of `rewritten`."""
    if _value_facts(was) == _value_facts(now):
        return True
    old, new = column_type(was).warehouse, column_type(now).warehouse
    if old == new == "text":
        return _keeps_members(was, now) and _room(now) >= _room(was)
    if old == new == "bytea":
        return "BINARY" not in (type_name(was), type_name(now)) and _room(now) >= _room(was)  # BINARY(n) is padded
    if old == new == "numeric" and was.type_name.upper().startswith("DEC"):
        return (now.scale or 0) == (was.scale or 0) and (now.length or 0) >= (was.length or 0)
    if old == new and old in ("timestamp", "timestamptz", "interval"):
        return (now.length or 0) >= (was.length or 0)  # fewer fractional digits would round what is stored
    if new in ("real", "double precision") and now.scale is not None:
        return False  # DOUBLE(10,2) rounds
    return wider(old, new) == new


def rewritten(was: DeclaredColumn, now: DeclaredColumn) -> Iterator[str]:
    """SQL conditions over the warehouse's column `{c}`: stored values that MySQL may have rewritten."""
    if was.optional and not now.optional:
        yield "{c} IS NULL"
    old, new = column_type(was).warehouse, column_type(now).warehouse
    if old == new == "text":
        if now.charset_name != was.charset_name and now.charset_name not in _UNICODE:
            is_short = now.charset_name in _SHORT_UNICODE
            yield r"{c} ~ '[\U00010000-\U0010FFFF]'" if is_short else "octet_length({c}) <> length({c})"
        if type_name(now) == "CHAR" and type_name(was) != "CHAR":
            yield "right({c}, 1) = ' '"  # a CHAR has no blanks at its end
    if _is_unsigned(now) and not _is_unsigned(was):
        yield "{c} < 0"
    if old in ("smallint", "integer", "bigint") and type_name(now) == "DECIMAL":
        yield f"abs({{c}}) >= 1e{(now.length or 10) - (now.scale or 0)}"


def nothing_holds_both(was: DeclaredColumn, now: DeclaredColumn) -> bool:
    return wider(column_type(was).warehouse, column_type(now).warehouse) is None


def _value_facts(column: DeclaredColumn) -> tuple[object, ...]:
    """What of a declaration bears on stored values."""
    return (column.type_name, column.length, column.scale, column.charset_name, tuple(column.enum_values or ()))


def _keeps_members(was: DeclaredColumn, now: DeclaredColumn) -> bool:
    if not now.enum_values:
        return True
    return bool(was.enum_values) and set(was.enum_values or ()) <= set(now.enum_values)


def _room(column: DeclaredColumn) -> int:
    """Characters, or bytes, of the longest value."""
    members = column.enum_values or ()
    if type_name(column) == "SET":
        return sum(map(len, members)) + len(members) - 1
    if members:
        return max(map(len, members))
    return column.length or _ROOM.get(type_name(column), _NO_LIMIT)


def _is_unsigned(column: DeclaredColumn) -> bool:
    words = column.type_name.upper().split()
    return "UNSIGNED" in words or "ZEROFILL" in words
