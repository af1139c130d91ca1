"""Guards: a store that does too much to a shared table is held, and counts as it was, until a person releases it."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from decided import DecidedChain, agreed_right
from fake_store import column
from tea_shops import DAY, HOUR, later, member

MANY = 40
GUARDED = """\
version: 1
tables:
  members:
    scope: shared
    key: {{phone: phone_cn}}
    columns: {{points: {{rule: sum}}}}
    guards: {guards}
"""
CENTRAL = "SELECT _key, name, points FROM central.members ORDER BY 1"
HELD = "SELECT store, table_name FROM tillstream.holds WHERE released_at IS NULL ORDER BY 1"


def phone(number: int) -> str:
    return f"138000000{number:02}"


@pytest.fixture
def chain(request: pytest.FixtureRequest, tmp_path: Path, fresh_database: str) -> Iterator[DecidedChain]:
    """Two stores, of which the first has forty members, and the second the first three of them."""
    guards = getattr(request, "param", "{deletes: 20%, rewrites: 50%, at_least: 5}")
    with closing(DecidedChain(tmp_path, fresh_database, GUARDED.format(guards=guards))) as made:
        one, two = made.stores.values()
        one.insert("members", *(member(number, "Wang", 1, phone=phone(number)) for number in range(MANY)))
        two.insert("members", *(member(number, "Wang", 1, phone=phone(number)) for number in range(3)))
        for store in (one, two):
            store.snapshot()
        made.take_in()
        later(made, HOUR)
        yield made


def test_a_mass_delete_is_held_and_released(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """The agreed rows stay while the store's rows are as the store has them; what the others do to the same members
    counts; verify finds no difference. Released, it is as if nobody had held it."""
    one, two = chain.stores.values()
    before = chain.rows(CENTRAL)
    for number in range(30):
        one.delete("members", (number,))
    later(chain)
    two.update("members", (0,), points=5, name="Li")
    chain.take_in()
    assert chain.rows(HELD) == [("s1", "members")]
    assert chain.rows("SELECT count(*) FROM stores.members WHERE _store = 's1' AND NOT _deleted") == [(10,)]
    assert chain.rows(CENTRAL) == [("+86" + phone(0), "Li", 6), *before[1:]]
    agreed_right(chain)

    assert (chain.tillstream("status"), chain.tillstream("stores", "list")) == (1, 0)
    said = capsys.readouterr().out
    assert said.count("s1: held in members since ") == 2
    assert ": deleted 30 of 40 rows within 10 minutes" in said
    assert chain.tillstream("stores", "release", "s1") == 1
    told = capsys.readouterr().err.splitlines()
    assert told[1:3] == [
        "With all that store s1 has brought since:",
        "  members: of 40 keys 29 rows go, 0 come back; values that change: points 1",
    ]
    assert told[-1] == "Nothing was changed; say --yes to have it so."
    assert chain.rows(HELD) == [("s1", "members")]

    assert chain.tillstream("stores", "release", "s1", "--yes", "--reason", "they did mean it") == 0
    assert "store s1 is released in members" in capsys.readouterr().out
    chain.work()
    assert chain.rows("SELECT count(*) FROM tillstream.held_rows") == [(0,)]
    assert len(chain.rows(CENTRAL)) == 11
    agreed_right(chain)
    assert chain.tillstream("stores", "release", "s1") == 1
    assert "store s1 is not held; held are: none" in capsys.readouterr().err


def test_what_it_deleted_before_it_was_too_much_is_taken_back(chain: DecidedChain) -> None:
    """A delete that comes in small pieces is held with its last straw, and what went before within the window is back
    in the chain; what was deleted long ago is not."""
    one = chain.stores["s1"]
    one.delete("members", (39,))
    chain.take_in()
    later(chain, HOUR)
    for number in range(7):
        one.delete("members", (number,))
        chain.take_in()
    assert chain.rows(HELD) == []
    assert len(chain.rows(CENTRAL)) == MANY - 1 - 7
    one.delete("members", (7,))
    one.delete("members", (8,))
    chain.take_in()
    assert chain.rows(HELD) == [("s1", "members")]
    assert len(chain.rows(CENTRAL)) == MANY - 1
    agreed_right(chain)


def test_a_price_list_of_last_year(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that get other values are held, too; rows that are new are of the store's, and wait."""
    one = chain.stores["s1"]
    before = chain.rows(CENTRAL)
    for number in range(30):
        one.update("members", (number,), name="Nobody", points=0)
    one.insert("members", member(99, "New", 9, phone=phone(99)))
    chain.take_in()
    assert chain.rows(HELD) == [("s1", "members")]
    assert chain.rows(CENTRAL) == before
    one.update("members", (30,), name="Zhao")
    chain.take_in()
    assert chain.rows(CENTRAL) == before
    agreed_right(chain)
    assert chain.tillstream("explain", "members", phone(0)) == 0
    assert "store s1 is held in members since " in capsys.readouterr().out
    assert chain.tillstream("explain", "members", phone(99)) == 0
    assert "store s1, row 99 does not count: its store is held" in capsys.readouterr().out
    assert chain.tillstream("stores", "release", "s1", "members", "--yes", "--output", "json") == 0
    assert json.loads(capsys.readouterr().out)["released"] is True
    chain.work()
    assert ("+86" + phone(99), "New", 9) in chain.rows(CENTRAL)
    assert ("+86" + phone(30), "Zhao", 1) in chain.rows(CENTRAL)
    assert ("+86" + phone(10), "Nobody", 0) in chain.rows(CENTRAL)
    agreed_right(chain)


