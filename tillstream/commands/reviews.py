"""tillstream reviews: values about which stores differ and that a person is to decide."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from conflict.explain import quoted
from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.commands.person import person
from tillstream.config import Config

if TYPE_CHECKING:
    from sinks.reviews import Decided, Review

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="A number from `list`.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Values that stores differ about: list, show, decide, reopen.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("decide")(decide)
    group.command("reopen")(reopen)
    app.add_typer(group, name="reviews")


def list_(
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
) -> None:
    """The open reviews, oldest first."""
    from sinks.reviews import Reviews
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        found = Reviews(warehouse).known(everything=everything)
    if output is Output.JSON:
        plain = [asdict(each) for each in found]
        print(json.dumps({"schema": 1, "reviews": plain}, ensure_ascii=False, default=datetime.isoformat))
        return
    for each in found:
        print(_line(each))
    if not found:
        print("nothing waits to be decided by a person")


def show(number: Number, config: ConfigPath = DEFAULT_PATH, output: OutputOption = Output.TEXT) -> None:
    """What each store has, the value meanwhile and why it is that one, and what people decided so far."""
    from sinks.reviews import Reviews
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        review, decisions = Reviews(warehouse).one(number)
    if output is Output.JSON:
        plain = {"schema": 1, **asdict(review), "decisions": [asdict(each) for each in decisions]}
        print(json.dumps(plain, ensure_ascii=False, default=datetime.isoformat))
        return
    print(_line(review))
    for each in review.candidates:
        print(f"  store {each['store']}  {quoted(each['value'])}")
    print(f"  meanwhile {quoted(review.provisional)}: {review.reason}")
    for decided in decisions:
        how = "for good" if decided.for_good else f"until {_until(decided)}"
        end = f", ended {decided.ended_at:%Y-%m-%d %H:%M} UTC" if decided.ended_at else ""
        why = f": {decided.reason}" if decided.reason else ""
        at = f"{decided.decided_at:%Y-%m-%d %H:%M} UTC"
        print(f"  decided {at} by {decided.author}, {how}{end}: {quoted(decided.value)}{why}")


def decide(
    number: Number,
    value: Annotated[str | None, typer.Option("--value", help="The value, as the database would write it.")] = None,
    null: Annotated[bool, typer.Option("--null", help="NULL.")] = False,
    store: Annotated[str | None, typer.Option("--store", help="The value that this store has.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; shown by `show` and `explain`.")] = "",
    for_good: Annotated[
        bool, typer.Option("--for-good", help="Whatever the stores have later; else until one has another value.")
    ] = False,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="TIME",
            help="Whatever the stores have, until then; 2026-12-31 is the beginning of that day where the stores are.",
        ),
    ] = None,
    config: ConfigPath = DEFAULT_PATH,
) -> None:
    """Decide the central value. The stores' rows stay as they are; `reopen` undoes it."""
    from sinks.reviews import Reviews
    from tillstream.opening import open_warehouse

    if (value is not None) + null + (store is not None) != 1:
        raise typer.BadParameter("say one of --value, --null and --store")
    if for_good and until is not None:
        raise typer.BadParameter("say one of --for-good and --until")
    settings, _ = load_all(config)
    end = None if until is None else _moment(until, settings)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        reviews = Reviews(warehouse)
        if store is not None:
            value = _of_store(reviews.one(number)[0], store)
        review = reviews.decide(number, value, for_good=for_good, until=end, reason=reason, author=person())
    print(
        f"{review.table} {review.key} {review.column} is {quoted(value)}"
        f"{f' until {_shown(end)}' if end else ''}, decided by `run`; "
        f"`tillstream reviews reopen {number}` undoes it"
    )


def reopen(number: Number, config: ConfigPath = DEFAULT_PATH) -> None:
    """Take back what was decided; where the stores still differ, a review is open again."""
    from sinks.reviews import Reviews
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        review = Reviews(warehouse).reopen(number)
    print(f"{review.table} {review.key} {review.column} is undecided again, and computed by `run`")


def _of_store(review: "Review", store: str) -> str | None:
    values = {each["store"]: each["value"] for each in review.candidates}
    if store not in values:
        raise typer.BadParameter(f"store {store} is none of those that differ: {', '.join(sorted(values))}")
    found: str | None = values[store]
    return found


def _moment(text: str, settings: Config) -> datetime:
    """A time that names no zone is the stores'."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"--until {text!r} is no time; write it as 2026-12-31 or 2026-12-31T22:00") from None
    if at.tzinfo:
        return at
    zones = sorted(set(settings.timezones.values())) or ["UTC"]
    if len(zones) > 1:
        raise typer.BadParameter(
            f"the stores have the time zones {', '.join(zones)}; say which --until means, as {text}+08:00 (with a time)"
        )
    return at.replace(tzinfo=ZoneInfo(zones[0]))


def _until(decided: "Decided") -> str:
    return "a store has another value" if decided.until is None else _shown(decided.until)


def _shown(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _line(each: "Review") -> str:
    stores = ", ".join(sorted({candidate["store"] for candidate in each.candidates}))
    end = f", closed {each.closed_at:%Y-%m-%d %H:%M} UTC" if each.closed_at else ""
    return (
        f"{each.id}  {each.table} {each.key} {each.column}: stores {stores} differ, {quoted(each.provisional)} "
        f"meanwhile; since {each.opened_at:%Y-%m-%d %H:%M} UTC{end}"
    )
