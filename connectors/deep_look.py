"""What only the values show: zero dates, and bytes that a charset does not define. One bounded question per column."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import pymysql
from pymysql.constants import ER

from connectors.examination import Server, StoredColumn, StoredTable
from connectors.findings import Finding, Level
from connectors.table_findings import quoted

ASK_SECONDS = 10  # for one column of one table: an old till reads about a million rows in it
DATES = frozenset({"date", "datetime", "timestamp"})
TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_MOST_STATEMENT_TIMES = {"max_execution_time": ASK_SECONDS * 1000, "max_statement_time": ASK_SECONDS}
_MARIADB_TIME_IS_UP, _MYSQL_TIME_IS_UP = 1969, 3024
_GAVE_UP = frozenset({ER.QUERY_INTERRUPTED, _MARIADB_TIME_IS_UP, _MYSQL_TIME_IS_UP})

Connection: TypeAlias = "pymysql.connections.Connection[Any]"
Kill = Callable[[int], None]  # ends the statement that runs on the connection of this number


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    condition: str  # {c} is the column, quoted
    level: Level
    sentence: str
    remedy: str


# MONTH() and not `= 0`: 2020-00-00 arrives as NULL just so.
_ZERO_DATE = _Question(
    condition="MONTH({c}) = 0 OR DAYOFMONTH({c}) = 0",
    level=Level.NOTE,
    sentence="holds zero dates (0000-00-00), which are NULL in the warehouse",
    remedy="nothing is to be done, unless they mean something else to you than NULL",
)
_UNDEFINED = _Question(
    condition=" OR ".join(f"INSTR(CAST({{c}} AS BINARY), x'{byte}') > 0" for byte in ("81", "8D", "8F", "90", "9D")),
    level=Level.WARN,
    sentence="declared latin1, but holds bytes that latin1 does not define: the log has lost them, and such rows are "
    "asked of the store anew",
    remedy="if the POS keeps another charset in it, say which with tables.real_charset",
)
_LIKE_UTF8 = _Question(
    condition="LENGTH({c}) <> CHAR_LENGTH(CONVERT(CAST({c} AS BINARY) USING utf8mb4)) AND "
    "CAST(CONVERT(CAST({c} AS BINARY) USING utf8mb4) AS BINARY) = CAST({c} AS BINARY)",
    level=Level.WARN,
    sentence="declared latin1, but looks like UTF-8: the warehouse gets the same unreadable characters as MySQL shows",
    remedy="say so with tables.real_charset, or declare in the store what the column really holds",
)


def look_at_values(
    connection: Connection, server: Server, captured: Iterable[StoredTable], kill: Kill
) -> Iterator[Finding]:
    """At most ASK_SECONDS of the store's time per column; `kill` serves servers that have no such limit themselves."""
    limits = [name for name in _MOST_STATEMENT_TIMES if name in server.variables]
    with connection.cursor() as cursor:
        for name in limits[:1]:
            cursor.execute(f"SET SESSION {name} = {_MOST_STATEMENT_TIMES[name]}")
        cursor.execute("SELECT CONNECTION_ID()")
        ((number,),) = cursor.fetchall()
    for table in captured:
        for column in table.columns:
            for question in _questions(column):
                found = _ask(connection, table, column, question, partial(kill, number))
                yield from _answer(table, column, question, found)


def _questions(column: StoredColumn) -> Iterator[_Question]:
    if column.type_name in DATES:
        yield _ZERO_DATE
    if column.type_name in TEXTS and column.charset == "latin1":
        yield _UNDEFINED
        yield _LIKE_UTF8


def _ask(
    connection: Connection, table: StoredTable, column: StoredColumn, question: _Question, give_up: Callable[[], None]
) -> bool | None:
    """Whether there is such a value; None if it could not be told in time."""
    condition = question.condition.format(c=quoted(column.name))
    try:
        with _bounded(give_up), connection.cursor() as cursor:
            cursor.execute(f"SELECT EXISTS(SELECT 1 FROM {quoted(table.name)} WHERE {condition} LIMIT 1)")
            return bool(cursor.fetchall()[0][0])
    except pymysql.err.MySQLError as error:
        if error.args and error.args[0] in _GAVE_UP:
            return None
        raise


@contextmanager
def _bounded(give_up: Callable[[], None]) -> Iterator[None]:
    # A second later than the server's own limit: MySQL before 5.7.8 has none.
    watch = threading.Timer(ASK_SECONDS + 1, give_up)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _answer(table: StoredTable, column: StoredColumn, question: _Question, found: bool | None) -> Iterator[Finding]:
    place = f"table {table.name}, column {column.name}"
    if found:
        yield Finding(
            level=question.level,
            subject=place,
            sentence=question.sentence,
            remedy=question.remedy,
            paste=_repair(table, column, question),
        )
    if found is None:
        yield Finding(
            level=Level.NOTE,
            subject=place,
            sentence=f"not looked through within {ASK_SECONDS} s; `tillstream verify` compares its values later",
        )


def _repair(table: StoredTable, column: StoredColumn, question: _Question) -> tuple[str, ...]:
    t, c = quoted(table.name), quoted(column.name)
    if question is _ZERO_DATE:
        value = "NULL" if column.nullable else "'1970-01-02'"
        return (f"UPDATE {t} SET {c} = {value} WHERE {question.condition.format(c=c)};",)
    if question is _LIKE_UTF8:
        return (  # by way of binary, so that the bytes stay as they are
            f"ALTER TABLE {t} MODIFY {c} {_binary(column)};",
            f"ALTER TABLE {t} MODIFY {c} {column.column_type} CHARACTER SET utf8mb4;",
        )
    return ()


def _binary(column: StoredColumn) -> str:
    return column.column_type.replace("char", "binary").replace("text", "blob")
