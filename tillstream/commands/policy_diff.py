"""tillstream policy diff: which central values would change if another file were the policies."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conflict.policy import Policy
from conflict.what_if import ChangedValue, Scope, TableDifference
from tillstream.checked_yaml import Document
from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all, load_policies
from tillstream.config import Config
from tillstream.errors import ConfigError, RefusedError
from tillstream.own_modules import read_policy

if TYPE_CHECKING:
    from sinks.warehouse import Warehouse

CHANGED = 1
MOST_LINES = 10  # of stores that a column's values come from and go to; `--output json` has all

NewPolicies = Annotated[
    Path | None,
    typer.Argument(metavar="NEW.yaml", help="Without it the file that tillstream.yaml names."),
]
ExitCode = Annotated[bool, typer.Option("--exit-code", help="Exit with 1 if anything would change.")]
Samples = Annotated[int, typer.Option("--samples", min=0, metavar="N", help="Examples of each column.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="KEYS", help="Only a table's first keys.")]


def diff(
    new: NewPolicies = None,
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
    exit_code: ExitCode = False,
    samples: Samples = 3,
    limit: Limit = None,
) -> None:
    """Which central values would change under other policies than those in force. Nothing is written; `run` may be at
    work.

    By table, column, rule, and the store whose value stands now and the one whose value would.
    """
    from tillstream.opening import open_warehouse
    from tillstream.policies import in_force

    settings, written = load_all(config)
    document = load_policies(new or policies_file(settings))
    tried = read_policy(document, settings.store_attributes)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        present = in_force(warehouse, written)
        found = differences(warehouse, settings, present, tried, document, samples=samples, most_keys=limit)
    if output is Output.JSON:
        print(json.dumps(_as_json(present, tried, found), ensure_ascii=False))
    else:
        print("\n".join(in_words(document.file, found)))
    if exit_code and any(each.changes for each in found):
        raise typer.Exit(CHANGED)


def policies_file(settings: Config) -> Path:
    if settings.policies is None:
        raise RefusedError(f"{settings.file} names no `policies:` file")
    return settings.policies


def differences(
    warehouse: "Warehouse",
    settings: Config,
    present: Policy,
    tried: Policy,
    document: Document,
    *,
    samples: int,
    most_keys: int | None,
) -> list[TableDifference]:
    """What `tried`, which `document` says, would make of what `present` decides. ConfigError where a store's columns
    cannot bear it."""
    from sinks.policy_trial import PolicyTrial
    from tillstream.policies import shapes_of

    require_functions(document, tried)
    old, new = shapes_of(settings, present), shapes_of(settings, tried)
    with _faults_of(document, tried), warehouse.transaction() as tx:
        return PolicyTrial(tx, old, new, samples=samples, most_keys=most_keys).run()


def require_fit(warehouse: "Warehouse", settings: Config, tried: Policy, document: Document) -> None:
    """The same ConfigError, and nothing is tried."""
    from sinks.policy_trial import codecs_under
    from tillstream.policies import shapes_of

    require_functions(document, tried)
    with _faults_of(document, tried), warehouse.transaction() as tx:
        codecs_under(tx, shapes_of(settings, tried))


def require_functions(document: Document, tried: Policy) -> None:
    """ConfigError where a function of one's own cannot be imported, in the process in which it would be asked."""
    from sinks.own_functions.asking import unusable

    found = unusable(tried)
    if found:
        places = [(("tables", table, "columns", column, "python"), why) for table, column, why in found]
        raise ConfigError([document.fault(place, why) for place, why in places])


@contextmanager
def _faults_of(document: Document, tried: Policy) -> Iterator[None]:
    from sinks.names import identifier
    from sinks.policy_trial import UnfitPolicyError

    written = {identifier(table): table for table in tried.tables}
    try:
        yield
    except UnfitPolicyError as error:
        faults = [
            document.fault(("tables", written.get(table, table)), message)
            for table, messages in error.reasons.items()
            for message in dict.fromkeys(messages)
        ]
        raise ConfigError(faults) from None


# --- for people -------------------------------------------------------------------------------------------


def in_words(new: str, found: list[TableDifference]) -> list[str]:
    lines = [line for each in found for line in _table_in_words(each)]
    values, rows = sum(each.values for each in found), sum(each.appearing + each.disappearing for each in found)
    partly = "" if all(each.complete for each in found) else ", as far as was looked (--limit)"
    if not found:
        return [f"{new} decides everything as the policies in force do."]
    if not values and not rows:
        return [*lines, f"{new} would change no central value{partly}."]
    parts = [_counted(values, "central value")] if values else []
    parts += [f"{_counted(rows, 'central row')} (there or not)"] if rows else []
    return [*lines, f"{new} would change {' and '.join(parts)}{partly}."]


