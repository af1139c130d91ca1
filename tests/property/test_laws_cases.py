"""A policy's test decides as the warehouse does: what stores lived through, written down as a test, passes it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import yaml
from fake_store import FakeStore, FakeTable, Row, column
from hypothesis import given, settings
from hypothesis import strategies as st

from conflict.case_run import differences
from conflict.functions import Function
from conflict.identity import business_key
from conflict.policy import Policy
from conflict.policy_file import parse_policy
from conflict.resolution import Contribution, Resolution
from conflict.resolve import resolve
from tillstream.checked_yaml import parse

STORES = ("s1", "s2", "s3")
COLUMNS = ("name", "level")
OPENING_SECONDS = 1_700_000_400  # in the midst of what stores live through below
OPENING = "2023-11-14 22:20:00"
RULES = [
    {"rule": "latest"},
    {"rule": "earliest"},
    {"rule": "earliest"},  # twice: it asks for two times
    {"rule": "max"},
    {"rule": "sum"},
    {"rule": "majority"},
    {"rule": "priority", "stores": ["s2"]},
    {"rule": "priority", "stores": ["s3"], "then": {"rule": "earliest"}},
    {"rule": "highest", "order": [2, 1]},
    {"rule": "per_store"},
    {"rule": "sum_of_changes", "opening": OPENING, "copied_by_pos": False},
    {"rule": "sum_of_changes", "opening": OPENING, "copied_by_pos": False},  # twice: there is an opening to write, too
    {"rule": "max", "when": "store.id != 's2' and level > 0", "then": "earliest"},
    {"python": "own:least", "when": "name is not null"},
]
DELETES = ["latest", "any", "all", "never"]


@dataclass(frozen=True)
class Life:
    """Of one row: there before the first snapshot or inserted after it, columns changed, perhaps deleted."""

    before: bool
    starts_after: int
    phone: str
    values: tuple[int, int]
    changes: list[tuple[int, int, int]]  # (seconds later, which column, its new value)
    deleted_after: int | None


# steps of half a minute and more: orders, ties, and both sides of the contest's window
seconds = st.sampled_from([0, 0, 1, 30, 400, 700])
values = st.integers(0, 2)
lives = st.builds(
    Life,
    before=st.sampled_from([False, False, True]),
    starts_after=seconds,
    phone=st.sampled_from(["13800138000", "138 0013 8000", "+8613800138000", "13900139000", "none"]),
    values=st.tuples(values, values),
    changes=st.lists(st.tuples(seconds, st.integers(0, 1), values), min_size=1, max_size=3),
    deleted_after=st.none() | st.none() | seconds,
)
chains = st.tuples(*(st.lists(lives, min_size=1, max_size=2) for _ in STORES))
policies = st.fixed_dictionaries(
    {
        "columns": st.fixed_dictionaries(dict.fromkeys(COLUMNS, st.sampled_from(RULES))),
        "deletes": st.sampled_from(DELETES),
    }
)


def least(function: Function, column: str, rows: Sequence[Contribution]) -> Any:
    """A rule of one's own, asked without a process."""
    return min((row.values[column] for row in rows if row.values[column] is not None), default=None)


def parsed(text: str) -> Policy:
    policy = parse_policy(parse(text, "x"), None)
    return replace(policy, tables={name: replace(table, ask=least) for name, table in policy.tables.items()})


def text_of(table: dict[str, Any], *tests: dict[str, Any]) -> str:
    members = {"scope": "shared", "key": {"phone": "phone_cn"}, **table}
    file = {"version": 1, "tables": {"members": members}, "tests": list(tests)}
    return yaml.safe_dump(file, allow_unicode=True)


def lived(name: str, rows: Sequence[Life], policy: Policy) -> tuple[FakeStore, list[Row]]:
    """The store after these lives, one after the other, and the same as `given` rows."""
    declared = [
        column("id", "INT", optional=False),
        column("phone", "VARCHAR", length=40),
        *(column(c, "INT") for c in COLUMNS),
    ]
    store = FakeStore(name, [FakeTable("members", declared, ("id",), policy.tables["members"])])
    starts = [
        {"id": number, "phone": row.phone, **dict(zip(COLUMNS, row.values, strict=True))}
        for number, row in enumerate(rows)
    ]
    store.insert("members", *(start for start, row in zip(starts, rows, strict=True) if row.before))
    store.snapshot()
    written = [live(store, start, row) for start, row in zip(starts, rows, strict=True)]
    # rows of a snapshot that nothing changed stand before all that was seen changing
    return store, sorted(written, key=lambda row: not is_untouched(row))


