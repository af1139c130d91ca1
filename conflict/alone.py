"""What one store's row comes to where no other contributes to its key: known without comparing, nor any time."""

from collections.abc import Collection, Mapping
from enum import Enum, auto

from conflict.policy import RuleName, TablePolicy, chain


class Alone(Enum):
    """Of a column: the row's own value in all but `NONE`."""

    WINS = auto()
    WINS_IF_GIVEN = auto()  # a NULL is nobody's
    NO_ONES = auto()
    NONE = auto()  # there is no central value


_OF = {
    RuleName.LATEST: Alone.WINS,
    RuleName.EQUAL_OR_FLAG: Alone.WINS,
    RuleName.EARLIEST: Alone.WINS_IF_GIVEN,
    RuleName.FIRST_NON_NULL: Alone.WINS_IF_GIVEN,
    RuleName.MAJORITY: Alone.WINS_IF_GIVEN,
    RuleName.MAX: Alone.WINS_IF_GIVEN,
    RuleName.MIN: Alone.WINS_IF_GIVEN,
    RuleName.SUM: Alone.NO_ONES,
    RuleName.PER_STORE: Alone.NONE,
}
_OR_AS_THEN = {  # who finds nothing to choose by does as `then`; both may not differ in whether the row wins
    RuleName.PRIORITY: {Alone.WINS},
    RuleName.OWNER: {Alone.WINS},
    RuleName.HIGHEST: {Alone.WINS, Alone.WINS_IF_GIVEN},
    RuleName.LOWEST: {Alone.WINS, Alone.WINS_IF_GIVEN},
}


def alone(policy: TablePolicy, columns: Collection[str]) -> Mapping[str, Alone] | None:
    """By column; None where some rule has to look at the row, or at more than the row."""
    found = {column: _of(policy, column) for column in columns}
    known = {column: each for column, each in found.items() if each is not None}
    return known if len(known) == len(found) else None


def _of(policy: TablePolicy, column: str) -> Alone | None:
    allowed = set(Alone)
    for rule in chain(policy.rule_for(column)):
        if rule.when is not None:
            return None
        if rule.rule in _OR_AS_THEN:
            allowed &= _OR_AS_THEN[rule.rule]
        else:
            found = _OF.get(rule.rule)
            return found if found in allowed else None
    return None
