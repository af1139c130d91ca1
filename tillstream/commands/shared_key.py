"""A shared table and a business key of it, as a person has them on the command line."""

from typing import Annotated

import typer

from conflict.policy import Policy
from tillstream.checked_yaml import suggestion
from tillstream.errors import RefusedError

TableName = Annotated[str, typer.Argument(help="A shared table.")]


def require_shared(policy: Policy, table: str) -> None:
    """`policy` speaks in the warehouse's names, `table` is as a person has it."""
    from sinks.names import identifier

    if identifier(table) not in policy.tables:
        near = suggestion(table, policy.tables, otherwise="")
        raise typer.BadParameter(f"{table} is not a shared table of the policies{near}", param_hint="TABLE")


def normalised_key(policy: Policy, table: str, given: str) -> str:
    """RefusedError where no row with it has a central row."""
    from sinks.explaining import key_of
    from sinks.names import identifier

    normalised = key_of(policy.tables[identifier(table)], given)
    if normalised is None:
        raise RefusedError(f'"{given}" identifies nothing by the key of {table}: rows with it have no central row')
    return normalised
