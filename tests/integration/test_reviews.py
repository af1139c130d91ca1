"""Values that people decide: the queue, a decision while the stores have what the person saw, and its undoing."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from decided import DecidedChain, agreed_right

from sinks.deadlines import end_what_is_due

POLICIES = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    columns: {points: {rule: sum}, name: {rule: review, then: latest}, level: {rule: equal_or_flag, then: max}}
"""
KEY = "+8613800138000"
CENTRAL = f"SELECT name, level, _contested FROM central.members WHERE _key = '{KEY}'"


@pytest.fixture
def chain(tmp_path: Path, fresh_database: str) -> Iterator[DecidedChain]:
    """A member in two stores, who spell the name alike."""
    with closing(DecidedChain(tmp_path, fresh_database, POLICIES)) as chain:
        for store in chain.stores.values():
            store.snapshot()
            store.insert("members", {"id": 1, "phone": "13800138000", "name": "王维", "points": 1, "level": 1})
            store.tick(60)
        chain.take_in()
        yield chain


def test_a_review_is_opened_decided_and_reopened(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """The value that `then` computes stands until a person decides; the decision holds until a store has another value,
    and undoing it is one command. `verify` agrees at every step."""
    assert chain.tillstream("reviews", "list") == 0
    assert capsys.readouterr().out == "nothing waits to be decided by a person\n"
    differ(chain, "s2", "王伟")
    assert chain.rows(CENTRAL) == [("王伟", 1, ["name"])]
    (review,) = listed(chain, capsys)
    assert (review["table"], review["key"], review["column"], review["provisional"]) == ("members", KEY, "name", "王伟")
    assert chain.tillstream("status") == 1
    assert "1 value waits to be decided by a person" in capsys.readouterr().out

    decide(chain, review["id"], "--value", "王维之", "--reason", "asked him")
    assert chain.rows(CENTRAL) == [("王维之", 1, [])]
    assert listed(chain, capsys) == []
    chain.stores["s1"].update("members", (1,), points=9)  # nothing that was asked about
    chain.take_in()
    assert chain.rows(CENTRAL) == [("王维之", 1, [])]
    assert chain.tillstream("explain", "members", KEY, "name") == 0
    told = capsys.readouterr().out
    assert "decided by" in told
    assert "asked him" in told
    agreed_right(chain)

    differ(chain, "s1", "王惟")
    assert chain.rows(CENTRAL) == [("王惟", 1, ["name"])]
    (again,) = listed(chain, capsys)
    assert again["id"] != review["id"]
    decide(chain, again["id"], "--store", "s2", "--for-good")
    differ(chain, "s1", "王围")
    assert chain.rows(CENTRAL) == [("王伟", 1, [])], "for good, whatever the stores have"
    agreed_right(chain)

    assert chain.tillstream("reviews", "reopen", str(again["id"])) == 0
    chain.work()
    assert chain.rows(CENTRAL) == [("王围", 1, ["name"])]
    assert len(listed(chain, capsys)) == 1
    agreed_right(chain)
    capsys.readouterr()
    assert chain.tillstream("reviews", "show", str(again["id"])) == 0
    shown = capsys.readouterr().out
    assert '  store s2  "王伟"' in shown
    assert "for good, ended" in shown


def test_a_decision_until_a_moment_ends_by_itself(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """It holds whatever the stores have, and goes on to hold until `run` has recorded that its time is over, so that
    `verify` agrees at every moment. Then a review is open anew, unless the stores have come to agree."""
    differ(chain, "s2", "王伟")
    (review,) = listed(chain, capsys)
    decide(chain, review["id"], "--store", "s1", "--until", "2999-12-31", "--reason", "till he is back")
    assert chain.rows(CENTRAL) == [("王维", 1, [])]
    differ(chain, "s2", "王围")
    assert chain.rows(CENTRAL) == [("王维", 1, [])], "whatever the stores have"
    end_what_is_due(chain.warehouse)
    chain.work()
    assert chain.rows(CENTRAL) == [("王维", 1, [])], "it is not over"
    capsys.readouterr()
    assert chain.tillstream("explain", "members", KEY, "name") == 0
    told = capsys.readouterr().out
    assert "until 2999-12-31 00:00:00 UTC: till he is back" in told
    assert "or that 2999-12-31 00:00:00 UTC has come" in told

    chain.rows("UPDATE tillstream.decisions SET until = now() RETURNING 1")
    agreed_right(chain)
    assert chain.rows(CENTRAL) == [("王维", 1, [])], "nobody has recorded it"
    end_what_is_due(chain.warehouse)
    chain.work()
    assert chain.rows(CENTRAL) == [("王围", 1, ["name"])]
    agreed_right(chain)
    (again,) = listed(chain, capsys)
    assert again["id"] != review["id"]
    assert chain.tillstream("reviews", "show", str(again["id"])) == 0
    assert "UTC, ended" in capsys.readouterr().out

    decide(chain, again["id"], "--null", "--until", "2999-12-31T08:00+08:00")
    assert chain.rows(CENTRAL) == [(None, 1, [])]
    differ(chain, "s1", "王围")
    chain.rows("UPDATE tillstream.decisions SET until = now() WHERE ended_at IS NULL RETURNING 1")
    end_what_is_due(chain.warehouse)
    chain.work()
    assert chain.rows(CENTRAL) == [("王围", 1, [])]
    assert listed(chain, capsys) == []
    agreed_right(chain)


def test_stores_that_agree_again_close_it(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """So does a policy by which nobody is asked any more; a value that is only to be flagged asks nobody."""
    differ(chain, "s2", "王伟")
    differ(chain, "s1", "王伟")
    assert listed(chain, capsys) == []
    assert chain.rows(CENTRAL) == [("王伟", 1, [])]
    chain.stores["s1"].update("members", (1,), level=3)
    chain.take_in()
    assert chain.rows(CENTRAL) == [("王伟", 3, ["level"])]
    differ(chain, "s2", "王维")
    assert len(listed(chain, capsys)) == 1
    chain.apply(POLICIES.replace("{rule: review, then: latest}", "{rule: latest}"))
    assert listed(chain, capsys) == []
    agreed_right(chain)


def test_what_cannot_be_decided_says_why(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """A number that is none, a store without such a value, two values at once, one that the column cannot hold."""
    chain.apply(POLICIES.replace("points: {rule: sum}", "points: {rule: review}"))
    chain.stores["s1"].update("members", (1,), points=9)
    chain.take_in()
    (review,) = listed(chain, capsys)
    for arguments, code, told in (
        (["9", "--null"], 1, "there is no review 9"),
        ([str(review["id"]), "--store", "s9"], 2, "none of those that differ: s1, s2"),
        ([str(review["id"]), "--store", "s1", "--null"], 2, "say one of --value, --null and --store"),
        ([str(review["id"]), "--value", "many"], 1, "members.points cannot be 'many'"),
        ([str(review["id"]), "--null", "--until", "2026-01-01"], 1, "2026-01-01 00:00:00+00:00 has come already"),
        ([str(review["id"]), "--null", "--until", "soon"], 2, "is no time; write it as 2026-12-31"),
        ([str(review["id"]), "--null", "--until", "2999-12-31", "--for-good"], 2, "one of --for-good and --until"),
    ):
        assert chain.tillstream("reviews", "decide", *arguments) == code
        assert told in " ".join(capsys.readouterr().err.split())
    assert chain.tillstream("reviews", "reopen", str(review["id"])) == 1
    assert "nothing stands decided" in capsys.readouterr().err


def differ(chain: DecidedChain, store: str, name: str) -> None:
    for each in chain.stores.values():
        each.tick(60)
    chain.stores[store].update("members", (1,), name=name)
    chain.take_in()


def decide(chain: DecidedChain, number: int, *arguments: str) -> None:
    assert chain.tillstream("reviews", "decide", str(number), *arguments) == 0
    chain.work()


def listed(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert chain.tillstream("reviews", "list", "--output", "json") == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)["reviews"]
    return found
