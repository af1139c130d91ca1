"""A policy's own tests and its keys beside what a real PostgreSQL decides."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from decided import DecidedChain

POLICIES = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    columns: {points: {rule: sum}, level: {rule: earliest}}
"""
AS_IT_WAS = """\
tests:
  - name: as it was
    given:
      members:
        - {store: s2, phone: 012-345 6789, name: old, points: 12, level: 2,
           _snapshot: true, _at: {name: 2026-01-01 12:03}}
        - {store: s1, phone: +60 12-345 6789, name: new, points: 30, level: 5,
           _at: {name: 2026-01-01 12:03:20, "*": 2026-01-01 12:01}, _since: 2026-01-01 12:00:30}
        - {store: s1, phone: 012-345 6790, name: gone, points: 1, level: 1, _deleted: true}
    expect:
      members:
        - {phone: "+60123456789", name: new, points: 42, level: 2,
           _winners: {name: s1, level: s2}, _contested: [name]}
"""


@pytest.fixture
def chain(tmp_path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecidedChain]:
    """A member of both stores, one of whose numbers has no country, and one who is gone."""
    monkeypatch.setenv("POS_PASSWORD", "x")
    monkeypatch.chdir(tmp_path)
    with closing(DecidedChain(tmp_path, fresh_database, POLICIES)) as made:
        one, two = made.stores["s1"], made.stores["s2"]
        two.insert("members", {"id": 1, "phone": "012-345 6789", "name": "first", "points": 12, "level": 2})
        one.snapshot()
        two.snapshot()
        one.tick(30)
        one.insert("members", {"id": 7, "phone": "+60 12-345 6789", "name": "x", "points": 1, "level": 9})
        one.insert("members", {"id": 8, "phone": "012-345 6790", "name": "gone", "points": 1, "level": 1})
        one.tick(30)
        one.update("members", (7,), points=30, level=5)
        one.delete("members", (8,))
        one.tick(140)
        one.update("members", (7,), name="new")
        two.tick(180)
        two.update("members", (1,), name="old")
        made.take_in()
        yield made


def test_a_key_of_another_region_and_a_test_that_says_the_same(
    chain: DecidedChain, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `phone_cn` they are two people; by the region's numbers one, as the policy's own test says."""
    keys = chain.rows("SELECT _key FROM central.members ORDER BY 1")
    assert keys == [("+60123456789",), ("+86123456789",)]
    chain.apply(POLICIES.replace("phone_cn", "phone:MY") + AS_IT_WAS)
    assert chain.rows("SELECT _key, name, points, level, _winners, _contested FROM central.members") == [
        ("+60123456789", "new", 42, 2, {"level": "s2", "name": "s1"}, ["name"])
    ]
    capsys.readouterr()
    assert chain.tillstream("policy", "test") == 0
    assert capsys.readouterr().out == "ok    as it was\n1 test, none failed\n"
