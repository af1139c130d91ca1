"""tillstream connectors: one in Kafka Connect for each store, as tillstream.yaml wants them and as they are."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, counted, load_all
from tillstream.commands.previews import PREVIEWED, agrees
from tillstream.commands.stores import StoreId, require_store
from tillstream.config import Config
from tillstream.errors import RefusedError, TillstreamError

if TYPE_CHECKING:
    from connectors.connector_plan import Difference, Step
    from sinks.warehouse import Warehouse
    from tillstream.connecting import Connecting, ConnectorStatus, Plan

FAULTY = 1
LINE_WIDTH = 140  # a worker's address and two places in a log: a narrower terminal folds the line, which cuts nothing
QUESTION = "Do it so?"

Stores = Annotated[list[str] | None, typer.Argument(metavar="[STORE]...", help="Some stores; all if left out.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    connectors = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for verb in (plan, apply, status, restart, pause, resume, remove):
        connectors.command(verb.__name__)(verb)
    app.add_typer(connectors, name="connectors", help="Each store's connector in Kafka Connect.")


def plan(
    stores: Stores = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit code 1 if something would change.")] = False,
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
) -> None:
    """What `apply` would create, change and remove in Kafka and Kafka Connect, and why. Nothing is written.

    Exit code 1 where a store cannot be captured, 3 if nothing could be judged.
    """
    with _opened(config) as (_, connecting, _):
        found = connecting.plan(stores or ())
    found.require_judged()
    if output is Output.JSON:
        print(json.dumps({"schema": 1, **_plain(found)}, ensure_ascii=False))
    else:
        for line in _in_words(found):
            print(line)
    if found.faults or (exit_code and found.steps):
        raise typer.Exit(FAULTY)


def apply(
    stores: Stores = None,
    yes: YesOption = False,
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the plan and, once agreed, carry it out; a store that cannot be captured holds up no other.

    `tillstream run` does the same for each store by itself, but removes nothing that is no more in tillstream.yaml.
    Exit code 1 if nobody was there to agree, or something was not done; 3 if nothing could be judged.
    """
    from tillstream.pipeline import is_at_work

    with _opened(config) as (_, connecting, warehouse):
        found = connecting.plan(stores or ())
        found.require_judged()
        agreed = bool(found.steps) and (yes or agrees(_in_words(found), (), output, question=QUESTION))
        done = connecting.apply(found) if agreed else {}
        beside_run = agreed and is_at_work(warehouse)
    errors = {store: str(error) for store, error in done.items() if error is not None}
    if output is Output.JSON:
        applied = sorted(done.keys() - errors.keys())
        print(json.dumps({"schema": 1, **_plain(found), "applied": applied, "errors": errors}, ensure_ascii=False))
    elif not found.steps or yes:
        for line in _in_words(found):
            print(line)
    for told in errors.values():
        typer.echo(told, err=True)
    if done and output is Output.TEXT:
        print(f"done for {counted(len(done) - len(errors), 'store')}")
    if beside_run:
        typer.echo(
            "`tillstream run` is at work, and keeps connectors as tillstream.yaml was when it was started: start it "
            "again if more than `stores` has changed since.",
            err=True,
        )
    if found.steps and not agreed:
        raise typer.Exit(PREVIEWED)
    if errors or found.faults:
        raise typer.Exit(FAULTY)


def status(config: ConfigPath = DEFAULT_PATH, output: OutputOption = Output.TEXT) -> None:
    """Each store's connector: its state, where it stands, what of that is in the warehouse, and why one has failed.

    Exit code 1 if one has failed, is missing or stands still without being told to.
    """
    with _opened(config) as (_, connecting, _):
        found = connecting.statuses()
    if output is Output.JSON:
        print(json.dumps({"schema": 1, "stores": [asdict(each) for each in found]}, ensure_ascii=False))
    else:
        _print(found)
    if any(each.has_failed for each in found):
        raise typer.Exit(FAULTY)


def restart(store: StoreId, config: ConfigPath = DEFAULT_PATH) -> None:
    """Have Kafka Connect start the store's connector again, failed or not; it goes on where it stood."""
    with _opened(config, store) as (_, connecting, _):
        (present,) = [each for each in connecting.statuses() if each.store == store]
        if present.state in ("missing", "paused", "retired", "stopped"):
            remedy = f"`tillstream connectors {'apply' if present.state == 'missing' else 'resume'} {store}`"
            raise RefusedError(f"store {store}: its connector is {present.state}; {remedy} has it capture")
        connecting.places.connect.restart(present.connector, only_failed=False)
    print(f"store {store}: {present.connector} is started again")


