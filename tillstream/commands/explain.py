"""tillstream explain: why a central value is what it is, and what would make it another one."""

import json
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conflict.clock import moment
from conflict.explain import Candidate, ColumnExplanation, KnownFrom, Since, quoted, shown
from conflict.policy import Policy
from conflict.resolution import NEVER_OBSERVED, Contribution
from tillstream.checked_yaml import suggestion
from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.commands.shared_key import TableName, normalised_key, require_shared

if TYPE_CHECKING:
    from sinks.explaining import Explained, Explainer, NotCounting, RecordedConflict
    from sinks.history import Change

KeyText = Annotated[
    str,
    typer.Argument(metavar="KEY", help="As a person has it; several parts with commas between, or as a JSON array."),
]
ColumnName = Annotated[str | None, typer.Argument(help="Only this column.")]


def register(app: typer.Typer) -> None:
    app.command("explain")(explain)


def explain(
    table: TableName,
    key: KeyText,
    column: ColumnName = None,
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
) -> None:
    """Why a shared row's values are what they are: every store's value, the rule, and what would flip it.

    Exit code 1 if no store has anything under the key.
    """
    from sinks.explaining import Explainer
    from sinks.names import identifier, in_warehouse_names
    from tillstream.opening import open_warehouse
    from tillstream.policies import in_force

    settings, written = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        policy, name = in_warehouse_names(in_force(warehouse, written)), identifier(table)
        require_shared(policy, table)
        normalised = normalised_key(policy, table, key)
        with warehouse.transaction() as tx:
            explainer = Explainer(tx, policy, name)
            found = explainer.explain(normalised, _wanted(explainer, policy, table, column))
    if output is Output.JSON:
        print(json.dumps({"schema": 1, "asked": key, **_as_json(found)}, ensure_ascii=False))
    else:
        print("\n".join(in_words(found)))


def _wanted(explainer: "Explainer", policy: Policy, table: str, column: str | None) -> list[str] | None:
    from sinks.names import identifier

    if column is None:
        return None
    name = identifier(column)
    if any(part.column == name for part in policy.tables[identifier(table)].key):
        raise typer.BadParameter(f"{column} is part of the key: it is the same in every store", param_hint="COLUMN")
    if name not in explainer.columns:
        near = suggestion(column, explainer.columns)
        raise typer.BadParameter(f"central.{table} decides no column {column}{near}", param_hint="COLUMN")
    return [name]


# --- for people -------------------------------------------------------------------------------------------


def in_words(found: "Explained") -> list[str]:
    lines = [f"{found.table} {found.key}: {_row_in_words(found)}", *_state(found), *_parked(found)]
    lines += [each.in_words() for each in found.identities]
    lines += [
        f"store {store} is held in {found.table} since {why}; below is what it had before"
        for store, why in found.held.items()
    ]
    for each in found.explanation.columns:
        lines += ["", *_column_in_words(each, contested=each.column in found.contested)]
    beside = [*_deleted(found.deleted), *_not_counting(found.not_counting), *_floors(found)]
    conflicts = [_conflict_in_words(each) for each in found.conflicts]
    history = [*dict.fromkeys(_change_in_words(each) for each in found.history)]
    parts = (lines, beside, conflicts, history)
    return [line for part in parts if part for line in ([] if part is lines else [""]) + part]


def _row_in_words(found: "Explained") -> str:
    there = "" if found.explanation.exists else "no central row; "
    return f"{there}{found.explanation.because}"


def _state(found: "Explained") -> Iterator[str]:
    yield f"policy version {found.policy_version}, in force since {_second(found.policy_applied_at)}"
    if found.pending:
        yield (
            "pending: it waits to be decided anew, which `tillstream run` does; below is what that will come to"
            + (f", in central.{found.table} still what version {found.decided_version} made" if found.standing else "")
        )


def _parked(found: "Explained") -> Iterator[str]:
    if found.parked is not None:
        since = _second(found.parked.parked_at)
        yield (
            f"parked since {since}: {found.parked.column}: {found.parked.reason}; central.{found.table} stays as it "
            "was until something of it changes or `tillstream parked retry`"
        )


