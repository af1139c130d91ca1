"""tillstream dead-letters: the events that were set aside, and what to do with them."""

import json
from typing import Annotated, Any

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.errors import PoisonError, RefusedError

Ids = Annotated[list[int] | None, typer.Argument(help="Numbers from `list`; all open ones if left out.")]
OneId = Annotated[int, typer.Argument(help="A number from `list`.")]
SomeIds = Annotated[list[int], typer.Argument(help="Numbers from `list`.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Events that were set aside: list, show, retry, discard.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("retry")(retry)
    group.command("discard")(discard_)
    app.add_typer(group, name="dead-letters")


def list_(
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
    everything: Annotated[bool, typer.Option("--all", help="Settled ones too.")] = False,
) -> None:
    """The open letters, oldest first."""
    from sinks.retrying import find
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        letters = find(warehouse, only_open=not everything)
    if output is Output.JSON:
        print(json.dumps({"schema": 1, "dead_letters": letters}, ensure_ascii=False))
        return
    for letter in letters:
        print(f"{letter['id']}  {letter['status']}  {_line(letter)}")
    if not letters:
        print("nothing is set aside")


def show(letter: OneId, config: ConfigPath = DEFAULT_PATH) -> None:
    """One letter with the event as the store's log had it, as JSON."""
    from sinks.retrying import find
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        found = find(warehouse, ids=[letter], with_event=True)
    if not found:
        raise RefusedError(f"there is no dead letter {letter}; `tillstream dead-letters list --all` shows them")
    print(json.dumps({"schema": 1, **found[0]}, ensure_ascii=False, indent=2))


def retry(letters: Ids = None, config: ConfigPath = DEFAULT_PATH) -> None:
    """Try them again, each in a transaction of its own; exit 1 if one still cannot be kept."""
    from sinks.retrying import open_ids, retry_letter
    from tillstream.opening import open_warehouse
    from tillstream.policies import shapes_in_force

    settings, written = load_all(config)
    failed = 0
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        shapes = shapes_in_force(warehouse, settings, written)
        for letter in letters or open_ids(warehouse):
            try:
                print(f"{letter}: {retry_letter(warehouse, shapes, letter)}")
            except PoisonError as error:
                failed += 1
                print(f"{letter}: still cannot be kept: {error.reason}")
    if failed:
        raise typer.Exit(1)


def discard_(letters: SomeIds, config: ConfigPath = DEFAULT_PATH) -> None:
    """Give them up. Their rows stay as they were before; `verify` will report the difference."""
    from sinks.retrying import discard
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        for letter in letters:
            if not discard(warehouse, letter):
                raise RefusedError(f"there is no open dead letter {letter}")
            print(f"{letter}: discarded")


def _line(letter: dict[str, Any]) -> str:
    return (
        f"store {letter['store']}, table {letter['table']}, key {letter['key']}, at {letter['position']}: "
        f"{letter['reason']}"
    )
