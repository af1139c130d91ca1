"""What an account may do is read from SHOW GRANTS of every version, and what is lacking is named."""

import pytest
from catalog import a_store

from connectors.rights import lacking, least_grants, rights_of

NEEDED = "GRANT RELOAD, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `t`@`%`"


@pytest.mark.parametrize(
    "lines",
    [
        ["GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' IDENTIFIED BY PASSWORD '*81F5' WITH GRANT OPTION"],
        ["GRANT SELECT, RELOAD, SHOW DATABASES, LOCK TABLES, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `t`@`%`"],
        [NEEDED, "GRANT SELECT ON `pos`.* TO `t`@`%`"],
        [NEEDED, "GRANT ALL PRIVILEGES ON `pos`.* TO `t`@`%`"],
        [NEEDED, "GRANT SELECT ON `p%`.* TO `t`@`%`"],
        [NEEDED, "GRANT SELECT, INSERT ON `pos`.`members` TO `t`@`%`"],
        ["GRANT RELOAD, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `t`@`%`", "GRANT SELECT ON `pos`.* TO `t`@`%`"],
    ],
)
def test_enough_is_enough(lines: list[str]) -> None:
    """However it was granted, by 5.6, 8.x or MariaDB."""
    assert lacking(rights_of(lines), "pos") == ()


@pytest.mark.parametrize(
    ("lines", "missing"),
    [
        ([NEEDED], ("SELECT",)),
        ([NEEDED, "GRANT SELECT ON `other`.* TO `t`@`%`"], ("SELECT",)),
        ([NEEDED, "GRANT SELECT ON `po\\_`.* TO `t`@`%`"], ("SELECT",)),
        ([NEEDED, "GRANT SELECT (id), INSERT ON `pos`.`members` TO `t`@`%`"], ("SELECT",)),
        ([NEEDED, "GRANT SELECT ON *.* TO `t`@`%`", "REVOKE SELECT ON `pos`.* FROM `t`@`%`"], ("SELECT",)),
        (["GRANT SELECT ON *.* TO `t`@`%`"], ("RELOAD", "REPLICATION SLAVE", "REPLICATION CLIENT")),
        (["GRANT USAGE ON *.* TO `t`@`%`"], ("SELECT", "RELOAD", "REPLICATION SLAVE", "REPLICATION CLIENT")),
        (["GRANT `reader`@`%` TO `t`@`%`"], ("SELECT", "RELOAD", "REPLICATION SLAVE", "REPLICATION CLIENT")),
    ],
)
def test_what_is_lacking_is_named(lines: list[str], missing: tuple[str, ...]) -> None:
    """Another database's SELECT, single columns and partial revokes do not count."""
    assert lacking(rights_of(lines), "pos") == missing


def test_a_pattern_in_a_grant_is_a_pattern() -> None:
    """`_` stands for any one character unless it is escaped."""
    rights = rights_of([r"GRANT SELECT ON `my\_p_s`.* TO `t`@`%`"])
    assert rights.may_select("my_pos")
    assert not rights.may_select("myxpos")


def test_every_table_that_is_read_needs_its_right() -> None:
    """A table that the user may not see is captured by nobody, and nobody says so."""
    rights = rights_of([NEEDED, "GRANT SELECT ON `pos`.`members` TO `t`@`%`"])
    assert lacking(rights, "pos", tables=["members"]) == ()
    assert lacking(rights, "pos", tables=["members", "sales"]) == ("SELECT",)


def test_the_statements_quote_what_needs_quoting() -> None:
    """A database's name is a pattern in a GRANT."""
    first, _ = least_grants(a_store(database="pos_1`x", user="o'neil"))
    assert first == r"GRANT SELECT, LOCK TABLES ON `pos\_1``x`.* TO 'o''neil'@'%';"
