"""A fault of the warehouse, a lost lane or a bad row costs nothing else: on a real PostgreSQL, by the real worker."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import MappingProxyType

import pytest
from fake_store import column
from hypothesis import given, settings
from hypothesis import strategies as st
from lanes import RecordedLanes
from lived import STORES, Act, histories, lived, member
from ways import Place, Way, assert_truth, few, ways

from conflict.policy import KeyPart, Normaliser, Policy, TablePolicy
from sinks.warehouse import Transaction, Warehouse
from tillstream.errors import LeaseLostError, RefusedError, TransientError

# --- faults of the warehouse ------------------------------------------------------------------------------


class FaultyWarehouse(Warehouse):
    """Whose transactions fail, by number, after their COMMIT (its answer is lost) or before it."""

    def __init__(self, url: str, *, lost_answers: Iterable[int] = (), faults: Iterable[int] = ()) -> None:
        super().__init__(url)
        self._lost_answers, self._faults = frozenset(lost_answers), frozenset(faults)
        self.transactions = 0

    def lose_answer_of(self, transaction: int) -> None:
        self._lost_answers = frozenset({transaction})

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        number, self.transactions = self.transactions, self.transactions + 1
        with super().transaction() as tx:
            yield tx
            if number in self._faults:
                raise TransientError("the connection broke before COMMIT")
        if number in self._lost_answers:
            raise TransientError("the connection broke while COMMIT was answered")


@given(history=histories, way=ways, numbers=st.sets(st.integers(0, 6), min_size=1, max_size=4), lost=st.booleans())
@few
def test_a_fault_before_or_after_commit_changes_nothing(
    place: Place, history: list[Act], way: Way, numbers: set[int], lost: bool
) -> None:
    """The batch is simply tried again, and nothing is in twice: rows without a key neither."""
    store = lived("s1", history)
    place.empty()
    lanes = RecordedLanes()
    lanes.record(store.log.batches(way.sizes[0], way.backs[0]))
    warehouse = FaultyWarehouse(
        place.warehouse.url.render_as_string(hide_password=False),
        **{"lost_answers" if lost else "faults": {1, *numbers}},
    )
    try:
        place.run_all([lanes], warehouse=warehouse)
    finally:
        warehouse.dispose()
    assert not lanes.refused
    assert_truth(place, [store])
    moved = place.rows("SELECT events FROM tillstream.ledger")
    before = place.everything()
    place.empty()
    place.take_in([store], Way(sizes=way.sizes, backs=way.backs))
    assert place.everything() == before
    assert place.rows("SELECT events FROM tillstream.ledger") == moved


@pytest.mark.parametrize("led", [False, True], ids=["rows alone", "led by a TRUNCATE"])
def test_a_change_without_a_key_is_not_made_twice(place: Place, led: bool) -> None:
    """Of two equal rows one is deleted, and the answer to that COMMIT is lost: the other one stays."""
    store = lived("s1", [])
    at = len(store.log)
    if led:
        store.truncate("sales")
    store.delete("notes", min(store.tables["notes"].rows))
    place.take_in([store], Way())
    place.empty()
    warehouse = FaultyWarehouse(place.warehouse.url.render_as_string(hide_password=False))
    lanes = RecordedLanes()
    worker = place.worker(lanes, warehouse=warehouse)
    for start, end in ((0, at), (at, len(store.log))):
        warehouse.lose_answer_of(warehouse.transactions if start else -1)
        lanes.record([store.log.batch(start, end)])
        while lanes.busy:
            worker.run_once(0.0)
            worker.settle()
    warehouse.dispose()
    assert_truth(place, [store])


def test_a_worker_that_lost_its_lane_writes_nothing(place: Place) -> None:
    """Its batch is rolled back and its lane refused; its other lanes go on, and the new worker is undisturbed."""
    stores = [lived("s1", []), lived("s2", [])]
    at = [len(store.log) for store in stores]
    old_lanes, new_lanes = RecordedLanes(), RecordedLanes()
    old, new = place.worker(old_lanes), place.worker(new_lanes)
    old_lanes.record([store.log.batch(0, end) for store, end in zip(stores, at, strict=True)])
    while old_lanes.busy:
        old.run_once(0.0)
    for store in stores:
        for name in ("from the old worker", "from it too"):
            store.update("members", (0,), name=name)
    deliveries = [
        delivery
        for index in (0, 1)  # the second is prepared while the first is written
        for delivery in old_lanes.record(
            store.log.batch(start + index, start + index + 1) for store, start in zip(stores, at, strict=True)
        )
    ]
    new_lanes.record([stores[0].log.batch(at[0], at[0])])  # only takes the lane over
    new.run_once(0.0)
    before = place.live("members", stores[0])
    while old_lanes.busy:
        old.run_once(0.0)
    assert [type(each.error) for each in deliveries] == [LeaseLostError, type(None)] * 2
    assert place.live("members", stores[0]) == before
    assert old_lanes.refused.keys() == {"s1"}
    assert place.live("members", stores[1]) == stores[1].rows("members")
    new_lanes.record([stores[0].log.batch(at[0], at[0] + 2)])
    while new_lanes.busy:
        new.run_once(0.0)
    assert_truth(place, stores)


def test_a_fault_while_a_lane_is_claimed_is_waited_out(place: Place) -> None:
    """The first thing done for a lane is no more deadly than any other."""
    store = lived("s1", [])
    lanes = RecordedLanes()
    lanes.record([store.log.batch(0, len(store.log))])
    warehouse = FaultyWarehouse(place.warehouse.url.render_as_string(hide_password=False), faults={0})
    try:
        place.run_all([lanes], warehouse=warehouse)
    finally:
        warehouse.dispose()
    assert_truth(place, [store])


def test_a_lane_that_cannot_be_claimed_stops_alone(place: Place) -> None:
    """The policy's key names a column that this store's table does not have: the other store goes on."""
    stores = [lived("s1", []), lived("s2", [])]
    stores[0].drop_column("members", "email")
    place.take_in(stores, Way(), Policy(version=1, tables=MappingProxyType({}), fingerprint="none"))
    key = (KeyPart(column="email", normaliser=Normaliser.EXACT),)
    policy = Policy(
        version=2, tables=MappingProxyType({"members": TablePolicy(table="members", key=key)}), fingerprint="two"
    )
    at = [len(store.log) for store in stores]
    for store in stores:
        store.insert("sales", {"till": 9, "number": 9})
    lanes = RecordedLanes()
    lanes.record([store.log.batch(start, len(store.log)) for store, start in zip(stores, at, strict=True)])
    place.run_all([lanes], policy)
    assert lanes.refused.keys() == {"s1"}
    assert isinstance(lanes.refused["s1"], RefusedError)
    assert place.live("sales", stores[1]) == stores[1].rows("sales")


# --- one bad row ------------------------------------------------------------------------------------------

BAD = {"bytes of another charset": ("note", "aÿb"), "a text that is no time": ("seen", "not-a-time")}


@pytest.mark.parametrize("bad", BAD)
@given(sizes=st.lists(st.integers(1, 9), max_size=8), at=st.integers(1, 4))
@settings(few, max_examples=6)
def test_one_bad_row_stops_nothing_else(place: Place, bad: str, sizes: list[int], at: int) -> None:
    """It is set aside with its coordinates and all others are in; a later full image of it makes the letter moot."""
    place.empty()
    name, value = BAD[bad]
    stores = [lived(each, []) for each in STORES]
    for store in stores:
        store.add_column("members", column("seen", "TIMESTAMP"))
        store.add_column("members", column("note", "VARCHAR", length=10, charset_name="latin1", real_charset="utf8"))
        for number in range(2, 6):
            store.insert("members", {**member(number, 1), **({name: value} if store.name == "s2" and number == at + 1
                                                             else {})})  # fmt: skip
            store.insert("sales", {"till": 1, "number": number, "total": "1.00"})
    bad_pk = str(at + 1)
    place.take_in(stores, Way(sizes=[sizes] * 3))
    for store in stores:
        expected = dict(store.rows("members"))
        if store.name == "s2":
            assert expected.pop(bad_pk)[name] == value
        assert place.live("members", store) == expected
        assert place.live("sales", store) == store.rows("sales")
    (letter,) = place.rows("SELECT store, table_name, pk, file, pos, op, reason, status FROM tillstream.dead_letters")
    assert (letter["store"], letter["table_name"], letter["pk"]) == ("s2", "members", bad_pk)
    (event,) = [e.event for e in stores[1].log.entries if (e.event.after or {}).get(name) == value]
    assert event.source is not None
    assert (letter["pos"], letter["op"], letter["status"]) == (event.source.pos, "c", "open")
    assert ("not utf8" if name == "note" else "22007") in letter["reason"]
    stores[1].update("members", (at + 1,), **{name: None})
    place.take_in(stores, Way())
    assert place.live("members", stores[1]) == stores[1].rows("members")
    assert [each["status"] for each in place.rows("SELECT status FROM tillstream.dead_letters")] == ["superseded"]


def test_a_key_that_cannot_be_kept_stops_nothing_else(place: Place) -> None:
    """A primary key that cannot be read is set aside, also as the old half of a key change."""
    store = lived("s1", [])
    for table in store.tables.values():
        if table.name == "members":
            table.columns[0] = column("id", "VARCHAR", length=10, charset_name="latin1", real_charset="utf8")
            table.rows = {("a",): {**member(0, 1), "id": "a"}}
            table.kept.clear()
    place.empty()
    store.snapshot()
    store.insert("members", {**member(0, 2), "id": "bÿ"})
    store.update("members", ("bÿ",), id="c")
    lanes = RecordedLanes()
    start = max(i for i, e in enumerate(store.log.entries) if e.in_snapshot and e.restart == i)
    lanes.record([store.log.batch(start, len(store.log))])
    place.run_all([lanes])
    assert place.live("members", store) == store.rows("members")
    assert len(place.rows("SELECT 1 FROM tillstream.dead_letters")) == 2