def is_untouched(row: Row) -> bool:
    return "_snapshot" in row and "_at" not in row and "_deleted" not in row


def live(store: FakeStore, start: Row, row: Life) -> Row:
    store.tick(row.starts_after)
    began = store.seconds
    at = {} if row.before else {"*": now(store)}
    since = {} if row.before else {"_since": now(store)}
    if not row.before:
        store.insert("members", start)
    values = dict(start)
    opening: Row = {}
    for later, which, value in row.changes:
        store.tick(later)
        if values[COLUMNS[which]] != value:
            if store.seconds >= OPENING_SECONDS and (row.before or began < OPENING_SECONDS):
                opening.setdefault(COLUMNS[which], values[COLUMNS[which]])
            values[COLUMNS[which]] = value
            at[COLUMNS[which]] = now(store)
            store.update("members", (start["id"],), **{COLUMNS[which]: value})
    said: Row = {"_snapshot": True} if row.before else {}
    said |= {"_at": at} if at else {}
    if row.deleted_after is not None:
        store.tick(row.deleted_after)
        store.delete("members", (start["id"],))
        said["_deleted"] = now(store)
    del values["id"]
    summed = {name: value for name, value in opening.items() if store.tables["members"].policy.opening_us(name)}
    return {"store": store.name, **values, **said, **since, **({"_opening": summed} if summed else {})}


def now(store: FakeStore) -> str:
    return datetime.fromtimestamp(store.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def agreed(stores: Sequence[FakeStore], policy: Policy) -> dict[str, Resolution]:
    """By the stores' own account, which the laws of the warehouse hold against a real one."""
    table = policy.tables["members"]
    found = defaultdict(list)
    for store in stores:
        for key, rows in store.contributions("members", lambda row: business_key(table.key, row, None)).items():
            found[key] += rows
    decided = {key: resolve(table, COLUMNS, rows) for key, rows in found.items()}
    return {key: each for key, each in decided.items() if each.exists}


def expected_row(key: str, decided: Resolution) -> Row:
    return {
        "phone": key,
        **{name: None if value is None else int(value) for name, value in decided.values.items()},
        "_winners": dict(decided.winners),
        "_contested": [each.column for each in decided.contests],
        "_uncertain": list(decided.uncertain),
    }


@given(chain=chains, table=policies, data=st.data())
@settings(max_examples=150, deadline=None)
def test_what_stores_lived_through_passes_as_a_test_and_nothing_else_does(
    chain: tuple[list[Life], ...], table: dict[str, Any], data: st.DataObject
) -> None:
    """Values, winners, contests and doubts of every central row; and one that is different in anything fails."""
    policy = parsed(text_of(table))
    stores, rows = zip(*(lived(name, lives, policy) for name, lives in zip(STORES, chain, strict=True)), strict=True)
    central = [expected_row(key, decided) for key, decided in agreed(stores, policy).items()]
    given_ = data.draw(st.permutations(rows))
    case = {"name": "as it was", "given": {"members": [row for each in given_ for row in each]}}
    tested = parsed(text_of(table, {**case, "expect": {"members": central}}))
    assert differences(tested, tested.cases[0]) == []
    if not central:
        return
    wrong = data.draw(st.sampled_from(central))
    name = data.draw(st.sampled_from([c for c in COLUMNS if c in wrong] or ["_contested"]))
    other = ["name", "level"] if name == "_contested" else 7 if wrong[name] is None else wrong[name] + 7
    spoiled = [{**row, name: other} if row is wrong else row for row in central]
    tested = parsed(text_of(table, {**case, "expect": {"members": spoiled}}))
    assert [each.column for each in differences(tested, tested.cases[0])] == [name]
    missing = [row for row in central if row is not wrong]
    tested = parsed(text_of(table, {**case, "expect": {"members": missing}}))
    assert [each.expected for each in differences(tested, tested.cases[0])] == ["no row"]
