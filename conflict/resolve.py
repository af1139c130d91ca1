"""One business key: contributions and policy → Resolution. A pure function; the product stands on it."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from conflict.changes import Changes
from conflict.clock import effective_us
from conflict.people import Decision, apart, fingerprint
from conflict.policy import NO_ONES, TO_AGREE, Deletes, TablePolicy
from conflict.quarantine import believed
from conflict.resolution import NEVER_OBSERVED, Contest, Contribution, Resolution
from conflict.rules import NOBODY, Decided, decide, heeded, standing


def resolve(policy: TablePolicy, columns: Collection[str], contributions: Sequence[Contribution]) -> Resolution:
    """The agreed row of one key. `columns` are those to decide; the key's own are not among them."""
    rows, people = apart(contributions)
    contributions = believed(policy, rows)
    live = [each for each in contributions if not each.deleted]
    if _is_deleted(policy, live, contributions):
        return Resolution(exists=False)
    return agreed(policy, columns, live or contributions, people)  # `never`: the last values outlive the rows


def agreed(
    policy: TablePolicy,
    columns: Collection[str],
    counting: Sequence[Contribution],
    people: Mapping[str, Decision] = NOBODY,
) -> Resolution:
    """The agreed row of a key that has one, by the rows that count."""
    decisions = {}
    for column in columns:
        decided = decide(column, policy, counting, people) if policy.decides(column) else None
        if decided is not None:
            decisions[column] = decided
    stores = {each.store for each in counting}
    contests = (
        (_contest(policy, column, decided, counting) for column, decided in decisions.items())
        if len(stores) > 1
        else ()
    )
    winners = {column: decided.winner.store for column, decided in decisions.items() if decided.winner is not None}
    return Resolution(
        exists=True,
        values={column: decided.value for column, decided in decisions.items()},
        winners=winners,
        newest=_newest(policy, decisions, counting),
        stores=tuple(sorted(stores)),
        uncertain=tuple(sorted(column for column, decided in decisions.items() if decided.uncertain)),
        contests=tuple(contest for contest in contests if contest is not None),
    )


def _is_deleted(policy: TablePolicy, live: Sequence[Contribution], contributions: Sequence[Contribution]) -> bool:
    if policy.deletes is Deletes.NEVER:
        return not contributions
    if not live:
        return True
    if policy.deletes is Deletes.ALL:
        return False
    # a store that has the row again, under another id, has not deleted it, whatever its clock said
    deletes = [each.changed_us for each in standing(contributions) if each.deleted]
    inserted = policy.deletes is Deletes.ANY
    return bool(deletes) and max(deletes) > max(each.inserted_us if inserted else each.changed_us for each in live)


def _newest(policy: TablePolicy, decisions: Mapping[str, Decided], rows: Sequence[Contribution]) -> dict[str, str]:
    """Who was last seen changing each column that may be contested, where that is not its winner."""
    found = {}
    for column, decided in decisions.items():
        if policy.rule_for(column).rule in NO_ONES:
            continue
        observed = [each for each in rows if column in each.columns and column in each.stamps]
        if observed:
            newest = max(observed, key=lambda each: (each.stamps[column].effective_us, each.store)).store
            if decided.winner is None or newest != decided.winner.store:
                found[column] = newest
    return found


def _contest(policy: TablePolicy, column: str, decided: Decided, rows: Sequence[Contribution]) -> Contest | None:
    """Whether stores that differ changed the column within the window of each other."""
    rule = policy.rule_for(column)
    if column in policy.contest_ignore or decided.by_person:
        return None
    if decided.changes is not None:
        return _contest_of_openings(policy, column, decided.changes, decided.reason, rows)
    if rule.rule in NO_ONES:
        return None
    having = [each for each in rows if column in each.columns]
    if rule.rule in TO_AGREE:  # others may differ from these as they like
        having = list(heeded(rule, column, having))
    if all(each.values[column] == decided.value for each in having):
        return None
    rivals = standing(having) if rule.rule in TO_AGREE else _lately(policy, column, having)
    losers = [each for each in rivals if each.values[column] != decided.value]
    if not losers or len({each.store for each in rivals}) < 2:
        return None
    listed = tuple(
        (each.store, each.values[column], effective_us(column, each))
        for each in sorted(losers, key=lambda e: (e.store, e.pk))
    )
    winner = decided.winner.store if decided.winner else None
    is_question = rule.rule in TO_AGREE
    known_by = (
        fingerprint(column, having)
        if is_question
        else _fingerprint(policy.table, column, winner, decided.value, rivals)
    )
    return Contest(
        column=column,
        rule=rule.rule.value,
        winner=winner,
        value=decided.value,
        losers=listed,
        reason=decided.reason,
        fingerprint=known_by,
    )


def _contest_of_openings(
    policy: TablePolicy, column: str, changes: Changes, reason: str, rows: Sequence[Contribution]
) -> Contest | None:
    """Balances that were to be copies of one at the opening, and are not. What stores changed since is no conflict."""
    if not changes.differing:
        return None
    facts = [
        policy.table, column, repr(changes.base), [[store, repr(value)] for store, value in changes.openings],
        sorted([each.store, each.pk] for each in rows),
    ]  # fmt: skip
    return Contest(
        column=column,
        rule=policy.rule_for(column).rule.value,
        winner=None,
        value=changes.base,
        losers=tuple((store, value, NEVER_OBSERVED) for store, value in changes.differing),
        reason=reason,
        fingerprint=hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode()).hexdigest(),
    )


def _lately(policy: TablePolicy, column: str, rows: Sequence[Contribution]) -> list[Contribution]:
    """Those that changed the column within the policy's window of the last who did."""
    observed = [each for each in rows if column in each.stamps]
    newest = max((effective_us(column, each) for each in observed), default=NEVER_OBSERVED)
    window_us = int(policy.contest_within_seconds * 1_000_000)
    return [each for each in observed if newest - effective_us(column, each) <= window_us]


def _fingerprint(table: str, column: str, winner: str | None, value: Any, rivals: Sequence[Contribution]) -> str:
    facts = [
        table, column, winner, repr(value),
        sorted([each.store, each.pk, repr(each.values[column]), list(each.stamps[column].position)] for each in rivals),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode()).hexdigest()
