"""The laws that need no server: what `resolve` decides, and what `fold` makes of a batch."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from lanes import DATABASE, FakeStore, FakeTable, Log, column

from conflict.alone import Alone, alone
from conflict.condition import condition_of
from conflict.explain import explain
from conflict.functions import Function, function_of
from conflict.policy import (
    BY_TIME,
    LATEST,
    ColumnRule,
    Deletes,
    KeyPart,
    Normaliser,
    RuleName,
    TablePolicy,
    chain,
)
from conflict.resolution import NEVER_OBSERVED, SINCE, UNSEEN, ColumnStamp, Contribution, Held, Resolution
from conflict.resolve import resolve
from conflict.shortcut import Standing, may_shorten, shortened
from sinks import fold as fold_module
from sinks.fold import Dated, Fold, Lane, Mark, fold
from sinks.row_codec import RowCodec
from tillstream.envelope import ORIGIN, Stamp, TableVersion
from tillstream.errors import UndecidableError

STORES = ("s1", "s2", "s3", "s4")
COLUMNS = ("points", "name", "home")
SECOND_US = 1_000_000

# MySQL's widest exact type is DECIMAL(65, 30); values of one size make ties, values of many make rounding show
amounts = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-3, max_value=3) | st.builds(
    lambda sign, digits, places: Decimal((sign, tuple(digits), -places)),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=65),
    st.integers(0, 30),
)
values = st.fixed_dictionaries(
    {
        "points": st.none() | amounts,
        "name": st.none() | st.sampled_from(["a", "b", "c", "a,c", " b, a"]),
        "home": st.none() | st.sampled_from([*STORES, "elsewhere"]),
    },
)
doubts_us = st.sampled_from([0, 0, 0, SECOND_US, 4 * SECOND_US])
OPENING_US = 3 * SECOND_US
times_us = st.integers(0, 5).map(lambda seconds: seconds * SECOND_US) | st.just(700 * SECOND_US)


@st.composite
def contribution_lists(draw: st.DrawFn, *, least: int = 0) -> list[Contribution]:
    """Rows of a few stores under one key, two of one store among them; those of one snapshot share their position."""
    found: list[Contribution] = []
    for number in range(draw(st.integers(least, 6))):
        observed = draw(st.sets(st.sampled_from(COLUMNS)))
        doubt_us = draw(doubts_us)
        stamps = {name: ColumnStamp((1, 1, number, 0, 0), draw(times_us), doubt_us) for name in sorted(observed)}
        latest = max((stamp.effective_us for stamp in stamps.values()), default=NEVER_OBSERVED)
        since = draw(st.sets(st.sampled_from(sorted(observed)))) if observed else set()
        stamps |= {name + SINCE: ColumnStamp((1, 1, number, 0, 0), draw(times_us), doubt_us) for name in sorted(since)}
        has = draw(values)
        came = sorted(draw(st.lists(times_us, max_size=3)))
        had = [draw(st.none() | amounts) for _ in came]
        around = zip([*had, has["points"]], [UNSEEN, *(ColumnStamp((), us, doubt_us) for us in came)], strict=True)
        found.append(
            Contribution(
                store=draw(st.sampled_from(STORES)),
                pk=str(number),
                position=(1, 1, draw(st.integers(0, 3)), draw(st.sampled_from([number, number, -1])), 0),
                changed_us=latest,
                deleted=draw(st.booleans()),
                columns=frozenset(draw(st.sampled_from([COLUMNS, COLUMNS, ("points", "home"), ("name",), ()]))),
                values=has,
                stamps=stamps,
                around={("points", OPENING_US): tuple(Held(*each) for each in around)} if came else {},
                inserted_us=draw(times_us | st.just(NEVER_OBSERVED)),
            )
        )
    return found


TIERS = {"s1": {"tier": "flagship"}, "s2": {"tier": "street"}, "s3": {"tier": "flagship"}}
# what is true of a row, and the same in another language
CONDITIONS: dict[str, Callable[[Contribution], bool]] = {
    "points > 0": lambda row: _of(row, "points") is not None and _of(row, "points") > 0,
    "not (points * 2 <= 1)": lambda row: _of(row, "points") is not None and Fraction(_of(row, "points")) * 2 > 1,
    "name not in ['a', 'b']": lambda row: _of(row, "name") not in (None, "a", "b"),
    "home is null": lambda row: _of(row, "home") is None,
    "home == store.id or name == 'c'": lambda row: _of(row, "home") == row.store or _of(row, "name") == "c",
    "store.tier == 'flagship'": lambda row: row.store in ("s1", "s3"),
    "store.tier != 'flagship' or points is null": lambda row: row.store == "s2" or _of(row, "points") is None,
}


def _of(row: Contribution, name: str) -> Any:
    return row.values[name] if name in row.columns else None


def rules(
    names: Sequence[RuleName] = tuple(RuleName), *, then: int = 2, conditions: bool = True
) -> st.SearchStrategy[ColumnRule]:
    """Every rule, with and without a condition, and chains of `priority ... then` down to each of them."""
    ranked = st.permutations(STORES).flatmap(
        lambda all_: st.sampled_from(
            [tuple((each,) for each in all_[:n]) for n in range(4)] + [((all_[0], all_[1]), (all_[2],))]
        )
    )

    def rule(name: RuleName) -> st.SearchStrategy[ColumnRule]:
        plain = rule_of(name)
        ranks = ranked if plain.ranks or name in BY_TIME else st.just(())
        whens = st.none()
        if conditions and name is not RuleName.PER_STORE:
            whens |= st.none() | st.sampled_from(list(CONDITIONS)).map(lambda text: condition_of(text, TIERS))
        return st.builds(replace, st.just(plain), ranks=ranks, when=whens).flatmap(with_then)

    def with_then(rule: ColumnRule) -> st.SearchStrategy[ColumnRule]:
        after = st.none() | rules(then=then - 1, conditions=conditions).filter(
            lambda each: each.rule is not RuleName.PER_STORE
        )
        return st.builds(replace, st.just(rule), then=after if then > 0 and rule.falls_back else st.none())

    return st.sampled_from(names).flatmap(rule)


def rule_of(name: RuleName) -> ColumnRule:
    ranks = (("s3",), ("s1",)) if name in (RuleName.PRIORITY, RuleName.FIRST_NON_NULL) else ()
    order = ("b", "2", "1", "a") if name in (RuleName.HIGHEST, RuleName.LOWEST) else ()
    return ColumnRule(
        rule=name,
        ranks=ranks,
        order=order,
        column="home" if name is RuleName.OWNER else "",
        function=function_of("own:longest", 1.0, {}) if name is RuleName.PYTHON else None,
        value="1" if name is RuleName.CONSTANT else None,
        opening_us=OPENING_US if name is RuleName.SUM_OF_CHANGES else None,
    )


def longest(function: Function, column: str, rows: Sequence[Contribution]) -> Any:
    """A rule of one's own, asked without a process."""
    return _longest([row.values[column] for row in rows])


