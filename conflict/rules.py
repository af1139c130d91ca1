"""The rules, each one function over the live contributions that have the column.

Every rule is independent of the order in which contributions are listed. `then` chains end in `latest`, and every
tie ends at the store's id, so a decision is total.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import reduce
from typing import Any

from conflict.policy import ColumnRule, RuleName, TablePolicy
from conflict.resolution import NEVER_OBSERVED, Contribution

_EXACTLY = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)  # the default rounds to 28 digits, MySQL has 65
CLOCK_RESOLUTION_US = 1_000_000  # MySQL 5.6 stamps an event with the whole second in which its statement began


@dataclass(frozen=True, slots=True)
class Decided:
    value: Any
    winner: Contribution | None  # None where the value is no single store's
    reason: str
    uncertain: bool = False


def decide(rule: ColumnRule, column: str, policy: TablePolicy, contributions: Sequence[Contribution]) -> Decided:
    """The column's value. `contributions` is not empty, and every one of them has the column."""
    return _RULES[rule.rule](rule, column, policy, contributions)


def effective_us(column: str, contribution: Contribution) -> int:
    """When the store last changed the column, as far as anyone can know.

    A column that was only ever seen in a snapshot has the time that the POS itself gave the row then (`changed_at`), or
    none, and loses to every observed change. Never the row's present `changed_at`: other columns move that.
    """
    stamp = contribution.stamps.get(column)
    return stamp.effective_us if stamp is not None else contribution.snapshot_us


def standing(contributions: Sequence[Contribution]) -> list[Contribution]:
    """Of each store's rows under the key only the last by position stands."""
    found: dict[str, Contribution] = {}
    for each in contributions:
        present = found.get(each.store)
        if present is None or (each.position, each.pk) > (present.position, present.pk):
            found[each.store] = each
    return list(found.values())


def _latest(rule: ColumnRule, column: str, policy: TablePolicy, contributions: Sequence[Contribution]) -> Decided:
    last = standing(contributions)
    times = {each.store: effective_us(column, each) for each in last}
    winner = max(last, key=lambda each: (times[each.store], each.store))
    newest = times[winner.store]
    value = winner.values[column]
    close = [
        each.store
        for each in last
        if each is not winner and each.values[column] != value and newest - times[each.store] < CLOCK_RESOLUTION_US
    ]
    if newest == NEVER_OBSERVED:
        reason = "no store was seen changing it; the last store id stands"
    elif close:
        reason = f"as late as {', '.join(sorted(close))} within a second; the last store id stands"
    else:
        reason = "changed last"
    return Decided(value, winner, reason, uncertain=bool(close))


def _priority(rule: ColumnRule, column: str, policy: TablePolicy, contributions: Sequence[Contribution]) -> Decided:
    ranked = [each for each in standing(contributions) if each.store in rule.stores]
    if ranked:
        winner = min(ranked, key=lambda each: rule.stores.index(each.store))
        return Decided(winner.values[column], winner, "first in the list of stores")
    return decide(rule.then or ColumnRule(rule=RuleName.LATEST), column, policy, contributions)


def _first_non_null(
    rule: ColumnRule, column: str, policy: TablePolicy, contributions: Sequence[Contribution]
) -> Decided:
    def rank(each: Contribution) -> tuple[int, str]:
        listed = each.store in rule.stores
        return (rule.stores.index(each.store) if listed else len(rule.stores), each.store)

    given = [each for each in standing(contributions) if each.values[column] is not None]
    if not given:
        return Decided(None, None, "no store has a value")
    winner = min(given, key=rank)
    return Decided(winner.values[column], winner, "first that is not NULL")


def _sum(rule: ColumnRule, column: str, policy: TablePolicy, contributions: Sequence[Contribution]) -> Decided:
    """Every live row counts, also two of one store: what a customer owns under both is theirs."""
    given = [each.values[column] for each in contributions if each.values[column] is not None]
    if not given:
        return Decided(None, None, "no store has a value")
    if any(isinstance(value, float) for value in given):
        return Decided(math.fsum(given), None, "sum over stores")  # fsum: exact, so order cannot matter
    return Decided(reduce(_EXACTLY.add, given, Decimal(0)), None, "sum over stores")


def _extreme(pick: Callable[..., Contribution], word: str) -> "Rule":
    def rule_(rule: ColumnRule, column: str, policy: TablePolicy, contributions: Sequence[Contribution]) -> Decided:
        given = [each for each in standing(contributions) if each.values[column] is not None]
        if not given:
            return Decided(None, None, "no store has a value")
        best = pick(given, key=lambda each: each.values[column]).values[column]
        winner = min((each for each in given if each.values[column] == best), key=lambda each: each.store)
        return Decided(winner.values[column], winner, word)

    return rule_


Rule = Callable[[ColumnRule, str, TablePolicy, Sequence[Contribution]], Decided]
_RULES: dict[RuleName, Rule] = {
    RuleName.LATEST: _latest,
    RuleName.PRIORITY: _priority,
    RuleName.SUM: _sum,
    RuleName.MAX: _extreme(max, "the greatest"),
    RuleName.MIN: _extreme(min, "the least"),
    RuleName.FIRST_NON_NULL: _first_non_null,
}
