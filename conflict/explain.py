"""Why a central value is what it is: the same rules asked again, with everything they looked at laid out.

What would flip a value is not described but tried: the rule is asked once more with one contribution changed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from conflict.changes import at_opening
from conflict.clock import CLOCK_RESOLUTION_US, had_since, last_changed, moment
from conflict.people import Decision, apart
from conflict.policy import BY_TIME, ColumnRule, Deletes, RuleName, TablePolicy
from conflict.quarantine import believed
from conflict.resolution import NEVER_OBSERVED, SINCE, ColumnStamp, Contribution
from conflict.resolve import resolve
from conflict.rules import Decided, decide, either, standing
from conflict.values import increase
from tillstream.errors import UndecidableError


class KnownFrom(StrEnum):
    """What the time of a value is known from."""

    CHANGE = "change"  # the store was seen changing it
    READING = "reading"  # it was found changed when its store was read anew; nobody knows since when
    SNAPSHOT = "snapshot"  # the POS's own time of the row when it was first read
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    opening: Any  # what the row had then; None where it had no value
    change: Any  # what its present value is above that, or below


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One store's value of a column, as its rule saw it."""

    store: str
    pk: str
    value: Any
    position: tuple[int, ...]  # of the column's last seen change, else of the row's
    effective_us: int  # by our clock; NEVER_OBSERVED where no time is known
    correction_us: int  # what the store's own time of it was corrected by
    uncertainty_us: int  # how far that may be off, beside the second that a clock shows
    known_from: KnownFrom
    wins: bool
    uncertain: bool  # too close to the winner's time for the clocks to tell
    superseded: bool  # a later row of the same store stands for it
    since: Since | None = None  # an opening, where what was changed since adds up


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnExplanation:
    column: str
    rule: str
    value: Any
    winner: str | None  # None where the value is no single store's
    reason: str
    undecided: bool  # its rule comes to nothing, and what central.* has is what was decided before
    uncertain: bool
    candidates: tuple[Candidate, ...]
    flips: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExplanation:
    exists: bool
    because: str
    columns: tuple[ColumnExplanation, ...] = ()


def explain(policy: TablePolicy, columns: Collection[str], contributions: Sequence[Contribution]) -> KeyExplanation:
    """`columns` are those to explain; the key's own and those that no store of the key has are left out."""
    doubted = {each.store for each in contributions if each.quarantined_us is not None}
    rows, people = apart(contributions)
    contributions = believed(policy, rows)
    live = [each for each in contributions if not each.deleted]
    if not resolve(policy, (), contributions).exists:
        return KeyExplanation(exists=False, because=_why_gone(policy, contributions) + _quarantined(doubted))
    counting = live or list(contributions)
    told = (_column(policy, column, counting, people) for column in columns if policy.decides(column))
    return KeyExplanation(
        exists=True,
        because=_why_there(policy, live, contributions) + _quarantined(doubted),
        columns=tuple(each for each in told if each is not None),
    )


def rule_in_words(rule: ColumnRule) -> str:
    """As short as a person writes it: `priority, stores: s001 s002, then latest`."""
    settings = {
        "stores": "" if rule.by else " ".join(rule.stores),
        "by": rule.by,
        "order": " ".join(rule.order),
        "column": rule.column,
        "value": quoted(rule.value) if rule.rule is RuleName.CONSTANT else "",
        "separator": quoted(rule.separator) if rule.rule is RuleName.UNION else "",
        "opening": "" if rule.opening_us is None else moment(rule.opening_us),
    }
    settings["function"] = rule.function.name if rule.function else ""
    settings["when"] = rule.when.text if rule.when else ""
    told = ", ".join([rule.rule.value, *(f"{name}: {said}" for name, said in settings.items() if said)])
    return f"{told}, then {rule_in_words(rule.then)}" if rule.then else told


def shown(value: Any) -> str | None:
    """A value as text that loses nothing; None for NULL."""
    if value is None:
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        return f"\\x{bytes(value).hex()}"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def quoted(value: Any) -> str:
    """The same for people: text in quotation marks, NULL by its name."""
    return "NULL" if value is None else f'"{shown(value)}"' if isinstance(value, str) else str(shown(value))


# --- the row as a whole -----------------------------------------------------------------------------------


