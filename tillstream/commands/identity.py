"""tillstream identity: shared rows that their keys keep apart though they are one: found, and merged by a person."""

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conflict.explain import quoted, shown
from conflict.policy import Policy
from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.commands.explain import aligned
from tillstream.commands.person import person
from tillstream.commands.previews import PREVIEWED
from tillstream.commands.shared_key import TableName, normalised_key, require_shared

if TYPE_CHECKING:
    from sinks.duplicates import Duplicate
    from sinks.merging import Merge
    from sinks.warehouse import Warehouse

AT_LEAST = 0.7  # the same name, and a typing error in the phone or the same birthday; not the same name alone

Key = Annotated[str, typer.Argument(metavar="KEY", help="Under which the merged row stands; as for `explain`.")]
OtherKey = Annotated[str, typer.Argument(metavar="OTHER_KEY", help="Whose rows count under KEY from then on.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Merge shared rows that their business keys keep apart.", no_args_is_help=True)
    group.command("suggest")(suggest)
    group.command("accept")(accept)
    group.command("list")(list_)
    group.command("undo")(undo)
    app.add_typer(group, name="identity")


def suggest(
    table: TableName,
    at_least: Annotated[
        float, typer.Option("--at-least", min=0, max=1, metavar="SCORE", help="Only pairs with that score.")
    ] = AT_LEAST,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="PAIRS", help="The likeliest of them.")] = 20,
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
) -> None:
    """Pairs of central rows that may be one: a typing error in the key, or much else in common. Nothing is merged."""
    from sinks.duplicates import Duplicates
    from sinks.names import identifier

    with _opened(config) as (policy, warehouse):
        require_shared(policy, table)
        with warehouse.transaction() as tx:
            found = Duplicates(tx, policy, identifier(table)).suggest(at_least=at_least, most=limit)
    if output is Output.JSON:
        plain = [asdict(each) for each in found.duplicates]
        facts = {"schema": 1, "pairs": found.pairs, "complete": found.complete, "duplicates": plain}
        print(json.dumps(facts, ensure_ascii=False))
        return
    for each in found.duplicates:
        print("\n".join(in_words(table, each)))
    if not found.duplicates:
        print(f"no two rows of {table} look like one (pairs compared: {found.pairs:,})")
    if not found.complete:
        print(f"There are more than the {found.pairs:,} pairs that were compared.")


def accept(
    table: TableName,
    key: Key,
    other_key: OtherKey,
    reason: Annotated[str, typer.Option("--reason", help="Why they are one; shown by `explain`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the one central row that two would become, and, once agreed, have the rows of OTHER_KEY count under KEY.

    The stores' rows stay as they are. Exit code 1 if nobody was there to agree.
    """
    from sinks.merging import Merging
    from sinks.names import identifier

    with _opened(config) as (policy, warehouse):
        require_shared(policy, table)
        name = identifier(table)
        keys = normalised_key(policy, table, key), normalised_key(policy, table, other_key)
        merging = Merging(warehouse)
        merge = merging.preview(policy, name, *keys)
        agreed = yes or _agrees(merge, output)
        number = merging.accept(policy, name, *keys, reason=reason, author=person()) if agreed else None
    if output is Output.JSON:
        print(json.dumps({"schema": 1, "id": number, **_as_json(merge)}, ensure_ascii=False))
    elif number is not None:
        print(f"identity {number}: decided again by `run`, key by key; `tillstream identity undo {number}` undoes it")
    if number is None:
        raise typer.Exit(PREVIEWED)


def list_(
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
    everything: Annotated[bool, typer.Option("--all", help="Those taken back, too.")] = False,
) -> None:
    """What was accepted, oldest first."""
    from sinks.merging import Merging

    with _opened(config) as (_, warehouse):
        found = Merging(warehouse).known(everything=everything)
    if output is Output.JSON:
        plain = [asdict(each) for each in found]
        print(json.dumps({"schema": 1, "identities": plain}, ensure_ascii=False, default=datetime.isoformat))
        return
    for each in found:
        print(f"{each.table}: {each.in_words()}")
    if not found:
        print("no two keys were said to be one")


def undo(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="A number from `list` or `explain`.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; shown by `list --all`.")] = "",
    config: ConfigPath = DEFAULT_PATH,
) -> None:
    """Take it back: each row counts under its own key again, as if it had never been said."""
    from sinks.merging import Merging

    with _opened(config) as (policy, warehouse):
        undone = Merging(warehouse).undo(policy, number, reason=reason, author=person())
    print(f"identity {number} is undone: {undone.table} {undone.other_key} is decided apart by `run`")


@contextmanager
def _opened(config: "ConfigPath") -> Iterator[tuple[Policy, "Warehouse"]]:
    """The policy in force, in the warehouse's names, and the warehouse."""
    from sinks.names import in_warehouse_names
    from tillstream.opening import open_warehouse
    from tillstream.policies import in_force

    settings, written = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        yield in_warehouse_names(in_force(warehouse, written)), warehouse


def _agrees(merge: "Merge", output: Output) -> bool:
    for line in _told(merge):
        typer.echo(line, err=True)
    if output is Output.JSON or not sys.stdin.isatty():
        typer.echo("Nothing was changed; say --yes to have it so.", err=True)
        return False
    return typer.confirm("Are they one?", err=True)


def _told(merge: "Merge") -> Iterator[str]:
    one, other = merge.keys
    yield f"{merge.table}: {one} and {other} would be one, {merge.merged_key}:"
    rows = (*merge.rows, merge.merged)
    columns = list(dict.fromkeys(column for row in rows if row for column in row))
    cells: list[tuple[str, ...]] = [("", one, other, "as one")]
    cells += [(column, *(_cell(row, column) for row in rows)) for column in columns]
    yield from (f"  {line}" for line in aligned(cells))


def _cell(row: Mapping[str, Any] | None, column: str) -> str:
    return "no row" if row is None else quoted(row.get(column))


def in_words(table: str, each: "Duplicate") -> Iterator[str]:
    (one, other), (stores, others) = each.keys, each.stores
    yield f"{each.likeness.score:.2f}  {one} of {', '.join(stores)}  and  {other} of {', '.join(others)}"
    for word in ("same", "alike", "differing"):
        columns = getattr(each.likeness, word)
        if columns:
            yield f"      {word}: {', '.join(_both(column, *each.values[column]) for column in columns)}"
    yield f"      tillstream identity accept {shlex.join((table, one, other))} --reason '...'"


def _both(column: str, one: str | None, other: str | None) -> str:
    return f"{column} {quoted(one)}" if one == other else f"{column} {quoted(one)} / {quoted(other)}"


def _as_json(merge: "Merge") -> dict[str, Any]:
    one, other, merged = (_plain(row) for row in (*merge.rows, merge.merged))
    return {
        "table": merge.table, "keys": list(merge.keys), "merged_key": merge.merged_key, "rows": [one, other],
        "merged": merged,
    }  # fmt: skip


def _plain(row: Mapping[str, Any] | None) -> dict[str, str | None] | None:
    return None if row is None else {column: shown(value) for column, value in row.items()}
