"""What each rule decides, in other words than its own."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from drawn_contributions import (
    COLUMNS,
    CONDITIONS,
    OPENING_US,
    TIERS,
    contribution_lists,
    everything_offered,
    last_of_each_store,
    longest_of,
    one_after_another,
    policies,
    policy_of,
    row,
    rule_of,
    rules,
    text_of,
    value_of,
    with_facts,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from conflict.condition import condition_of
from conflict.policy import LATEST, ColumnRule, Deletes, RuleName, TablePolicy, chain
from conflict.resolution import NEVER_OBSERVED, UNSEEN, Contribution, Held
from conflict.resolve import resolve
from tillstream.errors import UndecidableError


@given(policy=policies, given_=contribution_lists())
@settings(max_examples=150, deadline=None)
def test_nothing_is_invented(policy: TablePolicy, given_: list[Contribution]) -> None:
    """A central value is what some counting store has, or the sum of what they have; a named winner has it."""
    resolution = resolve(policy, COLUMNS, given_)
    counting = [each for each in given_ if not each.deleted] or given_
    for name, value in resolution.values.items():
        having = [each for each in counting if name in each.columns]
        offered = [each.values[name] for each in having]
        is_made = any(_is_made_by(rule, value, name, _looked_at(rule, having)) for rule in chain(policy.rule_for(name)))
        assert value in offered or value is None or is_made
        if name in resolution.winners:
            assert value in [each.values[name] for each in having if each.store == resolution.winners[name]]
        elif value is not None:
            assert is_made


def had_at_opening(each: Contribution) -> Decimal | None:
    """The last value that came before the opening; the first was there before anyone looked."""
    held = each.around.get(("points", OPENING_US), (Held(each.values["points"], UNSEEN),))
    return [one.value for one in held if one.came.effective_us < OPENING_US][-1]


def openings(having: list[Contribution]) -> dict[str, Fraction]:
    """By store, of those that had a value then and have one now."""
    found: dict[str, Fraction] = {}
    for each in having:
        value = had_at_opening(each)
        if value is not None and each.values["points"] is not None:
            found[each.store] = found.get(each.store, Fraction(0)) + Fraction(value)
    return found


def changed(having: list[Contribution]) -> Fraction:
    """What most stores had at the opening, the least of several, and what each has more since."""
    had = openings(having)
    votes = Counter(had.values())
    base = min((value for value in votes if votes[value] == max(votes.values())), default=Fraction(0))
    present = (Fraction(each.values["points"]) for each in having if each.values["points"] is not None)
    return base + sum(present) - sum(had.values())


@given(given_=contribution_lists(least=1))
@settings(max_examples=200, deadline=None)
def test_changes_since_an_opening_add_up(given_: list[Contribution]) -> None:
    """To the last digit, whoever made them. Balances that were no copies at the opening are contested, nothing else."""
    policy = policy_of(rule_of(RuleName.SUM_OF_CHANGES), Deletes.NEVER)
    resolution = resolve(policy, ("points",), given_)
    having = [each for each in [each for each in given_ if not each.deleted] or given_ if "points" in each.columns]
    if any(each.values["points"] is not None for each in having):
        assert Fraction(resolution.values["points"]) == changed(having)
    else:
        assert resolution.values.get("points") is None
    assert bool(resolution.contests) == (len(set(openings(having).values())) > 1)


def _looked_at(rule: ColumnRule, having: list[Contribution]) -> list[Contribution]:
    holds = CONDITIONS[rule.when.text] if rule.when else lambda row: True
    return [each for each in having if holds(each)]


def _is_made_by(rule: ColumnRule, value: Any, name: str, rows: list[Contribution]) -> bool:
    offered = [each.values[name] for each in rows]
    if rule.rule is RuleName.SUM_OF_CHANGES and isinstance(value, Decimal):
        return Fraction(value) == changed(rows)
    if rule.rule is RuleName.SUM and isinstance(value, Decimal):
        return Fraction(value) == sum((Fraction(each) for each in offered if each is not None), Fraction(0))
    if rule.rule is RuleName.UNION and value is not None:
        parts = {part.strip() for each in offered if each is not None for part in each.split(",")}
        return set(value.split(",")) == parts
    if rule.rule is RuleName.PYTHON:
        return bool(value == longest_of(offered))
    return rule.rule is RuleName.CONSTANT and value == "1"


@given(text=st.sampled_from(list(CONDITIONS)), given_=contribution_lists(least=1))
@settings(max_examples=150, deadline=None)
def test_a_condition_is_true_of_just_those_rows(text: str, given_: list[Contribution]) -> None:
    """`max` of what other words, in another language, let through; where that is nothing, `then` sees all rows."""
    rule = ColumnRule(rule=RuleName.MAX, when=condition_of(text, TIERS), then=rule_of(RuleName.CONSTANT))
    one_each = list({each.store: each for each in given_}.values())
    having = [each for each in one_each if "points" in each.columns]
    found = resolve(policy_of(rule, Deletes.NEVER), ("points",), [replace(each, deleted=False) for each in one_each])
    through = [each for each in having if CONDITIONS[text](each)]
    values = [each.values["points"] for each in through if each.values["points"] is not None]
    assert found.values.get("points") == (max(values, default=None) if through else "1" if having else None)


@given(
    name=st.sampled_from([RuleName.SUM, RuleName.SUM_OF_CHANGES, RuleName.UNION, RuleName.PYTHON]),
    text=st.sampled_from(list(CONDITIONS)),
    given_=contribution_lists(least=2),
)
@settings(max_examples=150, deadline=None)
def test_what_is_made_of_every_row_is_made_of_those_that_meet_its_condition(
    name: RuleName, text: str, given_: list[Contribution]
) -> None:
    """Also of two rows of one store, of whichever it is true."""
    rule, column = rule_of(name), "name" if name is RuleName.UNION else "points"
    given_ = [replace(each, deleted=False) for each in given_ if column in each.columns]
    through = [each for each in given_ if CONDITIONS[text](each)]
    conditional = replace(rule, when=condition_of(text, TIERS))
    found = resolve(policy_of(conditional), (column,), given_)
    if through:
        assert found.values == resolve(policy_of(rule), (column,), through).values
    else:
        assert found.values == resolve(policy_of(LATEST), (column,), given_).values


@given(given_=contribution_lists(least=1), data=st.data())
@settings(max_examples=100, deadline=None)
def test_what_cannot_be_told_cannot_be_told_in_any_order(given_: list[Contribution], data: st.DataObject) -> None:
    """A condition that fails on any row that it is asked of decides nothing, and names the same one."""
    given_ = [replace(each, deleted=False) for each in given_]
    policy = policy_of(replace(rule_of(RuleName.MAX), when=condition_of("home > 1", TIERS)))

    def outcome(rows: list[Contribution]) -> str:
        try:
            return text_of(resolve(policy, ("points",), rows))
        except UndecidableError as error:
            return str(error)

    standing_ = last_of_each_store([each for each in given_ if "points" in each.columns], "points")
    fails = any(value_of(each, "home") is not None for each in standing_)
    assert outcome(given_).startswith("points: when: ") is fails
    assert outcome(data.draw(st.permutations(given_))) == outcome(given_)


@given(given_=contribution_lists(least=1))
@settings(max_examples=100, deadline=None)
def test_a_sum_is_exact(given_: list[Contribution]) -> None:
    """Sixty digits from several stores add up without a rounded one, and NULL counts for nothing."""
    resolution = resolve(policy_of(rule_of(RuleName.SUM), Deletes.NEVER), ("points",), given_)
    counting = [each for each in given_ if not each.deleted] or given_
    offered = [each.values["points"] for each in counting if "points" in each.columns]
    amounts_ = [Fraction(each) for each in offered if each is not None]
    if amounts_:
        assert isinstance(resolution.values["points"], Decimal)
        assert Fraction(resolution.values["points"]) == sum(amounts_)
    elif offered:
        assert resolution.values["points"] is None
    else:
        assert "points" not in resolution.values


def test_a_sum_has_more_digits_than_python_keeps_by_itself() -> None:
    """DECIMAL(65, 30) at both ends: Python's own addition keeps 28 digits."""
    large, small = Decimal("9" * 35), Decimal("0." + "0" * 29 + "1")
    given_ = [
        with_facts(row(store, at=1), values={"points": value, "name": "a", "home": "s1"})
        for store, value in (("s1", large), ("s2", small))
    ]
    value = resolve(policy_of(rule_of(RuleName.SUM)), ("points",), given_).values["points"]
    assert format(value, "f") == "9" * 35 + "." + "0" * 29 + "1"


