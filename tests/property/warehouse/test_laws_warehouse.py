"""The laws on a real PostgreSQL, through the real worker: whatever way the logs come, the warehouse ends the same."""

from collections import Counter
from collections.abc import Callable

import pytest
from drawn_policies import shared_policies
from fake_store import FakeStore, column
from hypothesis import given, settings
from hypothesis import strategies as st
from lanes import RecordedLanes
from lived import CHANGES, CHOSEN, MEMBERS, STORES, Act, lived, long_histories, member, policy_with
from ways import DIMENSIONS, Place, Way, assert_truth, dimensions, few, ways

from conflict.policy import Deletes, Policy
from sinks.warehouse import Warehouse


@given(
    history=st.tuples(long_histories, long_histories, long_histories),
    way=ways,
    interrupted=st.none() | st.sampled_from(STORES),
    policy=st.builds(policy_with, st.sampled_from(list(Deletes)), st.sampled_from([MEMBERS.columns, CHOSEN, CHANGES]))
    | shared_policies,
)
@settings(few, max_examples=30)
def every_way_leads_to_the_same_warehouse(
    place: Place, drawn: Counter[str], compressed: bool, history: tuple[list[Act], ...], way: Way,
    interrupted: str | None, policy: Policy,
) -> None:  # fmt: skip
    stores = [
        lived(name, each, compressed=compressed, policy=policy, interrupted=name == interrupted, members=4)
        for name, each in zip(STORES, history, strict=True)
    ]
    place.empty()
    place.take_in(stores, Way(), policy)
    assert_truth(place, stores, policy)
    straight = place.everything()
    place.empty()
    place.take_in(stores, way, policy)
    assert_truth(place, stores, policy)
    assert place.everything() == straight
    drawn.update(dimensions(place, stores, way))


@pytest.mark.parametrize("compressed", [False, True], ids=["each at its place", "transactions at one place"])
def test_every_way_leads_to_the_same_warehouse(place: Place, drawn: Counter[str], compressed: bool) -> None:
    """Cut, interleaved, redelivered, crashed, by one worker or three: rows, stamps, floors and agreed rows are one."""
    every_way_leads_to_the_same_warehouse(place, drawn, compressed)
    assert drawn.keys() == DIMENSIONS


def changes_key(store: FakeStore) -> None:
    store.update("members", (0,), phone="p3", name="elsewhere")


def changes_both_keys(store: FakeStore) -> None:
    """The old row is withdrawn, not deleted: what other stores have under its key stays."""
    store.tick(50)
    store.update("members", (0,), id=20, phone="p3")


def has_a_clock_that_runs_backwards(store: FakeStore) -> None:
    store.tick(100)
    store.update("members", (0,), name="late")
    store.tick(-60)
    store.update("members", (0,), address="early, and last")


def moves_a_row_it_has_changed(store: FakeStore) -> None:
    store.update("members", (0,), name="first")
    store.tick(5)
    store.update("members", (0,), id=20, address="with the move")
    store.tick(5)
    store.update("members", (20,), level=9)


def changes_a_row_unseen(store: FakeStore) -> None:
    store.stop_listening()
    store.update("members", (0,), name="unseen")
    store.tick(5)
    store.snapshot()
    store.update("members", (0,), address="seen")


def deletes_a_row_and_has_it_again(store: FakeStore) -> None:
    store.tick(50)
    store.delete("members", (0,))
    store.tick(-20)
    store.insert("members", {**member(0, 0), "id": 7})


def empties_a_table(store: FakeStore) -> None:
    store.truncate("members")
    store.insert("members", member(1, 1))


@pytest.mark.parametrize("size", [1, 1000], ids=["event by event", "at once"])
@pytest.mark.parametrize(
    "what",
    [changes_key, changes_both_keys, has_a_clock_that_runs_backwards, moves_a_row_it_has_changed,
     changes_a_row_unseen, deletes_a_row_and_has_it_again, empties_a_table],
)  # fmt: skip
def test_a_store_that(place: Place, what: Callable[[FakeStore], None], size: int) -> None:
    """What the random histories rarely bring about, one by one, beside a store that has the same members."""
    stores = [lived("s1", []), lived("s2", [])]
    stores[1].tick(20)
    stores[1].update("members", (0,), name="of the other store")
    what(stores[0])
    for store in reversed(stores):  # one by one: the other's events would have keys decided that these forgot
        place.take_in([store], Way(sizes=((size,),), backs=((),)))
    assert_truth(place, stores)


