"""Policies for stores that share members, drawn at random: keys, rules, what they fall back on, and deletes."""

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st
from lived import NUMBERS, OPENINGS_US, STORES
from own_rules import NEWEST, SHORTEST, SOURCE

from conflict.condition import condition_of
from conflict.policy import (
    BY_TIME,
    FALLING_BACK,
    CodeMap,
    ColumnRule,
    Deletes,
    KeyPart,
    Normaliser,
    Policy,
    RuleName,
    TablePolicy,
    chain,
)

COLUMNS = ("name", "address", "email", *NUMBERS)
OWNER_COLUMN = "address"
KEYS = (
    (KeyPart(column="phone", normaliser=Normaliser.TRIM),),
    (KeyPart(column="phone", normaliser=Normaliser.TRIM, stop=frozenset({"p1"})),),
    (KeyPart(column="phone", normaliser=Normaliser.DIGITS),),
    (KeyPart(column="name", normaliser=Normaliser.UPPER),),
    (
        KeyPart(
            column="phone",
            normaliser=Normaliser.TRIM,
            codes=CodeMap(digest="", codes={("s1", "p1"): "p2", ("", "p1"): "p0"}),
        ),
    ),
    (KeyPart(column="phone", normaliser=Normaliser.TRIM), KeyPart(column="level", normaliser=Normaliser.EXACT)),
)
orders = st.permutations(STORES).flatmap(
    lambda all_: st.sampled_from(
        [tuple((each,) for each in all_[:n]) for n in (1, 2, 3)]
        + [((all_[0], all_[1]), (all_[2],)), (tuple(all_[:2]),)]
    )
)


STORES_SAID = {"s1": {"tier": "x"}, "s2": {"tier": "y"}}
CONDITIONS = (
    "level > 0 or store.id == 's1'",
    "points is not null",
    "store.tier == 'x' and wallet < 2.5",
    "name != 'n1'",
)
conditions = st.sampled_from([condition_of(text, STORES_SAID) for text in CONDITIONS])
PLAIN = (
    RuleName.LATEST, RuleName.EARLIEST, RuleName.MAX, RuleName.MIN, RuleName.SUM, RuleName.SUM_OF_CHANGES,
    RuleName.UNION,
)  # fmt: skip


def rules(column: str, names: Sequence[RuleName] = tuple(RuleName)) -> st.SearchStrategy[ColumnRule]:
    fitting = [name for name in names if fits(name, column)]
    return st.sampled_from(fitting).flatmap(lambda name: written(name, column))


def fits(name: RuleName, column: str) -> bool:
    """Numbers cannot be united, nor texts be added up, and no column names its own owner."""
    return name not in (
        *((RuleName.UNION,) if column in NUMBERS else (RuleName.SUM, RuleName.SUM_OF_CHANGES)),
        column == OWNER_COLUMN and RuleName.OWNER,
    )


def written(name: RuleName, column: str) -> st.SearchStrategy[ColumnRule]:
    facts: dict[str, st.SearchStrategy[Any]] = {}
    if name in (RuleName.PRIORITY, RuleName.FIRST_NON_NULL):
        facts["ranks"] = orders
    if name in BY_TIME:
        facts["ranks"] = st.just(()) | orders
    if name in (RuleName.HIGHEST, RuleName.LOWEST):
        facts["order"] = st.just(("1", "n1", "0", "n0"))
    if name is RuleName.CONSTANT:
        facts["value"] = st.sampled_from(["7", None])
    if name is RuleName.SUM_OF_CHANGES:
        facts["opening_us"] = st.sampled_from(OPENINGS_US)
    if name is RuleName.OWNER:
        facts |= {"column": st.just(OWNER_COLUMN), "owners": st.just((("a", "s1"), ("b", "s2")))}
    if name is RuleName.PYTHON:
        facts["function"] = st.sampled_from([SHORTEST, NEWEST])
    if name in FALLING_BACK:
        facts["then"] = st.none() | rules(column, PLAIN)
    plain = st.builds(ColumnRule, rule=st.just(name), **facts)
    if name is RuleName.PER_STORE:
        return plain
    then = facts.get("then", st.none() | rules(column, PLAIN) if name not in PLAIN else st.none())
    return plain | plain | st.builds(ColumnRule, rule=st.just(name), when=conditions, **{**facts, "then": then})


def tables(key: tuple[KeyPart, ...], **decided: st.SearchStrategy[ColumnRule]) -> st.SearchStrategy[TablePolicy]:
    """Of a column that is not among `decided`: by any rule."""
    own = {part.column for part in key}
    return st.builds(
        TablePolicy,
        table=st.just("members"),
        key=st.just(key),
        columns=st.fixed_dictionaries(
            {name: decided.get(name, rules(name)) for name in COLUMNS if name not in own}
        ).map(MappingProxyType),
        deletes=st.sampled_from(list(Deletes)),
    )


def policies_by(name: RuleName, deletes: Deletes) -> st.SearchStrategy[Policy]:
    """One column at least is decided by that rule."""
    return (
        st.tuples(st.sampled_from(KEYS), st.sampled_from([each for each in COLUMNS if fits(name, each)]))
        .flatmap(lambda drawn: tables(drawn[0], **{drawn[1]: written(name, drawn[1])}))
        .filter(lambda table: any(rule.rule is name for rule in table.columns.values()))
        .map(lambda table: policy_of(replace(table, deletes=deletes)))
    )


def like(policy: Policy) -> st.SearchStrategy[Policy]:
    """Others that ask for the same times: what is not asked for is not kept, and so not there for the next policy."""
    table = policy.tables["members"]
    alike = {
        name: st.just(rule)
        if any(each.opening_us for each in chain(rule))
        else rules(name).filter(lambda rule, old=rule: times_asked(rule) == times_asked(old))
        for name, rule in table.columns.items()
    }
    keys = [key for key in KEYS if {part.column for part in key} == {part.column for part in table.key}]
    deletes = [each for each in Deletes if (each is Deletes.ANY) == (table.deletes is Deletes.ANY)]
    return (
        st.sampled_from(keys)
        .flatmap(lambda key: tables(key, **alike))
        .flatmap(lambda other: st.sampled_from(deletes).map(lambda each: policy_of(replace(other, deletes=each))))
    )


def times_asked(rule: ColumnRule) -> set[RuleName]:
    """A function of one's own is told of the last change, as `latest` is."""
    asked = {each.rule for each in chain(rule)}
    told = {RuleName.LATEST} if RuleName.PYTHON in asked else set()
    return (asked | told) & {*BY_TIME, RuleName.SUM_OF_CHANGES}


def policy_of(members: TablePolicy | None) -> Policy:
    tables_ = {} if members is None else {"members": members}
    fingerprint = repr(sorted(tables_.items()))
    return Policy(version=1, tables=MappingProxyType(tables_), fingerprint=fingerprint, source=SOURCE)


shared_policies = st.sampled_from(KEYS).flatmap(tables).map(policy_of)
policies = shared_policies | st.just(policy_of(None))