def _longest(offered: Sequence[Any]) -> Any:
    given_ = [each for each in offered if each is not None]
    return max(given_, key=lambda each: (len(str(each)), str(each)), default=None)


def policy_of(rule: ColumnRule, deletes: Deletes = Deletes.LATEST) -> TablePolicy:
    """One rule for both columns; names cannot be added up, and points not be united."""
    named = {each.rule for each in chain(rule)}
    for_names = LATEST if named & {RuleName.SUM, RuleName.SUM_OF_CHANGES} else rule
    rule = LATEST if RuleName.UNION in named else rule
    return TablePolicy(
        table="members",
        key=(KeyPart(column="phone", normaliser=Normaliser.EXACT),),
        columns=MappingProxyType({"points": rule, "name": for_names}),
        ask=longest,
        deletes=deletes,
    )


policies = st.builds(policy_of, rules(), st.sampled_from(list(Deletes)))


# --- resolve ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(RuleName))
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_the_order_of_contributions_does_not_matter(name: RuleName, data: st.DataObject) -> None:
    """The same contributions give the same resolution, values, winners, marks and contests, however listed."""
    given_ = data.draw(contribution_lists())
    shuffled = data.draw(st.permutations(given_))
    policy = policy_of(data.draw(rules([name], then=1)), data.draw(st.sampled_from(list(Deletes))))
    assert _text(resolve(policy, COLUMNS, shuffled)) == _text(resolve(policy, COLUMNS, given_))