def _why_gone(policy: TablePolicy, contributions: Sequence[Contribution]) -> str:
    live = [each for each in contributions if not each.deleted]
    if not contributions:
        return "no store has a row under this key that counts"
    if not live:
        return f"every store that had it has deleted it (deletes: {policy.deletes})"
    last = max(
        (each for each in standing(contributions) if each.deleted), key=lambda each: (each.changed_us, each.store)
    )
    return (
        f"store {last.store} deleted it, {_at(last.changed_us)}, after all changes in the stores that have it "
        f"(deletes: {policy.deletes})"
    )


def _why_there(policy: TablePolicy, live: Sequence[Contribution], contributions: Sequence[Contribution]) -> str:
    deleted = sorted({each.store for each in standing(contributions) if each.deleted})
    if not live:
        return f"every store deleted it and its last values stay (deletes: {policy.deletes})"
    there = f"{_stores({each.store for each in live})} {'have' if len({e.store for e in live}) > 1 else 'has'} it"
    if not deleted:
        return there
    outlived = {
        Deletes.LATEST: "it was changed since",
        Deletes.ALL: "not all have deleted it",
        Deletes.NEVER: "a delete counts for nothing",
    }.get(policy.deletes, "it stays")
    return f"{there}; {_stores(deleted)} deleted it, but {outlived} (deletes: {policy.deletes})"


def _quarantined(stores: Collection[str]) -> str:
    return f"; what {_stores(stores)} changed since its quarantine counts as absent" if stores else ""


# --- one column -------------------------------------------------------------------------------------------


def _column(
    policy: TablePolicy, column: str, rows: Sequence[Contribution], people: Mapping[str, Decision]
) -> ColumnExplanation | None:
    """None of a column that no row has."""
    rule = policy.rule_for(column)
    undecided = False
    try:
        decided = decide(column, policy, rows, people)
    except UndecidableError as error:
        decided, undecided = Decided(None, None, f"cannot be decided: {error.reason}"), True
    if decided is None:
        return None
    return ColumnExplanation(
        column=column,
        rule=rule_in_words(rule),
        value=decided.value,
        winner=decided.winner.store if decided.winner else None,
        reason=decided.reason,
        undecided=undecided,
        uncertain=decided.uncertain,
        candidates=tuple(_candidates(rule, column, rows, decided)),
        flips="" if undecided else _flips(policy, column, rows, decided, people),
    )


def _candidates(rule: ColumnRule, column: str, rows: Sequence[Contribution], decided: Decided) -> Iterator[Candidate]:
    having = [each for each in rows if column in each.columns]
    last = {id(each) for each in standing(having)}
    doubted = {*decided.close, decided.winner.store} if decided.close and decided.winner else set()
    since = rule.rule is RuleName.EARLIEST
    time_of = had_since if since else last_changed
    for each in sorted(having, key=lambda each: (each is not decided.winner, each.store, each.pk)):
        stamp, at = each.stamps.get(column + SINCE if since else column), time_of(column, each)
        yield Candidate(
            store=each.store,
            pk=each.pk,
            value=each.values[column],
            position=stamp.position if stamp else each.position,
            effective_us=at.effective_us,
            correction_us=at.correction_us,
            uncertainty_us=at.uncertainty_us,
            known_from=_known_from(stamp, at),
            wins=each is decided.winner,
            uncertain=id(each) in last and each.store in doubted,
            superseded=id(each) not in last,
            since=_since_opening(column, each, decided),
        )


def _since_opening(column: str, row: Contribution, decided: Decided) -> Since | None:
    if decided.changes is None or row.values[column] is None:
        return None
    opening = at_opening(column, row, decided.changes.opening_us)
    return Since(opening=opening, change=increase(row.values[column], opening))


def _known_from(stamp: ColumnStamp | None, at: ColumnStamp) -> KnownFrom:
    if stamp is not None:
        return KnownFrom.READING if stamp.was_read else KnownFrom.CHANGE
    return KnownFrom.NOTHING if at.effective_us == NEVER_OBSERVED else KnownFrom.SNAPSHOT


# --- what would flip it -----------------------------------------------------------------------------------


