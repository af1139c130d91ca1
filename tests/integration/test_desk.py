"""desk.*: what a support desk or a BI tool reads with only SQL, on a real PostgreSQL that the real worker filled."""

import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from decided import DecidedChain
from fake_store import column
from psycopg.rows import dict_row

from conflict.clock import Look
from conflict.resolution import NEVER_OBSERVED
from sinks.clock_looks import ClockLooks
from sinks.clocks import KnownClocks, read_stamps

POLICIES = """\
version: 4
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    deletes: all
    columns:
      points: {rule: sum}
      level: {rule: review, then: max}
      name: {rule: latest, stores: [s2]}
  _history:
    scope: shared
    key: {sku: exact}
"""
KEY = "+8613800138000"
ONE_KEY = "SELECT * FROM desk.members WHERE key = %s"


@pytest.fixture
def chain(tmp_path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecidedChain]:
    """One member in three stores; s2 was asked for the name two minutes after s1, s3 was never seen changing it."""
    monkeypatch.setenv("POS_PASSWORD", "x")
    with closing(DecidedChain(tmp_path, fresh_database, POLICIES, ids=("s1", "s2", "s3"))) as made:
        for name, points in (("s1", 30), ("s2", 12), ("s3", 7)):
            store = made.stores[name]
            store.snapshot()
            store.insert("members", {"id": 7, "phone": "138 0013 8000", "name": name, "points": points, "level": 1})
            store.tick(60)
        made.stores["s2"].tick(60)
        made.stores["s2"].update("members", (7,), name="Wang", level=2)
        made.take_in()
        yield made


def desk(chain: DecidedChain, statement: str = ONE_KEY, *values: Any, role: str = "") -> list[dict[str, Any]]:
    plain = chain.warehouse.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, row_factory=dict_row) as connection:
        if role:
            connection.execute(f"SET ROLE {role}")  # type: ignore[call-overload]
        return connection.execute(statement, values or (KEY,) if "%s" in statement else None).fetchall()  # type: ignore[call-overload, no-any-return]


def execute(chain: DecidedChain, statements: str) -> None:
    with chain.warehouse.transaction() as tx:
        tx.execute(statements)


