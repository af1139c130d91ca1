"""Values between us and the process that functions run in: exact, each as JSON with its kind."""

import base64
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID


def encode(value: Any) -> Any:
    """TypeError for what no column holds."""
    if value is None or isinstance(value, bool | str):
        return value
    for kind, of, write in _WRITE:
        if isinstance(value, of):
            return [kind, write(value)]
    raise TypeError(f"{type(value).__name__} is not a value that a column can have")


def decode(given: Any) -> Any:
    return _READ[given[0]](given[1]) if isinstance(given, list) else given


def _microseconds(span: timedelta) -> str:
    return str((span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds)


# a datetime is a date, too: the first that fits is taken
_WRITE: tuple[tuple[str, type, Any], ...] = (
    ("int", int, str),
    ("decimal", Decimal, str),
    ("float", float, repr),
    ("datetime", datetime, datetime.isoformat),
    ("date", date, date.isoformat),
    ("timedelta", timedelta, _microseconds),
    ("bytes", bytes, lambda value: base64.b64encode(value).decode()),
    ("uuid", UUID, str),
)
_READ: dict[str, Any] = {
    "int": int,
    "decimal": Decimal,
    "float": float,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "timedelta": lambda text: timedelta(microseconds=int(text)),
    "bytes": base64.b64decode,
    "uuid": UUID,
}
