"""Stores held by guards, on a real PostgreSQL: what is agreed meanwhile is a function, and released leaves no trace."""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from lanes import RecordedLanes
from lived import CHOSEN, MEMBERS, STORES, Act, histories, lived, policy_with
from ways import Place, Way, assert_truth, few, ways

from conflict.policy import ColumnRule, Deletes, Guards, Policy
from sinks.holds import Holds
from sinks.verification.central_comparison import CentralComparison

guards = st.builds(
    Guards,
    deletes=st.sampled_from([None, 0.01, 0.5]),
    rewrites=st.sampled_from([0.01, 0.5]),
    within_seconds=st.sampled_from([2.0, 600.0]),
    at_least=st.integers(1, 3),
    dark_seconds=st.none(),
)


@given(
    history=st.tuples(histories, histories, histories),
    way=ways,
    guards=guards,
    columns=st.sampled_from([MEMBERS.columns, CHOSEN]),
    deletes=st.sampled_from(list(Deletes)),
    pauses=st.lists(st.sampled_from([0.0, 0.002, 0.01]), max_size=4),
)
@settings(few, max_examples=8, phases=[Phase.generate])
def test_stores_held_and_released_beside_the_workers_leave_no_trace(
    place: Place,
    history: tuple[list[Act], ...],
    way: Way,
    guards: Guards,
    columns: Mapping[str, ColumnRule],
    deletes: Deletes,
    pauses: list[float],
) -> None:
    """Held whenever a store does much, released at any moment, while three workers write: what is agreed follows from
    what was kept and what is there; and released, all is as if no store had ever been held."""
    policy = policy_with(deletes, columns)
    table = replace(policy.tables["members"], guards=guards)
    guarded = replace(policy, tables=MappingProxyType({"members": table}), fingerprint="guarded")
    stores = [lived(name, each, policy=policy, interrupted=False) for name, each in zip(STORES, history, strict=True)]
    place.empty()
    place.take_in(stores, Way(), policy)
    straight = place.everything()

    place.empty()
    place.connection.execute("TRUNCATE tillstream.holds, tillstream.held_rows")
    place.switch(guarded)
    hands = [place.recorded([store.log for store in stores], [n], way) for n in range(len(stores))]
    done = threading.Thread(target=place.run_all, args=(hands, guarded))
    done.start()
    try:
        for pause in pauses:
            time.sleep(pause)
            release(place)
    finally:
        done.join(60)
    place.run_all([RecordedLanes()], guarded)
    assert_agreed(place, guarded)
    release(place)
    place.run_all([RecordedLanes()], guarded)
    assert not place.rows("SELECT FROM tillstream.held_rows")
    assert_truth(place, stores, policy)
    assert place.everything() == straight


def release(place: Place) -> None:
    for store in {each.store for each in Holds(place.warehouse).open()}:
        Holds(place.warehouse).release(store, None, reason="seen", author="law")


def assert_agreed(place: Place, policy: Policy) -> None:
    """As `verify` compares it."""
    with place.warehouse.transaction() as tx:
        for compared in CentralComparison(tx, policy, None).run(None):
            assert (compared.differences, compared.samples) == (0, [])