def _column_in_words(each: ColumnExplanation, *, contested: bool) -> list[str]:
    winner = f" of store {each.winner}" if each.winner else ""
    marks = [word for word, holds in (("uncertain", each.uncertain), ("contested", contested)) if holds]
    marked = f" ({', '.join(marks)})" if marks else ""
    rows = [_candidate_in_words(candidate) for candidate in each.candidates]
    decided = "" if each.undecided else f"{quoted(each.value)}{winner}, "
    return [
        f"{each.column}: {decided}{each.reason}{marked}",
        f"  rule: {each.rule}",
        *(f"  {line}" for line in aligned(rows)),
        *([] if each.undecided else [f"  what would flip it: {each.flips}"]),
    ]


def _candidate_in_words(each: Candidate) -> tuple[str, ...]:
    facts = [
        word
        for word, holds in (
            ("wins", each.wins),
            ("uncertain", each.uncertain),
            ("not the store's last row", each.superseded),
        )
        if holds
    ]
    return (
        f"store {each.store}",
        f"row {each.pk}",
        quoted(each.value),
        _time(each) if each.since is None else _change(each.since),
        f"at {place(each.position)}",
        ", ".join(facts),
    )


def _change(since: Since) -> str:
    if since.opening is None:
        return "all of it since the opening"
    change = f"{since.change:+}" if isinstance(since.change, float) else f"{since.change:+f}"
    return f"{change} since the opening, {shown(since.opening)} then"


def _time(each: Candidate) -> str:
    match each.known_from:
        case KnownFrom.CHANGE:
            return f"changed {moment(each.effective_us)}{_clock(each)}"
        case KnownFrom.READING:
            return f"found changed {moment(each.effective_us)}{_clock(each)}"
        case KnownFrom.SNAPSHOT:
            return f"dated {moment(each.effective_us)} by the POS{_clock(each)}"
        case KnownFrom.NOTHING:
            return "never seen changing"


def _clock(each: Candidate) -> str:
    """What its store's clock was corrected by, and how far the time may be off; nothing of a clock that is right."""
    said = [
        f"clock corrected by {each.correction_us / 1_000_000:+,.1f} s" if each.correction_us else "",
        f"± {each.uncertainty_us / 1_000_000:,.1f} s" if each.uncertainty_us else "",
    ]
    return f" ({', '.join(filter(None, said))})" if any(said) else ""


def place(position: Collection[int]) -> str:
    """File and position as `status` shows them, and the epoch if it is not the first."""
    epoch, file, pos, *_ = position
    return f"{file:06d}:{pos}" if epoch == 1 else f"{file:06d}:{pos} of epoch {epoch}"


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    from rich.cells import cell_len  # a Chinese character is two columns wide

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _deleted(deleted: list[Contribution]) -> list[str]:
    return [f"store {each.store} deleted its row {each.pk}, {_deleted_at(each)}" for each in deleted]


def _deleted_at(each: Contribution) -> str:
    return "nobody knows when" if each.changed_us == NEVER_OBSERVED else f"at {moment(each.changed_us)}"


def _not_counting(rows: "list[NotCounting]") -> list[str]:
    return [f"store {each.store}, row {each.pk} does not count: {each.why}" for each in rows]


def _floors(found: "Explained") -> list[str]:
    """Only where one explains something: every snapshot raises a floor."""
    withdrawn = {each.store for each in found.not_counting}
    return [
        f"store {each.store}: rows from before {place((each.epoch, each.file, each.pos))} of its log do not count"
        for each in found.floors
        if each.store in withdrawn
    ]


def _conflict_in_words(each: "RecordedConflict") -> str:
    losers = ", ".join(f"{quoted(loser['value'])} of store {loser['store']}" for loser in each.losers)
    winner = f" of store {each.winner}" if each.winner else ""
    return (
        f"contest of {_second(each.decided_at)} about {each.column}: {quoted(each.value)}{winner} won over {losers}, "
        f"{each.reason} ({each.rule})"
    )


