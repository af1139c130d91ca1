"""What the rows that are there get when a column is added, worked out from the statement or refused."""

from typing import Any

import pytest

from sinks.defaults import value_of_old_rows
from tillstream.envelope import DeclaredColumn


def column(type_name: str, default: str | None, **facts: Any) -> DeclaredColumn:
    """As Debezium declares it: a default without its quotes, the members of an ENUM as SQL literals."""
    given = {"optional": True, **facts}
    return DeclaredColumn(name="c", type_name=type_name, position=1, default_value_expression=default, **given)


REQUIRED = {"optional": False}
SIZES = {"enum_values": ["'S'", "'it''s'", "'a,b'"]}


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (column("INT", None), None),
        (column("INT", None, **REQUIRED), "0"),
        (column("INT", "+4"), "4"),
        (column("INT UNSIGNED ZEROFILL", "7"), "7"),
        (column("BOOL", "TRUE"), "1"),
        (column("TINYINT", "false"), "0"),
        (column("DECIMAL", "7", scale=2, length=10), "7.00"),
        (column("DECIMAL UNSIGNED", "1.005", scale=2, length=10), "1.01"),
        (column("DECIMAL", "0.1", scale=30, length=65), "0." + "1".ljust(30, "0")),
        (column("DOUBLE", "1e3"), "1000.0"),
        (column("FLOAT", "1.005", scale=2, length=7), "1.01"),
        (column("BIT", "1", length=1), "true"),
        (column("BIT", None, length=1, **REQUIRED), "0"),
        (column("BIT", "100000001", length=9), "257"),
        (column("YEAR", "1999"), "1999"),
        (column("VARCHAR", "it''s \\\\ \\'x\\' \\%", length=20), "it's \\ 'x' \\%"),
        (column("VARCHAR", "x  ", length=5), "x  "),
        (column("CHAR", "x  ", length=5), "x"),
        (column("CHARACTER VARYING", "x  ", length=5), "x  "),
        (column("TEXT", None, **REQUIRED), ""),
        (column("ENUM", None, **REQUIRED, **SIZES), "S"),
        (column("ENUM", "s", **SIZES), "S"),
        (column("ENUM", "a,b", **SIZES), "a,b"),
        (column("SET", "b,a", enum_values=["'a'", "'b'"]), "a,b"),
        (column("SET", None, enum_values=["'a'"], **REQUIRED), ""),
        (column("VARBINARY", "ab", length=9), "\\x6162"),
        (column("BINARY", "a", length=3), "\\x610000"),
        (column("BINARY", None, length=3, **REQUIRED), "\\x000000"),
        (column("DATE", "2024-02-29"), "2024-02-29"),
        (column("DATETIME", "2020-01-02 03:04:05.678", length=3), "2020-01-02 03:04:05.678"),
        (column("TIME", "-10:00:00.25", length=2), "-10:00:00.25"),
        (column("TIME", None, **REQUIRED), "00:00:00"),
    ],
    ids=repr,
)
def test_a_constant_default_is_worked_out(declared: DeclaredColumn, value: str | None) -> None:
    """The text that PostgreSQL reads as the value that MySQL stored; None for NULL."""
    assert value_of_old_rows(declared, "ALTER TABLE t ADD c ...") == value


@pytest.mark.parametrize(
    "declared",
    [
        column("DATETIME", "1970-01-01 00:00:00"),  # how CURRENT_TIMESTAMP looks
        column("DATETIME", "2020-01-02 03:04:05.678"),  # MySQL rounds it
        column("DATETIME", "20200102030405"),
        column("DATETIME", "0000-00-00 00:00:00"),
        column("TIMESTAMP", "2024-06-01 12:00:00"),  # in whose time zone?
        column("DATE", "0000-00-00"),
        column("DATE", "20240102"),
        column("DATE", None, **REQUIRED),
        column("TIME", "12:30"),
        column("YEAR", "99"),
        column("INT", "ten"),
        column("ENUM", "XL", **SIZES),
        column("VARBINARY", "é"),
    ],
    ids=repr,
)
def test_a_default_that_is_not_certain_is_refused(declared: DeclaredColumn) -> None:
    """ValueError: what the store's rows hold cannot be told from the statement."""
    with pytest.raises(ValueError, match=r"default"):
        value_of_old_rows(declared, "ALTER TABLE t ADD c ...")


@pytest.mark.parametrize(
    ("ddl", "told"),
    [
        ("ALTER TABLE t ADD c INT DEFAULT (1 + 1)", False),
        ("ALTER TABLE t ADD c INT DEFAULT 0x10", False),
        ("ALTER TABLE t ADD c INT DEFAULT x'10'", False),
        ("ALTER TABLE t ADD c INT AS (a + 1) STORED", False),
        ("ALTER TABLE t ADD c INT AUTO_INCREMENT UNIQUE", False),
        ("ALTER TABLE t ADD c VARCHAR(9) DEFAULT 'x' COMMENT 'AS (0x10) it''s DEFAULT ('", True),
        ("ALTER TABLE t ADD c ENUM('x','y') DEFAULT 'x'", True),
    ],
)
def test_values_that_a_statement_computes_are_refused(ddl: str, told: bool) -> None:
    """An expression, a counter, a hexadecimal literal: Debezium's reading of them is not the stored value."""
    declared = column("VARCHAR", "x", length=9)
    if told:
        assert value_of_old_rows(declared, ddl) == "x"
    else:
        with pytest.raises(ValueError, match="computed"):
            value_of_old_rows(declared, ddl)
