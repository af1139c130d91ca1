"""What `fold` makes of a batch, wherever the log is cut."""

import itertools
from typing import Any

import pytest
from fake_store import DATABASE, FakeStore, FakeTable, Log, column
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from conflict.policy import KeyPart, Normaliser, TablePolicy
from sinks import fold as fold_module
from sinks.fold import Dated, Fold, Lane, Mark, fold
from sinks.row_codec import RowCodec
from tillstream.envelope import ORIGIN, Stamp, TableVersion

MEMBERS = [column("id", "INT", optional=False), column("phone", "VARCHAR", length=20),
           column("name", "VARCHAR", length=20), column("points", "INT")]  # fmt: skip
SHARED = TablePolicy(table="members", key=(KeyPart(column="phone", normaliser=Normaliser.EXACT),))

acts = st.lists(
    st.tuples(
        st.sampled_from(["insert", "update", "update", "delete", "rename"]),
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from([0, 0, 1, 3, -2]),
    ),
    max_size=14,
)


def recorded(table: FakeTable, acts_: list[tuple[str, int, int, int]], *, compressed: bool) -> Log:
    store = FakeStore("s1", [table], compressed=compressed)
    store.insert(table.name, *({"id": n, "phone": f"p{n}", "name": "first", "points": 0} for n in range(2)))
    store.snapshot()
    for number in range(0, len(acts_), 2):
        store.transaction(*(lambda act=act: act_on(store, table, act) for act in acts_[number : number + 2]))
    return store.log


def act_on(store: FakeStore, table: FakeTable, act: tuple[str, int, int, int]) -> None:
    what, number, value, seconds = act
    store.tick(seconds)
    keys = sorted(table.rows)
    key = keys[number % len(keys)] if keys else None
    if what == "insert":
        if (number,) not in table.rows:
            store.insert(table.name, {"id": number, "phone": f"p{value}", "name": "x", "points": value})
    elif key is None:
        return
    elif what == "update":
        store.update(table.name, key, **({"points": value} if number % 2 else {"name": f"n{value}"}))
    elif what == "delete":
        store.delete(table.name, key)
    else:
        store.update(table.name, key, id=10 + number, points=value)


def lane_for(table: FakeTable) -> Lane:
    version = TableVersion(store="s1", database=DATABASE, table=table.name, since=ORIGIN,
                           columns=tuple(table.columns), primary_key=table.primary_key)  # fmt: skip
    return Lane(store="s1", stamp=ORIGIN, codecs={(DATABASE, table.name): RowCodec(version, table.policy)})


Facts = dict[tuple[str, str], dict[str, Any]]


def facts_of(folded: Fold) -> Facts:
    """Per row, what the warehouse is told."""
    facts: Facts = {}
    for rows in folded.rows.values():
        for row_key, change in rows.items():
            event = change.event
            facts[row_key] = {
                "stamp": change.stamp,
                "op": event.op,
                "image": event.after if event.after is not None else event.before,
                "latest": getattr(change, "latest", None),
                "stamps": dict(getattr(change, "stamps", {})),
                "moved_from": getattr(change, "moved_from", None),
            }
    return facts


def joined(earlier: Facts, later: Facts) -> Facts:
    """What a warehouse that holds `earlier` makes of `later`: the spec of `tillstream.join_stamps`."""
    result = dict(earlier)
    for row_key, change in later.items():
        before = earlier.get(row_key)
        latest = before["latest"] if before else None
        stamps = {name: after(mark, latest) for name, mark in change["stamps"].items()}
        result[row_key] = {
            **change,
            "latest": max(
                (each for each in (latest, change["latest"]) if each), key=lambda e: (e[1], e[0]), default=None
            ),
            "stamps": {**(before["stamps"] if before else {}), **stamps},
            "moved_from": change["moved_from"] or (before["moved_from"] if before else None),
        }
    return result


def after(mark: Mark, latest: Dated | None) -> Mark:
    stamp, at_us, ahead = mark
    return (stamp, at_us, latest) if latest and latest[1] > (ahead[1] if ahead else at_us) else mark


def folded_facts(log: Log, table: FakeTable, cuts: list[int]) -> Facts:
    """The log folded piece by piece; a moved row starts a piece, as the worker cuts a shared table's."""
    lane = lane_for(table)
    moves = [i for i, e in enumerate(log.entries) if table.policy and e.event.oldkey is not None]
    edges = sorted({0, len(log), *(cut % (len(log) + 1) for cut in cuts), *moves})
    facts: Facts = {}
    for start, end in itertools.pairwise(edges):
        folded = fold([log.batch(start, end)], {"s1": lane})
        lane.stamp = max(lane.stamp, folded.reached.get("s1", lane.stamp))
        facts = joined(facts, facts_of(folded))
    return facts


