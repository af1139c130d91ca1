"""tillstream anomalies: what looks wrong in shared tables by their `guards:`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.commands.shared_key import require_shared

if TYPE_CHECKING:
    from sinks.anomalies import Anomaly

FOUND = 1


def register(app: typer.Typer) -> None:
    app.command("anomalies")(anomalies)


def anomalies(
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="One shared table; all without.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Of each kind no more than so many.")] = 20,
    config: ConfigPath = DEFAULT_PATH,
    output: OutputOption = Output.TEXT,
) -> None:
    """One code with two names, many rows under one key, balances that differ from their ledger, values that go to and
    fro between two stores: as far as `guards:` in the policies look for them.

    Looked for in the rows that the stores have now; nothing is held for it. Exit code 1 if some were found.
    """
    from sinks.anomalies import anomalies as look
    from sinks.names import identifier, in_warehouse_names
    from tillstream.opening import open_warehouse
    from tillstream.policies import in_force

    settings, written = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        policy = in_force(warehouse, written)
        if table is not None:
            require_shared(policy, table)
        found = look(warehouse, in_warehouse_names(policy), None if table is None else identifier(table), limit)
    if output is Output.JSON:
        print(json.dumps({"schema": 1, "anomalies": [asdict(each) for each in found]}, ensure_ascii=False))
    else:
        for each in found:
            print(_line(each))
        if not found:
            guarded = any(each.guards for each in policy.tables.values())
            print("nothing looks wrong" if guarded else "nothing is looked for: no table has `guards:`")
    if found:
        raise typer.Exit(FOUND)


def _line(each: "Anomaly") -> str:
    stores = f"store{'s' * (len(each.stores) > 1)} {', '.join(each.stores)}"
    return f"{each.table} {each.key or 'without a key'}, {stores}: {each.told}"
