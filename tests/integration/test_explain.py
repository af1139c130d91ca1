"""`tillstream explain` on a real PostgreSQL that the real worker filled."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from decided import DecidedChain

from conflict.clock import Look
from sinks.clock_looks import ClockLooks

POLICIES = """\
version: 4
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    columns:
      points: {rule: sum}
      level: {rule: priority, stores: [s1], then: max}
  products:
    scope: shared
    key: {region: upper, sku: upper}
"""
KEY = "+8613800138000"


@pytest.fixture
def chain(tmp_path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecidedChain]:
    """One member in both stores: s2 changed the name two minutes after s1."""
    monkeypatch.setenv("POS_PASSWORD", "x")
    with closing(DecidedChain(tmp_path, fresh_database, POLICIES)) as made:
        _fill(made)
        yield made


def _fill(made: DecidedChain) -> None:
    for name, points in (("s1", 30), ("s2", 12)):
        store = made.stores[name]
        store.snapshot()
        store.insert("members", {"id": 7, "phone": "138 0013 8000", "name": name, "points": points, "level": 1})
        store.insert("products", {"sku": "a-1", "region": "sh", "price": "3.50"})
        store.tick(60)
    made.stores["s2"].tick(60)
    made.stores["s2"].update("members", (7,), name="Wang")
    made.take_in()


def explained(chain: DecidedChain, capsys: pytest.CaptureFixture[str], *asked: str) -> dict[str, Any]:
    capsys.readouterr()
    assert chain.tillstream("explain", *asked, "--output", "json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def columns(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["column"]: each for each in found["columns"]}


def test_every_candidate_and_what_would_flip_it(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """A raw phone finds the key; each column tells its rule, all stores' values with their times, and the way out."""
    found = explained(chain, capsys, "members", "0086 138-0013-8000")
    assert (found["schema"], found["key"], found["pending"], found["exists"]) == (1, KEY, False, True)
    assert (found["policy"]["version"], found["decided"]["version"]) == (4, 4)
    assert {name: each["value"] for name, each in columns(found).items()} == {
        name: value for name, value in found["stands"].items() if name != "phone"
    }
    name = columns(found)["name"]
    assert (name["value"], name["winner"], name["rule"], name["contested"]) == ("Wang", "s2", "latest", True)
    assert [(c["store"], c["value"], c["wins"], c["known_from"]) for c in name["candidates"]] == [
        ("s2", "Wang", True, "change"), ("s1", "s1", False, "change"),
    ]  # fmt: skip
    assert name["flips"] == (
        "the value of store s1 would win if it were changed after 2026-01-01 12:02:00 UTC; "
        'without the row of store s2 it would be "s1" of store s1'
    )
    assert columns(found)["points"]["flips"] == "every store's value is part of it: any change of one changes it"
    assert columns(found)["level"]["rule"] == "priority, stores: s1, then max"
    assert [conflict["column"] for conflict in found["conflicts"]] == ["name"]


