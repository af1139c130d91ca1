"""What a person says of two keys, on a real PostgreSQL that the real worker fills: races, chains, other policies."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from decided import DecidedChain

from sinks import duplicates
from sinks.duplicates import Duplicates
from sinks.merging import Merging
from sinks.verification.central_comparison import CentralComparison
from tillstream.errors import RefusedError

POLICIES = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: exact}
    columns: {points: {rule: sum}, level: {rule: max}}
  products: {scope: shared, key: [region, sku]}
"""
WAITS = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
LONG_ENOUGH_SECONDS = 0.5  # for an accept that nothing holds up
WAIT_SECONDS = 20.0


@pytest.fixture
def chain(tmp_path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecidedChain]:
    """Members a and b in s1, c in s2."""
    monkeypatch.setenv("POS_PASSWORD", "x")
    with closing(DecidedChain(tmp_path, fresh_database, POLICIES)) as made:
        for store in made.stores.values():
            store.snapshot()
        made.stores["s1"].insert("members", member(1, "a", 1), member(2, "b", 10))
        made.stores["s2"].insert("members", member(1, "c", 100))
        made.take_in()
        yield made


def member(id_: int, phone: str, points: int) -> dict[str, Any]:
    return {"id": id_, "phone": phone, "name": phone, "points": points, "level": 1}


def accept(chain: DecidedChain, key: str, other: str) -> int:
    return Merging(chain.warehouse).accept(chain.policy, "members", key, other, reason="a test", author="tester")


def said(chain: DecidedChain, key: str, other: str) -> int:
    number = accept(chain, key, other)
    chain.take_in([])
    return number


def undone(chain: DecidedChain, number: int) -> None:
    Merging(chain.warehouse).undo(chain.policy, number, reason="", author="tester")
    chain.take_in([])


def points(chain: DecidedChain) -> dict[str, int]:
    """By central key, once `verify` has found central.* to be as the policy has it."""
    with chain.warehouse.transaction() as tx:
        (found,) = CentralComparison(tx, chain.policy, None).run(["members"])
    assert (found.differences, found.in_flux) == (0, 0), found.samples
    return dict(chain.rows("SELECT _key, points FROM central.members ORDER BY 1"))


def test_keys_that_hang_together_are_one_whatever_is_taken_back(chain: DecidedChain) -> None:
    """b under a, then c under b: all three are a; without the first, c stays with b."""
    first, second = said(chain, "a", "b"), said(chain, "b", "c")
    assert points(chain) == {"a": 111}
    undone(chain, first)
    assert points(chain) == {"a": 1, "b": 110}
    undone(chain, second)
    assert points(chain) == {"a": 1, "b": 10, "c": 100}


def test_what_comes_later_counts_under_the_key_that_stands_for_it(chain: DecidedChain) -> None:
    """A new row, one whose phone becomes the merged one, one that is deleted, and the table read anew."""
    said(chain, "a", "b")
    one, two = chain.stores.values()
    two.insert("members", member(2, "b", 1000))
    two.update("members", (1,), phone="b")
    chain.take_in()
    assert points(chain) == {"a": 1111}
    one.delete("members", (2,))
    chain.take_in()
    assert points(chain) == {"a": 1101}
    two.snapshot()
    chain.take_in()
    assert points(chain) == {"a": 1101}


def test_a_worker_in_the_middle_of_a_batch_is_waited_for(chain: DecidedChain) -> None:
    """It has read which key stands for which, and its row is not to be seen yet."""
    chain.stores["s2"].insert("members", member(2, "d", 1000))
    with chain.warehouse.transaction() as tx:
        tx.execute("INSERT INTO tillstream.keys VALUES ('members', 'd')")  # for it the worker waits, its row written
        worker = _started(chain.take_in)
        while not chain.rows(WAITS):
            assert worker.is_alive()
        person = _started(lambda: accept(chain, "a", "d"))
        person.join(LONG_ENOUGH_SECONDS)
        assert person.is_alive()
    for each in (worker, person):
        each.join(WAIT_SECONDS)
        assert not each.is_alive()
    chain.take_in([])
    assert points(chain) == {"a": 1001, "b": 10, "c": 100}


@pytest.mark.parametrize("seed", range(2))
def test_people_and_workers_at_once(chain: DecidedChain, seed: int) -> None:
    """Whatever changes while keys are said to be one and not to be, the end is as if nothing had happened at once."""
    chance, failures = random.Random(seed), []
    standing: list[int] = []

    def speak() -> None:
        merging = Merging(chain.warehouse)
        for _ in range(4):
            try:
                if standing and chance.random() < 0.4:
                    merging.undo(chain.policy, standing.pop(), reason="", author="tester")
                key, other = chance.sample("abcd", 2)
                standing.append(accept(chain, key, other))
            except RefusedError:  # they are one already
                continue
            except BaseException as error:
                failures.append(error)

    for _ in range(6):
        for store in chain.stores.values():
            for number in range(3, 7):
                store.insert("members", member(number, chance.choice("abcd"), number))
            for _ in range(5):
                store.update("members", (chance.choice([1, 3, 4, 5]),), phone=chance.choice("abcd"))
            store.delete("members", (6,))
            for number in (3, 4, 5):
                store.update("members", (number,), id=number + 10 * (1 + len(store.log)))
        threads = [_started(lambda name=name: chain.take_in([name])) for name in chain.stores] + [_started(speak)]
        for each in threads:
            each.join(WAIT_SECONDS)
            assert not each.is_alive()
        assert not failures
        chain.take_in([])
        points(chain)
    for number in standing:
        undone(chain, number)
    points(chain)
    assert not chain.rows("SELECT * FROM tillstream.aliases")
    assert not chain.rows("SELECT 1 FROM stores.members WHERE _key <> phone")


