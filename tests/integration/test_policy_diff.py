"""`tillstream policy diff` on a real PostgreSQL: what it says, what it leaves alone, what it refuses."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from decided import DecidedChain

MEMBERS = """\
  members:
    scope: shared
    key: {phone: phone_cn}
    columns:
      points: {rule: sum}
      level: {rule: max}
"""
POLICIES = f"version: 1\ntables:\n{MEMBERS}"
ONE, TWO = "+8613800138000", "+8613800138001"


@pytest.fixture
def chain(tmp_path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecidedChain]:
    """Two members; the first is in both stores, and s2 was the last to change it."""
    monkeypatch.setenv("POS_PASSWORD", "x")
    monkeypatch.chdir(tmp_path)
    with closing(DecidedChain(tmp_path, fresh_database, POLICIES)) as made:
        _fill(made)
        yield made


def _fill(made: DecidedChain) -> None:
    for name, points in (("s1", 30), ("s2", 12)):
        store = made.stores[name]
        store.insert("products", {"sku": "a", "region": name, "price": "3.50"})
        store.snapshot()
        store.insert("members", {"id": 7, "phone": "138 0013 8000", "name": name, "points": points, "level": points})
        store.tick(60)
    made.stores["s2"].tick(60)
    made.stores["s2"].update("members", (7,), name="Wang", level=5)
    made.stores["s1"].insert("members", {"id": 8, "phone": "13800138001", "name": "Li", "points": 1, "level": 1})
    made.take_in()


def diff(
    chain: DecidedChain, capsys: pytest.CaptureFixture[str], policies: str, *options: str, code: int = 0
) -> dict[str, Any]:
    (chain.directory / "new.yaml").write_text(policies)
    capsys.readouterr()
    assert chain.tillstream("policy", "diff", "new.yaml", "--output", "json", *options) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_changed_rules_by_column_rule_and_store(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """From whose value to whose, with samples; the central rows are what they were."""
    central = chain.rows("SELECT * FROM central.members ORDER BY 1")
    new = POLICIES.replace("{rule: sum}", "{rule: priority, stores: [s2]}").replace("{rule: max}", "{rule: latest}")
    found = diff(chain, capsys, new, "--exit-code", code=1)
    (members,) = found["tables"]
    assert (found["schema"], found["changes"], found["values"], members["scope"]) == (1, True, 2, "stays")
    columns = {each["column"]: each for each in members["columns"]}
    assert columns["points"]["old_rule"] == "sum"
    assert columns["points"]["new_rule"] == "priority, stores: s2"
    assert columns["points"]["stores"] == [{"from": None, "to": "s2", "values": 1}]
    assert columns["points"]["samples"] == [{"key": ONE, "old": "42", "new": "12", "from": None, "to": "s2"}]
    assert [(each["from"], each["to"]) for each in columns["level"]["stores"]] == [("s1", "s2")]
    assert chain.rows("SELECT * FROM central.members ORDER BY 1") == central
    assert not chain.rows("SELECT * FROM tillstream.dirty_keys")


def test_a_column_without_times_says_so(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """`max` needed none, so s2's later change of the level is not known to be later."""
    found = diff(chain, capsys, POLICIES.replace("{rule: max}", "{rule: latest}"))
    (level,) = found["tables"][0]["columns"]
    assert (level["column"], level["times_kept"], level["values"]) == ("level", False, 1)
    assert chain.tillstream("policy", "diff", "new.yaml") == 0
    told = capsys.readouterr().out
    assert "level: no times of its changes were kept, as no rule needed them; 1 of its values would be decided" in told
    assert "  level (max -> latest): 1 value\n          1  from s1's to s2's\n" in told
    assert f'    {ONE}: "30" -> "5"\n' in told
    assert told.endswith("new.yaml would change 1 central value.\n")


