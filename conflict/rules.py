"""How one column is decided: the rules that choose a store, and what they fall back on.

Every rule is independent of the order in which contributions are listed. Every chain of `then` ends in a rule that
always decides, and every tie ends at the store's id, so a decision is total.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from conflict.changes import Changes, changes_of
from conflict.clock import cannot_tell, had_since, last_changed, moment
from conflict.condition import met
from conflict.people import Decision, fingerprint
from conflict.policy import LATEST, ColumnRule, RuleName, TablePolicy
from conflict.resolution import NEVER_OBSERVED, ColumnStamp, Contribution
from conflict.values import majority, place_in_order, total, united
from tillstream.errors import UndecidableError

NOBODY: Mapping[str, Decision] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Decided:
    value: Any
    winner: Contribution | None  # None where the value is no single store's
    reason: str
    close: tuple[str, ...] = ()  # stores with another value, of which the clocks cannot tell that it was not they
    by_person: bool = False
    changes: Changes | None = None  # since an opening, where it is made of them

    @property
    def uncertain(self) -> bool:
        return bool(self.close)


@dataclass(frozen=True, slots=True)
class Asked:
    """One column of one key. `having` are the rows that have the column, at least one; `rows` are all that count."""

    column: str
    policy: TablePolicy
    rows: Sequence[Contribution]
    having: Sequence[Contribution]
    people: Mapping[str, Decision]  # by column

    def value(self, row: Contribution) -> Any:
        return row.values[self.column]

    def given(self) -> list[Contribution]:
        """Of each store its standing row, if that has a value."""
        return [row for row in standing(self.having) if self.value(row) is not None]

    def among(self, rows: Sequence[Contribution]) -> "Asked":
        return Asked(self.column, self.policy, self.rows, rows, self.people)


def decide(
    column: str, policy: TablePolicy, rows: Sequence[Contribution], people: Mapping[str, Decision] = NOBODY
) -> Decided | None:
    """The column's central value by all rows that count; None where none of them has the column."""
    having = [each for each in rows if column in each.columns]
    return _by(policy.rule_for(column), Asked(column, policy, rows, having, people)) if having else None


def standing(contributions: Sequence[Contribution]) -> list[Contribution]:
    """Of each store's rows under the key only the last by position stands."""
    found: dict[str, Contribution] = {}
    for each in contributions:
        present = found.get(each.store)
        if present is None or (each.position, each.pk) > (present.position, present.pk):
            found[each.store] = each
    return list(found.values())


def heeded(rule: ColumnRule, column: str, having: Sequence[Contribution]) -> Sequence[Contribution]:
    """The rows that the rule looks at. A row in whose place a later one of its store stands does not come back because
    that one fails the rule's `when`."""
    if rule.when is None:
        return having
    return met(rule.when, column, having if rule.rule in _EVERY_ROW else standing(having))


def _by(rule: ColumnRule, asked: Asked) -> Decided:
    rows = heeded(rule, asked.column, asked.having)
    if not rows:
        assert rule.when is not None
        return _fallen_back(f"of no row it is true that {rule.when.text}", rule, asked)
    decided = _RULES[rule.rule](rule, asked.among(rows))
    return _fallen_back(decided, rule, asked) if isinstance(decided, str) else decided


def _fallen_back(why: str, rule: ColumnRule, asked: Asked) -> Decided:
    assert rule.falls_back
    then = rule.then or LATEST
    decided = _by(then, asked)
    return replace(decided, reason=f"{why}, so {then.rule} decides: {decided.reason}")


def either(stores: Iterable[str]) -> str:
    """`store s001 or s002`, in words."""
    names = sorted(stores)
    return f"store {names[0]}" if len(names) == 1 else f"stores {', '.join(names[:-1])} or {names[-1]}"


# --- by time ----------------------------------------------------------------------------------------------


def _latest(rule: ColumnRule, asked: Asked) -> Decided:
    rows = standing(asked.having)
    return _by_time(rule, asked, rows, {each.store: last_changed(asked.column, each) for each in rows}, _LATEST)