def pause(store: StoreId, config: ConfigPath = DEFAULT_PATH) -> None:
    """As `stores pause`, and the connector is stopped at once, whether `run` is at work or not."""
    from sinks.store_orders import StoreOrders

    with _opened(config, store) as (_, connecting, warehouse):
        StoreOrders(warehouse).pause(store)
        connecting.rest(store)
    print(f"store {store} is paused; `tillstream connectors resume {store}` goes on where it stopped")


def resume(store: StoreId, config: ConfigPath = DEFAULT_PATH) -> None:
    """As `stores resume`, and the connector goes on at once, whether `run` is at work or not."""
    from sinks.store_orders import StoreOrders

    with _opened(config, store) as (_, connecting, warehouse):
        StoreOrders(warehouse).resume(store)
        try:
            connecting.resume(store)
        except TillstreamError:
            typer.echo(
                f"store {store} rests no more, and cannot go on yet; `run` tries again, `apply` does it:", err=True
            )
            raise
    print(f"store {store} goes on")


def remove(store: StoreId, yes: YesOption = False, config: ConfigPath = DEFAULT_PATH) -> None:
    """Delete the store's connector and the history of its tables; its lane and its rows stay.

    For a store that was taken out of tillstream.yaml, or retired. Exit code 1 if nobody was there to agree.
    """
    from sinks.store_orders import StoreOrders

    with _opened(config) as (settings, connecting, warehouse):
        steps = connecting.removal(store)
        if not steps:
            raise RefusedError(f"store {store} has no connector in Kafka Connect")
        heading = [_step(each) for each in steps]
        if _is_followed(settings, store, StoreOrders(warehouse).read().retired):
            heading.append(
                f"Store {store} is still in tillstream.yaml: `tillstream run` makes its connector again, and reads all "
                f"of the store anew. `tillstream stores retire {store}` is for one that is closed."
            )
        if not (yes or agrees(heading, (), Output.TEXT, question=QUESTION)):
            raise typer.Exit(PREVIEWED)
        connecting.places.take(steps)
    print(f"store {store} has no connector any more; its lane and its rows stay")


def _is_followed(settings: Config, store: str, retired: frozenset[str]) -> bool:
    return any(each.id == store for each in settings.stores) and store not in retired


@contextmanager
def _opened(config: ConfigPath, store: str | None = None) -> "Iterator[tuple[Config, Connecting, Warehouse]]":
    from tillstream.connecting import Connecting
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    if settings.capture is None:
        raise RefusedError(
            f"{settings.file}: connectors are of Kafka Connect, and `capture:` names none; with embedded capture "
            "`tillstream run` does all of it"
        )
    if store is not None:
        require_store(settings, store)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        yield settings, Connecting(settings, warehouse), warehouse


# --- for people -----------------------------------------------------------------------------------------


def _in_words(found: "Plan") -> Iterator[str]:
    created = {each.store for each in found.steps if each.action == "create"}
    for step in found.steps:
        if step.action == "make topic" and step.store in created:
            continue  # goes without saying
        yield _step(step)
        yield from (_difference(each) for each in step.differences)
    for each in found.stores:
        yield from (f"cannot be captured: {told}" for told in each.faults)
        if each.unreachable:
            yield f"not judged: {each.unreachable}"
    if found.unknown:
        yield f"left alone, as they are none of ours: {', '.join(found.unknown)}"
    yield _summary(found)


def _step(step: "Step") -> str:
    return f"{step.action.value:<12} {step.store}: {step.name}, {step.reason}"


def _difference(difference: "Difference") -> str:
    present, wanted = ("(not set)" if each is None else each for each in (difference.present, difference.wanted))
    return f"{'':<12} {difference.key}: {present} -> {wanted}"


def _summary(found: "Plan") -> str:
    counts = Counter(step.action.value for step in found.steps)
    to_do = ", ".join(f"{action} {count:,}" for action, count in counts.items()) or "nothing"
    return f"To do: {to_do}. As wanted: {counted(len(found.as_wanted), 'store')}."


def _plain(found: "Plan") -> dict[str, Any]:
    return {
        "changes": [{**asdict(each), "action": each.action.value} for each in found.steps],
        "faults": found.faults,
        "left_alone": list(found.unknown),
        "as_wanted": [
            each.store for each in found.stores if not each.steps and not each.faults and not each.unreachable
        ],
    }


def _print(found: "Sequence[ConnectorStatus]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("store", "name", "connector", "task", "worker", "stands at", "warehouse at", "waiting"):
        table.add_column(heading, justify="right" if heading == "waiting" else "left")
    for each in found:
        table.add_row(
            each.store, each.name, each.state, each.task or "-", each.worker or "-", each.stands or "-",
            each.warehouse or "-", "-" if each.behind is None else f"{each.behind:,}",
        )  # fmt: skip
    console = Console(width=max(Console().width, LINE_WIDTH))
    console.print(table)
    for each in found:
        if each.cause:
            console.print(f"{each.store}: {each.cause}", soft_wrap=True, highlight=False)
