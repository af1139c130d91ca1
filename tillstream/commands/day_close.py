"""tillstream day-close: the sales of a business day, in the warehouse and in the stores."""

import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, counted, load_all
from tillstream.errors import RefusedError

if TYPE_CHECKING:
    from sinks.business_days import StoreDay, Total

DIFFERENT, UNREACHABLE = 1, 3


def register(app: typer.Typer) -> None:
    app.command("day-close")(day_close)


def day_close(
    date: Annotated[
        str | None, typer.Argument(metavar="DATE", help="Such as 2026-11-29; without it the last day that is over.")
    ] = None,
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
) -> None:
    """For a business day, of each store: whether the warehouse has all of it, how many sales and how much, and whether
    the store itself says the same.

    By `business: {sales: ...}` and `defaults: {day_ends_at: ...}`. A store is asked by one SELECT. Exit code 1 if one
    is incomplete or differs, 3 if none could be asked, or some could not and else nothing is wrong.
    """
    from sinks.business_days import close_day
    from tillstream.closing import asked_stores
    from tillstream.opening import open_warehouse

    day = _date(date)
    settings, _ = load_all(config)
    if settings.business.sales is None:
        raise RefusedError(
            f"{settings.file} does not say where sales are: "
            "write `business: {sales: {table: sales, at: sold_at, amount: total}}`"
        )
    asked = asked_stores(settings, day, dt.datetime.now(dt.UTC))
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        found = close_day(warehouse, settings.business.sales, asked)
    if output is Output.JSON:
        print(json.dumps({"schema": 1, "stores": [_as_json(each) for each in found]}, ensure_ascii=False))
    else:
        for each in found:
            print(f"{each.day.date} {each.store} {each.name}: {in_words(each)}")
        if not found:
            print("there is no store whose day could be closed: all are retired")
    if code := exit_code(found):
        raise typer.Exit(code)


def exit_code(found: "list[StoreDay]") -> int:
    if found and all(each.asked is None for each in found):
        return UNREACHABLE
    if any(each.missing or each.differs for each in found):
        return DIFFERENT
    return UNREACHABLE if any(each.asked is None for each in found) else 0


def in_words(day: "StoreDay") -> str:
    complete = f"incomplete, {day.missing}" if day.missing else "complete"
    return f"{complete}; {_total(day.here)}; {_compared(day)}"


def _total(total: "Total") -> str:
    return f"{counted(total.sales, 'sale')}, {total.amount:,f}"


def _compared(day: "StoreDay") -> str:
    if day.asked is None:
        return f"not asked: {day.not_asked}"
    if not day.differs:
        return "the store says the same"
    sales, amount = day.asked.sales - day.here.sales, day.asked.amount - day.here.amount
    more = f"{sales:+} sale{'s' * (abs(sales) != 1)}, {amount:+,f}"
    return f"the store says {_total(day.asked)}: {more}"


def _date(given: str | None) -> dt.date | None:
    try:
        date = dt.date.fromisoformat(given) if given is not None else None
    except ValueError:
        raise typer.BadParameter(f'"{given}" is not a date such as 2026-11-29', param_hint="DATE") from None
    if date is not None and not 1000 <= date.year < 9999:  # MySQL's, and a day ends on the next
        raise typer.BadParameter(f'"{given}" is out of range: 1000-01-01 to 9998-12-31', param_hint="DATE")
    return date


def _as_json(day: "StoreDay") -> dict[str, Any]:
    asked = day.asked
    return {
        "id": day.store,
        "name": day.name,
        "day": day.day.date.isoformat(),
        "ends_at": day.day.ends.isoformat(),
        "complete": not day.missing,
        "missing": day.missing,
        "complete_at": day.complete_at.isoformat() if day.complete_at else None,
        "sales": day.here.sales,
        "amount": str(day.here.amount),
        "store_sales": asked.sales if asked else None,
        "store_amount": str(asked.amount) if asked else None,
        "differs": day.differs if asked else None,
        "not_asked": day.not_asked,
        "told": in_words(day),
    }
