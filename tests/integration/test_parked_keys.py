"""Keys that a rule cannot decide stay as they were, are told of, and come back; nothing else waits for them."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from decided import DecidedChain, agreed_right
from shown import require_shown

POLICIES = """\
version: 1
tables:
  members:
    scope: shared
    key: {{phone: phone_cn}}
    columns:
      {rule}
"""
CONDITION = 'points: {rule: max, when: "name > 1 or level == 3", then: sum}'
PHONE, OTHER = "13800138000", "13900139000"


def policies(rule: str) -> str:
    return POLICIES.format(rule=rule)


@pytest.fixture
def chain(tmp_path: Path, fresh_database: str) -> Iterator[DecidedChain]:
    with closing(DecidedChain(tmp_path, fresh_database, policies(CONDITION))) as chain:
        for store in chain.stores.values():
            store.snapshot()
        yield chain


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """All that was printed since the last time, each blank as one."""
    printed = capsys.readouterr()
    return " ".join((printed.out + printed.err).split()) if not printed.out.startswith("{") else printed.out


def member(number: int, phone: str, name: str | None, points: int, level: int = 3) -> dict[str, object]:
    return {"id": number, "phone": phone, "name": name, "points": points, "level": level}


def points(chain: DecidedChain) -> dict[str, int]:
    return dict(chain.rows("SELECT phone, points FROM central.members ORDER BY phone"))


def parked(chain: DecidedChain) -> list[tuple[str, str, str]]:
    return chain.rows("SELECT key, column_name, reason FROM tillstream.parked_keys ORDER BY key")


def test_a_key_that_a_condition_fails_on_is_parked(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """Its row stays whole, other keys of the same batch go on; it is decided once the row that failed is another."""
    s1, s2 = chain.stores["s1"], chain.stores["s2"]
    s1.insert("members", member(1, PHONE, None, 5))
    chain.take_in()
    s2.insert("members", member(1, PHONE, "x", 9), member(2, OTHER, None, 1, level=2))
    chain.take_in()
    assert points(chain) == {f"+86{PHONE}": 5, f"+86{OTHER}": 1}
    reason = "when: name > 1 or level == 3: in the row of store s2 a text cannot be compared with a number"
    assert parked(chain) == [(f"+86{PHONE}", "points", reason)]

    assert chain.tillstream("status") == 1
    assert "1 key could not be decided by its rules: `tillstream parked list`" in shown(capsys)
    assert chain.tillstream("parked", "list") == 0
    assert f"members +86{PHONE} points: {reason}; since " in shown(capsys)
    assert chain.tillstream("parked", "retry") == 1
    assert "0 of 1 parked keys decided" in shown(capsys)
    assert chain.tillstream("explain", "members", PHONE, "points") == 0
    told = shown(capsys)
    assert "parked since" in told
    assert f"points: cannot be decided: {reason}" in told
    assert chain.tillstream("policy", "diff") == 0
    shown(capsys)
    agreed_right(chain)  # what is set aside is no difference

    s2.update("members", (1,), name=None)
    chain.take_in()
    assert points(chain)[f"+86{PHONE}"] == 9
    assert parked(chain) == []
    agreed_right(chain)


def test_another_policy_decides_what_was_parked(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """Tried before it counts, and after it counts; and one that cannot decide is tried as such."""
    chain.stores["s1"].insert("members", member(1, PHONE, "x", 5))
    chain.stores["s2"].insert("members", member(1, PHONE, None, 9), member(2, OTHER, None, 1))
    chain.take_in()
    assert [key for key, _, _ in parked(chain)] == [f"+86{PHONE}"]
    assert points(chain) == {f"+86{OTHER}": 1}
    (chain.directory / "new.yaml").write_text(policies('points: {rule: max, when: "level > name"}'))
    assert chain.tillstream("policy", "diff", str(chain.directory / "new.yaml"), "--output", "json") == 0
    (table,) = json.loads(shown(capsys))["tables"]
    assert table["undecided"] == {"count": 1, "samples": [{"key": f"+86{PHONE}", "why": (
        "points: when: level > name: in the row of store s1 a number cannot be compared with a text"
    )}]}  # fmt: skip
    chain.apply(policies("points: {rule: sum}"))
    assert points(chain) == {f"+86{PHONE}": 14, f"+86{OTHER}": 1}
    assert parked(chain) == []
    agreed_right(chain)


def test_a_column_that_no_store_has_is_refused(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the stores are known, with the one that was meant."""
    chain.stores["s1"].insert("members", member(1, PHONE, None, 5))
    chain.take_in()
    (chain.directory / "policies.yaml").write_text(policies('"*": {rule: latest, when: "levle == 3"}'))
    assert chain.tillstream("policy", "apply", "--yes") == 1
    assert 'no store has the column levle, which `when` names; did you mean "level"?' in shown(capsys)