@given(given_=contribution_lists(least=1))
@settings(max_examples=100, deadline=None)
def test_a_union_has_every_part_of_every_row(given_: list[Contribution]) -> None:
    """Also of two rows of one store; each part once, sorted."""
    resolution = resolve(policy_of(rule_of(RuleName.UNION), Deletes.NEVER), ("name",), given_)
    counting = [each for each in given_ if not each.deleted] or given_
    texts = [each.values["name"] for each in counting if "name" in each.columns and each.values["name"] is not None]
    parts = sorted({part.strip() for text in texts for part in text.split(",")})
    assert resolution.values.get("name") == (",".join(parts) if texts else None)


@given(
    rule=rules((RuleName.PRIORITY, RuleName.FIRST_NON_NULL), then=1, conditions=False),
    given_=contribution_lists(least=1),
)
@settings(max_examples=200, deadline=None)
def test_nobody_ranked_better_has_one(rule: ColumnRule, given_: list[Contribution]) -> None:
    """The winner is among the best ranked of those who have the row, or a value; of equal ones `first_non_null` takes
    the first by store id."""
    policy = policy_of(rule, Deletes.NEVER)
    assume(policy.rule_for("points") is rule)  # points are not united
    found = resolve(policy, ("points",), given_)
    counting = [each for each in given_ if not each.deleted] or given_
    rank = {store: place for place, equals in enumerate(rule.ranks) for store in equals}
    having = [each for each in last_of_each_store(counting, "points")
              if rule.rule is RuleName.PRIORITY or each.values["points"] is not None]  # fmt: skip
    best = min((rank.get(each.store, len(rank)) for each in having), default=None)
    equal = sorted(each.store for each in having if rank.get(each.store, len(rank)) == best)
    if rule.rule is RuleName.FIRST_NON_NULL:
        assert found.winners.get("points") == (equal[0] if equal else None)
    elif best is not None and best < len(rank) and "points" in found.winners:
        assert found.winners["points"] in equal