def _change_in_words(each: "Change") -> str:
    why = f": {each.reason}" if each.reason else ""
    if each.version_before is None:
        return f"{_second(each.at)}  {each.key} came to be, by policy version {each.version}{why}"
    if each.version is None:
        return f"{_second(each.at)}  {each.key} is gone{why}"
    policy = (
        ""
        if each.version == each.version_before
        else f", by policy version {each.version} (before: {each.version_before})"
    )
    was = f"{quoted(each.value_before)}{_of_store(each.winner_before)}"
    became = f"{quoted(each.value)}{_of_store(each.winner)}"
    return f"{_second(each.at)}  {each.column} was {was}, became {became}{policy}{why}"


def _of_store(winner: str | None) -> str:
    return f" of store {winner}" if winner else ""


def _second(at: Any) -> str:
    return moment(int(at.timestamp()) * 1_000_000)


# --- for programs -----------------------------------------------------------------------------------------


def _as_json(found: "Explained") -> dict[str, Any]:
    return {
        "table": found.table,
        "key": found.key,
        "policy": {"version": found.policy_version, "applied_at": found.policy_applied_at.isoformat()},
        "identities": [
            {"id": each.id, "key": each.key, "other_key": each.other_key, "reason": each.reason, "author": each.author,
             "accepted_at": each.accepted_at.isoformat()}
            for each in found.identities
        ],
        "pending": found.pending,
        "parked": None
        if found.parked is None
        else {
            "column": found.parked.column, "reason": found.parked.reason, "since": found.parked.parked_at.isoformat(),
        },
        "exists": found.explanation.exists,
        "because": found.explanation.because,
        "stands": None if found.standing is None else {name: shown(value) for name, value in found.standing.items()},
        "decided": {
            "version": found.decided_version,
            "at": found.decided_at.isoformat() if found.decided_at else None,
        },
        "columns": [
            _column_as_json(each, contested=each.column in found.contested) for each in found.explanation.columns
        ],
        "deleted": [
            {"store": each.store, "row": each.pk, "effective_us": _us(each.changed_us)} for each in found.deleted
        ],
        "not_counting": [{"store": each.store, "row": each.pk, "why": each.why} for each in found.not_counting],
        "floors": [
            {"store": each.store, "epoch": each.epoch, "file": each.file, "pos": each.pos} for each in found.floors
        ],
        "held": found.held,
        "conflicts": [
            {
                "column": each.column, "rule": each.rule, "winner": each.winner, "value": each.value,
                "losers": each.losers, "reason": each.reason, "decided_at": each.decided_at.isoformat(),
            }
            for each in found.conflicts
        ],
        "history": [
            {
                "at": each.at.isoformat(), "key": each.key, "column": each.column, "before": each.value_before,
                "value": each.value, "winner_before": each.winner_before, "winner": each.winner, "reason": each.reason,
                "version_before": each.version_before, "version": each.version,
            }
            for each in found.history
        ],
    }  # fmt: skip


def _column_as_json(each: ColumnExplanation, *, contested: bool) -> dict[str, Any]:
    return {
        "column": each.column,
        "value": shown(each.value),
        "rule": each.rule,
        "winner": each.winner,
        "reason": each.reason,
        "undecided": each.undecided,
        "uncertain": each.uncertain,
        "contested": contested,
        "flips": each.flips,
        "candidates": [
            {
                "store": one.store, "row": one.pk, "value": shown(one.value), "position": list(one.position),
                "effective_us": _us(one.effective_us), "correction_us": one.correction_us,
                "uncertainty_us": one.uncertainty_us, "known_from": one.known_from.value, "wins": one.wins,
                "uncertain": one.uncertain, "superseded": one.superseded,
                **({"opening": shown(one.since.opening), "change": shown(one.since.change)} if one.since else {}),
            }
            for one in each.candidates
        ],
    }  # fmt: skip


def _us(effective_us: int) -> int | None:
    return None if effective_us == NEVER_OBSERVED else effective_us
