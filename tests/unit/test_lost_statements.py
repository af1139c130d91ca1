"""A statement that changes rows, where the log should have the rows: heard even where Debezium takes it for DDL."""

import pytest

from connectors import jvm


@pytest.mark.parametrize(
    "statement",
    [
        "/* till 3 */ INSERT INTO sale VALUES (1)",
        "/* till\n3 */\n/* x */UPDATE sale SET a = 1",
        "/**/ INSERT INTO sale VALUES (1)",
        "-- nightly\nDELETE FROM sale",
        "# nightly\nreplace into sale values (1)",
        "/*!40000 INSERT INTO sale VALUES (1) */",
        "WITH x AS (SELECT 1) UPDATE sale SET a = 1",
    ],
)
def test_a_statement_taken_for_ddl_is_told_as_lost_rows(statement: str) -> None:
    """Its comment is left out, so that the table it names is found."""
    assert _heard(statement) == [f"Received DML '{' '.join(_bare(statement).split())}' for processing"]


@pytest.mark.parametrize(
    "statement",
    [
        "/* INSERT */ CREATE TABLE t (a INT)",
        "ALTER TABLE t ADD b INT",
        "TRUNCATE t",
        "/* a */ " * 200 + "CREATE TABLE t (a INT)",
    ],
)
def test_ddl_is_no_lost_row(statement: str) -> None:
    """What Debezium reads rightly is not told."""
    assert _heard(statement) == []


def _heard(statement: str) -> list[str]:
    messages: list[str] = []

    def listen(thread: str, message: str) -> None:
        messages.append(message)

    jvm.on_warning(listen)
    try:
        jvm._tell("DEBUG", "blc-127.0.0.1:3306", f"Processing streaming DDL '{statement}' for database 'pos'")
    finally:
        jvm.no_more_warnings(listen)
    return messages


def _bare(statement: str) -> str:
    words = ("INSERT", "UPDATE", "DELETE", "replace", "WITH")
    return statement[min(at for at in map(statement.find, words) if at >= 0) :]
