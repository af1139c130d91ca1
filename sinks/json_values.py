"""JSON as it is kept: MySQL's own text and Debezium's agree in everything but blanks and how they write numbers
and moments.

The snapshot has MySQL's text. The stream has Debezium's, which writes a double in exponent form as all of its binary
digits (1e30 as 1000000000000000019884624838656). Both are brought to one spelling, which reads as the same value.
"""

import json
import re
from decimal import Context, Decimal
from typing import Any

from sinks.nul_escape import SIGN, escape_nul

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|\s+')
_ESCAPED = re.compile(r"(\\\\)|\\u(0000|2400)")
_FRACTION = re.compile(r"((?:\d{4}-\d\d-\d\d )?-?\d\d\d?:\d\d:\d\d)\.(\d{6})")
_WHOLE = Context(prec=2000)  # Python's own rounds to 28 digits; a double written out has up to 770
_INTEGERS = range(-(2**63), 2**64)  # what MySQL keeps as integers; beyond them it has doubles


def kept_json(text: str) -> str:
    """As PostgreSQL's jsonb takes it; the same text however it came, as rows without a key are known by it."""
    return _TOKEN.sub(_kept_token, text)


def _kept_token(found: re.Match[str]) -> str:
    token = found[0]
    if token.isspace():
        return ""
    if token[0] != '"':
        return _number(token)
    if "\\u0000" in token or "\\u2400" in token or SIGN in token:
        return _ESCAPED.sub(lambda part: part[1] or escape_nul(chr(int(part[2], 16))), escape_nul(token))
    return token


def _number(token: str) -> str:
    """A double by its shortest digits, whichever way it came; a DECIMAL that no double holds stays as it is."""
    exact = Decimal(token)
    if token.lstrip("-").isdigit() and int(token) in _INTEGERS:
        return str(int(token))
    double = float(token)
    if exact in (Decimal(double), Decimal(repr(double))):
        if double.is_integer() and int(double) in _INTEGERS:
            return str(int(double))  # the stream does not tell it from an integer
        exact = Decimal(repr(double))
    return str(exact.normalize(_WHOLE))


def from_store(text: str) -> str:
    """What the store shows of a JSON value, to be compared with `from_warehouse`."""
    return from_warehouse(kept_json(text))


def from_warehouse(text: str) -> str:
    """jsonb's text → equal if the values are. The stream drops zeros at the end of a moment, the snapshot does not."""
    value = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case Decimal():
            return {"\0": str(value.normalize(_WHOLE))}  # no kept text holds NUL: unlike every other value
        case str() if moment := _FRACTION.fullmatch(value):
            return f"{moment[1]}.{moment[2]}".rstrip("0").rstrip(".")
    return value
