"""The laws of time: what a store's clock is known to be off by, and what is decided between times in doubt."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from conflict import rules
from conflict.clock import (
    CLOCK_RESOLUTION_US,
    LET_PASS_US,
    TELLING_US,
    Correction,
    LastLook,
    Look,
    StoreClock,
    corrections_after,
)
from conflict.policy import ColumnRule, Deletes, KeyPart, Normaliser, RuleName, TablePolicy
from conflict.resolution import ColumnStamp, Contribution
from conflict.resolve import resolve
from conflict.rules import Asked, Decided
from conflict.shortcut import Standing, may_shorten, shortened

SECOND_US = 1_000_000
NOON_US = 1_767_268_800 * SECOND_US
STORES = ("s1", "s2", "s3", "s4")
BY_TIME = (RuleName.LATEST, RuleName.EARLIEST)

# --- what is decided between times in doubt ---------------------------------------------------------------

HALVES_US = [n * SECOND_US // 2 for n in range(5)]
after_us = st.sampled_from([*HALVES_US, *(4 * n * SECOND_US for n in range(1, 7))])
doubts_us = st.sampled_from([0, 0, SECOND_US, 3 * SECOND_US, 20 * SECOND_US])
some_stores = st.sampled_from([some for size in range(1, 5) for some in itertools.permutations(STORES, size)])
names = st.sampled_from(["a", "b"])
ranks = st.sampled_from(
    [(), *(((one,),) for one in STORES), *(((one,), (other,)) for one, other in itertools.permutations(STORES, 2))]
    + [((one, other), (third,)) for one, other, third in itertools.permutations(STORES, 3)]
)


@st.composite
def dated(draw: st.DrawFn) -> list[Contribution]:
    """One row of each of some stores, with times that may be told apart, or not, or from some others only."""
    found = []
    for store in draw(some_stores):
        at = ColumnStamp((1, 1, 4, 0, 0), NOON_US + draw(after_us), draw(doubts_us))
        found.append(
            Contribution(
                store=store,
                pk="1",
                position=at.position,
                changed_us=at.effective_us,
                deleted=False,
                columns=frozenset({"name"}),
                values={"name": draw(names)},
                stamps={"name": at, "name ": at},
            )
        )
    return found


def policy_of(name: RuleName, ranks: tuple[tuple[str, ...], ...]) -> TablePolicy:
    return TablePolicy(
        table="members",
        key=(KeyPart(column="phone", normaliser=Normaliser.EXACT),),
        columns=MappingProxyType({"name": ColumnRule(rule=name, ranks=ranks)}),
        deletes=Deletes.NEVER,
    )


Law = Callable[[RuleName, list[Contribution], tuple[tuple[str, ...], ...]], None]


def the_order_does_not_matter(name: RuleName, rows: list[Contribution], ranks: tuple[tuple[str, ...], ...]) -> None:
    policy = policy_of(name, ranks)
    found = {repr(resolve(policy, ["name"], each)) for each in itertools.permutations(rows)}
    assert len(found) == 1


def nobody_beyond_doubt_is_passed_over(
    name: RuleName, rows: list[Contribution], ranks: tuple[tuple[str, ...], ...]
) -> None:
    """The winner may have been the last (or first); so may whoever has another value, if and only if it is marked; and
    among all that may, the order of stores, the time and the store's id decide."""
    side = 1 if name is RuleName.LATEST else -1

    def place(row: Contribution) -> tuple[int, str]:
        return row.stamps["name"].effective_us, row.store

    def span(row: Contribution) -> tuple[int, int]:
        at = row.stamps["name"]
        return at.effective_us - at.uncertainty_us, at.effective_us + at.uncertainty_us + CLOCK_RESOLUTION_US

    (end,) = sorted(rows, key=place)[::side][-1:]
    candidates = [each for each in rows if span(each)[0] < span(end)[1] and span(end)[0] < span(each)[1]]
    order = {store: rank for rank, equals in enumerate(ranks) for store in equals}
    first = min(order.get(each.store, len(order)) for each in candidates)
    (winner,) = sorted((e for e in candidates if order.get(e.store, len(order)) == first), key=place)[::side][-1:]
    found = resolve(policy_of(name, ranks), ["name"], rows)
    assert found.winners == {"name": winner.store}
    assert found.uncertain == (("name",) if len({each.values["name"] for each in candidates}) > 1 else ())


