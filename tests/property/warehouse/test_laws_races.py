"""Whoever decides at the same moment, and whatever is switched beside the workers: the warehouse ends the same."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from drawn_policies import like, shared_policies
from fake_store import FakeStore
from hypothesis import given, settings
from hypothesis import strategies as st
from lanes import RecordedLanes
from lived import CHANGES, MEMBERS, POLICY, STORES, Act, histories, lived, member, policy_with
from ways import Place, Way, assert_truth, dimensions, few, ways

from conflict.clock import Look
from conflict.policy import ColumnRule, Deletes, KeyPart, Normaliser, Policy, RuleName, TablePolicy
from sinks.clock_looks import ClockLooks
from sinks.clocks import KnownClocks
from sinks.quarantines import Quarantines
from sinks.warehouse import Transaction, Warehouse

WAIT_SECONDS = 30.0
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
LONG_ENOUGH_SECONDS = 0.5  # for a worker that nothing holds up to have written its batch several times over

OTHER = Policy(
    version=2,
    tables=MappingProxyType(
        {
            "members": TablePolicy(
                table="members",
                key=(KeyPart(column="phone", normaliser=Normaliser.DIGITS),),
                columns=MappingProxyType(
                    {
                        "points": ColumnRule(rule=RuleName.SUM),
                        "wallet": ColumnRule(rule=RuleName.MIN),
                        "level": ColumnRule(rule=RuleName.MIN),
                        "name": ColumnRule(rule=RuleName.PRIORITY, ranks=(("s1",),)),
                        "email": ColumnRule(rule=RuleName.EARLIEST),
                    }
                ),
                deletes=Deletes.ALL,
            )
        }
    ),
    fingerprint="other",
)


@given(history=st.tuples(histories, histories, histories), way=ways, switches=st.integers(1, 4), data=st.data())
@settings(few, max_examples=24)
def policies_switched_and_stores_doubted_beside_the_workers_leave_no_trace(
    place: Place, drawn: Counter[str], history: tuple[list[Act], ...], way: Way, switches: int, data: st.DataObject
) -> None:
    pairs = shared_policies.flatmap(lambda each: st.tuples(st.just(each), like(each)))
    last, other = data.draw(st.permutations([POLICY, OTHER]) | pairs)
    stores = [
        lived(name, each, policy=last, interrupted=False, members=4) for name, each in zip(STORES, history, strict=True)
    ]
    place.empty()
    place.take_in(stores, Way(), last)
    assert_truth(place, stores, last)
    straight = place.everything()

    place.empty()
    place.switch(last)
    place.switch(other)
    pauses = data.draw(st.lists(st.sampled_from([0.0, 0.002, 0.01]), min_size=switches, max_size=switches))
    hands = [place.recorded([store.log for store in stores], [n], way) for n in range(len(stores))]
    done = threading.Thread(target=place.run_all, args=(hands, other))
    done.start()
    for pause in pauses:
        time.sleep(pause)
        quarantines = Quarantines(place.warehouse)
        number = quarantines.add("s2", None, LONG_AGO, reason="tried", author="law")
        place.switch(last)
        drawn["policy and quarantine while workers write"] += done.is_alive()
        time.sleep(pause)
        quarantines.lift(number)
        place.switch(other)
    place.switch(last)
    done.join(60)
    place.run_all([RecordedLanes()], last)
    assert_truth(place, stores, last)
    assert place.everything() == straight
    drawn.update(dimensions(place, stores, way))


def test_policies_switched_and_stores_doubted_beside_the_workers_leave_no_trace(
    place: Place, drawn: Counter[str]
) -> None:
    """Other rules, another key, a quarantine and back, at any moment, while three workers write: at the end all is as
    if there had been only the last."""
    policies_switched_and_stores_doubted_beside_the_workers_leave_no_trace(place, drawn)
    assert drawn["policy and quarantine while workers write"] > 0
    assert drawn["key of several stores"] > 0


looks = st.lists(
    st.tuples(
        st.sampled_from(STORES),
        st.integers(0, 2000),  # how far in its log, in positions
        st.sampled_from([0, 3, -8, 60, 3 * 3600]),  # seconds that its clock is found to be off
        st.sampled_from([0.0, 0.002, 0.01]),  # how long after the look before
    ),
    min_size=1,
    max_size=6,
)


@given(history=st.tuples(histories, histories, histories), way=ways, looks=looks,
       deletes=st.sampled_from(list(Deletes)), columns=st.sampled_from([MEMBERS.columns, CHANGES]))  # fmt: skip
@settings(few, max_examples=20)
def test_clocks_found_wrong_beside_the_workers_are_as_if_that_had_been_known_before(
    place: Place,
    history: tuple[list[Act], ...],
    way: Way,
    looks: list[tuple[str, int, int, float]],
    deletes: Deletes,
    columns: Mapping[str, ColumnRule],
) -> None:
    """Corrections that reach back behind what is decided already, at any moment: at the end everything is as a replay
    makes it that knows them from the beginning."""
    policy = policy_with(deletes, columns)
    stores = [
        lived(name, each, policy=policy, interrupted=False, members=4)
        for name, each in zip(STORES, history, strict=True)
    ]
    place.empty()
    place.switch(policy)
    for name in STORES:
        place.rows("INSERT INTO tillstream.epochs (store, epoch, reason) VALUES (%s, 1, 'law') RETURNING 1", name)
    hands = [place.recorded([store.log for store in stores], [n], way) for n in range(len(stores))]
    done = threading.Thread(target=place.run_all, args=(hands, policy))
    done.start()
    clocks = ClockLooks(place.warehouse)
    for number, (store, pos, off_seconds, pause) in enumerate(sorted(looks, key=lambda each: each[1])):
        time.sleep(pause)
        if number == len(looks) // 2:
            done.join(60)  # what is found from now on finds everything decided
        at_us = (1_700_000_000 + pos) * 1_000_000
        clocks.look(store, Look(place=(1, 1, pos), began_us=at_us, ended_us=at_us + 1000,
                                offset_us=off_seconds * 1_000_000, uncertainty_us=500))  # fmt: skip
    place.run_all([RecordedLanes()], policy)
    with place.warehouse.transaction() as tx:
        known = KnownClocks().read(tx)
    for store in stores:
        store.clock = known[store.name]
    assert_truth(place, stores, policy)
    found = place.everything()
    place.empty(clocks=False)
    place.take_in(stores, Way(), policy)
    assert place.everything() == found


class HeldWarehouse(Warehouse):
    """Whose next transaction, once armed, does all of its work and then waits before its COMMIT."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.armed = False
        self.reached, self.may_commit = threading.Event(), threading.Event()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with super().transaction() as tx:
            yield tx
            if self.armed:
                self.armed = False
                self.reached.set()
                self.may_commit.wait(WAIT_SECONDS)


