"""Keys that a rule cannot decide stay as they were, are told of, and come back; nothing else waits for them."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from decided import DecidedChain, agreed_right

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

    assert chain.tillstream("status") == 0
    assert "1 keys could not be decided by their rules: `tillstream parked list`" in shown(capsys)
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
