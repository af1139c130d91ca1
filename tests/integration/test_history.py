"""What became of agreed values: kept by the warehouse itself, told by `explain`, on a real PostgreSQL."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from decided import DecidedChain
from fake_store import column

from conflict.clock import Look
from sinks.clock_looks import ClockLooks
from sinks.history import keep_for, let_go
from sinks.policy_switch import switch_policy
from sinks.row_codec import Shapes

POLICIES = """\
version: 4
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    columns:
      points: {rule: sum}
      level: {rule: review, then: max}
  products:
    scope: shared
    key: {region: upper, sku: upper}
"""
KEY, OTHER = "+8613800138000", "+8613800138001"


@pytest.fixture
def chain(tmp_path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecidedChain]:
    """One member in both stores, who differ about the name; s2 was asked for it last."""
    monkeypatch.setenv("POS_PASSWORD", "x")
    with closing(DecidedChain(tmp_path, fresh_database, POLICIES)) as made:
        for name, points in (("s1", 30), ("s2", 12)):
            member = {"id": 7, "phone": "138 0013 8000", "name": name, "points": points, "level": 1}
            made.stores[name].snapshot()
            made.stores[name].insert("members", member)
            made.take_in([name])
            made.stores[name].tick(3600)
        yield made


def history(chain: DecidedChain, capsys: pytest.CaptureFixture[str], *asked: str) -> list[dict[str, Any]]:
    """The latest first."""
    capsys.readouterr()
    assert chain.tillstream("explain", "members", *(asked or (KEY,)), "--output", "json") == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["history"]
    return found


def last(chain: DecidedChain, capsys: pytest.CaptureFixture[str], *asked: str) -> tuple[Any, ...]:
    return facts(history(chain, capsys, *asked)[0])


def facts(each: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(each[name] for name in ("column", "before", "value", "winner_before", "winner", "reason"))


def test_a_change_of_a_store_is_told_with_both_values_and_winners(
    chain: DecidedChain, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only what changed, in one entry a column; a value that stays is not told, whoever has it now."""
    chain.stores["s1"].update("members", (7,), name="s2", points=31)  # by now both say s2
    chain.take_in()
    found = history(chain, capsys)
    assert [facts(each) for each in found] == [
        ("points", "42", "43", None, None, "store s1"),
        ("name", "s1", "s2", "s1", "s2", "store s2"),
        ("points", "30", "42", None, None, "store s2"),
        (None, None, None, None, None, "store s1"),
    ]
    assert {(each["version_before"], each["version"]) for each in found} == {(4, 4), (None, 4)}
    assert [each["column"] for each in history(chain, capsys, KEY, "points")] == ["points", "points", None]
    capsys.readouterr()
    assert chain.tillstream("explain", "members", KEY, "name") == 0
    assert 'UTC  name was "s1" of store s1, became "s2" of store s2: store s2\n' in capsys.readouterr().out