def test_a_truncated_table(chain: DecidedChain) -> None:
    """All rows gone at once are too many, though no row says so."""
    before = chain.rows(CENTRAL)
    chain.stores["s1"].truncate("members")
    chain.take_in()
    assert chain.rows(HELD) == [("s1", "members")]
    assert chain.rows(CENTRAL) == before
    agreed_right(chain)


def test_a_column_that_comes_meanwhile(chain: DecidedChain) -> None:
    """The rows of before have it as the table has it now; what they had stays as it was."""
    one = chain.stores["s1"]
    one.truncate("members")
    chain.take_in()
    one.add_column("members", column("birthday", "VARCHAR", length=40, charset_name="utf8mb4"))
    one.insert("members", member(1, "Wang", 7, phone=phone(1)))
    chain.take_in()
    assert len(chain.rows(CENTRAL)) == MANY
    assert chain.rows(CENTRAL)[1] == ("+86" + phone(1), "Wang", 2)
    agreed_right(chain)


def test_an_ordinary_day_holds_nobody(chain: DecidedChain) -> None:
    """Less than the share, fewer rows than count, rows that come, and rows that are read anew and are the same."""
    one, two = chain.stores.values()
    for number in range(8):
        one.delete("members", (number + 10,))
    for number in range(15):
        one.update("members", (number + 20,), points=2)
    one.insert("members", *(member(number, "New", 1, phone=phone(number)) for number in range(50, 90)))
    for number in range(3):
        two.delete("members", (number,))  # all that it had, and fewer than five
    chain.take_in()
    one.snapshot()
    chain.take_in()
    assert chain.rows(HELD) == []
    agreed_right(chain)


@pytest.mark.parametrize("chain", ["{dark: 3d}"], indirect=True)
def test_a_store_that_was_dark_for_long_is_looked_at_first(chain: DecidedChain) -> None:
    """What it did ten days ago decides nothing until somebody has seen what that would be; what a store did yesterday
    does at once."""
    one, two = chain.stores.values()
    for store, days in ((one, 10), (two, 1)):
        store.seconds = int(time.time()) - days * DAY
    one.update("members", (0,), name="Old")
    two.update("members", (1,), name="New")
    chain.take_in()
    assert chain.rows(HELD) == [("s1", "members")]
    assert [name for _, name, _ in chain.rows(CENTRAL)[:2]] == ["Wang", "New"]
    agreed_right(chain)
    assert chain.tillstream("stores", "release", "s1", "--yes") == 0
    chain.work()
    assert [name for _, name, _ in chain.rows(CENTRAL)[:2]] == ["Old", "New"]


def test_what_cannot_be_done_while_a_store_is_held(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """Its rows of before are kept by the keys of then: another key, or two that are one, have to wait."""
    chain.stores["s1"].truncate("members")
    chain.take_in()
    accept = ("identity", "accept", "members", phone(0), phone(1), "--reason", "tried", "--yes")
    assert chain.tillstream(*accept) != 0
    told = "store s1 is held in members, so no identities can be told now"
    assert told in capsys.readouterr().err
    (chain.directory / "policies.yaml").write_text(GUARDED.format(guards="{deletes: 20%}").replace("phone_cn", "trim"))
    assert chain.tillstream("policy", "apply", "--yes") != 0
    assert "store s1 is held in members, so its key cannot change now" in capsys.readouterr().err
    assert chain.rows(HELD) == [("s1", "members")]


def test_what_was_released_counts_no_more(chain: DecidedChain) -> None:
    """A mass delete that somebody has seen and let pass is no reason to hold what the store deletes next; as many
    again are."""
    one = chain.stores["s1"]
    for number in range(10):
        one.delete("members", (number,))
    chain.take_in()
    assert chain.rows(HELD) == [("s1", "members")]
    assert chain.tillstream("stores", "release", "s1", "--yes") == 0
    chain.work()
    agreed = len(chain.rows(CENTRAL))
    for number in range(10, 13):
        one.delete("members", (number,))
    chain.take_in()
    assert chain.rows(HELD) == []
    assert len(chain.rows(CENTRAL)) == agreed - 3
    for number in range(13, 20):
        one.delete("members", (number,))
    chain.take_in()
    assert chain.rows(HELD) == [("s1", "members")]
    assert len(chain.rows(CENTRAL)) == agreed, "taken back is what came since the release, and no more"
    agreed_right(chain)


def test_small_pieces_to_workers_that_know_of_nothing_before(chain: DecidedChain) -> None:
    """A `run` that was started anew between two deletes counts those before, too."""
    one = chain.stores["s1"]
    before = chain.rows(CENTRAL)
    for number in range(9):
        one.delete("members", (number,))
        chain.take_in()  # by a worker of its own
    assert chain.rows(HELD) == [("s1", "members")]
    assert chain.rows(CENTRAL) == before
    agreed_right(chain)


@pytest.mark.parametrize("chain", ["{dark: 3d}"], indirect=True)
def test_a_dark_store_that_brings_only_new_rows(chain: DecidedChain) -> None:
    """They may be of members that other stores have: nothing of it counts before somebody has seen it."""
    one, two = chain.stores.values()
    for store, days in ((one, 10), (two, 0)):
        store.seconds = int(time.time()) - days * DAY
    two.insert("members", member(50, "Li", 1, phone=phone(50)))
    chain.take_in(["s2"])
    before = chain.rows(CENTRAL)
    one.insert("members", member(50, "Old", 100, phone=phone(50)))
    chain.take_in(["s1"])
    assert chain.rows(HELD) == [("s1", "members")]
    assert chain.rows(CENTRAL) == before
    agreed_right(chain)


def test_a_key_that_a_held_store_has_left(chain: DecidedChain) -> None:
    """It counts under it still, so whatever changes how the store counts has the key decided again."""
    one = chain.stores["s1"]
    for number in range(9):
        one.delete("members", (number,))
    chain.take_in()
    one.update("members", (20,), phone=phone(60))
    chain.take_in()
    one.add_column("members", column("extra", "INT", default_value_expression="7"))
    chain.take_in()
    agreed_right(chain)
    for verb in ("retire", "resume"):
        assert chain.tillstream("stores", verb, "s1") == 0
        chain.work()
        agreed_right(chain)


LOOKED_FOR = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    guards:
      rows_per_key: 1
      same: [name]
      flip_flops: 3
      ledger: {points: {table: products, row: sku, change: price}}
"""
FOUND = [
    "members +8613800000000, store s1: store s1 has 2 rows under it",
    'members +8613800000001, stores s1, s2: name is "Li" and "Wang"',
    "members +8613800000002, stores s1, s2: level went to and fro 4 times",
    "members +8613800000000, store s1: points of row 0 is 7, its changes in products come to 5.00",
]


def test_what_looks_wrong_is_told(tmp_path: Path, fresh_database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Many rows under one key, one key with two names, a value between two stores, a balance that its ledger does not
    bear out; and none of what is only written otherwise, was deleted, or is as it is to be."""
    with closing(DecidedChain(tmp_path, fresh_database, LOOKED_FOR)) as chain:
        one, two = chain.stores.values()
        for store in (one, two):
            store.snapshot()
        one.insert("members", member(0, "A", 7, phone=phone(0)), member(1, "Wang", phone=phone(1)))
        one.insert("members", member(2, "B", phone=phone(2)), member(3, " Mrs  wang", phone=phone(3)))
        one.insert("members", member(9, "A", phone=phone(0)), member(10, "A", phone=phone(0)))
        two.insert("members", member(1, "Li", phone=phone(1)), member(2, "B", phone=phone(2)))
        two.insert("members", member(3, "Mrs Wang", phone=phone(3)))
        one.delete("members", (10,))
        one.insert("products", {"sku": "0", "region": None, "price": "5.00"})
        chain.take_in()
        for level, store in enumerate((one, two, one, two), 2):
            later(chain)
            store.update("members", (2,), level=level)
            chain.take_in()
        assert chain.tillstream("anomalies") == 1
        assert capsys.readouterr().out.splitlines() == FOUND
        assert chain.tillstream("anomalies", "members", "--limit", "1", "--output", "json") == 1
        told = json.loads(capsys.readouterr().out)
        assert [each["kind"] for each in told["anomalies"]] == ["rows_per_key", "different", "flip_flop", "balance"]
        one.delete("members", (9,))
        two.update("members", (1,), name="Wang")
        one.update("products", ("0",), price="7.00")
        chain.take_in()
        assert chain.tillstream("anomalies") == 1
        assert capsys.readouterr().out.splitlines() == [FOUND[2]]
        assert chain.tillstream("anomalies", "products") == 2
        assert "products" in capsys.readouterr().err


def test_guards_that_name_what_is_not_there(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error in a column is told, with what to do."""
    (chain.directory / "policies.yaml").write_text(GUARDED.format(guards="{same: [nmae]}"))
    assert chain.tillstream("policy", "apply", "--yes") == 0
    chain.take_up()
    capsys.readouterr()
    assert chain.tillstream("anomalies") == 1
    assert "the guards of members name members.nmae, which is not in the warehouse" in capsys.readouterr().err


def test_other_guards_decide_nothing_anew(chain: DecidedChain) -> None:
    """They are in force at once, and no key waits for it."""
    (chain.directory / "policies.yaml").write_text(GUARDED.format(guards="{deletes: 90%, at_least: 5}"))
    assert chain.tillstream("policy", "apply", "--yes") == 0
    assert chain.rows("SELECT count(*) FROM tillstream.redecisions") == [(0,)]
    chain.take_up()
    for number in range(30):
        chain.stores["s1"].delete("members", (number,))
    chain.take_in()
    assert chain.rows(HELD) == []
