"""What looks wrong in rows, as `guards:` in the policies and `business:` in tillstream.yaml have it looked for.

In the rows that the stores have now; nothing is held for it, and nothing is decided by it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from psycopg import sql

from conflict.policy import AuditedBalance, Guards, Policy
from sinks.evolution import Catalog
from sinks.statements import anomalies as statements
from sinks.statements import quoted
from sinks.warehouse import Transaction
from tillstream.business_file import AnomalyKind as Kind
from tillstream.errors import RefusedError

_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")
INEXACT = ("real", "double precision")
TOLERANCE = Decimal("0.005")  # amounts kept as floating point add up to nothing exact

Identity = tuple[str, str, str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    kind: Kind
    table: str
    key: str | None  # the business key, or the goods' code; None: the row has none
    column: str | None
    stores: tuple[str, ...]
    told: str  # in words
    row: str | None = None  # its primary key in the store, where it is about one row
    found_at: datetime | None = None  # when `run` saw it first
    of_store: int | None = None  # of how many that this store has; None: it is found among all stores' rows

    @property
    def identity(self) -> Identity:
        """By which one that is still there is known. Of one between several stores it is no matter which they are."""
        store = self.stores[0] if len(self.stores) == 1 else ""
        return (self.kind, self.table, store, self.key or "", self.row or "", self.column or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One kind, in one table. `find` returns no more than so many (of each store, where it looks at one after the
    other), always the same ones first; RefusedError where something is named that is not there."""

    kind: Kind
    table: str
    find: Callable[[Transaction, Catalog, int], Iterable[Anomaly]]


def guarded(policy: Policy) -> Iterator[Search]:
    """What the guards look for. `policy` speaks in the warehouse's names."""
    for table, each in policy.tables.items():
        if each.guards is not None:
            yield from _of_table(table, each.guards)


def balance_search(table: str, balances: Collection[AuditedBalance], *, guards: bool = True) -> Search:
    def find(tx: Transaction, catalog: Catalog, most: int) -> Iterator[Anomaly]:
        for balance in balances:
            yield from _balances(tx, catalog, table, balance, most, guards)

    return Search(kind=Kind.BALANCE, table=table, find=find)


def require(catalog: Catalog, table: str, columns: Iterable[str], who: str, where: str) -> None:
    """RefusedError with the remedy unless the warehouse has these columns."""
    for column in columns:
        if column not in catalog.columns(table):
            raise RefusedError(
                f"{who} {table}.{column}, which is not in the warehouse; correct {where}, or let a store be read that "
                "has it"
            )


def require_numbers(catalog: Catalog, table: str, columns: Iterable[str], who: str, where: str) -> None:
    """RefusedError with the remedy unless the warehouse has these columns, and they are numbers."""
    for column in columns:
        require(catalog, table, [column], who, where)
        kind = catalog.columns(table)[column]
        if not kind.startswith(_NUMBERS):
            raise RefusedError(f"{who} {table}.{column}, which is {kind} and no number; correct {where}")


def _of_table(table: str, guards: Guards) -> Iterator[Search]:
    if guards.rows_per_key is not None:
        most_rows = guards.rows_per_key
        yield Search(
            kind=Kind.ROWS_PER_KEY, table=table,
            find=lambda tx, catalog, most: _rows_per_key(tx, catalog, table, most_rows, most),
        )  # fmt: skip
    if guards.same:
        yield Search(
            kind=Kind.DIFFERENT, table=table,
            find=lambda tx, catalog, most: _different(tx, catalog, table, guards.same, most),
        )  # fmt: skip
    if guards.flip_flops is not None:
        window = [table, guards.within_seconds, guards.flip_flops]
        yield Search(
            kind=Kind.FLIP_FLOP, table=table, find=lambda tx, catalog, most: _flip_flops(tx, table, window, most)
        )
    if guards.balances:
        yield balance_search(table, guards.balances)


def _rows_per_key(tx: Transaction, catalog: Catalog, table: str, most_rows: int, most: int) -> Iterator[Anomaly]:
    if catalog.columns(table):
        for key, store, rows, of_store, _ in tx.rows(
            statements.ROWS_PER_KEY.format(table=quoted(table)), [most_rows, most]
        ):
            told = f"store {store} has {rows} rows under it"
            yield Anomaly(
                kind=Kind.ROWS_PER_KEY, table=table, key=key, column=None, stores=(store,), told=told,
                of_store=of_store,
            )  # fmt: skip


def _different(tx: Transaction, catalog: Catalog, table: str, columns: Iterable[str], most: int) -> Iterator[Anomaly]:
    for column in columns if catalog.columns(table) else ():
        require(catalog, table, [column], *_guards_of(table))
        statement = statements.DIFFERENT.format(column=quoted(column), table=quoted(table))
        for key, stores, values in tx.rows(statement, [most]):
            yield Anomaly(
                kind=Kind.DIFFERENT, table=table, key=key, column=column, stores=tuple(sorted(stores)),
                told=_differs(column, values),
            )  # fmt: skip


def _flip_flops(tx: Transaction, table: str, window: list[object], most: int) -> Iterator[Anomaly]:
    for key, column, changes, stores in tx.rows(statements.FLIP_FLOPS, [*window, most]):
        yield Anomaly(
            kind=Kind.FLIP_FLOP, table=table, key=key, column=column, stores=tuple(sorted(stores)),
            told=f"{column} went to and fro {changes} times",
        )  # fmt: skip


def _balances(
    tx: Transaction, catalog: Catalog, table: str, balance: AuditedBalance, most: int, guards: bool
) -> Iterator[Anomaly]:
    if guards and not catalog.columns(table):
        return
    who, where = _guards_of(table) if guards else ("`business.points` names", "it in tillstream.yaml")
    require(catalog, balance.table, [balance.row], who, where)
    require_numbers(catalog, table, [balance.column], who, where)
    require_numbers(catalog, balance.table, [balance.change], who, where)
    kinds = {catalog.columns(table)[balance.column], catalog.columns(balance.table)[balance.change]}
    statement = statements.BALANCE.format(
        column=quoted(balance.column), row=quoted(balance.row), change=quoted(balance.change),
        ledger=quoted(balance.table), table=quoted(table),
        tolerance=sql.Literal(TOLERANCE if kinds & set(INEXACT) else 0),
    )  # fmt: skip
    for key, store, pk, has, total, of_store, _ in tx.rows(statement, [most]):
        yield Anomaly(
            kind=Kind.BALANCE, table=table, key=key, column=balance.column, stores=(store,), row=pk,
            told=f"{balance.column} of row {pk} is {has}, its changes in {balance.table} come to {total}",
            of_store=of_store,
        )  # fmt: skip


def _differs(column: str, values: Collection[str]) -> str:
    named = [f'"{each}"' for each in values]
    return f"{column} is {', '.join(named[:-1])} and {named[-1]}"


def _guards_of(table: str) -> tuple[str, str]:
    return f"the guards of {table} name", "`guards:` in the policies file"