def explained(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert chain.tillstream("explain", "members", KEY, "--output", "json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def as_explained(rows: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """(column, central value, store, row, its value, time in us, doubt in us, known from, wins, rule, marks)"""
    return {
        (
            each["column_name"], each["central_value"], each["store"], each["row_id"], each["store_value"],
            each["changed_at"] and round(each["changed_at"].timestamp() * 1_000_000),
            each["doubt"].total_seconds() * 1_000_000 if each["doubt"] else 0, each["known_from"], each["is_winner"],
            each["says"], each["contested"],
        )
        for each in rows if each["rule"] != "key" and each["state"] != "deleted"
    }  # fmt: skip


def candidates(found: dict[str, Any]) -> set[tuple[Any, ...]]:
    return {
        (
            each["column"], each["value"], one["store"], one["row"], one["value"], one["effective_us"],
            one["uncertainty_us"], one["known_from"], one["wins"], each["rule"], each["contested"],
        )
        for each in found["columns"] for one in each["candidates"]
    }  # fmt: skip


def test_each_stores_part_in_each_value_is_what_explain_tells(
    chain: DecidedChain, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same values, times, doubts, winners, rules and marks, also where a clock is off."""
    assert as_explained(desk(chain)) == candidates(explained(chain, capsys))
    assert {(each["policy_version"], each["state"]) for each in desk(chain)} == {(4, "counts")}
    (s2,) = [each for each in desk(chain) if (each["store"], each["column_name"]) == ("s2", "name")]
    assert (s2["is_winner"], s2["contested"], s2["changed_at"]) == (True, True, s2["row_changed_at"])
    assert {each["store_value"] for each in desk(chain) if each["column_name"] == "phone"} == {"138 0013 8000"}

    epoch, file, pos = chain.rows("SELECT epoch, file, pos FROM tillstream.ledger WHERE store = 's2'")[0]
    hours_us = 4 * 3_600_000_000
    look = Look(place=(epoch, file, pos), began_us=0, ended_us=1, offset_us=hours_us, uncertainty_us=1_000)
    assert ClockLooks(chain.warehouse).look("s2", look) == hours_us
    chain.work()
    chain.stores["s1"].delete("members", (7,))
    chain.take_in()
    found = desk(chain)
    assert as_explained(found) == candidates(explained(chain, capsys))
    assert {each["state"] for each in found if each["store"] == "s1"} == {"deleted"}
    assert any(each["doubt"] for each in found)


def test_the_time_of_any_stamp_is_that_of_conflict(chain: DecidedChain) -> None:
    """Worked out in SQL and in Python from the same corrections: before, between and at their places, ahead or not."""
    dice = random.Random(7)
    for _ in range(40):
        store, (epoch, file, pos) = (
            dice.choice(("s1", "s2")),
            (dice.randint(1, 2), dice.randint(1, 2), dice.randint(0, 9)),
        )
        bounds = sorted(dice.sample(range(1_000_000), 2)) if dice.random() < 0.5 else [None, None]
        chain.rows(
            "INSERT INTO tillstream.clock_corrections (store, epoch, file, pos, offset_us, uncertainty_us, earliest_us,"
            f" latest_us) VALUES ('{store}', {epoch}, {file}, {pos}, {dice.randint(-500_000, 500_000)},"
            f" {dice.randint(0, 9)}, {bounds[0] or 'NULL'}, {bounds[1] or 'NULL'}) RETURNING 1"
        )
    with chain.warehouse.transaction() as tx:
        clocks = KnownClocks().read(tx)
        for _ in range(400):
            place = [
                dice.randint(1, 2),
                dice.randint(1, 2),
                dice.randint(0, 9),
                dice.randint(-1, 1),
                dice.randint(0, 1),
            ]
            stamp = [*place, dice.choice((NEVER_OBSERVED, *range(0, 1_000_000, 90_000))), 0]
            if dice.random() < 0.5:
                stamp.append([dice.randint(1, 2), 1, dice.randint(0, 9), 0, 0, dice.randint(0, 1_000_000)])
            store, name = dice.choice(("s1", "s2", "s3")), dice.choice(("name", " ", "   "))
            ((at_us, doubt_us),) = tx.rows(
                "SELECT (extract(epoch FROM at) * 1000000)::bigint, (extract(epoch FROM doubt) * 1000000)::bigint"
                " FROM desk._time(%s, %s, %s)",
                [store, name, json.dumps(stamp)],
            )
            known = read_stamps(clocks[store], {name: stamp})[name]
            if stamp[5] == NEVER_OBSERVED:
                assert at_us is None
            else:
                assert (at_us, doubt_us) == (known.effective_us, known.uncertainty_us), (store, name, stamp)


def test_a_person_a_quarantine_and_a_review_stand_beside_what_they_concern(chain: DecidedChain) -> None:
    """Who decided, why and when; since when a store is not believed, what of it does not count; the open reviews."""
    (review,) = desk(chain, "SELECT * FROM desk._reviews")
    assert (review["table_name"], review["key"], review["column_name"], review["central_value"]) == (
        "members", KEY, "level", "2"
    )  # fmt: skip
    assert (
        chain.tillstream("reviews", "decide", str(review["id"]), "--value", "5", "--for-good", "--reason", "asked him")
        == 0
    )
    since = "2026-01-01T12:00:30+00:00"
    assert chain.tillstream("quarantine", "add", "s2", "--since", since, "--reason", "mad", "--yes") == 0
    chain.work()
    found = {(each["store"], each["column_name"]): each for each in desk(chain)}
    level = found["s1", "level"]
    assert (level["central_value"], level["decided_value"], level["decided_because"]) == ("5", "5", "asked him")
    assert level["decided_by"]
    assert level["decided_at"].tzinfo
    assert found["s1", "name"]["decided_by"] is None
    assert {store for (store, _), each in found.items() if each["quarantined_since"]} == {"s2"}
    assert {(column, found["s2", column]["state"]) for column in ("name", "points")} == {
        ("name", "in quarantine"), ("points", "in quarantine")
    }  # fmt: skip
    assert found["s2", "name"]["quarantined_because"] == "mad"
    assert not found["s2", "name"]["is_winner"]


def test_the_rules_and_the_history_are_data(chain: DecidedChain) -> None:
    """Of every policy that was in force; each change with the rule by which it came about."""
    chain.apply(POLICIES.replace("version: 4", "version: 5").replace("rule: sum", "rule: max"))
    rules = desk(chain, "SELECT * FROM desk._rules WHERE table_name = 'members' AND in_force ORDER BY column_name")
    assert [(each["column_name"], each["rule"], each["says"], each["policy_version"]) for each in rules] == [
        ("*", "latest", "latest", 5),
        ("level", "review", "review, then max", 5),
        ("name", "latest", "latest, stores: s2", 5),
        ("phone", "key", "key: phone_cn", 5),
        ("points", "max", "max", 5),
    ]
    (points,) = desk(chain, "SELECT * FROM desk._history WHERE key = %s AND column_name = 'points'")
    assert (points["what"], points["value_before"], points["value"], points["winner"]) == ("changed", "49", "30", "s1")
    assert (points["reason"], points["rule"], points["policy_version_before"], points["policy_version"]) == (
        "policy version 5", "max", 4, 5
    )  # fmt: skip


def test_who_may_read_desk_and_nothing_else_reads_on_while_tables_change(chain: DecidedChain) -> None:
    """A type widened, a column added and another policy leave the views there, and what was granted."""
    execute(chain, "DROP ROLE IF EXISTS phone_support")
    execute(
        chain,
        "CREATE ROLE phone_support; GRANT USAGE ON SCHEMA desk TO phone_support;"
        "GRANT SELECT ON ALL TABLES IN SCHEMA desk TO phone_support; GRANT phone_support TO CURRENT_USER",
    )
    try:
        before = desk(chain, role="phone_support")
        store = chain.stores["s1"]
        store.widen_column("members", "points", "BIGINT")
        store.add_column("members", column("tag", "VARCHAR", length=9, charset_name="utf8mb4"))
        store.update("members", (7,), tag="new")
        chain.take_in()
        chain.apply(POLICIES.replace("version: 4", "version: 5").replace("rule: sum", "rule: max"))
        after = desk(chain, role="phone_support")
        assert {each["column_name"] for each in after} - {each["column_name"] for each in before} == {"tag"}
        tags = {each["store"]: (each["state"], each["store_value"]) for each in after if each["column_name"] == "tag"}
        assert tags == {"s1": ("counts", "new"), "s2": ("no such column", None), "s3": ("no such column", None)}
        assert desk(chain, "SELECT * FROM desk._history", role="phone_support")
        assert desk(chain, "SELECT * FROM desk._rules", role="phone_support")
        for table in ("stores.members", "central.members", "tillstream.clock_corrections"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                desk(chain, f"SELECT * FROM {table}", role="phone_support")
    finally:
        execute(chain, "DROP OWNED BY phone_support; DROP ROLE phone_support")


def test_one_key_is_found_by_index(chain: DecidedChain) -> None:
    """No view reads through a table of stores, of agreed rows or of history for one key."""
    execute(
        chain,
        "INSERT INTO stores.members"
        " (_store, _pk, _epoch, _file, _pos, _row, _order, _event_at, _op, _deleted, _key, id)"
        " SELECT 's1', n::text, 1, 1, n, 0, 0, now(), 'c', false, n::text, n FROM generate_series(100, 20000) n;"
        "INSERT INTO central.members (_key, _stores, _winners, _newest, _contested, _uncertain, _policy)"
        " SELECT n::text, '{s1}', '{}', '{}', '{}', '{}', 1 FROM generate_series(100, 20000) n;"
        "INSERT INTO tillstream.history"
        " SELECT now(), 'members', n::text, '', NULL, 1 FROM generate_series(1, 20000) n;",
    )
    execute(chain, "ANALYZE")
    for view in ("desk.members", "desk._history"):
        plan = desk(chain, f"EXPLAIN (FORMAT JSON) SELECT * FROM {view} WHERE key = '{KEY}'"
                           f"{'' if view == 'desk.members' else ' AND table_name = $$members$$'}")  # fmt: skip
        text = json.dumps(plan)
        scans = {each["Relation Name"]: each["Node Type"] for each in _nodes(plan[0]["QUERY PLAN"][0]["Plan"])
                 if each.get("Relation Name") in ("members", "history")}  # fmt: skip
        assert scans, text
        assert not any(kind == "Seq Scan" for kind in scans.values()), text


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)