@given(given_=contribution_lists(least=1))
@settings(max_examples=60, deadline=None)
def test_the_row_of_the_owner_that_stands_is_taken(given_: list[Contribution]) -> None:
    """Of the store that the agreed `home` names the last row under the key; where it has none, the last change."""
    found = resolve(policy_of(rule_of(RuleName.OWNER), Deletes.NEVER), COLUMNS, given_)
    otherwise = resolve(policy_of(LATEST, Deletes.NEVER), COLUMNS, given_)
    counting = [each for each in given_ if not each.deleted] or given_
    for name in {"points", "name"} & set(found.values):
        owned = [each for each in last_of_each_store(counting, name) if each.store == found.values.get("home")]
        if owned:
            assert (found.winners[name], found.values[name]) == (owned[0].store, owned[0].values[name])
        else:
            assert found.winners[name] == otherwise.winners[name]


def test_nothing_has_more_votes_than_a_majority() -> None:
    """One vote a store; of values with as many it is the last changed, whatever was changed later to another value."""
    policy = policy_of(rule_of(RuleName.MAJORITY))
    for offered in everything_offered("a", "b", None):
        votes = Counter(name for name in offered.values() if name is not None)
        most = [store for store, name in offered.items() if name is not None and votes[name] == max(votes.values())]
        is_tied = len({offered[store] for store in most}) > 1
        found = resolve(policy, ("name",), one_after_another(offered))
        assert found.winners.get("name") == (most[-1 if is_tied else 0] if most else None)