def test_another_key_moves_rows(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    found = diff(chain, capsys, POLICIES.replace("phone_cn", '{as: phone_cn, stop: ["13800138001"]}'))
    (members,) = found["tables"]
    assert (members["scope"], members["keys"], found["values"]) == ("rekeyed", 2, 0)
    assert members["rows_disappearing"] == {"count": 1, "samples": [TWO]}
    found = diff(chain, capsys, POLICIES.replace("phone_cn", "trim"))
    assert (found["rows_appearing"], found["rows_disappearing"]) == (2, 2)


def test_a_table_that_is_shared_or_no_longer(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    new = "version: 2\ntables:\n  products: {scope: shared, key: [sku]}\n  stock: {scope: shared, key: [sku]}\n"
    found = diff(chain, capsys, new)
    members, products, stock = found["tables"]
    assert (members["scope"], members["rows_disappearing"]["count"]) == ("isolated", 2)
    assert (products["scope"], products["rows_appearing"]) == ("shared", {"count": 1, "samples": ["a"]})
    assert stock["notes"] == ["is not in the warehouse; no store that was captured has it"]


def test_what_it_predicts_for_a_table_newly_shared_comes_true(
    chain: DecidedChain, capsys: pytest.CaptureFixture[str]
) -> None:
    new = f"{POLICIES}  products: {{scope: shared, key: [sku]}}\n"
    assert diff(chain, capsys, new)["rows_appearing"] == 1
    chain.apply(new)
    assert chain.rows("SELECT _key FROM central.products") == [("a",)]
    assert chain.tillstream("policy", "diff", "new.yaml", "--exit-code") == 0
    assert capsys.readouterr().out == "new.yaml decides everything as the policies in force do.\n"


def test_samples_and_limit(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """A quick look at some keys says that it was one; pending keys are counted apart."""
    new = POLICIES.replace("{rule: sum}", "{rule: min}")
    (members,) = diff(chain, capsys, new, "--limit", "1", "--samples", "0")["tables"]
    assert (members["keys"], members["complete"], members["values"]) == (1, False, 1)
    assert members["columns"][0]["samples"] == []
    with chain.warehouse.transaction() as tx:
        tx.execute("INSERT INTO tillstream.dirty_keys VALUES ('members', %s)", [ONE])
    (members,) = diff(chain, capsys, new)["tables"]
    assert (members["complete"], members["pending"], members["values"]) == (True, 1, 0)


@pytest.mark.parametrize(
    ("written", "instead", "told"),
    [
        ("rule: max", "rule: maxx", 'new.yaml:8: tables.members.columns.level.rule: "maxx" is not a rule'),
        ("rule: sum", "rule: priority, stores: [s3]", '"s3" is not a store'),
        (
            "level:",
            '"*": {rule: sum}\n      level:',
            "new.yaml:3: tables.members: store s1: members.name is declared as",
        ),
        ("phone: phone_cn", "mobile: phone_cn", "has no column mobile, which the policy's `key:` names"),
    ],
)
def test_what_cannot_be_tried(
    chain: DecidedChain, capsys: pytest.CaptureFixture[str], written: str, instead: str, told: str
) -> None:
    """The file, the line and the remedy, and no traceback."""
    (chain.directory / "new.yaml").write_text(POLICIES.replace(written, instead))
    assert chain.tillstream("policy", "diff", "new.yaml") == 1
    assert told in capsys.readouterr().err


def test_bad_usage(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    assert chain.tillstream("policy", "diff", "absent.yaml") == 1
    assert "absent.yaml: there is no such file" in capsys.readouterr().err
    assert chain.tillstream("policy", "diff", "policies.yaml", "--samples", "-1") == 2
    (chain.directory / "new.yaml").write_text(POLICIES)
    (chain.directory / "policies.yaml").write_text(POLICIES.replace("max", "min"))
    assert chain.tillstream("policy", "diff", "new.yaml", "--exit-code") == 0, "it is what is in force"
    assert chain.tillstream("policy", "diff", "--exit-code") == 1, "the file is what is tried without another"


def test_a_column_that_nobody_has(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    (members,) = diff(chain, capsys, POLICIES.replace("points:", "pionts:"))["tables"]
    assert members["notes"] == ['no store has the column pionts; did you mean "points"?']