def _earliest(rule: ColumnRule, asked: Asked) -> Decided:
    rows = asked.given()
    if not rows:
        return NO_VALUE
    return _by_time(rule, asked, rows, {each.store: had_since(asked.column, each) for each in rows}, _EARLIEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """One end of time, and its words."""

    pick: Callable[..., Contribution]
    alone: str
    never: str
    close: str
    time: str
    store: str


_LATEST = _End(pick=max, alone="changed last", never="no store was seen changing it", close="as late as",
               time="later time", store="last store id")  # fmt: skip
_EARLIEST = _End(pick=min, alone="has had a value for longest", never="was there when the store was first read",
                 close="as early as", time="earlier time", store="first store id")  # fmt: skip


def _by_time(
    rule: ColumnRule, asked: Asked, rows: Sequence[Contribution], times: Mapping[str, ColumnStamp], end: _End
) -> Decided:
    """The one at that end. If the clocks cannot tell others from it, one of them all: by the rule's order of stores,
    then by time, then by store id."""

    def place(each: Contribution) -> tuple[int, str]:
        return times[each.store].effective_us, each.store

    winner = end.pick(rows, key=place)
    at_end = times[winner.store]
    candidates = [each for each in rows if cannot_tell(at_end, times[each.store])]
    best = 0
    if rule.ranks:
        best = min(_rank(rule, each.store) for each in candidates)
        winner = end.pick((each for each in candidates if _rank(rule, each.store) == best), key=place)
    value, at_us = asked.value(winner), times[winner.store].effective_us
    close = sorted(each.store for each in candidates if asked.value(each) != value)
    if not close:
        return Decided(value, winner, end.never if at_us == NEVER_OBSERVED else end.alone)
    if any(_rank(rule, store) > best for store in close):
        stands = f"first {_ranked_by(rule)}"
    else:
        stands = end.store if any(times[store].effective_us == at_us for store in close) else end.time
    doubted = any(times[each.store].uncertainty_us for each in candidates)
    doubt = "as far as their clocks tell" if doubted else "within a second"
    found = end.never if at_us == NEVER_OBSERVED else f"{end.close} {', '.join(close)} {doubt}"
    return Decided(value, winner, f"{found}; the {stands} stands", tuple(close))


# --- by store ---------------------------------------------------------------------------------------------


def _priority(rule: ColumnRule, asked: Asked) -> Decided | str:
    last = {each.store: each for each in standing(asked.having)}
    for equals in rule.ranks:
        best = [last[store] for store in equals if store in last]
        if len(best) == 1:
            return Decided(asked.value(best[0]), best[0], f"first {_ranked_by(rule)}")
        if best:
            among = asked.among([each for each in asked.having if each.store in equals])
            return _fallen_back(f"{len(best)} stores are equal {_ranked_by(rule)}", rule, among)
    if rule.by:
        return f"no store that has it is ranked by {rule.by}"
    return f"no row in {either(rule.stores)}" if rule.stores else "no store is listed"


def _rank(rule: ColumnRule, store: str) -> int:
    """Those that are not ranked come last."""
    return next((rank for rank, equals in enumerate(rule.ranks) if store in equals), len(rule.ranks))


def _ranked_by(rule: ColumnRule) -> str:
    return f"by {rule.by}" if rule.by else "in the list of stores"


def _first_non_null(rule: ColumnRule, asked: Asked) -> Decided:
    given = asked.given()
    if not given:
        return NO_VALUE
    winner = min(given, key=lambda each: (_rank(rule, each.store), each.store))
    return Decided(asked.value(winner), winner, "first that is not NULL")


def _owner(rule: ColumnRule, asked: Asked) -> Decided | str:
    """The central value of another column names the store. That no column names itself so is seen to by the file."""
    named = decide(rule.column, asked.policy, asked.rows, asked.people)
    if named is None or named.value is None:
        return f"{rule.column} names no owner"
    owner = dict(rule.owners).get(str(named.value)) if rule.owners else str(named.value)
    row = next((each for each in standing(asked.having) if each.store == owner), None)
    if row is None:
        return f"{rule.column} is {named.value}, which has no row"
    return Decided(asked.value(row), row, f"owns it: {rule.column} is {named.value}")


# --- by value ---------------------------------------------------------------------------------------------


def _majority(rule: ColumnRule, asked: Asked) -> Decided | str:
    given = asked.given()
    if not given:
        return NO_VALUE
    votes, leading = majority([asked.value(each) for each in given])
    if len(leading) > 1:
        tied = {each.store for each in given if asked.value(each) in leading}
        among = asked.among([each for each in asked.having if each.store in tied])
        return _fallen_back(f"{len(leading)} values have {_votes(votes)} each", rule, among)
    return _first_with(given, asked, leading[0], f"in {votes} of {len(given)} stores that have a value")


def _votes(votes: int) -> str:
    return f"{votes} vote{'s' * (votes != 1)}"


def _extreme(pick: Callable[..., Any], word: str) -> "Rule":
    def rule_(rule: ColumnRule, asked: Asked) -> Decided:
        given = asked.given()
        best = pick((asked.value(each) for each in given), default=None)
        return NO_VALUE if best is None else _first_with(given, asked, best, word)

    return rule_


def _in_order(pick: Callable[..., Any], word: str) -> "Rule":
    def rule_(rule: ColumnRule, asked: Asked) -> Decided | str:
        """Values that the order does not know lose to all that it knows."""
        places = [
            (place, each) for each in asked.given() if (place := place_in_order(asked.value(each), rule.order)) >= 0
        ]
        if not places:
            return f"no value is one of {', '.join(rule.order)}"
        best = pick(place for place, _ in places)
        winner = min((each for place, each in places if place == best), key=lambda each: each.store)
        return Decided(asked.value(winner), winner, f"the {word} in its order")

    return rule_


def _sum(rule: ColumnRule, asked: Asked) -> Decided:
    """Every live row counts, also two of one store: what a customer owns under both is theirs."""
    given = [asked.value(each) for each in asked.having if asked.value(each) is not None]
    return Decided(total(given), None, "sum over stores") if given else NO_VALUE


def _sum_of_changes(rule: ColumnRule, asked: Asked) -> Decided:
    """Every live row counts here, too."""
    assert rule.opening_us is not None, "the file sees to it"
    given = [each for each in asked.having if asked.value(each) is not None]
    if not given:
        return NO_VALUE
    found = changes_of(asked.column, given, rule.opening_us)
    return Decided(found.total, None, _of_changes(found), found.doubtful, changes=found)


def _of_changes(found: Changes) -> str:
    if found.base is None:
        return "what each store changed since the opening, before which none had a value"
    tied = ", the least of what as many had" if found.tied else ""
    return (
        f"{found.base} that {found.votes} of {len(found.openings)} stores had at the opening{tied}, and what each "
        "changed since"
    )


def _union(rule: ColumnRule, asked: Asked) -> Decided:
    """Every live row counts here, too."""
    given = [asked.value(each) for each in asked.having if asked.value(each) is not None]
    return Decided(united(given, rule.separator), None, "all that any store has, in order") if given else NO_VALUE


def _equal_or_flag(rule: ColumnRule, asked: Asked) -> Decided | str:
    last = standing(asked.having)
    if len({asked.value(each) for each in last}) > 1:
        return f"{len(last)} stores differ"
    winner = min(last, key=lambda each: each.store)
    return Decided(asked.value(winner), winner, "all that have it agree")


def _review(rule: ColumnRule, asked: Asked) -> Decided | str:
    decided = asked.people.get(asked.column)
    if decided is None or decided.seen not in (None, fingerprint(asked.column, asked.having)):
        return _equal_or_flag(rule, asked)
    until = "" if decided.until_us is None else f" until {moment(decided.until_us)}"
    reason = f"decided by {decided.author}{until}{f': {decided.reason}' if decided.reason else ''}"
    return Decided(asked.value(decided), None, reason, by_person=True)


def _python(rule: ColumnRule, asked: Asked) -> Decided:
    """Every live row is shown to it, also two of one store."""
    assert rule.function is not None
    if asked.policy.ask is None:
        raise UndecidableError(asked.column, f"{rule.function.name} cannot be run here")
    value = asked.policy.ask(rule.function, asked.column, asked.having)
    return Decided(value, None, f"{rule.function.name} makes it of {len(asked.having)} rows")


def _constant(rule: ColumnRule, asked: Asked) -> Decided:
    return Decided(rule.value, None, "the policy gives it")


def _per_store(rule: ColumnRule, asked: Asked) -> Decided:
    return Decided(None, None, "each store's own; none for the chain")


def _first_with(given: Sequence[Contribution], asked: Asked, value: Any, reason: str) -> Decided:
    winner = min((each for each in given if asked.value(each) == value), key=lambda each: each.store)
    return Decided(asked.value(winner), winner, reason)


_EVERY_ROW = frozenset({RuleName.SUM, RuleName.SUM_OF_CHANGES, RuleName.UNION, RuleName.PYTHON})
NO_VALUE = Decided(None, None, "no store has a value")
Rule = Callable[[ColumnRule, Asked], Decided | str]  # a text says why there is nothing to choose by
_RULES: dict[RuleName, Rule] = {
    RuleName.LATEST: _latest,
    RuleName.EARLIEST: _earliest,
    RuleName.PRIORITY: _priority,
    RuleName.OWNER: _owner,
    RuleName.FIRST_NON_NULL: _first_non_null,
    RuleName.MAJORITY: _majority,
    RuleName.MAX: _extreme(max, "the greatest"),
    RuleName.MIN: _extreme(min, "the least"),
    RuleName.HIGHEST: _in_order(max, "highest"),
    RuleName.LOWEST: _in_order(min, "lowest"),
    RuleName.SUM: _sum,
    RuleName.SUM_OF_CHANGES: _sum_of_changes,
    RuleName.UNION: _union,
    RuleName.CONSTANT: _constant,
    RuleName.PER_STORE: _per_store,
    RuleName.EQUAL_OR_FLAG: _equal_or_flag,
    RuleName.REVIEW: _review,
    RuleName.PYTHON: _python,
}
