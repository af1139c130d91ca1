"""What is decided from one row alone, or from a few, is what all rows come to."""

from dataclasses import replace

from drawn_contributions import (
    COLUMNS,
    TIERS,
    contribution_lists,
    doubts_us,
    policy_of,
    row,
    rule_of,
    rules,
    text_of,
    times_us,
    values,
    with_facts,
)
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from conflict.alone import Alone, alone
from conflict.condition import Condition, condition_of
from conflict.policy import ColumnRule, Deletes, RuleName, TablePolicy
from conflict.resolution import UNSEEN, ColumnStamp, Contribution, Resolution
from conflict.resolve import resolve
from conflict.shortcut import Standing, may_shorten, shortened


def chained(*names: RuleName, when: Condition | None = None) -> ColumnRule:
    """One falling back on the next, the last as it does; under the condition the first."""
    first, *others = names
    rule = replace(rule_of(first), when=when)
    return replace(rule, then=chained(*others)) if others else rule


CONDITION = condition_of("home is null", TIERS)
WITH_A_THEN = [each for each in RuleName if rule_of(each).falls_back]
CHAINS = [
    *(chained(one, when=when) for one in RuleName for when in (None, CONDITION)),
    *(chained(one, other, when=CONDITION) for one in RuleName for other in RuleName),
    *(chained(one, other, third) for one in WITH_A_THEN for other in WITH_A_THEN for third in RuleName),
]
KNOWN_ALONE = [policy for policy in map(policy_of, CHAINS) if alone(policy, COLUMNS)]


@given(given_=contribution_lists(least=1), deletes=st.sampled_from(list(Deletes)))
@settings(max_examples=25, deadline=None)
def test_a_row_alone_under_its_key_is_what_the_key_comes_to(given_: list[Contribution], deletes: Deletes) -> None:
    """Whatever its times and values, by every rule and every chain of them of which that is said: what is known of such
    a row without looking at it is what the whole function makes of it, winners and all."""
    row = with_facts(given_[0], deleted=False, columns=frozenset(COLUMNS), quarantined_us=None)
    has = {name: row.values[name] is not None for name in COLUMNS}
    for policy in KNOWN_ALONE:
        known = alone(policy, COLUMNS) or {}
        wins = {
            name for name, each in known.items() if each is Alone.WINS or (each is Alone.WINS_IF_GIVEN and has[name])
        }
        newest = {name for name, each in known.items() if each is Alone.WINS_IF_GIVEN and not has[name]}
        assert resolve(replace(policy, deletes=deletes), COLUMNS, [row]) == Resolution(
            exists=True,
            values={name: row.values[name] for name, each in known.items() if each is not Alone.NONE},
            winners=dict.fromkeys(wins, row.store),
            newest=dict.fromkeys(newest & set(row.stamps), row.store),
            stores=(row.store,),
        )


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
    """Where the shortcut answers, from the standing decision and the rows that changed, all rows say the same; also
    if a row that it rests on was withdrawn meanwhile, for which the key still waits to be decided."""
    one_each = list({each.store: with_facts(each, deleted=False) for each in given_}.values())
    changing = data.draw(st.sets(st.sampled_from([each.store for each in one_each]), min_size=1, max_size=2))
    arriving = data.draw(st.sets(st.sampled_from(sorted(changing))))
    before = [each for each in one_each if each.store not in arriving]
    after = [_changed(each, data) if each.store in changing - arriving else each for each in one_each]
    was = resolve(policy, COLUMNS, before)
    assume(was.exists and not was.contests and not was.uncertain)
    standing = Standing(winners=was.winners, newest=was.newest)
    gone = data.draw(st.sampled_from([None, None, None, None, None, *sorted(standing.stores)]))
    after = [each for each in after if each.store != gone]
    looked_at = [each for each in after if each.store in standing.stores | changing]
    doubt_us = max(stamp.uncertainty_us for each in [*before, *after] for stamp in (UNSEEN, *each.stamps.values()))
    found = shortened(policy, COLUMNS, standing, changing, looked_at, doubt_us)
    event("answered" if found else "all rows are read")
    if found is not None:
        whole = resolve(policy, COLUMNS, after)
        assert text_of(replace(found, stores=tuple(sorted({*found.stores, *was.stores})))) == text_of(whole)


@given(at=st.sampled_from([8, 600, 607, 608, 2_000]), value=st.sampled_from(["a", "b"]))
@settings(max_examples=60, deadline=None)
def test_who_is_ranked_first_may_change_as_it_likes(at: int, value: str) -> None:
    """HQ has its price in a hundred stores, and changes it again: of the stores only the one that was the last to copy
    it is looked at, unless some of them did so within the window of that change and would be contested."""
    policy = policy_of(replace(rule_of(RuleName.PRIORITY), ranks=(("s1",),)))
    copied = [with_facts(row(store, at=number), values={"name": "a"}, columns=frozenset({"name"}))
              for number, store in enumerate(("s1", "s2", "s3", "s4"), 4)]  # fmt: skip
    was = resolve(policy, ("name",), copied)
    again = with_facts(row("s1", at=at, pos=2), values={"name": value}, columns=frozenset({"name"}))
    standing = Standing(winners=was.winners, newest=was.newest)
    assert standing.stores == {"s1", "s4"}
    found = shortened(policy, ("name",), standing, {"s1"}, [again, copied[-1]], 0)
    whole = resolve(policy, ("name",), [again, *copied[1:]])
    assert (found is None) == (value == "b" and at <= 607)
    assert found is None or text_of(replace(found, stores=whole.stores)) == text_of(whole)


def test_who_was_contested_by_nobody_may_be_so_once_he_changes_again() -> None:
    """Others agreed with what he had, minutes ago: they are not looked at, and do not agree with what he has now."""
    policy = policy_of(rule_of(RuleName.LATEST))
    agreeing = [with_facts(row(store, at=at), values={"name": "a"}, columns=frozenset({"name"}))
                for store, at in (("s1", 5), ("s2", 6))]  # fmt: skip
    was = resolve(policy, ("name",), agreeing)
    again = with_facts(row("s2", at=7, pos=2), values={"name": "b"}, columns=frozenset({"name"}))
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
    return with_facts(
        each,
        values={name: fresh[name] if name in columns else value for name, value in each.values.items()},
        stamps=stamps,
        changed_us=at if columns else each.changed_us,
        position=(1, 1, 9, 0, 0),
    )