def test_under_other_key_columns_it_means_nothing(chain: DecidedChain) -> None:
    """A name may read as a phone did; with the old key it counts again."""
    said(chain, "a", "b")
    chain.apply(POLICIES.replace("phone: exact", "name: exact"))
    assert points(chain) == {"a": 1, "b": 10, "c": 100}
    chain.apply(POLICIES.replace("phone: exact", "phone: trim"))
    assert points(chain) == {"a": 11, "c": 100}


def test_explain_has_the_contests_of_both(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """Also that which the other key had before it counted under this one."""
    one, two = chain.stores.values()
    one.update("members", (2,), name="Wang")
    two.insert("members", member(2, "b", 5))
    chain.take_in()
    said(chain, "a", "b")
    for key in ("a", "b"):
        capsys.readouterr()
        assert chain.tillstream("explain", "members", key, "name", "--output", "json") == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["key"], [each["other_key"] for each in told["identities"]]) == ("a", ["b"])
        assert len(told["conflicts"]) == 2


def test_suggestions_are_bounded(chain: DecidedChain, monkeypatch: pytest.MonkeyPatch) -> None:
    """What many have in common makes no pairs, and where there are more than are looked at, that is told."""
    names = [member(10 + n, f"{n}" * 9, 1) | {"name": "Wang"} for n in range(3)]
    chain.stores["s1"].insert("members", *names)
    chain.take_in()

    def suggested() -> tuple[int, bool]:
        with chain.warehouse.transaction() as tx:
            found = Duplicates(tx, chain.policy, "members").suggest(at_least=0, most=20)
        return found.pairs, found.complete

    assert suggested() == (3, True)
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 2)
    assert suggested() == (2, False)
    monkeypatch.setattr(duplicates, "MOST_IN_BLOCK", 2)
    assert suggested() == (0, True)


def test_a_policy_that_is_tried_knows_it(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """Other rules, and another key of the same columns, are tried on the merged rows."""
    said(chain, "a", "b")
    for old, new in (("rule: sum", "rule: max"), ("phone: exact", "phone: upper")):
        (chain.directory / "new.yaml").write_text(POLICIES.replace(old, new))
        assert chain.tillstream("policy", "diff", str(chain.directory / "new.yaml")) == 0
    told = capsys.readouterr().out
    assert 'a: "11" -> "10"' in told
    assert "3 central rows" not in told


def test_a_warehouse_of_an_earlier_tillstream_gets_the_views(chain: DecidedChain) -> None:
    """At the next start of `run`, though its policies are what they were."""
    with chain.warehouse.transaction() as tx:
        tx.execute("DROP VIEW central.members_ids")
    chain.apply(POLICIES)
    assert ("s2", "1", "c") in chain.rows("SELECT _store, _pk, _key FROM central.members_ids")


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        (("accept", "members", "a", "a"), 1, "a and a are one key of members already"),
        (("accept", "members", "a", "x"), 1, "no store has a row of members under the key x"),
        (("accept", "members", "a", ""), 1, '"" identifies nothing by the key of members'),
        (("accept", "member", "a", "b"), 2, 'member is not a shared table of the policies; did you mean "members"?'),
        (("undo", "7"), 1, "no identity 7 stands; `tillstream identity list` shows those that do"),
        (("suggest", "product"), 2, 'product is not a shared table of the policies; did you mean "products"?'),
        (("suggest", "products"), 1, "central.products has no column of text or dates by which its rows could be"),
        (("accept", "products", "a", "b"), 1, "the key of products has 2 parts, region, sku"),
        (("suggest", "members", "--at-least", "2"), 2, "at-least"),
    ],
)
def test_what_cannot_be_is_refused(
    chain: DecidedChain, capsys: pytest.CaptureFixture[str], asked: tuple[str, ...], code: int, told: str
) -> None:
    reason = ("--reason", "x", "--yes") if asked[0] == "accept" else ()
    assert chain.tillstream("identity", *asked, *reason) == code
    assert told in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not chain.rows("SELECT * FROM tillstream.identities")


def test_the_policies_in_force_are_those_that_count(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """Not those of the file, which nobody has applied yet."""
    (chain.directory / "policies.yaml").write_text(POLICIES.replace("{rule: sum}", "{rule: max}"))
    assert chain.tillstream("identity", "accept", "members", "a", "b", "--reason", "x", "--output", "json") == 1
    assert json.loads(capsys.readouterr().out)["merged"]["points"] == "11"


def _started(target: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread
