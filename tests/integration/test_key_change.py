"""A changed `key:`, made beside the old one while the workers go on: a real PostgreSQL, the real worker."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from decided import DecidedChain

from conflict.policy_file import parse_policy
from sinks import key_change, policy_switch
from sinks.key_change import KeyChange
from sinks.policy_switch import switch_policy
from sinks.row_codec import Shapes
from sinks.warehouse import Transaction
from tillstream.checked_yaml import load
from tillstream.errors import RefusedError, UnreachableError

BY_PHONE = "version: 1\ntables:\n  members: {scope: shared, key: {phone: phone_cn}, columns: {points: {rule: sum}}}\n"
BY_NAME = "version: 2\ntables:\n  members: {scope: shared, key: {name: upper}, columns: {points: {rule: sum}}}\n"
NOT_SHARED = "version: 3\ntables: {}\n"
CENTRAL = "SELECT _key, points FROM central.members ORDER BY 1"
BEGUN = "SELECT store, pk FROM tillstream.key_changes"
LEFTOVERS = """\
SELECT attname FROM pg_attribute WHERE attrelid = 'stores.members'::regclass AND attname IN ('_next_key', '_last_key')
UNION ALL SELECT tgname FROM pg_trigger WHERE tgrelid = 'stores.members'::regclass
UNION ALL SELECT 'a row' FROM tillstream.key_changes UNION ALL SELECT 'a row' FROM tillstream.stale_keys"""


@pytest.fixture
def chain(tmp_path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecidedChain]:
    """Six members in each of two stores; the odd ones have one phone in both. Keys are made two at a time."""
    monkeypatch.setenv("POS_PASSWORD", "x")
    monkeypatch.setattr(key_change, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(key_change, "FEW_ROWS", 0)
    monkeypatch.setattr(policy_switch, "RESTS_SECONDS", (0.0,))
    with closing(DecidedChain(tmp_path, fresh_database, BY_PHONE)) as made:
        for name, store in made.stores.items():
            store.snapshot()
            for number in range(1, 7):
                phone = f"1380000{number if number % 2 else ord(name[1]) * 100 + number:04d}"
                member = {"id": number, "phone": phone, "name": f"m{number}", "points": number, "level": 1}
                store.insert("members", member)
        made.take_in()
        yield made


def meanwhile(monkeypatch: pytest.MonkeyPatch, steps: int, act: Callable[[], object]) -> None:
    """`act` happens once, between two steps."""
    plain, left = KeyChange._next_rows, [steps]

    def next_rows(self: KeyChange, tx: Transaction) -> int:
        left[0] -= 1
        if left[0] == 0:
            act()
        return plain(self, tx)

    monkeypatch.setattr(KeyChange, "_next_rows", next_rows)


def switch(chain: DecidedChain) -> None:
    """To keys by name; the chain's worker knows nothing of it."""
    file = chain.directory / "by_name.yaml"
    file.write_text(BY_NAME)
    switch_policy(chain.warehouse, Shapes(parse_policy(load(file), None)))


def by_name(chain: DecidedChain) -> list[tuple[Any, ...]]:
    """What the stores have, by hand."""
    points: dict[str, int] = {}
    for store in chain.stores.values():
        for row in store.rows("members").values():  # type: ignore[union-attr]
            points[row["name"].upper()] = points.get(row["name"].upper(), 0) + row["points"]
    return sorted(points.items())


