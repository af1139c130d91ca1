"""Whether a column of the warehouse can have a value, exactly as it is."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

_WHOLE = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}


def fitted(value: Any, kind: str) -> Any:
    """The value as COPY takes it into a column of that kind. ValueError where it would be another one, or none."""
    if value is None:
        return None
    fit = _FIT.get(kind) or (_whole(_WHOLE[kind]) if kind in _WHOLE else None)
    try:
        found = fit(value) if fit else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError(f"a value of the type {type(value).__name__} does not fit the column, which is {kind}")
    return found


def _whole(most: int) -> Callable[[Any], Any]:
    def whole(value: Any) -> Any:
        number = _numeric(value)
        is_whole = number is not None and number == int(number) and -most <= number < most
        return int(number) if is_whole else None

    return whole


def _numeric(value: Any) -> Any:
    """Never of a float: money and points are exact."""
    is_exact = isinstance(value, int | Decimal) and not isinstance(value, bool)
    return value if is_exact and (isinstance(value, int) or value.is_finite()) else None


def _double(value: Any) -> Any:
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None


def _text(value: Any) -> Any:
    """PostgreSQL has no NUL, and UTF-8 no half of a pair."""
    if not isinstance(value, str) or "\x00" in value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _json(value: Any) -> Any:
    text = _text(value)
    if text is not None:
        json.loads(text)
    return text


def _uuid(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else str(UUID(_text(value) or ""))


_FIT: Mapping[str, Callable[[Any], Any]] = {
    "boolean": lambda value: value if isinstance(value, bool) else None,
    "numeric": _numeric,
    "real": _double,
    "double precision": _double,
    "text": _text,
    "jsonb": _json,
    "uuid": _uuid,
    "bytea": lambda value: value if isinstance(value, bytes) else None,
    "date": lambda value: value if isinstance(value, date) and not isinstance(value, datetime) else None,
    "timestamp": lambda value: value if isinstance(value, datetime) and value.tzinfo is None else None,
    "timestamptz": lambda value: value if isinstance(value, datetime) and value.tzinfo is not None else None,
    "interval": lambda value: value if isinstance(value, timedelta) else None,
}