def test_a_row_that_goes_and_comes_back(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """The values that were lost are told, and that it came to be again."""
    for store in chain.stores.values():
        store.delete("members", (7,))
    chain.take_in()
    chain.stores["s2"].insert("members", {"id": 8, "phone": "13800138000", "name": "Li", "points": 1, "level": 1})
    chain.take_in()
    came, *gone = history(chain, capsys)[:5]
    assert facts(came) == (None, None, None, None, None, "store s2")
    assert facts(gone[1]) == ("name", "s2", None, "s2", None, "store s1, s2")
    assert {each["version"] for each in gone[:3]} == {None}
    capsys.readouterr()
    assert chain.tillstream("explain", "members", KEY) == 0
    assert capsys.readouterr().out.count("is gone") == 1


def test_why_a_value_changed_that_no_store_changed(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """A policy, a quarantine, a person's word, and a merge of two keys each say so."""
    chain.apply(POLICIES.replace("version: 4", "version: 5").replace("rule: sum", "rule: max"))
    assert last(chain, capsys) == ("points", "42", "30", None, "s1", "policy version 5")
    assert [history(chain, capsys)[0][name] for name in ("version_before", "version")] == [4, 5]

    since = "2026-01-01T00:00+00:00"
    assert chain.tillstream("quarantine", "add", "s1", "--since", since, "--reason", "mad", "--yes") == 0
    chain.work()
    *_, reason = last(chain, capsys, KEY, "points")
    assert reason.startswith("quarantine 1 of store s1 by ")
    assert reason.endswith(": mad")
    assert chain.tillstream("quarantine", "lift", "1") == 0
    chain.work()
    assert last(chain, capsys, KEY, "points") == (
        "points", "12", "30", "s2", "s1", "quarantine 1 of store s1 was lifted"
    )  # fmt: skip

    chain.stores["s1"].update("members", (7,), level=2)
    chain.take_in()
    ((review,),) = chain.rows("SELECT id FROM tillstream.reviews WHERE column_name = 'level' AND closed_at IS NULL")
    assert chain.tillstream("reviews", "decide", str(review), "--value", "1", "--reason", "asked him") == 0
    chain.work()
    column, before, value, winner_before, winner, reason = last(chain, capsys, KEY, "level")
    assert (column, before, value, winner_before, winner) == ("level", "2", "1", "s1", None)
    assert reason.startswith(f"review {review} decided by ")

    chain.stores["s2"].insert("members", {"id": 9, "phone": "13800138001", "name": "x", "points": 99, "level": 1})
    chain.take_in()
    assert chain.tillstream("identity", "accept", "members", KEY, OTHER, "--reason", "same", "--yes") == 0
    chain.work()
    merged = [facts(each) for each in history(chain, capsys, KEY, "points") if each["key"] == KEY]
    assert merged[0][:5] == ("points", "30", "99", "s1", "s2")
    assert merged[0][5].startswith("identity 1 by ")
    gone = next(each for each in history(chain, capsys, KEY, "name") if each["key"] == OTHER)
    assert (gone["version"], gone["column"], gone["before"]) == (None, "name", "x")


def test_a_corrected_clock_is_the_reason(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """s2 was four hours fast: what it said last it said first."""
    hours_us = 4 * 3_600_000_000
    epoch, file, pos = chain.rows("SELECT epoch, file, pos FROM tillstream.ledger WHERE store = 's2'")[0]
    look = Look(place=(epoch, file, pos), began_us=0, ended_us=1, offset_us=hours_us, uncertainty_us=1_000)
    assert ClockLooks(chain.warehouse).look("s2", look) == hours_us
    chain.work()
    assert last(chain, capsys) == ("name", "s2", "s1", "s2", "s1", "the clock of store s2")


def test_a_column_that_is_added_has_a_history_from_then_on(
    chain: DecidedChain, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a name that wants quoting in every language it passes through."""
    odd = "ni\"ck'%s"
    for store in chain.stores.values():
        store.add_column("members", column(odd, "VARCHAR", length=40, charset_name="utf8mb4"))
    chain.stores["s1"].update("members", (7,), **{odd: 'a "quoted" \\ one'})
    chain.take_in()
    assert last(chain, capsys) == (odd, None, 'a "quoted" \\ one', None, "s1", "store s1; the columns of store s1")


def test_how_long_it_is_kept_is_a_tables_own(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """What is older goes a little at a time; of a table whose history is off nothing is kept, nor any trigger left."""
    shapes = Shapes(chain.policy)
    chain.rows("UPDATE tillstream.history SET at = at - interval '2 days' WHERE changes IS NULL RETURNING 1")
    keep_for(chain.warehouse, {"*": 3 * 86_400.0, "members": 86_400.0})
    switch_policy(chain.warehouse, shapes)
    assert let_go(chain.warehouse) == 1
    assert let_go(chain.warehouse) == 0
    assert [each["column"] for each in history(chain, capsys)] == ["name", "points"]

    keep_for(chain.warehouse, {"*": 3 * 86_400.0, "members": 0.0})
    switch_policy(chain.warehouse, shapes)
    let_go(chain.warehouse)
    chain.stores["s1"].update("members", (7,), points=99)
    chain.take_in()
    assert history(chain, capsys) == []
    assert chain.rows("SELECT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal GROUP BY 1") == [
        ("central.products",)
    ]
