"""What stores contribute to one business key, and the rules that decide it, drawn at random."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import cache
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st

from conflict.condition import condition_of
from conflict.functions import Function, function_of
from conflict.policy import BY_TIME, LATEST, ColumnRule, Deletes, KeyPart, Normaliser, RuleName, TablePolicy, chain
from conflict.resolution import NEVER_OBSERVED, SINCE, UNSEEN, ColumnStamp, Contribution, Held

STORES = ("s1", "s2", "s3", "s4")
COLUMNS = ("points", "name", "home")
SECOND_US = 1_000_000

# Drawing is nearly all that these laws cost: so a row takes few choices, each from a list and by a strategy that stands
# here and is not built anew for every row.

ONE, *OTHERS = (Decimal(text) for text in ("1", "1.0", "1.00", "0", "-0.5", "2.25", "3", "-3"))
# MySQL's widest exact type is DECIMAL(65, 30); few small values make ties, many digits make rounding show
wide = st.builds(
    lambda number, places: Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -places)),
    st.integers(1 - 10**65, 10**65 - 1),
    st.integers(0, 30),
)
amounts = st.sampled_from([ONE, ONE, *OTHERS]) | wide
points = st.sampled_from([None, ONE, *OTHERS]) | wide
names = st.sampled_from([None, None, "a", "b", "c", "a,c", " b, a"])
homes = st.sampled_from([None, None, *STORES, "elsewhere"])
values = st.fixed_dictionaries({"points": points, "name": names, "home": homes})
doubts_us = st.sampled_from([0, 0, 0, SECOND_US, 4 * SECOND_US])
OPENING_US = 3 * SECOND_US
TIMES_US = [seconds * SECOND_US for seconds in (0, 1, 2, 3, 4, 5, 700, 700, 700)]
times_us = st.sampled_from(TIMES_US)
inserts_us = st.sampled_from([*TIMES_US, NEVER_OBSERVED])
some_columns = st.sampled_from([part for size in range(4) for part in itertools.combinations(COLUMNS, size)])
whose = st.sampled_from([frozenset(each) for each in (COLUMNS, COLUMNS, ("points", "home"), ("name",), ())])
stores = st.sampled_from(STORES)
several = st.integers(0, 3)
either = st.booleans()


@st.composite
def contribution_lists(draw: st.DrawFn, *, least: int = 0) -> list[Contribution]:
    """Rows of a few stores under one key, two of one store among them; those of one snapshot share their position."""
    return [drawn_row(draw, number) for number in range(draw(sizes_from[least]))]


sizes_from = {least: st.integers(least, 6) for least in range(3)}


def drawn_row(draw: st.DrawFn, number: int) -> Contribution:
    doubt_us, at = draw(doubts_us), (1, 1, number, 0, 0)
    stamps = {name: ColumnStamp(at, draw(times_us), doubt_us) for name in draw(some_columns)}
    changed_us = max((stamp.effective_us for stamp in stamps.values()), default=NEVER_OBSERVED)
    stamps |= {name + SINCE: ColumnStamp(at, draw(times_us), doubt_us) for name in draw(some_columns) if name in stamps}
    has = {"points": draw(points), "name": draw(names), "home": draw(homes)}
    came = sorted(draw(times_us) for _ in range(draw(several)))
    had = [draw(points) for _ in came]
    around = zip([*had, has["points"]], [UNSEEN, *(ColumnStamp((), us, doubt_us) for us in came)], strict=True)
    return Contribution(
        store=draw(stores),
        pk=str(number),
        position=(1, 1, draw(several), -1 if draw(several) == 0 else number, 0),
        changed_us=changed_us,
        deleted=draw(either),
        columns=draw(whose),
        values=has,
        stamps=stamps,
        around={("points", OPENING_US): tuple(Held(*each) for each in around)} if came else {},
        inserted_us=draw(inserts_us),
    )


TIERS = {"s1": {"tier": "flagship"}, "s2": {"tier": "street"}, "s3": {"tier": "flagship"}}
# what is true of a row, and the same in another language
CONDITIONS: dict[str, Callable[[Contribution], bool]] = {
    "points > 0": lambda row: value_of(row, "points") is not None and value_of(row, "points") > 0,
    "not (points * 2 <= 1)": lambda row: (
        value_of(row, "points") is not None and Fraction(value_of(row, "points")) * 2 > 1
    ),
    "name not in ['a', 'b']": lambda row: value_of(row, "name") not in (None, "a", "b"),
    "home is null": lambda row: value_of(row, "home") is None,
    "home == store.id or name == 'c'": lambda row: value_of(row, "home") == row.store or value_of(row, "name") == "c",
    "store.tier == 'flagship'": lambda row: row.store in ("s1", "s3"),
    "store.tier != 'flagship' or points is null": lambda row: row.store == "s2" or value_of(row, "points") is None,
}


def value_of(row: Contribution, name: str) -> Any:
    return row.values[name] if name in row.columns else None


ranked = st.sampled_from(
    [tuple((store,) for store in some) for size in range(4) for some in itertools.permutations(STORES, size)]
    + [((one, other), (third,)) for one, other, third in itertools.permutations(STORES, 3)]
)
conditions_or_none = st.sampled_from([*[None] * 14, *(condition_of(text, TIERS) for text in CONDITIONS)])
fallbacks = st.sampled_from([name for name in RuleName if name is not RuleName.PER_STORE])


@cache
def rules(
    names: tuple[RuleName, ...] = tuple(RuleName), *, then: int = 2, conditions: bool = True
) -> st.SearchStrategy[ColumnRule]:
    """Every rule, with and without a condition, and chains of `priority ... then` down to each of them."""
    return chains(st.sampled_from(names), then, conditions)


@st.composite
def chains(draw: st.DrawFn, names: st.SearchStrategy[RuleName], then: int, conditions: bool) -> ColumnRule:
    rule = rule_of(draw(names))
    if rule.ranks or rule.rule in BY_TIME:
        rule = replace(rule, ranks=draw(ranked))
    if conditions and rule.rule is not RuleName.PER_STORE:
        rule = replace(rule, when=draw(conditions_or_none))
    if then > 0 and rule.falls_back and draw(either):
        rule = replace(rule, then=draw(rules_after(then - 1, conditions)))
    return rule


@cache
def rules_after(then: int, conditions: bool) -> st.SearchStrategy[ColumnRule]:
    return chains(fallbacks, then, conditions)


@cache
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
    return longest_of([row.values[column] for row in rows])


def longest_of(offered: Sequence[Any]) -> Any:
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


def text_of(resolution: Any) -> str:
    """Exact: 1.0 and 1.00 are equal to Python and are not the same decision."""
    return repr((resolution, sorted(resolution.values.items()), sorted(resolution.winners.items())))


def last_of_each_store(given_: list[Contribution], name: str) -> list[Contribution]:
    having = sorted((each for each in given_ if name in each.columns), key=lambda e: (e.position, e.pk))
    return list({each.store: each for each in having}.values())


def with_facts(each: Contribution, **changes: Any) -> Contribution:
    facts = {name: getattr(each, name) for name in Contribution.__dataclass_fields__}
    return Contribution(**{**facts, **changes})


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


def everything_offered(*names: str | None) -> Iterator[dict[str, str | None]]:
    """By store, which of these names each has: all there are, also of fewer stores."""
    for offered in itertools.product((*names, "no row"), repeat=len(STORES)):
        if found := {store: name for store, name in zip(STORES, offered, strict=True) if name != "no row"}:
            yield found


def one_after_another(offered: Mapping[str, str | None], *, apart: int = 1) -> list[Contribution]:
    """A row of each, changed so many seconds after the one before."""
    return [
        with_facts(row(store, at=4 + number * apart), values={"name": name}, columns=frozenset({"name"}))
        for number, (store, name) in enumerate(offered.items())
    ]