def _flips(
    policy: TablePolicy,
    column: str,
    rows: Sequence[Contribution],
    decided: Decided,
    people: Mapping[str, Decision],
) -> str:
    if decided.by_person:
        return f"another decision, or `tillstream reviews reopen`{_by_itself(people[column])}"
    told = [
        _by_any_value(policy.rule_for(column), decided),
        _by_a_row(policy, column, rows, decided),
        _by_a_change(policy, column, rows, decided),
        _by_absence(policy, column, rows, decided),
    ]
    return "; ".join(filter(None, told)) or "nothing that one store does"


def _by_itself(decision: Decision) -> str:
    if decision.until_us is not None:
        return f", or that {moment(decision.until_us)} has come"
    return "" if decision.seen is None else ", or another value in a store"


def _by_any_value(rule: ColumnRule, decided: Decided) -> str:
    if rule.rule in (RuleName.SUM, RuleName.SUM_OF_CHANGES):
        return "every store's value is part of it: any change of one changes it"
    if rule.rule is RuleName.UNION:
        return "what any store has more would be part of it"
    if rule.rule is RuleName.PYTHON:
        return "the function may make another value of any change of a row"
    if rule.rule is RuleName.CONSTANT:
        return "only another policy"
    if rule.rule in _BETTER and decided.value is not None:
        return f"any store's value {_BETTER[rule.rule]} {quoted(decided.value)} would win"
    return "the first store that has a value would decide it" if decided.value is None and not decided.winner else ""


_BETTER = {
    RuleName.MAX: "above",
    RuleName.MIN: "below",
    RuleName.HIGHEST: "higher in its order than",
    RuleName.LOWEST: "lower in its order than",
}


def _by_a_row(policy: TablePolicy, column: str, rows: Sequence[Contribution], decided: Decided) -> str:
    """A ranked store, before the winner, that has no row: tried with the winner's row in its place."""
    if decided.winner is None or policy.rule_for(column).rule in BY_TIME:  # its time is what would count
        return ""
    present = {each.store for each in rows if column in each.columns}
    missing = [store for store in policy.rule_for(column).stores if store not in present]
    would = [store for store in missing if _wins(policy, column, [*rows, replace(decided.winner, store=store)], store)]
    return f"a row of {either(would)} would win" if would else ""


def _by_a_change(policy: TablePolicy, column: str, rows: Sequence[Contribution], decided: Decided) -> str:
    having = [each for each in rows if column in each.columns]
    times = [last_changed(column, each) for each in having]
    newest = max(each.effective_us for each in times)
    certain = newest + max(each.uncertainty_us for each in times)  # later than that is later beyond doubt
    would = sorted(
        each.store
        for each in standing(having)
        if decided.winner is not None
        and each.store != decided.winner.store
        and _wins(policy, column, _with_change(column, rows, each, certain + CLOCK_RESOLUTION_US), each.store)
    )
    if not would:
        return ""
    after = (
        "as soon as it is changed there" if newest == NEVER_OBSERVED else f"if it were changed after {moment(certain)}"
    )
    return f"the value of {either(would)} would win {after}"


def _with_change(column: str, rows: Sequence[Contribution], changed: Contribution, at_us: int) -> list[Contribution]:
    stamps = {**changed.stamps, column: ColumnStamp(changed.position, at_us)}
    return [replace(each, stamps=stamps) if each is changed else each for each in rows]


def _wins(policy: TablePolicy, column: str, rows: Sequence[Contribution], store: str) -> bool:
    try:
        decided = decide(column, policy, rows)
    except UndecidableError:
        return False
    return decided is not None and decided.winner is not None and decided.winner.store == store


def _by_absence(policy: TablePolicy, column: str, rows: Sequence[Contribution], decided: Decided) -> str:
    if decided.winner is None:
        return ""
    store = decided.winner.store
    try:
        other = decide(column, policy, [each for each in rows if each.store != store])
    except UndecidableError:
        return f"without the row of store {store} it could not be decided"
    if other is None:
        return f"only store {store} has it"
    if other.value == decided.value:
        return f"without the row of store {store} it would be the same"
    whose = f" of store {other.winner.store}" if other.winner else ""
    return f"without the row of store {store} it would be {quoted(other.value)}{whose}"


def _at(changed_us: int) -> str:
    return "nobody knows when" if changed_us == NEVER_OBSERVED else f"at {moment(changed_us)}"


def _stores(stores: Collection[str]) -> str:
    return either(stores).replace(" or ", " and ")