@pytest.mark.parametrize("phone", ["p0", "p3"], ids=["a known key", "a new key"])
def test_two_workers_at_one_key_see_each_other(place: Place, phone: str) -> None:
    """While one has decided a key and not committed, another brings its store's part: neither part is lost."""
    stores = [lived("s1", []), lived("s2", [])]
    held = HeldWarehouse(place.warehouse.url.render_as_string(hide_password=False))
    all_lanes = [RecordedLanes(), RecordedLanes()]
    workers = [place.worker(all_lanes[0], warehouse=held), place.worker(all_lanes[1])]

    def take_in(number: int, start: int) -> None:
        all_lanes[number].record([stores[number].log.batch(start, len(stores[number].log))])
        while all_lanes[number].busy:
            workers[number].run_once(0.0)
            workers[number].settle()

    for number in (0, 1):
        take_in(number, 0)
    at = [len(store.log) for store in stores]
    stores[0].update("members", (0,), phone=phone, points=1)
    stores[1].update("members", (0,), phone=phone, points=10)
    held.armed = True
    first = threading.Thread(target=take_in, args=(0, at[0]))
    first.start()
    assert held.reached.wait(WAIT_SECONDS)
    second = threading.Thread(target=take_in, args=(1, at[1]))
    second.start()
    second.join(LONG_ENOUGH_SECONDS)
    assert second.is_alive()
    held.may_commit.set()
    first.join(WAIT_SECONDS)
    second.join(WAIT_SECONDS)
    held.dispose()
    assert place.central()[phone]["points"] == 11
    assert_truth(place, stores)


def disturbed(place: Place, store: FakeStore, change: Callable[[], object], disturb: Callable[[], object]) -> None:
    """What the store's `change` brings is decided and not committed while `disturb` begins; then both go on."""
    held = HeldWarehouse(place.warehouse.url.render_as_string(hide_password=False))
    lanes = RecordedLanes()
    worker = place.worker(lanes, warehouse=held)

    def take_in(start: int) -> None:
        lanes.record([store.log.batch(start, len(store.log))])
        while lanes.busy or not place.settled:
            worker.run_once(0.0)
            worker.settle()

    take_in(0)
    at = len(store.log)
    change()
    held.armed = True
    working = threading.Thread(target=take_in, args=(at,))
    working.start()
    assert held.reached.wait(WAIT_SECONDS)
    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    disturbing.join(LONG_ENOUGH_SECONDS)
    held.may_commit.set()
    disturbing.join(WAIT_SECONDS)
    working.join(WAIT_SECONDS)
    take_in(len(store.log))
    held.dispose()


def test_a_key_that_is_being_decided_is_not_left_out_of_a_quarantine(place: Place) -> None:
    """A member that its store's worker has decided and not committed is decided again without that store, too."""
    store = lived("s1", [])
    disturbed(
        place,
        store,
        lambda: store.insert("members", member(9, 3)),
        lambda: Quarantines(place.warehouse).add("s1", None, LONG_AGO, reason="tried", author="law"),
    )
    (number,) = (row["id"] for row in place.rows("SELECT id FROM tillstream.quarantines WHERE lifted_at IS NULL"))
    Quarantines(place.warehouse).lift(number)
    assert place.central() == {}


def test_a_key_that_is_being_decided_is_not_left_out_of_a_correction(place: Place) -> None:
    """A member that its store's worker has decided by a clock that is found wrong meanwhile is decided again, too."""
    fast, right = lived("s1", []), lived("s2", [])
    right.insert("members", {**member(9, 3), "name": "later"})
    fast.tick(60)
    place.take_in([right], Way())
    place.rows("INSERT INTO tillstream.epochs (store, epoch, reason) VALUES ('s1', 1, 'law') RETURNING 1")
    look = Look(place=(1, 1, 100_000), began_us=0, ended_us=0, offset_us=100_000_000, uncertainty_us=500)
    disturbed(
        place,
        fast,
        lambda: fast.insert("members", {**member(9, 3), "name": "seems later"}),
        lambda: ClockLooks(place.warehouse).look("s1", look),
    )
    assert place.central()["p3"]["name"] == "later"
    with place.warehouse.transaction() as tx:
        fast.clock = KnownClocks().read(tx)["s1"]
    assert_truth(place, [fast, right])