def test_a_quarantine_is_shown_without_what_nobody_can_tell(
    chain: DecidedChain, capsys: pytest.CaptureFixture[str]
) -> None:
    """The preview says of how many keys that is."""
    chain.stores["s1"].insert("members", member(1, PHONE, "x", 5))
    chain.stores["s2"].insert("members", member(1, PHONE, None, 9))
    chain.take_in()
    verb = ["quarantine", "add", "s2", "--since", "2020-01-01T00:00", "--reason", "x"]
    assert chain.tillstream(*verb) == 1
    assert "of 1 keys nobody can tell" in shown(capsys)


# --- rules of one's own -----------------------------------------------------------------------------------

MODULE = """\
def level(rows):
    if any(row.value == 13 for row in rows):
        raise LookupError("thirteen")
    while any(row.value == 14 for row in rows):
        pass
    if any(row.value == 15 for row in rows):
        return rows[0].store
    if any(row.value == 16 for row in rows):
        return "sixteen"
    return max(row.value for row in rows)
"""
OWN = 'level: {python: "own:level", seconds: 0.3}'
BAD = {
    13: "own:level: own.py:3: LookupError: thirteen",
    14: "own:level took longer than 0.3 s",
    15: "own:level: it says something else when the rows come in another order",
    16: "a value of the type str does not fit the column, which is integer",
}


@pytest.fixture
def own(tmp_path: Path, fresh_database: str) -> Iterator[DecidedChain]:
    """A member in two stores, whose level a function of the chain's own decides."""
    (tmp_path / "own.py").write_text(MODULE)
    with closing(DecidedChain(tmp_path, fresh_database, policies(OWN))) as chain:
        for store in chain.stores.values():
            store.snapshot()
            store.insert("members", member(1, PHONE, "a", 0, level=1), member(2, OTHER, "b", 0, level=2))
        chain.take_in()
        yield chain


def levels(chain: DecidedChain) -> list[tuple[str, int]]:
    return chain.rows("SELECT name, level FROM central.members ORDER BY phone")


@pytest.mark.parametrize("bad", list(BAD))
def test_a_function_that_fails_parks_its_key_and_no_other(own: DecidedChain, bad: int) -> None:
    """By an error, over time, by the order of rows, by a value that the column cannot have: the row stays whole, in the
    same batch another key is decided, and the next change that it can decide brings it back."""
    assert levels(own) == [("a", 1), ("b", 2)]
    own.stores["s1"].tick(60)
    own.stores["s1"].update("members", (1,), level=bad, name="later")
    own.stores["s1"].update("members", (2,), level=5)
    own.take_in()
    assert levels(own) == [("a", 1), ("b", 5)]
    assert parked(own) == [(f"+86{PHONE}", "level", BAD[bad])]
    own.stores["s2"].update("members", (2,), level=7)  # with the process started anew
    own.take_in()
    assert levels(own) == [("a", 1), ("b", 7)]
    assert len(parked(own)) == 1
    agreed_right(own)
    own.stores["s1"].update("members", (1,), level=6)
    own.take_in()
    assert levels(own) == [("later", 6), ("b", 7)]
    assert parked(own) == []
    agreed_right(own)


