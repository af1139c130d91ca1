"""Whether a store's log is the one that was read, from what a look shows."""

import pytest

from connectors.history import SeenLog, broken
from tillstream.envelope import Witness

WITNESS = Witness(file="bin.000003", pos=500, events=("a", "b"))
SEEN = SeenLog(server_uuid="u", oldest=2, head=(3, 900), again=("a", "b"))


def seen(**given: object) -> SeenLog:
    facts = {name: getattr(SEEN, name) for name in ("server_uuid", "oldest", "head", "again")}
    return SeenLog(**{**facts, **given})


def test_the_same_log_gone_on_is_the_same() -> None:
    """Also where nothing was witnessed yet, or a 5.5 has no server_uuid."""
    assert broken((3, 900), "u", WITNESS, SEEN) is None
    assert broken((3, 800), "", None, seen(server_uuid="")) is None


def test_a_log_that_ends_before_what_was_read_is_another() -> None:
    """Reset, or a disk put back: of the same server, so that no person need be asked."""
    found = broken((3, 901), "u", WITNESS, SEEN)
    assert found is not None
    assert found.same_server
    assert "000003:901" in found.reason


@pytest.mark.parametrize("again", [("a", "c"), ("a",), None])
def test_other_events_where_it_was_seen_are_another_log(again: tuple[str, ...] | None) -> None:
    """Though its end lies behind what was read; None where the remembered place is the middle of an event now."""
    found = broken((3, 800), "u", WITNESS, seen(again=again))
    assert found is not None
    assert found.same_server
    assert "bin.000003:500" in found.reason


def test_a_place_that_was_purged_proves_nothing() -> None:
    """The log has gone on and thrown its old files away, as it should."""
    assert broken((5, 800), "u", WITNESS, seen(oldest=4, head=(5, 900), again=None)) is None


def test_another_server_is_told_apart_first() -> None:
    """Whatever its log looks like: a person has to say whether it is the store's."""
    found = broken((3, 900), "u", WITNESS, seen(server_uuid="v", head=(1, 4), again=None))
    assert found is not None
    assert not found.same_server
    assert "server_uuid" in found.reason