Cuttings = tuple[list[tuple[str, int, int, int]], list[int], bool]
cuttings = st.tuples(acts, st.lists(st.integers(0, 60), min_size=1, max_size=6), st.booleans())


def the_fold_is_the_same(policy: TablePolicy | None, cutting: Cuttings) -> None:
    acts_, cuts, compressed = cutting
    table = FakeTable("members", list(MEMBERS), ("id",), policy)
    log = recorded(table, acts_, compressed=compressed)
    whole = folded_facts(log, table, [])
    assert folded_facts(log, table, cuts) == whole
    assert folded_facts(log, table, list(range(len(log)))) == whole


@pytest.mark.parametrize("policy", [None, SHARED], ids=["isolated", "shared"])
@given(cutting=cuttings)
@settings(max_examples=100, deadline=None)
def test_cut_anywhere_the_fold_is_the_same(policy: TablePolicy | None, cutting: Cuttings) -> None:
    """One batch, some, or one for each event: each row ends with the same image, stamp, latest time and stamps of its
    columns."""
    the_fold_is_the_same(policy, cutting)


def test_a_fold_of_the_last_event_only_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the property above: what an earlier event of the batch changed would have no stamp."""
    observe = fold_module._observe
    monkeypatch.setattr(fold_module, "_observe", lambda earlier, *rest: observe(None, *rest))
    law = given(cutting=cuttings)(lambda cutting: the_fold_is_the_same(SHARED, cutting))
    with pytest.raises(AssertionError):
        settings(max_examples=100, deadline=None, phases=[Phase.generate], derandomize=True)(law)()


@pytest.mark.parametrize("policy", [None, SHARED], ids=["isolated", "shared"])
@given(acts_=acts, compressed=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_fold_ends_at_what_the_store_has(
    policy: TablePolicy | None, acts_: list[tuple[str, int, int, int]], compressed: bool
) -> None:
    """After the whole log, the rows whose last event is no delete are the store's rows."""
    table = FakeTable("members", list(MEMBERS), ("id",), policy)
    log = recorded(table, acts_, compressed=compressed)
    live = {pk: fact["image"] for (_, pk), fact in folded_facts(log, table, []).items() if fact["op"] != "d"}
    assert live == {str(key[0]): row_ for key, row_ in table.rows.items()}


@given(acts_=acts, cut=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_what_is_in_the_warehouse_already_is_dropped(acts_: list[tuple[str, int, int, int]], cut: int) -> None:
    """A redelivered log adds only what lies above the lane's stamp."""
    table = FakeTable("members", list(MEMBERS), ("id",))
    log = recorded(table, acts_, compressed=True)
    middle, lane = cut % (len(log) + 1), lane_for(table)
    before = fold([log.batch(0, middle)], {"s1": lane})
    lane.stamp = max(lane.stamp, before.reached.get("s1", lane.stamp))
    again = fold([log.batch(0, len(log))], {"s1": lane})
    stamps = [c.stamp for rows in again.rows.values() for c in rows.values() if c.event.op != "r"]
    assert all(stamp > lane.stamp for stamp in stamps)
    read = sum(1 for e in log.entries if e.event.op == "r")
    changes = [index for index, e in enumerate(log.entries) if e.event.op not in (None, "r")]
    taken_before = sum(1 for index in changes if index < middle)
    dropped = taken_before + (read if taken_before else 0)  # its snapshot ended before the first of them
    assert again.dropped["s1"] == dropped
    assert again.events["s1"] == len(changes) + read - dropped


def test_the_stamps_of_a_log_only_grow() -> None:
    """Both halves of a key change share a place, and so do all events of a compressed transaction."""
    for compressed in (False, True):
        table = FakeTable("members", list(MEMBERS), ("id",))
        store = FakeStore("s1", [table], compressed=compressed)
        store.snapshot()

        def three(store: FakeStore = store) -> None:
            store.insert("members", *({"id": n} for n in range(3)))

        def moved(store: FakeStore = store) -> None:
            store.update("members", (1,), id=7)

        store.transaction(three, moved, lambda store=store: store.insert("members", {"id": 9}))
        lane = lane_for(table)
        seen: list[Stamp] = []
        for index in range(len(store.log)):
            folded = fold([store.log.batch(index, index + 1)], {"s1": lane})
            if "s1" in folded.reached:
                seen.append(folded.reached["s1"])
        assert len(seen) == 6
        assert seen == sorted(set(seen))