def holds(law: Law, phases: Sequence[Phase] = tuple(Phase)) -> None:
    @given(name=st.sampled_from(BY_TIME), rows=dated(), ranks=ranks)
    @settings(max_examples=400, deadline=None, derandomize=True, report_multiple_bugs=False, phases=phases)
    def check(name: RuleName, rows: list[Contribution], ranks: tuple[tuple[str, ...], ...]) -> None:
        law(name, rows, ranks)

    check()


LAWS: tuple[Law, ...] = (the_order_does_not_matter, nobody_beyond_doubt_is_passed_over)


@pytest.mark.parametrize("law", LAWS)
def test_of_times_in_doubt(law: Law) -> None:
    holds(law)


@pytest.mark.parametrize(
    "rule",
    [
        ColumnRule(rule=RuleName.LATEST),
        ColumnRule(rule=RuleName.EARLIEST),
        ColumnRule(rule=RuleName.LATEST, ranks=(("s3",), ("s1",))),
        ColumnRule(rule=RuleName.EARLIEST, ranks=(("s3",), ("s1",))),
        ColumnRule(rule=RuleName.PRIORITY, ranks=(("s1",), ("s2", "s3"))),
        ColumnRule(rule=RuleName.HIGHEST, order=("a",)),
    ],
    ids=lambda rule: rule.rule + " ranked" * bool(rule.ranks),
)
@given(rows=dated(), agree=st.booleans(), change=dated(), within_seconds=st.sampled_from([0, 0, 4, 600]))
@settings(max_examples=500, deadline=None)
def test_decided_from_a_few_rows_nothing_in_doubt_or_contested_is_missed(
    rule: ColumnRule, rows: list[Contribution], agree: bool, change: list[Contribution], within_seconds: float
) -> None:
    """Of one store that changes, or comes, among some that were not contested: the shortcut says what all rows say, or
    nothing."""
    policy = replace(policy_of(rule.rule, ()), columns=MappingProxyType({"name": rule}), deletes=Deletes.LATEST,
                     contest_within_seconds=within_seconds)  # fmt: skip
    changed = change[0]
    before = [replace(each, values={"name": "a"}) if agree else each for each in rows]
    after = [*(each for each in before if each.store != changed.store), changed]
    was = resolve(policy, ["name"], before)
    assume(not was.contests and not was.uncertain)
    standing = Standing(winners=was.winners, newest=was.newest)
    looked_at = [each for each in after if each.store in {*standing.stores, changed.store}]
    doubt_us = max(each.stamps["name"].uncertainty_us for each in after)
    found = may_shorten(policy, ["name"]) and shortened(
        policy, ["name"], standing, {changed.store}, looked_at, doubt_us
    )
    if found:
        assert replace(found, stores=()) == replace(resolve(policy, ["name"], after), stores=())


def test_the_same_value_by_a_clock_in_more_doubt_reads_all_rows() -> None:
    """It may be as early as a store's with another value that the one before had been told from."""

    def at(store: str, after_seconds: int, doubt_seconds: int, value: str) -> Contribution:
        stamp = ColumnStamp((1, 1, 4, 0, 0), NOON_US + after_seconds * SECOND_US, doubt_seconds * SECOND_US)
        return Contribution(
            store=store, pk="1", position=stamp.position, changed_us=stamp.effective_us, deleted=False,
            columns=frozenset({"name"}), values={"name": value}, stamps={"name": stamp},
        )  # fmt: skip

    policy = replace(policy_of(RuleName.LATEST, ()), deletes=Deletes.LATEST, contest_within_seconds=0)
    unseen, chosen, doubted = at("s1", 0, 0, "b"), at("s2", 9, 0, "a"), at("s3", 10, 20, "a")
    was = resolve(policy, ["name"], [unseen, chosen])
    assert resolve(policy, ["name"], [unseen, chosen, doubted]).uncertain == ("name",) != was.uncertain
    standing = Standing(winners=was.winners, newest=was.newest)
    assert shortened(policy, ["name"], standing, {"s3"}, [chosen, doubted], 20 * SECOND_US) is None
    certain = at("s3", 10, 0, "a")
    assert shortened(policy, ["name"], standing, {"s3"}, [chosen, certain], 20 * SECOND_US) is not None


