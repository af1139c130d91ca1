"""tillstream parked: keys that a rule could not decide, and what to do with them."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.commands.shared_key import normalised_key, require_shared

if TYPE_CHECKING:
    from sinks.parked_keys import ParkedKey

STILL_PARKED = 1

TableOption = Annotated[str | None, typer.Argument(metavar="TABLE", help="Only those of this table.")]
KeyOption = Annotated[str | None, typer.Argument(metavar="KEY", help="Only this one, as a person has it.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Keys that a rule could not decide: list, try again.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("retry")(retry)
    app.add_typer(group, name="parked")


def list_(config: ConfigPath = DEFAULT_PATH, output: OutputOption = Output.TEXT) -> None:
    """The keys, by table, each with the column whose rule failed, and why."""
    from sinks.parked_keys import parked_keys
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        with warehouse.transaction() as tx:
            found = parked_keys(tx)
    if output is Output.JSON:
        print(json.dumps({"schema": 1, "parked": [_as_json(each) for each in found]}, ensure_ascii=False))
        return
    for each in found:
        print(f"{_line(each)}; since {each.parked_at:%Y-%m-%d %H:%M} UTC")
    if not found:
        print("no key is parked")


def retry(table: TableOption = None, key: KeyOption = None, config: ConfigPath = DEFAULT_PATH) -> None:
    """Decide them again, as `run` does by itself when something of a key changes; exit 1 if one still cannot be."""
    from sinks.names import identifier
    from sinks.parked_keys import parked_keys
    from sinks.retrying import retry_parked
    from tillstream.opening import open_warehouse
    from tillstream.policies import shapes_in_force

    settings, written = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        shapes = shapes_in_force(warehouse, settings, written)
        name, keys = None, None
        if table is not None:
            name = identifier(table)
            require_shared(shapes.policy, table)
            keys = None if key is None else [normalised_key(shapes.policy, table, key)]
        with warehouse.transaction() as tx:
            found = parked_keys(tx, name, keys)
        still = [left for each in found for left in retry_parked(warehouse, shapes, each)]
    for left in still:
        print(f"still: {_line(left)}")
    print(f"{len(found) - len(still)} of {len(found)} parked keys decided" if found else "no such key is parked")
    if still:
        raise typer.Exit(STILL_PARKED)


def _line(each: "ParkedKey") -> str:
    return f"{each.table} {each.key} {each.column}: {each.reason}"


def _as_json(each: "ParkedKey") -> dict[str, Any]:
    return {
        "table": each.table,
        "key": each.key,
        "column": each.column,
        "reason": each.reason,
        "since": each.parked_at.isoformat(),
    }
