"""What `policy diff` says beforehand of stores' rows is what the switch brings, value by value."""

import itertools

import pytest
from drawn_policies import policies, policies_by
from hypothesis import given, settings
from hypothesis import strategies as st
from lived import POLICY, STORES, Act, lived, long_histories
from ways import Place, Way, few

from conflict.policy import Deletes, RuleName
from sinks.policy_switch import switch_policy
from sinks.policy_trial import PolicyTrial
from sinks.row_codec import Shapes


def central_texts(place: Place) -> dict[str, dict[str, str | None]]:
    """Of central.members, every column as text and the store it came from."""
    if not place.rows("SELECT 1 FROM pg_tables WHERE schemaname = 'central' AND tablename = 'members'"):
        return {}
    found = {}
    for row in place.rows("SELECT to_jsonb(t) - '_key' AS row, t._key, t._winners FROM central.members t"):
        names = [name for name in row["row"] if not name.startswith("_")]
        shown = place.rows(
            "SELECT " + ", ".join(f'"{name}"::text' for name in names) + " FROM central.members WHERE _key = %s",
            row["_key"],
        )[0]
        found[row["_key"]] = {**shown, "_winners": row["_winners"]}
    return found


@pytest.mark.parametrize(("name", "deletes"), [*zip(RuleName, itertools.cycle(Deletes))])
@given(history=st.tuples(long_histories, long_histories, long_histories), data=st.data())
@settings(few, max_examples=3)
def test_what_a_trial_predicts_is_what_the_switch_brings(
    place: Place, name: RuleName, deletes: Deletes, history: tuple[list[Act], ...], data: st.DataObject
) -> None:
    """Every value that changes, whose it was and whose it becomes, and every row that comes or goes; by every rule."""
    old, new = data.draw(policies), data.draw(policies_by(name, deletes))
    place.empty()
    stores = [lived(name, each, policy=POLICY, interrupted=False) for name, each in zip(STORES, history, strict=True)]
    switch_policy(place.warehouse, Shapes(old))
    place.take_in(stores, Way(), old)
    before, everything = central_texts(place), place.everything()

    with place.warehouse.transaction() as tx:
        (*predicted,) = PolicyTrial(tx, Shapes(old), Shapes(new), samples=1000, most_keys=None).run()
    assert place.everything() == everything, "a trial writes nothing"

    switch_policy(place.warehouse, Shapes(new))
    for store in stores:
        store.heartbeat()
    place.take_in(stores, Way(), new)
    after = central_texts(place)

    changed = {
        (key, column, row[column], after[key][column], row["_winners"].get(column), after[key]["_winners"].get(column))
        for key, row in before.items()
        if key in after
        for column in row
        if column != "_winners" and row[column] != after[key][column]
    }
    assert {
        (one.key, column, one.old, one.new, one.from_store, one.to_store)
        for each in predicted
        for column, samples in each.samples.items()
        for one in samples
    } == changed
    assert sum(each.values for each in predicted) == len(changed)
    assert sorted(key for each in predicted for key in each.samples_appearing) == sorted(set(after) - set(before))
    assert sorted(key for each in predicted for key in each.samples_disappearing) == sorted(set(before) - set(after))
    assert sum(each.appearing for each in predicted) == len(set(after) - set(before))
    assert sum(each.disappearing for each in predicted) == len(set(before) - set(after))
