"""tillstream anomalies: what looks wrong in rows, by `guards:` in the policies and `business:` in tillstream.yaml."""

import json
from collections.abc import Collection
from dataclasses import asdict, replace
from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from tillstream.business_file import AnomalyKind
from tillstream.checked_yaml import suggestion
from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all

if TYPE_CHECKING:
    from sinks.anomalies import Anomaly, Search
    from sinks.warehouse import Warehouse

FOUND = 1

Kinds = Annotated[list[AnomalyKind] | None, typer.Option("--kind", help="Only this kind; repeatable.")]


def register(app: typer.Typer) -> None:
    app.command("anomalies")(anomalies)


def anomalies(
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="One table; all without.")] = None,
    kind: Kinds = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Of each kind no more than so many.")] = 20,
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
) -> None:
    """One code with two names, many rows under one key, balances that differ from their ledger, values that go to and
    fro between two stores, as far as `guards:` in the policies look for them; stock that is negative or low and prices
    that differ from the agreed ones, by `business:` in tillstream.yaml.

    Looked for in the rows that the stores have now; nothing is held for it. Since when `run` has seen each is told,
    too. Exit code 1 if some were found.
    """
    from sinks.business import searches, stores_of
    from sinks.names import identifier, in_warehouse_names
    from tillstream.opening import open_warehouse
    from tillstream.policies import in_force

    settings, written = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        policy = in_warehouse_names(in_force(warehouse, written))
        looked_for = searches(policy, settings.business, stores_of(settings.stores))
        if table is not None:
            _require_known(table, {*policy.tables, *(each.table for each in looked_for)})
        wanted = [
            each for each in looked_for
            if (table is None or each.table == identifier(table)) and (not kind or each.kind in kind)
        ]  # fmt: skip
        found = _found(warehouse, wanted, limit)
    if output is Output.JSON:
        print(json.dumps({"schema": 1, "anomalies": [_as_json(each) for each in found]}, ensure_ascii=False))
    else:
        for each in found:
            print(_line(each))
        if not found:
            print("nothing looks wrong" if wanted else "nothing is looked for: no `guards:`, no `business:`")
    if found:
        raise typer.Exit(FOUND)


def _found(warehouse: "Warehouse", looked_for: "Collection[Search]", most: int) -> "list[Anomaly]":
    """With since when `run` has seen each."""
    from sinks.evolution import Catalog
    from sinks.found_anomalies import known_since

    with warehouse.transaction() as tx:
        tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        catalog = Catalog()
        catalog.load(tx)
        since = known_since(tx)
        return [
            replace(each, found_at=since.get(each.identity))
            for search in looked_for
            for each in islice(search.find(tx, catalog, most), most)
        ]


def _require_known(table: str, known: Collection[str]) -> None:
    from sinks.names import identifier

    if identifier(table) not in known:
        near = suggestion(table, sorted(known), otherwise="")
        raise typer.BadParameter(f"nothing is looked for in {table}{near}", param_hint="TABLE")


def _line(each: "Anomaly") -> str:
    stores = f"store{'s' * (len(each.stores) > 1)} {', '.join(each.stores)}"
    since = f"; since {each.found_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if each.found_at else ""
    return f"{each.table} {each.key or 'without a key'}, {stores}: {each.told}{since}"


def _as_json(each: "Anomaly") -> dict[str, object]:
    told = {name: value for name, value in asdict(each).items() if name != "of_store"}
    return {**told, "found_at": each.found_at.isoformat() if each.found_at else None}
