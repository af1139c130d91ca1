"""Whether a log is still the one that was read, and which tables a lost statement wrote."""

import pytest

from connectors.history import SeenLog, broken
from connectors.supervisor import _table_of
from tillstream.envelope import Witness

WITNESS = Witness(file="mysql-bin.000002", pos=400, events=("a", "b"))
SEEN = SeenLog(server_uuid="u", ends={2: 900, 3: 500}, head=(3, 500), again=("a", "b"))


def found(
    position: tuple[int, int],
    *,
    ends: dict[int, int] | None = None,
    again: tuple[str, ...] | None = ("a", "b"),
    witness: Witness | None = WITNESS,
) -> str:
    seen = SeenLog(server_uuid="u", ends=ends or dict(SEEN.ends), head=(3, 500), again=again)
    told = broken(position, "u", witness, seen)
    return told.reason if told else ""


def test_a_log_that_goes_on_is_not_broken() -> None:
    """At its end, in an older file, or where nothing was read yet."""
    assert found((3, 500)) == found((2, 900)) == found((0, 0), witness=None) == ""


def test_a_file_that_ends_before_what_was_read_of_it_is_another() -> None:
    """A crash took its end, or the disk was put back; the server has begun a new file since, so the end lies ahead."""
    assert "ends at 900, and was read up to 901" in found((2, 901))
    assert "ends at 900, and was read up to 901" in found((2, 901), witness=None)


def test_other_events_where_some_were_seen_are_another_log() -> None:
    """Unless the file was purged meanwhile."""
    assert "other events" in found((3, 500), again=("a", "c"))
    assert "other events" in found((3, 500), again=None)
    assert found((3, 500), ends={3: 500}, again=None) == ""


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("INSERT INTO sale VALUES (400, 4)", "sale"),
        ("insert ignore into `a sale`(a) values (1)", "a sale"),
        ("INSERT INTO sale SELECT * FROM other", "sale"),
        ("UPDATE sale SET total = total + 1 WHERE id = 2", "sale"),
        ("DELETE FROM sale WHERE id = 3", "sale"),
        ("DELETE FROM sale", "sale"),
        ("UPDATE a JOIN b SET b.x = 1", None),
        ("UPDATE a, b SET b.x = 1", None),
        ("DELETE s FROM member m JOIN sale s USING (id)", None),
        ("INSERT INTO pos.sale VALUES (1)", None),
    ],
)
def test_a_lost_statement_names_its_table_or_none(statement: str, table: str | None) -> None:
    """With none all tables are read: one of them named in its place would leave the written one as it is."""
    message = f"Received DML '{statement}' for processing, binlog probably contains events generated with statement"
    assert _table_of(message) == table


def test_another_server_is_told_apart_first() -> None:
    """Whatever its log looks like: a person has to say whether it is the store's. A 5.5 has no server_uuid."""
    seen = SeenLog(server_uuid="v", ends={1: 4}, head=(1, 4), again=None)
    told = broken((3, 500), "u", WITNESS, seen)
    assert told is not None
    assert not told.same_server
    assert "server_uuid" in told.reason
    assert broken((3, 500), "", WITNESS, SEEN) is None
