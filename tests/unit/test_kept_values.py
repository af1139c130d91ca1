"""Which ALTERs leave every stored value as it is. MySQL tells of none that it rewrites."""

from typing import Any

import pytest

from sinks.kept_values import keeps_values, nothing_holds_both, rewritten
from tillstream.envelope import DeclaredColumn


def column(type_name: str, length: int | None = None, scale: int | None = None, **facts: Any) -> DeclaredColumn:
    return DeclaredColumn(name="c", type_name=type_name, position=1, length=length, scale=scale, **facts)


def text(type_name: str, length: int | None = None, charset: str = "utf8mb4", **facts: Any) -> DeclaredColumn:
    return column(type_name, length, charset_name=charset, **facts)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (column("INT"), column("BIGINT")),
        (column("INT"), column("BIGINT UNSIGNED")),
        (column("SMALLINT"), column("DECIMAL", 10, 2)),
        (column("DECIMAL", 8, 2), column("DECIMAL", 10, 2)),
        (column("FLOAT"), column("DOUBLE")),
        (column("DATETIME"), column("DATETIME", 3)),
        (column("VARBINARY", 10), column("VARBINARY", 20)),
        (column("VARBINARY", 10), column("BLOB")),
        (text("VARCHAR", 20), text("VARCHAR", 40)),
        (text("VARCHAR", 200), text("TEXT")),
        (text("CHAR", 20), text("VARCHAR", 20)),
        (text("ENUM", enum_values=["a"]), text("ENUM", enum_values=["b", "a"])),
        (text("ENUM", enum_values=["small", "b"]), text("VARCHAR", 5)),
        (text("SET", enum_values=["a", "b"]), text("VARCHAR", 3)),
    ],
)
def test_what_only_makes_room_is_followed(was: DeclaredColumn, now: DeclaredColumn) -> None:
    """Wider numbers, longer texts, more digits of a second, more members."""
    assert keeps_values(was, now)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (column("BIGINT"), column("INT")),
        (column("DECIMAL", 8, 2), column("DECIMAL", 8, 1)),
        (column("DECIMAL", 8, 2), column("DECIMAL", 8, 3)),  # five digits before the point and no longer six
        (column("DOUBLE"), column("DOUBLE", 10, 2)),
        (column("DOUBLE"), column("FLOAT")),
        (column("DATETIME", 3), column("DATETIME")),
        (column("VARBINARY", 20), column("VARBINARY", 10)),
        (column("BLOB"), column("VARBINARY", 10)),
        (column("BLOB"), column("TINYBLOB")),
        (column("BINARY", 3), column("BINARY", 5)),
        (column("VARBINARY", 3), column("BINARY", 5)),
        (text("VARCHAR", 40), text("VARCHAR", 20)),
        (text("LONGTEXT"), text("TEXT")),
        (text("VARCHAR", 300), text("TINYTEXT")),
        (text("ENUM", enum_values=["a", "b"]), text("ENUM", enum_values=["a"])),
        (text("VARCHAR", 1), text("ENUM", enum_values=["a"])),
        (text("ENUM", enum_values=["small"]), text("VARCHAR", 3)),
        (text("SET", enum_values=["a", "b"]), text("VARCHAR", 2)),
    ],
)
def test_what_may_cut_or_round_is_not(was: DeclaredColumn, now: DeclaredColumn) -> None:
    """Also where it fits mostly: without strict mode MySQL cuts the rest off and goes on."""
    assert not keeps_values(was, now)


@pytest.mark.parametrize(
    ("was", "now", "rewrites"),
    [
        (column("INT"), column("INT", optional=False), "{c} IS NULL"),
        (column("INT"), column("INT UNSIGNED"), "{c} < 0"),
        (column("DECIMAL", 8, 2), column("DECIMAL UNSIGNED", 8, 2), "{c} < 0"),
        (column("INT"), column("DECIMAL", 6, 2), "abs({c}) >= 1e4"),
        (text("VARCHAR", 9), text("VARCHAR", 9, "latin1"), "octet_length({c}) <> length({c})"),
        (text("VARCHAR", 9), text("VARCHAR", 9, "utf8mb3"), r"{c} ~ '[\U00010000-\U0010FFFF]'"),
        (text("VARCHAR", 9), text("CHAR", 9), "right({c}, 1) = ' '"),
    ],
)
def test_some_depend_on_what_is_stored(was: DeclaredColumn, now: DeclaredColumn, rewrites: str) -> None:
    """NOT NULL makes 0 of NULL, UNSIGNED 0 of −1, latin1 `?` of 张: the warehouse is asked whether there are such."""
    assert keeps_values(was, now)
    assert list(rewritten(was, now)) == [rewrites]


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (column("INT", optional=False), column("BIGINT")),
        (text("VARCHAR", 9, "latin1"), text("VARCHAR", 9)),
        (text("VARCHAR", 9, "gbk"), text("VARCHAR", 9, "utf8")),
        (column("INT UNSIGNED"), column("BIGINT UNSIGNED")),
    ],
)
def test_the_usual_ways_need_no_look(was: DeclaredColumn, now: DeclaredColumn) -> None:
    """To utf8mb4, to NULL, to a longer number of the same kind; from utf8 only what it never held is looked for."""
    assert keeps_values(was, now)
    assert not [each for each in rewritten(was, now) if "U0001" not in each]


def test_types_that_nothing_holds_both_of() -> None:
    """A number that became a text, or a date one with a zone, has no common column in PostgreSQL."""
    assert nothing_holds_both(column("INT"), text("VARCHAR", 20))
    assert nothing_holds_both(column("DATETIME"), column("TIMESTAMP"))
    assert not nothing_holds_both(column("INT"), column("DECIMAL", 10, 2))