def test_a_column_that_another_worker_added_is_decided_by_this_one(place: Place) -> None:
    """A worker's idea of a table may be old; a key it decides has all of the table's columns all the same."""
    one, other = lived("s1", []), lived("s2", [])
    lanes = {store.name: RecordedLanes() for store in (one, other)}
    workers = {name: place.worker(each) for name, each in lanes.items()}

    def take_in(store: FakeStore, start: int) -> None:
        lanes[store.name].record([store.log.batch(start, len(store.log))])
        while lanes[store.name].busy:
            workers[store.name].run_once(0.0)

    take_in(one, 0)
    take_in(other, 0)
    at = len(one.log)
    one.add_column("members", column("extra", "INT", default_value_expression="7"))
    take_in(one, at)
    at = len(other.log)
    other.update("members", (0,), name="new")
    take_in(other, at)
    assert_truth(place, [one, other])


def test_a_snapshot_has_ended_once_the_log_goes_on(place: Place) -> None:
    """Read anew and changed in one batch: the change of a keyless row takes the row that was read, not its ghost."""
    store = lived("s1", [])
    store.snapshot()
    store.update("notes", min(store.tables["notes"].rows), amount=2)
    store.add_column("members", column("extra", "INT"))
    store.delete("members", (0,))
    place.take_in([store], Way())
    assert_truth(place, [store])


def test_a_column_dropped_and_added_again_is_a_new_one(place: Place) -> None:
    """Its old values and the times of their changes are gone; a row has the new default, or NULL."""
    for default, expected in (("5", 5), (None, None)):
        place.empty()
        store = lived("s1", [])
        store.add_column("members", column("extra", "INT"))
        store.update("members", (0,), extra=3)
        store.drop_column("members", "extra")
        store.add_column("members", column("extra", "INT", default_value_expression=default))
        place.take_in([store], Way())
        assert {row["extra"] for row in place.live("members", store).values()} == {expected}
        assert_truth(place, [store])


@pytest.mark.parametrize("size", [1, 1000], ids=["event by event", "at once"])
def test_tables_dropped_by_one_statement_are_all_gone(place: Place, size: int) -> None:
    """Each is an event of its own at the same position, and they may come in several batches."""
    store = lived("s1", [])
    place.empty()
    place.take_in([store], Way())
    at = len(store.log)
    store.drop(*store.tables)
    lanes = RecordedLanes()
    worker = place.worker(lanes)
    lanes.record(store.log.batches([size] * 3, start=at))
    while lanes.busy:
        worker.run_once(0.0)
        worker.settle()
    assert not lanes.refused
    assert {table: len(place.live(table, store)) for table in store.tables} == dict.fromkeys(store.tables, 0)


def test_a_column_that_another_worker_widened_stops_nobody(place: Place) -> None:
    """INT becomes BIGINT while this one reads the table all the time: no plan of its is too old for it."""
    one, other = lived("s1", []), lived("s2", [])
    warehouse = Warehouse(place.warehouse.url.render_as_string(hide_password=False))
    lanes = {store.name: RecordedLanes() for store in (one, other)}
    workers = {"s1": place.worker(lanes["s1"]), "s2": place.worker(lanes["s2"], warehouse=warehouse)}

    def take_in(store: FakeStore, start: int, size: int) -> None:
        lanes[store.name].record(store.log.batches([size], start=start))
        while lanes[store.name].busy:
            workers[store.name].run_once(0.0)
            workers[store.name].settle()

    for number in range(12):
        other.update("members", (0,), points=number)
    take_in(one, 0, 100)
    take_in(other, 0, 1)
    at = [len(store.log) for store in (one, other)]
    one.widen_column("members", "points", "BIGINT")
    one.update("members", (0,), points=2**40)
    other.truncate("sales")
    other.update("members", (0,), points=100)
    take_in(one, at[0], 100)
    take_in(other, at[1], 100)
    warehouse.dispose()
    assert not lanes["s2"].refused
    assert_truth(place, [one, other])
