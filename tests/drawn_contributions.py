"""What stores contribute to one business key, and the rules that decide it, drawn at random."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
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
