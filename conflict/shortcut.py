"""A key that many stores have, decided from its standing decision and the rows that changed, without reading all rows.

It rests on this: a rule that chooses one store does so by what that store's own row says, its time, its rank or its
value. A row that was not chosen and did not change cannot be chosen now, unless the one that was got worse. The same
holds for contests, as long as the store that was last seen changing a column is among the rows looked at: whoever else
might be contested agreed with it. How far the times of the others are in doubt is known by no more than the greatest
doubt there is. Wherever that is not enough, the answer is None, and all rows are to be read.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from conflict.clock import cannot_tell, had_since, last_changed
from conflict.policy import BY_TIME, Deletes, RuleName, TablePolicy, chain
from conflict.resolution import ColumnStamp, Contribution, Resolution
from conflict.resolve import agreed
from conflict.rules import standing

MANY_STORES = 16  # with fewer, reading all costs no more than finding out that it need not be done

_CHOOSE = frozenset({
    RuleName.LATEST, RuleName.EARLIEST, RuleName.PRIORITY, RuleName.FIRST_NON_NULL, RuleName.MAX, RuleName.MIN,
    RuleName.HIGHEST, RuleName.LOWEST, RuleName.CONSTANT, RuleName.PER_STORE,
})  # fmt: skip
_FALL_BACK = frozenset({RuleName.LATEST, RuleName.PRIORITY})  # what chooses a store whenever there is a row
_NEVER_WORSE = frozenset({RuleName.CONSTANT, RuleName.PER_STORE})  # by any change of the chosen row


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What was decided of a key, by the same policy, where no store was contested or too close to tell."""

    winners: Mapping[str, str]
    newest: Mapping[str, str]  # see Resolution

    @property
    def stores(self) -> frozenset[str]:
        """Those whose rows are to be looked at, beside those that changed."""
        return frozenset({*self.winners.values(), *self.newest.values()})


def may_shorten(policy: TablePolicy, columns: Collection[str]) -> bool:
    """Whether every rule of the table chooses one store, and by its own row alone."""
    if policy.deletes is Deletes.NEVER:
        return False
    for column in columns:
        first, *others = rules = tuple(chain(policy.rule_for(column)))
        if any(rule.when is not None for rule in rules):  # whether any row is looked at is no one row's affair
            return False
        if first.rule in BY_TIME and first.ranks:  # who is close to the chosen one counts as well
            return False
        if first.rule not in _CHOOSE or any(rule.rule not in _FALL_BACK for rule in others):
            return False
    return True


def shortened(
    policy: TablePolicy,
    columns: Collection[str],
    standing: Standing,
    changed: Collection[str],
    rows: Sequence[Contribution],
    doubt_us: int,
) -> Resolution | None:
    """The decision as `resolve` would make it of all rows, but for `stores`, which are only those looked at.

    `rows` are all of the standing decision's stores and of those that changed, of which none has deleted a row.
    """
    if not set(changed).isdisjoint(standing.newest.values()):
        return None  # others agreed with what it had, and may not with what it has
    if any(each.quarantined_us is not None for each in rows):
        return None
    live = [each for each in rows if not each.deleted]
    if not {*changed, *standing.stores} <= {each.store for each in live}:
        return None
    found = agreed(policy, columns, live)
    if found.contests or found.uncertain or any(policy.decides(name) and name not in found.values for name in columns):
        return None
    unchanged = agreed(policy, columns, [each for each in live if each.store not in changed])
    for column, winner in standing.winners.items():
        first, rules = policy.rule_for(column), {rule.rule for rule in chain(policy.rule_for(column))}
        # a row that is ranked before all others may change as it likes: it is still ranked so
        is_first = first.rule is RuleName.PRIORITY and (found.winners[column],) in first.ranks
        if winner in changed and not is_first and not rules <= _NEVER_WORSE:
            return None
        is_same = found.values[column] == unchanged.values.get(column)
        if rules != {RuleName.LATEST} and not is_same:
            last = standing.newest.get(column, winner)  # no other row that was not looked at changed it later
            if not is_first or last in changed or _changed_lately(policy, column, last, live):
                return None  # whoever else changed it lately may be contested now
        if rules & BY_TIME and _may_be_close(
            _times(policy, column, live), winner, found.winners[column], is_same=is_same, doubt_us=doubt_us
        ):
            return None
    return found


def _changed_lately(policy: TablePolicy, column: str, store: str, live: Sequence[Contribution]) -> bool:
    """Whether the store changed it within the policy's window of the last who did."""
    observed = [(each.stamps[column].effective_us, each.store) for each in live if column in each.stamps]
    its_own = [at_us for at_us, by in observed if by == store]
    return bool(its_own) and max(observed)[0] - max(its_own) <= policy.contest_within_seconds * 1_000_000


def _times(policy: TablePolicy, column: str, live: Sequence[Contribution]) -> dict[str, ColumnStamp]:
    """By store, what the column's rule goes by."""
    time_of = had_since if policy.rule_for(column).rule is RuleName.EARLIEST else last_changed
    return {each.store: time_of(column, each) for each in standing([each for each in live if column in each.columns])}


def _may_be_close(times: Mapping[str, ColumnStamp], before: str, now: str, *, is_same: bool, doubt_us: int) -> bool:
    """Whether the clocks may not tell a row that was not looked at, and has another value, from the one chosen now.

    Those that they could not tell from the one chosen before had its value. So there is none if that is still the
    value and no more in doubt, and none if the one chosen now is further on than any doubt.
    """
    if now == before or (is_same and times[now].uncertainty_us <= times[before].uncertainty_us):
        return False
    return cannot_tell(times[now], times[before]._replace(uncertainty_us=doubt_us))