def pair_by_pair(rule: ColumnRule, asked: Asked) -> Decided:
    """Each against the best so far. Within doubt is not transitive: who wins depends on who is asked first."""
    best, *others = asked.having
    for each in others:
        one, other = each.stamps[asked.column], best.stamps[asked.column]
        doubt_us = CLOCK_RESOLUTION_US + one.uncertainty_us + other.uncertainty_us
        in_doubt = abs(one.effective_us - other.effective_us) < doubt_us
        if each.store > best.store if in_doubt else one.effective_us > other.effective_us:
            best = each
    return Decided(asked.value(best), best, "by pairs")


def without_doubt(rule: ColumnRule, asked: Asked) -> Decided:
    """By the time alone, as if clocks were right."""
    best = max(asked.having, key=lambda each: (each.stamps[asked.column].effective_us, each.store))
    return Decided(asked.value(best), best, "by time")


def without_an_end(rule: ColumnRule, asked: Asked) -> Decided:
    """Equal times are decided by who is listed first."""
    best = max(asked.having, key=lambda each: each.stamps[asked.column].effective_us)
    return Decided(asked.value(best), best, "by time")


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (pair_by_pair, the_order_does_not_matter),
        (without_an_end, the_order_does_not_matter),
        (without_doubt, nobody_beyond_doubt_is_passed_over),
    ],
)
def test_a_broken_rule_is_caught(broken: rules.Rule, law: Law, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the tests."""
    monkeypatch.setitem(rules._RULES, RuleName.LATEST, broken)
    with pytest.raises(AssertionError):
        holds(law, [Phase.generate])


# --- what a clock is known to be off by -------------------------------------------------------------------


@dataclass(frozen=True)
class Happened:
    """A change of one row: what its store's log has of it, and when it really was."""

    place: tuple[int, ...]
    by_its_clock_us: int
    truly_us: int


@dataclass(frozen=True)
class Life:
    """A store's log, and how its clock was looked at."""

    looks: Sequence[Look]
    changes: Sequence[Happened]


offsets_us = st.sampled_from([0, 300_000, 5 * SECOND_US, -40 * SECOND_US, 3 * 3600 * SECOND_US])
any_offset_us = offsets_us | st.integers(-4 * SECOND_US, 4 * SECOND_US)


@st.composite
def lives(draw: st.DrawFn, *, steady: bool = False) -> Life:
    """The clock jumps once at most between two looks, which may be seconds or days apart; measuring is imprecise."""
    now_us, pos, offset_us = NOON_US, 4, draw(offsets_us)
    looks: list[Look] = []
    changes: list[Happened] = []

    def change() -> None:
        nonlocal now_us, pos
        now_us += draw(st.integers(0, 3_000_000))
        shown_us = (now_us + offset_us) // SECOND_US * SECOND_US
        changes.append(Happened((1, 1, pos, 0, 0), shown_us, now_us))
        pos += 100

    for number in range(draw(st.integers(1, 4))):
        for _ in range(draw(st.integers(0, 2))):
            change()
        if number and not steady:
            now_us += draw(st.sampled_from([0, 30, 86_400])) * SECOND_US
            offset_us = draw(any_offset_us)
        for _ in range(draw(st.integers(0, 2))):
            change()
        began_us, doubt_us = now_us, draw(st.sampled_from([1000, 200_000, TELLING_US]))
        now_us += 2 * doubt_us
        measured_us = offset_us + draw(st.integers(-doubt_us, doubt_us))
        looks.append(Look(place=(1, 1, pos), began_us=began_us, ended_us=now_us, offset_us=measured_us,
                          uncertainty_us=doubt_us))  # fmt: skip
    return Life(looks, changes)


def corrections_of(life: Life) -> list[Correction]:
    """As the looks add them, one after another."""
    found: list[Correction] = []
    last: LastLook | None = None
    for look in life.looks:
        found += corrections_after(StoreClock(found), last, look)
        last = LastLook(place=look.place, began_us=look.began_us)
    return found


@given(life=lives())
@settings(max_examples=400, deadline=None)
def test_the_true_time_lies_within_what_is_told(life: Life) -> None:
    """Of everything in the log up to the last look, however the clock jumped in between."""
    clock = StoreClock(corrections_of(life))
    for each in life.changes:
        found = clock.timed(each.place, each.by_its_clock_us)
        slack_us = max(found.uncertainty_us, LET_PASS_US) + 2 * TELLING_US  # what is let pass, as badly as it is seen
        assert found.effective_us - slack_us <= each.truly_us <= found.effective_us + slack_us + CLOCK_RESOLUTION_US


@given(life=lives(steady=True))
@settings(max_examples=400, deadline=None)
def test_a_clock_that_is_let_run_is_corrected_once_at_most(life: Life) -> None:
    """However imprecisely it is measured; and what little a time server leaves is left alone."""
    found = corrections_of(life)
    assert len(found) <= 1
    if all(abs(look.offset_us) <= LET_PASS_US for look in life.looks):
        assert not found


@given(life=lives())
@settings(max_examples=400, deadline=None)
def test_corrections_are_only_added_and_apply_from_where_they_say(life: Life) -> None:
    """Each reaches no further back than the look before it, so that what was certain stays as it was."""
    for number in range(1, len(life.looks)):
        earlier = corrections_of(replace(life, looks=life.looks[:number]))
        later = corrections_of(replace(life, looks=life.looks[: number + 1]))
        assert later[: len(earlier)] == earlier
        for each in life.changes:
            if each.place < life.looks[number - 1].place:
                one, other = (StoreClock(found).timed(each.place, each.by_its_clock_us) for found in (earlier, later))
                assert one == other


@given(times=st.lists(st.integers(0, 50).map(lambda n: NOON_US + n * SECOND_US), min_size=1), offset_us=offsets_us)
@settings(max_examples=400, deadline=None)
def test_by_one_clock_a_rows_time_never_runs_backwards(times: list[int], offset_us: int) -> None:
    """Whatever its store dates its changes; what is kept of the earlier ones is one place and one time."""
    clock = StoreClock([Correction(since=(1, 0, 0), offset_us=offset_us, uncertainty_us=0)])
    told = [clock.timed((1, 1, pos), at_us, ahead(times[:pos], at_us)).effective_us for pos, at_us in enumerate(times)]
    assert told == list(itertools.accumulate((each - offset_us for each in times), max))


def test_a_change_that_stands_behind_one_dated_later_is_told_within_both_doubts() -> None:
    """Each is read by the correction of its own place, and may have been measured as wrongly as that says: the later of
    both it is, and the true time lies within what is told."""
    doubts = (0, SECOND_US, 20 * SECOND_US)
    wrong = (-1, 0, 1)  # by all of the doubt
    for was_off_us, gap_us, doubt_us, other_us, one, other in itertools.product(
        (0, 8 * SECOND_US, 3600 * SECOND_US), (0, 5 * SECOND_US), doubts, doubts, wrong, wrong
    ):
        clock = StoreClock([
            Correction(since=(1, 1, 0), offset_us=was_off_us + one * doubt_us, uncertainty_us=doubt_us),
            Correction(since=(1, 1, 100), offset_us=other * other_us, uncertainty_us=other_us),
        ])  # fmt: skip
        before, at_us = ((1, 1, 50), NOON_US + was_off_us), NOON_US + gap_us
        found = clock.timed((1, 1, 150), at_us, before if before[1] > at_us else None)
        assert abs(found.effective_us - at_us) <= found.uncertainty_us
        assert found.effective_us >= at_us - other * other_us


def ahead(before: Sequence[int], at_us: int) -> tuple[tuple[int, ...], int] | None:
    latest = max(((at, (1, 1, pos)) for pos, at in enumerate(before)), default=None)
    return (latest[1], latest[0]) if latest and latest[0] > at_us else None
