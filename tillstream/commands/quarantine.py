"""tillstream quarantine: a store whose changes are not to be believed from a moment on, until that is lifted."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.commands.person import person
from tillstream.commands.previews import PREVIEWED, agrees, plain
from tillstream.commands.stores import require_store
from tillstream.config import Config

if TYPE_CHECKING:
    from sinks.quarantines import Quarantine


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Decide as if a store had changed nothing since a moment.", no_args_is_help=True)
    group.command("add")(add)
    group.command("list")(list_)
    group.command("lift")(lift)
    app.add_typer(group, name="quarantine")


def add(
    store: Annotated[str, typer.Argument(metavar="STORE", help="The store's id.")],
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="One shared table; all of them without.")] = None,
    since: Annotated[
        str,
        typer.Option("--since", metavar="TIME", help="As 2026-11-27T14:00; of the store's time zone if none is named."),
    ] = ...,  # type: ignore[assignment]  # typer's sign for a required option
    reason: Annotated[str, typer.Option("--reason", help="Why; shown by `list`.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what central.* would be without what STORE changed since then, and, once agreed, decide it so.

    The store is followed as before and its rows stay as they are. A column that it changed since then counts as
    absent, a row that it made since then does not count, one that it deleted since then does.

    Exit code 1 if nobody was there to agree.
    """
    from sinks.names import identifier, in_warehouse_names
    from sinks.quarantines import Quarantines
    from tillstream.opening import open_warehouse
    from tillstream.policies import in_force

    settings, written = load_all(config)
    require_store(settings, store)
    at = _moment(since, settings, store)
    named = None if table is None else identifier(table)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        quarantines = Quarantines(warehouse)
        policy = in_warehouse_names(in_force(warehouse, written))
        previews = quarantines.preview(policy, store, named, at)
        heading = f"Without what store {store} changed since {at.isoformat()}:"
        agreed = yes or agrees([heading], previews, output)
        number = quarantines.add(store, named, at, reason=reason, author=person()) if agreed else None
    if output is Output.JSON:
        tables = [plain(each) for each in previews]
        print(json.dumps({"schema": 1, "id": number, "tables": tables}, ensure_ascii=False, default=str))
    elif number is not None:
        print(
            f"quarantine {number}: decided again by `run`, key by key; `tillstream quarantine lift {number}` undoes it"
        )
    if number is None:
        raise typer.Exit(PREVIEWED)


def list_(
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
    everything: Annotated[bool, typer.Option("--all", help="Lifted ones too.")] = False,
) -> None:
    """The open quarantines, oldest first."""
    from sinks.quarantines import Quarantines
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        found = Quarantines(warehouse).known(everything=everything)
    if output is Output.JSON:
        plain = [asdict(each) for each in found]
        print(json.dumps({"schema": 1, "quarantines": plain}, ensure_ascii=False, default=datetime.isoformat))
        return
    for each in found:
        print(_line(each))
    if not found:
        print("no store is in quarantine")


def lift(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="A number from `list`.")],
    config: ConfigPath = DEFAULT_PATH,
) -> None:
    """Believe the store again: what it contributes counts as if the quarantine had never been."""
    from sinks.quarantines import Quarantines
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        lifted = Quarantines(warehouse).lift(number)
    print(f"quarantine {number} is lifted: store {lifted.store} is believed again, decided by `run`, key by key")


def _moment(text: str, settings: Config, store: str) -> datetime:
    zone = next(each.timezone for each in settings.stores if each.id == store)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"--since {text!r} is no time; write it as 2026-11-27T14:00") from None
    return at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))


def _line(each: "Quarantine") -> str:
    lifted = f", lifted {each.lifted_at:%Y-%m-%d %H:%M %Z}" if each.lifted_at else ""
    reason = f": {each.reason}" if each.reason else ""
    return (
        f"{each.id}  store {each.store}, {each.table or 'all shared tables'}, since {each.since:%Y-%m-%d %H:%M:%S %Z}, "
        f"by {each.author}{lifted}{reason}"
    )