@given(policy=policies, given_=contribution_lists(), data=st.data())
@settings(max_examples=150, deadline=None)
def test_nor_does_it_for_chains_of_rules(policy: TablePolicy, given_: list[Contribution], data: st.DataObject) -> None:
    """`priority ... then priority ... then <any rule>` is as independent of the order, contests included."""
    shuffled = data.draw(st.permutations(given_))
    one, other = resolve(policy, COLUMNS, given_), resolve(policy, COLUMNS, shuffled)
    assert _text(one) == _text(other)
    assert [each.fingerprint for each in one.contests] == [each.fingerprint for each in other.contests]


def _text(resolution: Any) -> str:
    """Exact: 1.0 and 1.00 are equal to Python and are not the same decision."""
    return repr((resolution, sorted(resolution.values.items()), sorted(resolution.winners.items())))


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
        return bool(value == _longest(offered))
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


@given(given_=contribution_lists(least=1), data=st.data())
@settings(max_examples=100, deadline=None)
def test_what_cannot_be_told_cannot_be_told_in_any_order(given_: list[Contribution], data: st.DataObject) -> None:
    """A condition that fails on any row that it is asked of decides nothing, and names the same one."""
    given_ = [replace(each, deleted=False) for each in given_]
    policy = policy_of(replace(rule_of(RuleName.MAX), when=condition_of("home > 1", TIERS)))

    def outcome(rows: list[Contribution]) -> str:
        try:
            return _text(resolve(policy, ("points",), rows))
        except UndecidableError as error:
            return str(error)

    standing_ = _last_of_each_store([each for each in given_ if "points" in each.columns], "points")
    fails = any(_of(each, "home") is not None for each in standing_)
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
        _with(row(store, at=1), values={"points": value, "name": "a", "home": "s1"})
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
    rule=rules([RuleName.PRIORITY, RuleName.FIRST_NON_NULL], then=1, conditions=False),
    given_=contribution_lists(least=1),
)
@settings(max_examples=200, deadline=None)
def test_nobody_ranked_better_has_one(rule: ColumnRule, given_: list[Contribution]) -> None:
    """The winner is among the best ranked of those who have the row, or a value; of equal ones `first_non_null` takes
    the first by store id."""
    found = resolve(policy_of(rule, Deletes.NEVER), ("points",), given_)
    counting = [each for each in given_ if not each.deleted] or given_
    rank = {store: place for place, equals in enumerate(rule.ranks) for store in equals}
    having = [each for each in _last_of_each_store(counting, "points")
              if rule.rule is RuleName.PRIORITY or each.values["points"] is not None]  # fmt: skip
    best = min((rank.get(each.store, len(rank)) for each in having), default=None)
    equal = sorted(each.store for each in having if rank.get(each.store, len(rank)) == best)
    if rule.rule is RuleName.FIRST_NON_NULL:
        assert found.winners.get("points") == (equal[0] if equal else None)
    elif best is not None and best < len(rank) and "points" in found.winners:
        assert found.winners["points"] in equal


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
    known = {each.store: rule.order.index(each.values["name"]) for each in _last_of_each_store(counting, "name")
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
    offered = [each.values["points"] for each in _last_of_each_store(counting, "points")]
    expected = pick((each for each in offered if each is not None), default=None)
    assert resolution.values.get("points") == expected


@given(given_=contribution_lists(least=1), data=st.data())
@settings(max_examples=150, deadline=None)
def test_latest_is_the_last_change_of_the_column(given_: list[Contribution], data: st.DataObject) -> None:
    """Nobody whose row stands changed the column later than its winner; equal times go to the last store id."""
    resolution = resolve(policy_of(rule_of(RuleName.LATEST), Deletes.NEVER), COLUMNS, given_)
    counting = [each for each in given_ if not each.deleted] or given_
    for name in resolution.values:
        standing = _last_of_each_store(counting, name)
        ranked = sorted(standing, key=lambda each: (_time(each, name), each.store))
        assert resolution.winners[name] == ranked[-1].store
        assert resolution.values[name] == ranked[-1].values[name]


def _time(each: Contribution, name: str) -> int:
    return each.stamps[name].effective_us if name in each.stamps else NEVER_OBSERVED


def _last_of_each_store(given_: list[Contribution], name: str) -> list[Contribution]:
    having = sorted((each for each in given_ if name in each.columns), key=lambda e: (e.position, e.pk))
    return list({each.store: each for each in having}.values())


@given(policy=policies, given_=contribution_lists(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_absent_is_not_null(policy: TablePolicy, given_: list[Contribution], data: st.DataObject) -> None:
    """What stands in a column that the store's table does not have decides nothing and is nowhere seen."""
    others = [
        _with(each, values={name: each.values[name] if name in each.columns else data.draw(values)[name]
                            for name in COLUMNS})
        for each in given_
    ]  # fmt: skip
    assert _text(resolve(policy, COLUMNS, others)) == _text(resolve(policy, COLUMNS, given_))


@given(policy=policies, given_=contribution_lists(least=1))
@settings(max_examples=60, deadline=None)
def test_a_column_that_no_store_has_is_not_decided(policy: TablePolicy, given_: list[Contribution]) -> None:
    """It is absent from the agreed row, not NULL in it."""
    without = [_with(each, columns=each.columns - {"points"}) for each in given_]
    assert "points" not in resolve(policy, COLUMNS, without).values


@given(policy=policies, given_=contribution_lists())
@settings(max_examples=80, deadline=None)
def test_deciding_again_decides_the_same(policy: TablePolicy, given_: list[Contribution]) -> None:
    """Nothing is remembered between two calls, and what was passed in is left as it was."""
    before = repr(given_)
    first = _text(resolve(policy, COLUMNS, given_))
    assert _text(resolve(policy, COLUMNS, given_)) == first
    assert repr(given_) == before


def _with(each: Contribution, **changes: Any) -> Contribution:
    facts = {name: getattr(each, name) for name in Contribution.__dataclass_fields__}
    return Contribution(**{**facts, **changes})


# --- decided from one row alone -------------------------------------------------------------------------------


@given(
    policy=st.builds(policy_of, rules(conditions=False), st.sampled_from(list(Deletes))).filter(
        lambda each: alone(each, COLUMNS)
    ),
    given_=contribution_lists(least=1),
)
@settings(max_examples=300, deadline=None)
def test_a_row_alone_under_its_key_is_what_the_key_comes_to(policy: TablePolicy, given_: list[Contribution]) -> None:
    """Whatever its times and values: what is known of such a row without looking at it is what the whole function
    makes of it, winners and all."""
    row = _with(given_[0], deleted=False, columns=frozenset(COLUMNS), quarantined_us=None)
    decided = alone(policy, COLUMNS)
    assert decided is not None
    has = {name: row.values[name] is not None for name in COLUMNS}
    wins = {name for name, each in decided.items() if each is Alone.WINS or (each is Alone.WINS_IF_GIVEN and has[name])}
    newest = {name for name, each in decided.items() if each is Alone.WINS_IF_GIVEN and not has[name]} & set(row.stamps)
    event(", ".join(sorted({each.name for each in decided.values()})))
    assert resolve(policy, COLUMNS, [row]) == Resolution(
        exists=True,
        values={name: row.values[name] for name, each in decided.items() if each is not Alone.NONE},
        winners=dict.fromkeys(wins, row.store),
        newest=dict.fromkeys(newest, row.store),
        stores=(row.store,),
    )


# --- decided from a few rows ----------------------------------------------------------------------------------


choosing = rules(then=1, conditions=False).filter(lambda rule: may_shorten(policy_of(rule), COLUMNS))


@given(
    policy=st.builds(policy_of, choosing, st.sampled_from([Deletes.LATEST, Deletes.ANY, Deletes.ALL])),
    given_=contribution_lists(least=2),
    data=st.data(),
)
@settings(max_examples=400, deadline=None)
def test_decided_from_a_few_rows_is_decided_from_all(
    policy: TablePolicy, given_: list[Contribution], data: st.DataObject
) -> None:
    """Where the shortcut answers, from the standing decision and the rows that changed, all rows say the same."""
    one_each = list({each.store: _with(each, deleted=False) for each in given_}.values())
    changing = data.draw(st.sets(st.sampled_from([each.store for each in one_each]), min_size=1, max_size=2))
    arriving = data.draw(st.sets(st.sampled_from(sorted(changing))))
    before = [each for each in one_each if each.store not in arriving]
    after = [_changed(each, data) if each.store in changing - arriving else each for each in one_each]
    was = resolve(policy, COLUMNS, before)
    assume(was.exists and not was.contests and not was.uncertain)
    standing = Standing(winners=was.winners, newest=was.newest)
    looked_at = [each for each in after if each.store in standing.stores | changing]
    doubt_us = max(stamp.uncertainty_us for each in after for stamp in (UNSEEN, *each.stamps.values()))
    found = shortened(policy, COLUMNS, standing, changing, looked_at, doubt_us)
    event("answered" if found else "all rows are read")
    if found is not None:
        whole = resolve(policy, COLUMNS, after)
        assert _text(replace(found, stores=tuple(sorted({*found.stores, *was.stores})))) == _text(whole)


@given(at=st.sampled_from([8, 600, 607, 608, 2_000]), value=st.sampled_from(["a", "b"]))
@settings(max_examples=60, deadline=None)
def test_who_is_ranked_first_may_change_as_it_likes(at: int, value: str) -> None:
    """HQ has its price in a hundred stores, and changes it again: of the stores only the one that was the last to copy
    it is looked at, unless some of them did so within the window of that change and would be contested."""
    policy = policy_of(replace(rule_of(RuleName.PRIORITY), ranks=(("s1",),)))
    copied = [_with(row(store, at=number), values={"name": "a"}, columns=frozenset({"name"}))
              for number, store in enumerate(("s1", "s2", "s3", "s4"), 4)]  # fmt: skip
    was = resolve(policy, ("name",), copied)
    again = _with(row("s1", at=at, pos=2), values={"name": value}, columns=frozenset({"name"}))
    standing = Standing(winners=was.winners, newest=was.newest)
    assert standing.stores == {"s1", "s4"}
    found = shortened(policy, ("name",), standing, {"s1"}, [again, copied[-1]], 0)
    whole = resolve(policy, ("name",), [again, *copied[1:]])
    assert (found is None) == (value == "b" and at <= 607)
    assert found is None or _text(replace(found, stores=whole.stores)) == _text(whole)


def test_who_was_contested_by_nobody_may_be_so_once_he_changes_again() -> None:
    """Others agreed with what he had, minutes ago: they are not looked at, and do not agree with what he has now."""
    policy = policy_of(rule_of(RuleName.LATEST))
    agreeing = [_with(row(store, at=at), values={"name": "a"}, columns=frozenset({"name"}))
                for store, at in (("s1", 5), ("s2", 6))]  # fmt: skip
    was = resolve(policy, ("name",), agreeing)
    again = _with(row("s2", at=7, pos=2), values={"name": "b"}, columns=frozenset({"name"}))
    assert resolve(policy, ("name",), [agreeing[0], again]).contests
    standing = Standing(winners=was.winners, newest=was.newest)
    assert shortened(policy, ("name",), standing, {"s2"}, [again], 0) is None


def _changed(each: Contribution, data: st.DataObject) -> Contribution:
    """Some columns get another value, at a time that may be in doubt; their stamps say so."""
    columns = data.draw(st.sets(st.sampled_from(sorted(each.columns)))) if each.columns else set()
    at = max(data.draw(times_us), each.changed_us)  # a row's time never runs backwards
    stamps = {
        **each.stamps,
        **{name: ColumnStamp((1, 1, 9, 0, 0), at, data.draw(doubts_us)) for name in sorted(columns)},
    }
    fresh = data.draw(values)
    return _with(
        each,
        values={name: fresh[name] if name in columns else value for name, value in each.values.items()},
        stamps=stamps,
        changed_us=at if columns else each.changed_us,
        position=(1, 1, 9, 0, 0),
    )


# --- deletes ----------------------------------------------------------------------------------------------


def row(store: str, *, at: int, deleted: bool = False, pos: int = 1, pk: str = "1") -> Contribution:
    """A row last changed in second `at`, at position `pos` of its store's log."""
    return Contribution(
        store=store,
        pk=pk,
        position=(1, 1, pos, 0, 0),
        changed_us=at * SECOND_US,
        deleted=deleted,
        columns=frozenset(COLUMNS),
        values={"points": Decimal(at), "name": store, "home": store},
        stamps={name: ColumnStamp((1, 1, pos, 0, 0), at * SECOND_US) for name in COLUMNS},
    )


@pytest.mark.parametrize(
    ("deletes", "contributions", "exists"),
    [
        (Deletes.LATEST, [row("s1", at=5), row("s2", at=4, deleted=True)], True),
        (Deletes.LATEST, [row("s1", at=5), row("s2", at=6, deleted=True)], False),
        (Deletes.LATEST, [row("s1", at=5), row("s2", at=5, deleted=True)], True),
        (Deletes.ALL, [row("s1", at=5), row("s2", at=6, deleted=True)], True),
        (Deletes.ALL, [row("s1", at=7, deleted=True), row("s2", at=6, deleted=True)], False),
        (Deletes.NEVER, [row("s1", at=7, deleted=True), row("s2", at=6, deleted=True)], True),
        *((deletes, [], False) for deletes in Deletes),
    ],
)
def test_deletes(deletes: Deletes, contributions: list[Contribution], exists: bool) -> None:
    """latest: by time, and a tie keeps the row; all: once every store did; never: the last values outlive the rows."""
    assert resolve(policy_of(rule_of(RuleName.LATEST), deletes), COLUMNS, contributions).exists is exists


def test_a_store_that_has_the_row_again_has_not_deleted_it() -> None:
    """Deleted and inserted anew under another id while the clock ran backwards: its log's order counts."""
    again = [row("s1", at=20, deleted=True, pos=100, pk="1"), row("s1", at=15, pos=200, pk="2")]
    assert resolve(policy_of(rule_of(RuleName.LATEST)), COLUMNS, again).exists


@given(given_=contribution_lists(least=1), data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_deleted_row_counts_for_deletes_and_for_nothing_else(given_: list[Contribution], data: st.DataObject) -> None:
    """While any row lives, what a deleted one held decides no column."""
    policy = policy_of(data.draw(rules()), data.draw(st.sampled_from(list(Deletes))))
    others = [_with(each, values=data.draw(values)) if each.deleted else each for each in given_]
    if any(not each.deleted for each in given_):
        assert _text(resolve(policy, COLUMNS, others)) == _text(resolve(policy, COLUMNS, given_))


# --- contests ---------------------------------------------------------------------------------------------


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


# --- fold -------------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("policy", [None, SHARED], ids=["isolated", "shared"])
@given(acts_=acts, cuts=st.lists(st.integers(0, 60), min_size=1, max_size=6), compressed=st.booleans())
@settings(max_examples=100, deadline=None)
def test_cut_anywhere_the_fold_is_the_same(
    policy: TablePolicy | None, acts_: list[tuple[str, int, int, int]], cuts: list[int], compressed: bool
) -> None:
    """One batch or many: each row ends with the same image, stamp, latest time and stamps of its columns."""
    table = FakeTable("members", list(MEMBERS), ("id",), policy)
    log = recorded(table, acts_, compressed=compressed)
    assert folded_facts(log, table, cuts) == folded_facts(log, table, [])


def test_a_fold_of_the_last_event_only_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the property above: what an earlier event of the batch changed would have no stamp."""
    observe = fold_module._observe
    monkeypatch.setattr(fold_module, "_observe", lambda earlier, *rest: observe(None, *rest))
    with pytest.raises(AssertionError):
        test_cut_anywhere_the_fold_is_the_same(policy=SHARED)


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
    rows_of = [e for e in log.entries if e.event.op is not None and e.event.op != "r"]
    taken_before = sum(1 for e in log.entries[:middle] if e.event.op is not None and e.event.op != "r")
    assert again.dropped["s1"] == taken_before
    assert again.events["s1"] == len(rows_of) - taken_before + sum(1 for e in log.entries if e.event.op == "r")


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


# --- explain ----------------------------------------------------------------------------------------------


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
