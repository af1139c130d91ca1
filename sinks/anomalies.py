"""What looks wrong in a shared table by its `guards:`, in the rows that the stores have now. Nothing is held for it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from conflict.policy import Guards, Policy
from sinks.evolution import Catalog
from sinks.statements import anomalies as statements
from sinks.statements import quoted
from sinks.warehouse import Transaction, Warehouse
from tillstream.errors import RefusedError


class Kind(StrEnum):
    ROWS_PER_KEY = "rows_per_key"
    DIFFERENT = "different"
    FLIP_FLOP = "flip_flop"
    BALANCE = "balance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    kind: Kind
    table: str
    key: str | None  # None: the row has no business key
    column: str | None
    stores: tuple[str, ...]
    told: str  # in words


def anomalies(warehouse: Warehouse, policy: Policy, table: str | None, most: int) -> list[Anomaly]:
    """Of each kind that is looked for no more than `most`; of one table, or of all. `policy` speaks in the warehouse's
    names. RefusedError where it names a column or a table that is not there."""
    with warehouse.transaction() as tx:
        tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        catalog = Catalog()
        catalog.load(tx)
        return [
            found
            for name, each in policy.tables.items()
            if each.guards is not None and table in (None, name) and catalog.columns(name)
            for found in _of_table(tx, catalog, name, each.guards, most)
        ]


def _of_table(tx: Transaction, catalog: Catalog, table: str, guards: Guards, most: int) -> Iterator[Anomaly]:
    place = {"table": quoted(table)}
    if guards.rows_per_key is not None:
        for key, store, rows in tx.rows(statements.ROWS_PER_KEY.format(**place), [guards.rows_per_key, most]):
            yield _anomaly(Kind.ROWS_PER_KEY, table, key, None, [store], f"store {store} has {rows} rows under it")
    for column in guards.same:
        _require(catalog, table, [column], table)
        for key, stores, values in tx.rows(statements.DIFFERENT.format(column=quoted(column), **place), [most]):
            yield _anomaly(Kind.DIFFERENT, table, key, column, stores, _differs(column, values))
    if guards.flip_flops is not None:
        window = [table, guards.within_seconds, guards.flip_flops, most]
        for key, column, changes, stores in tx.rows(statements.FLIP_FLOPS, window):
            told = f"{column} went to and fro {changes} times"
            yield _anomaly(Kind.FLIP_FLOP, table, key, column, stores, told)
    for balance in guards.balances:
        _require(catalog, table, [balance.column], table)
        _require(catalog, balance.table, [balance.row, balance.change], table)
        statement = statements.BALANCE.format(
            column=quoted(balance.column), row=quoted(balance.row), change=quoted(balance.change),
            ledger=quoted(balance.table), **place,
        )  # fmt: skip
        for key, store, pk, has, total in tx.rows(statement, [most]):
            told = f"{balance.column} of row {pk} is {has}, its changes in {balance.table} come to {total}"
            yield _anomaly(Kind.BALANCE, table, key, balance.column, [store], told)


def _differs(column: str, values: Collection[str]) -> str:
    named = [f'"{each}"' for each in values]
    return f"{column} is {', '.join(named[:-1])} and {named[-1]}"


def _anomaly(
    kind: Kind, table: str, key: str | None, column: str | None, stores: Collection[str], told: str
) -> Anomaly:
    return Anomaly(kind=kind, table=table, key=key, column=column, stores=tuple(sorted(stores)), told=told)


def _require(catalog: Catalog, table: str, columns: Collection[str], guarded: str) -> None:
    for column in columns:
        if column not in catalog.columns(table):
            raise RefusedError(
                f"the guards of {guarded} name {table}.{column}, which is not in the warehouse; correct `guards:` in "
                "the policies file, or let a store be read that has it"
            )
