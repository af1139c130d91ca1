"""What `resolve` decides, whatever the rules: in any order, of nothing else, again, and as `explain` tells it."""

import random
from dataclasses import replace

import pytest
from drawn_contributions import (
    COLUMNS,
    STORES,
    contribution_lists,
    everything_offered,
    one_after_another,
    policies,
    policy_of,
    rule_of,
    rules,
    text_of,
    times_us,
    values,
    with_facts,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from conflict.explain import explain
from conflict.policy import Deletes, RuleName, TablePolicy
from conflict.resolution import NEVER_OBSERVED, Contribution
from conflict.resolve import resolve


@pytest.mark.parametrize("name", list(RuleName))
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_the_order_of_contributions_does_not_matter(name: RuleName, data: st.DataObject) -> None:
    """The same contributions give the same resolution, values, winners, marks and contests, however listed."""
    given_ = data.draw(contribution_lists())
    shuffled = data.draw(st.permutations(given_))
    policy = policy_of(data.draw(rules((name,), then=1)), data.draw(st.sampled_from(list(Deletes))))
    assert text_of(resolve(policy, COLUMNS, shuffled)) == text_of(resolve(policy, COLUMNS, given_))


@pytest.mark.parametrize("name", [each for each in RuleName if each is not RuleName.SUM_OF_CHANGES])
def test_nor_where_stores_have_the_same_at_the_same_time(name: RuleName) -> None:
    """Every tie that a few values make, listed from either end."""
    for offered in everything_offered("a", "b", None):
        rows = one_after_another(offered, apart=0)
        one, other = (resolve(policy_of(rule_of(name)), ("name",), each) for each in (rows, rows[::-1]))
        assert text_of(one) == text_of(other)


@given(policy=policies, given_=contribution_lists(), data=st.data())
@settings(max_examples=150, deadline=None)
def test_nor_does_it_for_chains_of_rules(policy: TablePolicy, given_: list[Contribution], data: st.DataObject) -> None:
    """`priority ... then priority ... then <any rule>` is as independent of the order, contests included."""
    shuffled = data.draw(st.permutations(given_))
    one, other = resolve(policy, COLUMNS, given_), resolve(policy, COLUMNS, shuffled)
    assert text_of(one) == text_of(other)
    assert [each.fingerprint for each in one.contests] == [each.fingerprint for each in other.contests]


@given(policy=policies, given_=contribution_lists(), at=times_us, store=st.sampled_from(STORES))
@settings(max_examples=300, deadline=None)
def test_a_quarantine_leaves_what_is_older_and_takes_what_is_newer(
    policy: TablePolicy, given_: list[Contribution], at: int, store: str
) -> None:
    """Of a store that has changed nothing since, nothing is lost; of one that has changed all since, nothing counts."""
    bad = [replace(each, quarantined_us=at) if each.store == store else each for each in given_]
    if all(each.changed_us < at for each in given_ if each.store == store):
        # a store's row without columns has nothing to say, but a delete of it has
        has_columns = all(each.columns for each in bad if each.store == store)
        assert not has_columns or resolve(policy, COLUMNS, bad) == resolve(policy, COLUMNS, given_)
    never = [replace(each, quarantined_us=NEVER_OBSERVED - 1) if each.store == store else each for each in given_]
    without = [each for each in given_ if each.store != store]
    assert resolve(policy, COLUMNS, never) == resolve(policy, COLUMNS, without)


@given(policy=policies, given_=contribution_lists(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_absent_is_not_null(policy: TablePolicy, given_: list[Contribution], data: st.DataObject) -> None:
    """What stands in a column that the store's table does not have decides nothing and is nowhere seen."""
    others = [
        with_facts(each, values={name: each.values[name] if name in each.columns else data.draw(values)[name]
                            for name in COLUMNS})
        for each in given_
    ]  # fmt: skip
    assert text_of(resolve(policy, COLUMNS, others)) == text_of(resolve(policy, COLUMNS, given_))


@given(policy=policies, given_=contribution_lists(least=1))
@settings(max_examples=60, deadline=None)
def test_a_column_that_no_store_has_is_not_decided(policy: TablePolicy, given_: list[Contribution]) -> None:
    """It is absent from the agreed row, not NULL in it."""
    without = [with_facts(each, columns=each.columns - {"points"}) for each in given_]
    assert "points" not in resolve(policy, COLUMNS, without).values


@given(policy=policies, given_=contribution_lists())
@settings(max_examples=80, deadline=None)
def test_deciding_again_decides_the_same(policy: TablePolicy, given_: list[Contribution]) -> None:
    """Nothing is remembered between two calls, and what was passed in is left as it was."""
    before = repr(given_)
    first = text_of(resolve(policy, COLUMNS, given_))
    assert text_of(resolve(policy, COLUMNS, given_)) == first
    assert repr(given_) == before


@given(policy=policies, contributions=contribution_lists(), order=st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_an_explanation_is_of_what_was_decided(
    policy: TablePolicy, contributions: list[Contribution], order: random.Random
) -> None:
    """The same value, winner and doubt as the decision's, whatever the order; who wins is among the candidates."""
    resolution, told = resolve(policy, COLUMNS, contributions), explain(policy, COLUMNS, contributions)
    assert told.exists == resolution.exists
    assert told.because
    assert {each.column: each.value for each in told.columns} == resolution.values
    assert {each.column: each.winner for each in told.columns if each.winner} == resolution.winners
    assert {each.column for each in told.columns if each.uncertain} == set(resolution.uncertain)
    for each in told.columns:
        assert [one.store for one in each.candidates if one.wins] == [each.winner] * (each.winner is not None)
        assert each.flips
    shuffled = list(contributions)
    order.shuffle(shuffled)
    assert explain(policy, COLUMNS, shuffled) == told
