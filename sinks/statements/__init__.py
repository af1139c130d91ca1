"""The SQL of the warehouse, one file a subject, each statement whole and rendered once per shape of a table."""

import hashlib
from collections.abc import Iterable

from psycopg import sql


def names(columns: Iterable[str], prefix: str = "") -> sql.Composed:
    """Quoted, comma-separated, each behind `prefix` (such as `s.`)."""
    return sql.SQL(", ").join(sql.SQL(prefix) + sql.Identifier(column) for column in columns)


def stage_name(*facts: object) -> str:
    """A session's staging table, one per shape."""
    return "stage_" + hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def render(statement: sql.Composable) -> str:
    return statement.as_string(None)


def quoted(name: str) -> sql.Composable:
    """An identifier inside a statement that also takes parameters: there a percent sign must be doubled."""
    return sql.SQL(sql.Identifier(name).as_string(None).replace("%", "%%"))