def test_what_is_written_meanwhile_is_there(chain: DecidedChain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that come, go, and change their key before and behind where it stands; the worker goes by the old key."""

    def act() -> None:
        first, second = chain.stores["s1"], chain.stores["s2"]
        first.update("members", (1,), name="m6")
        second.update("members", (6,), name="late", points=60)
        first.insert("members", {"id": 0, "phone": "13800000000", "name": "new", "points": 7, "level": 1})
        first.delete("members", (2,))
        chain.take_in()
        assert ("+8613800000000", 7) in chain.rows(CENTRAL)

    meanwhile(monkeypatch, 3, act)
    switch(chain)
    chain.apply(BY_NAME)
    assert chain.rows(CENTRAL) == by_name(chain)
    assert chain.rows(LEFTOVERS) == []


def test_killed_it_goes_on_where_it_stood(chain: DecidedChain, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done is not done again, and what was written since is."""

    def killed() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as once:
        meanwhile(once, 4, killed)
        with pytest.raises(KeyboardInterrupt):
            switch(chain)
    assert chain.rows(BEGUN) == [("s1", "6")]
    chain.stores["s1"].update("members", (3,), name="since")
    chain.take_in()
    done: list[int] = []
    plain = KeyChange._next_rows
    monkeypatch.setattr(KeyChange, "_next_rows", lambda self, tx: done.append(plain(self, tx)) or done[-1])
    chain.apply(BY_NAME)
    assert sum(done) == 6  # those of s2
    assert chain.rows(CENTRAL) == by_name(chain)
    assert chain.rows(LEFTOVERS) == []


def test_back_again_and_no_longer_shared(chain: DecidedChain) -> None:
    """A rollback, and a table that is no longer shared and then is again, come to what was there before."""
    by_phone = chain.rows(CENTRAL)
    chain.apply(BY_NAME)
    assert chain.tillstream("policy", "rollback", "--yes") == 0
    chain.take_up()
    assert chain.rows(CENTRAL) == by_phone
    chain.apply(NOT_SHARED)
    assert chain.rows("SELECT count(*), count(_key) FROM stores.members") == [(12, 0)]
    assert chain.rows(CENTRAL) == []
    chain.apply(BY_PHONE)
    assert chain.rows(CENTRAL) == by_phone
    assert chain.rows(LEFTOVERS) == []
    assert chain.rows("SELECT indexdef FROM pg_indexes WHERE tablename = 'members' AND indexname = 'members__key'")


def test_two_keys_that_became_one_meanwhile(chain: DecidedChain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's word of the new keys counts from the switch on, though they were made before it was said."""
    chain.apply(BY_NAME)
    chain.apply(BY_PHONE)
    with chain.warehouse.transaction() as tx:  # said of the names while they were in force, some time before
        tx.execute(
            "INSERT INTO tillstream.identities (table_name, key_columns, key, other_key, reason, author)"
            " VALUES ('members', '{name}', 'M1', 'M2', 'x', 'x')"
        )
    chain.apply(BY_NAME)
    assert chain.rows(CENTRAL)[:2] == [("M1", 6), ("M3", 6)]


def test_what_another_policy_had_begun_is_taken_away(chain: DecidedChain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that failed half-way leaves nothing once another one is in force, with that key or without."""

    def fail() -> None:
        raise UnreachableError("gone")

    with monkeypatch.context() as once:
        meanwhile(once, 2, fail)
        with pytest.raises(UnreachableError):
            switch(chain)
    assert chain.rows(LEFTOVERS)
    chain.apply(BY_PHONE.replace("version: 1", "version: 4").replace("rule: sum", "rule: max"))
    assert chain.rows(LEFTOVERS) == []


def test_a_view_of_ones_own_on_the_keys_is_named(chain: DecidedChain) -> None:
    """It would go on showing the old keys; without it the switch is made, and what was granted on ours stays."""
    with chain.warehouse.transaction() as tx:
        tx.execute("CREATE VIEW public.mine AS SELECT _key FROM stores.members")
        tx.execute("GRANT SELECT ON central.members_ids, desk.members TO pg_monitor")
    with pytest.raises(RefusedError, match=r"stores.members._key is looked at by mine, .* make it again"):
        switch(chain)
    with chain.warehouse.transaction() as tx:
        tx.execute("DROP VIEW public.mine")
    chain.apply(BY_NAME)
    for view in ("central.members_ids", "desk.members"):
        assert chain.rows(f"SELECT has_table_privilege('pg_monitor', '{view}', 'SELECT')") == [(True,)]
    assert chain.rows("SELECT DISTINCT _key FROM central.members_ids ORDER BY 1")[0] == ("M1",)


def test_a_stores_own_codes_become_the_chains(chain: DecidedChain) -> None:
    """A map that comes into force makes keys of each store's codes by that store's lines."""
    (chain.directory / "codes.csv").write_text("store,code,chain_code\ns1,M1,ONE\ns2,M2,ONE\n")
    chain.apply(BY_NAME.replace("key: {name: upper},", "key: {name: upper}, map: {name: codes.csv},"))
    assert chain.rows("SELECT _store, _pk FROM stores.members WHERE _key = 'ONE' ORDER BY 1") == [
        ("s1", "1"),
        ("s2", "2"),
    ]
    assert ("ONE", 3) in chain.rows(CENTRAL)