def _table_in_words(each: TableDifference) -> list[str]:
    lines = [f"{each.table}: {_SCOPES[each.scope]}, {_counted(each.keys, 'key')} looked at"]
    lines += _rows_in_words(each)
    for column in sorted(each.samples.keys() | {name for name, _, _ in each.moves}):
        lines += _column_in_words(each, column)
    if each.untimed:
        lines += [f"  {line}" for line in _untimed_in_words(each)]
    if each.undecided:
        lines.append(f"  {_counted(each.undecided, 'key')} could not be decided, and would stay as they are:")
        lines += [f"    {key}: {why}" for key, why in each.samples_undecided]
    if each.pending:
        lines.append(f"  {_counted(each.pending, 'key')} left out: still to be decided by the policies in force")
    return [*lines, *(f"  {note}" for note in each.notes)]


_SCOPES = {
    Scope.STAYS: "other rules",
    Scope.REKEYED: "another key",
    Scope.SHARED: "newly shared",
    Scope.ISOLATED: "no longer shared",
}


def _rows_in_words(each: TableDifference) -> Iterator[str]:
    for count, word, keys in (
        (each.appearing, "appear", each.samples_appearing),
        (each.disappearing, "disappear", each.samples_disappearing),
    ):
        if count:
            more = ", ..." if len(keys) < count else ""
            such = f": {', '.join(keys)}{more}" if keys else ""
            yield f"  {_counted(count, 'row')} would {word}{such}"


def _column_in_words(each: TableDifference, column: str) -> Iterator[str]:
    old, new = each.rules[column]
    rule = new if old == new else f"{old} -> {new}"
    yield f"  {column} ({rule}): {_counted(each.values_of(column), 'value')}"
    moves = [(count, from_, to) for (name, from_, to), count in each.moves.most_common() if name == column]
    for count, from_, to in moves[:MOST_LINES]:
        yield f"    {count:>7}  from {_whose(from_)} to {_whose(to)}"
    if len(moves) > MOST_LINES:
        yield f"             ... and {len(moves) - MOST_LINES} more pairs of stores"
    for sample in each.samples.get(column, ()):
        yield f"    {sample.key}: {_value(sample.old)} -> {_value(sample.new)}"


def _untimed_in_words(each: TableDifference) -> Iterator[str]:
    for column in sorted(each.untimed):
        yield (
            f"{column}: no times of its changes were kept, as no rule needed them; {each.values_of(column)} of its "
            "values would be decided by the time of the row's first snapshot, or where there is none by the last "
            "store id, until a store changes them"
        )


def _whose(store: str | None) -> str:
    return "no single store's" if store is None else f"{store}'s"


def _value(text: str | None) -> str:
    return "NULL" if text is None else json.dumps(text, ensure_ascii=False)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# --- for programs -----------------------------------------------------------------------------------------


def _as_json(present: Policy, tried: Policy, found: list[TableDifference]) -> dict[str, Any]:
    return {
        "schema": 1,
        "policy": {"version": present.version},
        "new_policy": {"version": tried.version},
        "changes": any(each.changes for each in found),
        "values": sum(each.values for each in found),
        "rows_appearing": sum(each.appearing for each in found),
        "rows_disappearing": sum(each.disappearing for each in found),
        "tables": [_table_as_json(each) for each in found],
    }


def _table_as_json(each: TableDifference) -> dict[str, Any]:
    columns = sorted({name for name, _, _ in each.moves} | each.untimed)
    return {
        "table": each.table,
        "scope": each.scope.value,
        "keys": each.keys,
        "complete": each.complete,
        "pending": each.pending,
        "undecided": {
            "count": each.undecided,
            "samples": [{"key": key, "why": why} for key, why in each.samples_undecided],
        },
        "rows_changed": each.rows_changed,
        "values": each.values,
        "rows_appearing": {"count": each.appearing, "samples": each.samples_appearing},
        "rows_disappearing": {"count": each.disappearing, "samples": each.samples_disappearing},
        "columns": [_column_as_json(each, column) for column in columns],
        "notes": each.notes,
    }


def _column_as_json(each: TableDifference, column: str) -> dict[str, Any]:
    old, new = each.rules.get(column, (None, None))
    return {
        "column": column,
        "old_rule": old,
        "new_rule": new,
        "values": each.values_of(column),
        "times_kept": column not in each.untimed,
        "stores": [
            {"from": from_, "to": to, "values": count}
            for (name, from_, to), count in each.moves.most_common()
            if name == column
        ],
        "samples": [_sample_as_json(sample) for sample in each.samples.get(column, ())],
    }


def _sample_as_json(sample: ChangedValue) -> dict[str, Any]:
    return {
        "key": sample.key,
        "old": sample.old,
        "new": sample.new,
        "from": sample.from_store,
        "to": sample.to_store,
    }