@pytest.mark.parametrize("name", [RuleName.EQUAL_OR_FLAG, RuleName.REVIEW])
def test_stores_that_differ_are_a_question(name: RuleName) -> None:
    """Two are enough, and NULL is a value: then `then` decides, and it is contested; where all agree, it is the first
    store's, and is not."""
    policy = policy_of(rule_of(name))
    for offered in everything_offered("a", "b", None):
        differ = len(set(offered.values())) > 1
        found = resolve(policy, ("name",), one_after_another(offered))
        assert found.winners == {"name": list(offered)[-1 if differ else 0]}
        assert bool(found.contests) is differ


@pytest.mark.parametrize(("name", "pick"), [(RuleName.HIGHEST, max), (RuleName.LOWEST, min)])
@given(given_=contribution_lists(least=1))
@settings(max_examples=100, deadline=None)
def test_by_an_order_what_it_does_not_know_loses(
    name: RuleName, pick: Callable[..., int], given_: list[Contribution]
) -> None:
    """The highest or lowest of those it knows, of the first store that has it; where there are none, `then`."""
    rule = rule_of(name)
    found = resolve(policy_of(rule, Deletes.NEVER), ("name",), given_)
    counting = [each for each in given_ if not each.deleted] or given_
    known = {each.store: rule.order.index(each.values["name"]) for each in last_of_each_store(counting, "name")
             if each.values["name"] in rule.order}  # fmt: skip
    if known:
        assert found.winners["name"] == min(store for store, place in known.items() if place == pick(known.values()))
        assert found.values["name"] == rule.order[pick(known.values())]
    else:
        assert found.values == resolve(policy_of(LATEST, Deletes.NEVER), ("name",), given_).values


@pytest.mark.parametrize(("name", "pick"), [(RuleName.MAX, max), (RuleName.MIN, min)])
@given(given_=contribution_lists(least=1))
@settings(max_examples=60, deadline=None)
def test_extremes(name: RuleName, pick: Callable[..., Decimal], given_: list[Contribution]) -> None:
    """The greatest or least of what the stores' present rows have, and NULL only where none has a value."""
    resolution = resolve(policy_of(rule_of(name), Deletes.NEVER), ("points",), given_)
    counting = [each for each in given_ if not each.deleted] or given_
    offered = [each.values["points"] for each in last_of_each_store(counting, "points")]
    expected = pick((each for each in offered if each is not None), default=None)
    assert resolution.values.get("points") == expected


@given(given_=contribution_lists(least=1), data=st.data())
@settings(max_examples=150, deadline=None)
def test_latest_is_the_last_change_of_the_column(given_: list[Contribution], data: st.DataObject) -> None:
    """Nobody whose row stands changed the column later than its winner; equal times go to the last store id."""
    resolution = resolve(policy_of(rule_of(RuleName.LATEST), Deletes.NEVER), COLUMNS, given_)
    counting = [each for each in given_ if not each.deleted] or given_
    for name in resolution.values:
        standing = last_of_each_store(counting, name)
        ranked = sorted(standing, key=lambda each: (_time(each, name), each.store))
        assert resolution.winners[name] == ranked[-1].store
        assert resolution.values[name] == ranked[-1].values[name]


def _time(each: Contribution, name: str) -> int:
    return each.stamps[name].effective_us if name in each.stamps else NEVER_OBSERVED