def test_the_words(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    assert chain.tillstream("explain", "members", "13800138000", "name") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"members {KEY}: stores s1 and s2 have it"
    assert told[1].startswith("policy version 4, in force since ")
    assert told[3:5] == ['name: "Wang" of store s2, changed last (contested)', "  rule: latest"]
    assert told[5].startswith('  store s2  row 7  "Wang"  changed 2026-01-01 12:02:00 UTC  at 000001:')
    assert told[5].endswith("  wins")
    assert told[6].startswith('  store s1  row 7  "s1"    changed 2026-01-01 12:00:00 UTC  at 000001:')
    assert told[-3].startswith("contest of ")
    assert '"Wang" of store s2 won over "s1" of store s1, changed last (latest)' in told[-3]
    assert told[-1].endswith(f"{KEY} came to be, by policy version 4: store s1, s2")


def test_a_clock_that_is_off_is_told(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """What it was corrected by, how far the time may be off, and what that leaves undecided."""
    with chain.warehouse.transaction() as tx:
        tx.execute("INSERT INTO tillstream.epochs (store, epoch, reason) VALUES ('s2', 1, 'a test')")
    at_us = 1_767_268_800_000_000
    off = Look(place=(1, 9, 4), began_us=at_us, ended_us=at_us, offset_us=121_500_000, uncertainty_us=0)
    ClockLooks(chain.warehouse).look("s2", off)
    chain.take_in()
    assert chain.tillstream("explain", "members", "13800138000", "name") == 0
    told = capsys.readouterr().out.splitlines()
    doubt = "as late as s2 as far as their clocks tell; the later time stands"
    assert told[3] == f'name: "s1" of store s1, {doubt} (uncertain, contested)'
    assert '"s1"    changed 2026-01-01 12:00:00 UTC  ' in told[5]
    assert "changed 2026-01-01 11:59:58.500000 UTC (clock corrected by -121.5 s, ± 2.0 s)  at " in told[6]
    assert told[5].endswith("  wins, uncertain")
    assert told[6].endswith("  uncertain")
    assert "if it were changed after 2026-01-01 12:00:02 UTC" in told[7]


def test_deletes_withdrawals_and_floors_are_told(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """A store that deleted the row, and then one whose table was emptied: why there is a row or is none."""
    chain.stores["s1"].delete("members", (7,))
    chain.take_in(["s1"])
    found = explained(chain, capsys, "members", KEY)
    assert found["because"] == "store s2 has it; store s1 deleted it, but it was changed since (deletes: latest)"
    assert [each["store"] for each in found["deleted"]] == ["s1"]
    level = columns(found)["level"]
    assert level["reason"] == "no row in store s1, so max decides: the greatest"
    assert level["flips"].startswith("a row of store s1 would win")
    chain.stores["s2"].truncate("members")
    chain.take_in(["s2"])
    found = explained(chain, capsys, "members", KEY)
    assert (found["exists"], found["stands"], found["columns"]) == (False, None, [])
    assert found["because"] == "every store that had it has deleted it (deletes: latest)"
    assert [(each["store"], each["why"][:9]) for each in found["not_counting"]] == [("s2", "withdrawn")]
    assert "s2" in [each["store"] for each in found["floors"]]


def test_a_key_of_several_parts(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """With a comma or as the JSON array that stands in central.*."""
    for asked in ("sh, A-1", '["SH","A-1"]'):
        found = explained(chain, capsys, "products", asked, "price")
        assert (found["key"], columns(found)["price"]["value"]) == ('["SH","A-1"]', "3.50")
    assert chain.tillstream("explain", "products", "A-1") == 1
    assert "the key of products has 2 parts, region, sku" in capsys.readouterr().err


def test_what_is_still_to_be_decided_says_so(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    with chain.warehouse.transaction() as tx:
        tx.execute("INSERT INTO tillstream.dirty_keys VALUES ('members', %s)", [KEY])
    assert explained(chain, capsys, "members", KEY)["pending"]
    assert chain.tillstream("explain", "members", KEY) == 0
    assert "pending: it waits to be decided anew" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        (("members", "13900139000"), 1, "no store has a row of members under the key +8613900139000"),
        (("members", "abc"), 1, '"abc" identifies nothing by the key of members'),
        (("member", KEY), 2, 'member is not a shared table of the policies; did you mean "members"?'),
        (("members", KEY, "nam"), 2, 'central.members decides no column nam; did you mean "name"?'),
        (("members", KEY, "phone"), 2, "phone is part of the key"),
    ],
)
def test_what_cannot_be_explained(
    chain: DecidedChain, capsys: pytest.CaptureFixture[str], asked: tuple[str, ...], code: int, told: str
) -> None:
    assert chain.tillstream("explain", *asked) == code
    assert told in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_it_is_the_policy_in_force_that_explains(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that was changed and not applied yet has decided nothing."""
    file = chain.directory / "policies.yaml"
    file.write_text(file.read_text().replace("{rule: sum}", "{rule: max}"))
    assert chain.tillstream("explain", "members", KEY, "points") == 0
    assert "rule: sum" in capsys.readouterr().out
