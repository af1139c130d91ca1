"""What is contested, and how a contest is known again."""

import itertools

import pytest
from drawn_contributions import policy_of, row, rule_of, with_facts

from conflict.policy import RuleName
from conflict.resolve import resolve


def test_a_contest_is_known_again_and_a_new_one_is_another() -> None:
    """Same candidates with the same values and stamps: one fingerprint. A later edit of either makes a new one."""
    policy = policy_of(rule_of(RuleName.LATEST))
    contested = [row("s1", at=5), row("s2", at=6)]
    (first, *_), (again, *_) = (resolve(policy, ("name",), each).contests for each in (contested, contested[::-1]))
    (later, *_) = resolve(policy, ("name",), [row("s1", at=5), row("s2", at=6, pos=2)]).contests
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != later.fingerprint
    assert (first.winner, first.value, [store for store, _, _ in first.losers]) == ("s2", "s2", ["s1"])


def test_a_contest_of_three_is_the_same_in_any_order() -> None:
    """Its losers are listed by store, whoever was read first."""
    rows_ = [row("s1", at=5), row("s2", at=6), row("s3", at=7), row("s1", at=4, pk="2")]
    found = {
        repr(resolve(policy_of(rule_of(RuleName.LATEST)), ("name",), each).contests)
        for each in itertools.permutations(rows_)
    }
    assert len(found) == 1


@pytest.mark.parametrize(("apart", "contested"), [(600, True), (601, False)])
def test_a_contest_needs_two_stores_within_the_window(apart: int, contested: bool) -> None:
    """Ten minutes, if the policy says nothing else."""
    found = resolve(policy_of(rule_of(RuleName.LATEST)), ("name",), [row("s1", at=5), row("s2", at=5 + apart)])
    assert bool(found.contests) is contested


def test_two_rows_of_one_store_are_no_contest() -> None:
    """It has the key twice and changed both; what the other store has is of long ago."""
    twice = [with_facts(row("s1", at=2_000 + n, pos=n, pk=str(n)), values={"name": str(n)}) for n in (1, 2)]
    policy = policy_of(rule_of(RuleName.LATEST))
    assert not resolve(policy, ("name",), [*twice, row("s2", at=5)]).contests
    assert resolve(policy, ("name",), [*twice, row("s2", at=2_000)]).contests