def test_a_function_that_is_mended_is_another_policy(own: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """`diff` tries it, `apply` decides what was parked, and `rollback` has the function as it was, whatever stands in
    the directory by then."""
    own.stores["s1"].update("members", (1,), level=13)
    own.take_in()
    assert len(parked(own)) == 1
    assert own.tillstream("explain", "members", PHONE, "level") == 0
    assert f"level: cannot be decided: {BAD[13]} rule: python, function: own:level" in shown(capsys)
    (own.directory / "own.py").write_text("def level(rows):\n    return min(row.value for row in rows)\n")
    assert own.tillstream("policy", "diff", "--output", "json") == 0
    (table,) = json.loads(shown(capsys))["tables"]
    assert table["undecided"]["count"] == 0
    assert own.tillstream("policy", "apply", "--yes") == 0
    own.take_up()
    assert levels(own) == [("a", 1), ("b", 2)]
    assert parked(own) == []
    agreed_right(own)
    (own.directory / "own.py").write_text("this is no Python")
    assert own.tillstream("policy", "apply", "--yes") == 1
    assert "policies.yaml:7: tables.members.columns.level.python: own:level cannot be imported" in shown(capsys)
    assert own.tillstream("policy", "rollback", "1", "--yes") == 0
    own.take_up()
    assert parked(own) == [(f"+86{PHONE}", "level", BAD[13])]
    agreed_right(own)


def test_what_is_parked_is_tried_again_by_name(own: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """All, those of a table, or one key; as JSON, too."""
    assert own.tillstream("parked", "retry") == 0
    assert shown(capsys) == "no such key is parked"
    own.stores["s1"].update("members", (1,), level=13)
    own.take_in()
    assert own.tillstream("parked", "list", "--output", "json") == 0
    (told,) = json.loads(shown(capsys))["parked"]
    assert (told["table"], told["key"], told["column"]) == ("members", f"+86{PHONE}", "level")
    assert own.tillstream("parked", "retry", "members", OTHER) == 0
    assert own.tillstream("parked", "retry", "memebrs") == 2
    assert own.tillstream("parked", "retry", "members", PHONE) == 1
    assert f"still: members +86{PHONE} level: {BAD[13]}" in shown(capsys)
    with own.warehouse.transaction() as tx:
        tx.execute("UPDATE stores.members SET level = 3 WHERE level = 13")
    assert own.tillstream("parked", "retry", "members") == 0
    assert "1 of 1 parked keys decided" in shown(capsys)
    assert levels(own)[0] == ("a", 3)
    assert parked(own) == []


def test_who_comes_behind_endless_keys_is_not_parked_for_it(own: DecidedChain) -> None:
    """After a few of them a batch goes in without the others, which are decided beside the next ones."""
    phones = [f"1380013{n:04}" for n in range(7)]
    rows = [member(10 + n, phone, "x", 0, level=14) for n, phone in enumerate(phones)]
    own.stores["s1"].insert("members", *rows)
    own.stores["s1"].update("members", (2,), level=5)
    own.take_in()
    assert [key for key, _, _ in parked(own)] == [f"+86{phone}" for phone in phones]
    assert {reason for _, _, reason in parked(own)} == {BAD[14]}
    assert levels(own) == [("a", 1), ("b", 5)]
    agreed_right(own)


BLOCK = re.compile(r"^```(\w+) own-rules\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_readmes_rules_of_ones_own(
    tmp_path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The policies and the function as they stand there decide as it says, and each command shows what it shows."""
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((Path(__file__).parents[2] / "README.md").read_text())
    assert [language for language, _ in blocks] == ["yaml", "python", "sh", "text", "sh", "text"]
    (tmp_path / "membership.py").write_text(blocks[1][1])
    attributes = {"s1": "{tier: flagship}", "s2": "{tier: street}"}
    with closing(DecidedChain(tmp_path, fresh_database, blocks[0][1], attributes=attributes)) as chain:
        for store in chain.stores.values():
            store.snapshot()
        chain.stores["s1"].insert("members", member(1, PHONE, "Dr", 5, level=1), member(2, OTHER, "Mr", 0, level=1))
        chain.stores["s2"].insert("members", member(1, PHONE, "Mr", 4, level=2), member(2, OTHER, "Dr", 1, level=2))
        chain.take_in()
        assert levels(chain) == [("Dr", 1), ("Dr", 2)]
        chain.stores["s2"].update("members", (1,), points=None)
        chain.take_in()
        assert levels(chain)[0] == ("Dr", 1)
        agreed_right(chain)
        for (_, command), (_, answer) in zip(blocks[2::2], blocks[3::2], strict=True):
            assert chain.tillstream(*command.split()[1:]) == 0
            require_shown(answer, capsys.readouterr().out)
