"""What is looked for in rows by `business:`: stock that is negative or low, prices that are no others' prices."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from psycopg import sql

from conflict.policy import AuditedBalance, Policy
from conflict.ranking import metres
from sinks.anomalies import Anomaly, Search, balance_search, guarded, require, require_numbers
from sinks.evolution import Catalog
from sinks.names import identifier
from sinks.statements import business as statements
from sinks.statements import quoted, render
from sinks.warehouse import Transaction
from tillstream.business_file import AnomalyKind as Kind
from tillstream.business_file import Business, PriceEntry, StockEntry
from tillstream.config import Store
from tillstream.errors import RefusedError

Placed = Mapping[str, tuple[float, float]]  # store → latitude, longitude


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What tillstream.yaml says of them; stores that are added later are added here."""

    locations: dict[str, tuple[float, float]] = field(default_factory=dict)
    timezones: dict[str, str] = field(default_factory=dict)

    def know(self, stores: Sequence[Store]) -> None:
        self.timezones.update({store.id: store.timezone for store in stores})
        self.locations.update({store.id: store.location for store in stores if store.location is not None})


def stores_of(stores: Sequence[Store]) -> Stores:
    known = Stores()
    known.know(stores)
    return known


def searches(policy: Policy, business: Business, stores: Stores) -> list[Search]:
    """All that anybody has anomalies looked for by. `policy` speaks in the warehouse's names."""
    found = [*guarded(policy), *_of_business(policy, business, stores)]
    return [each for each in found if each.kind not in business.ignore]


def _of_business(policy: Policy, business: Business, stores: Stores) -> Iterator[Search]:
    if (stock := business.stock) is not None:
        table = identifier(stock.table)
        yield Search(
            kind=Kind.STOCK_NEGATIVE, table=table,
            find=lambda tx, catalog, most: _negative(tx, Goods(catalog, stock), most),
        )  # fmt: skip
        if stock.low is not None:
            yield Search(
                kind=Kind.STOCK_LOW, table=table,
                find=lambda tx, catalog, most: _low(tx, Goods(catalog, stock), stores, most),
            )  # fmt: skip
    if (price := business.price) is not None:
        yield Search(
            kind=Kind.PRICE_DIFFERS, table=identifier(price.table),
            find=lambda tx, catalog, most: Prices(catalog, policy, price).differing(tx, most),
        )  # fmt: skip
    points = business.points
    if points is not None and points.ledger is not None:
        ledger = points.ledger
        balance = AuditedBalance(
            column=identifier(points.balance), table=identifier(ledger.table), row=identifier(ledger.row),
            change=identifier(ledger.change),
        )  # fmt: skip
        shared = policy.tables.get(identifier(points.table))
        if shared is None or shared.guards is None or not shared.guards.balances:  # else the guards look for it
            yield balance_search(identifier(points.table), [balance], guards=False)


# --- stock ------------------------------------------------------------------------------------------------


class Goods:
    """The statements about what is in stock."""

    def __init__(self, catalog: Catalog, stock: StockEntry) -> None:
        self.table = identifier(stock.table)
        self.column = identifier(stock.quantity)
        self._sku = identifier(stock.sku)
        low = stock.low
        numbers = [self.column, *([identifier(low)] if isinstance(low, str) else [])]
        require_columns(catalog, self.table, "stock", [self._sku], numbers)
        self._low = sql.SQL("t.{}").format(quoted(identifier(low))) if isinstance(low, str) else sql.SQL("%(low)s")
        self._values = {"low": None if isinstance(low, str) else low}

    def rows(self, tx: Transaction, statement: sql.SQL, **values: Any) -> list[tuple[Any, ...]]:
        sku = sql.SQL("t.{}").format(quoted(self._sku))
        among = sql.SQL("trim({}::text) = ANY(%(skus)s)").format(sku) if "skus" in values else sql.SQL("true")
        text = statement.format(
            table=quoted(self.table), sku=sku, quantity=sql.SQL("t.{}").format(quoted(self.column)), low=self._low,
            among=among,
        )  # fmt: skip
        return tx.rows(render(text), {**self._values, **values})


def _negative(tx: Transaction, goods: Goods, most: int) -> Iterator[Anomaly]:
    for store, sku, least, quantity, rows, of_store, _ in goods.rows(tx, statements.NEGATIVE, most=most):
        place = f"in one of its {rows} places, {quantity} in all" if rows > 1 else "in stock"
        yield Anomaly(
            kind=Kind.STOCK_NEGATIVE, table=goods.table, key=sku, column=goods.column, stores=(store,),
            told=f"{least} {place}", of_store=of_store,
        )  # fmt: skip


def _low(tx: Transaction, goods: Goods, stores: Stores, most: int) -> Iterator[Anomaly]:
    low = goods.rows(tx, statements.LOW, most=most)
    elsewhere: dict[str, dict[str, Decimal]] = {}
    if low:
        for sku, store, quantity in goods.rows(tx, statements.ELSEWHERE, skus=sorted({sku for _, sku, *_ in low})):
            elsewhere.setdefault(sku, {})[store] = quantity
    for store, sku, quantity, least, per_day, of_store, _ in low:
        told = [f"{quantity:f} in stock, less than {least:f}", _lasts(quantity, per_day)]
        told.append(_nearest(store, quantity, elsewhere.get(sku, {}), stores.locations))
        yield Anomaly(
            kind=Kind.STOCK_LOW, table=goods.table, key=sku, column=goods.column, stores=(store,),
            told="; ".join(filter(None, told)), of_store=of_store,
        )  # fmt: skip


def _lasts(quantity: Decimal, per_day: Decimal | None) -> str:
    if per_day is None or not quantity:
        return ""
    days = quantity / per_day
    lasts = "less than a day" if days < 1 else f"{days:.0f} day{'s' * (round(days) != 1)}"
    rate = f"{float(per_day):.2g}" if per_day < 10 else f"{per_day:.0f}"
    return f"at {rate} a day it lasts {lasts}"


def _nearest(store: str, quantity: Decimal, others: Mapping[str, Decimal], placed: Placed) -> str:
    """Which of those that have enough, and more than this one, is the nearest; else which has most."""
    more = {other: has for other, has in others.items() if has > quantity and other != store}
    if not more:
        return "no other store has enough"
    here = placed.get(store)
    away = {other: metres(here, placed[other]) for other in more if here is not None and other in placed}
    if away:
        nearest = min(away, key=lambda other: (away[other], other))
        return f"store {nearest}, {away[nearest] / 1000:.1f} km away, has {more[nearest]:f}"
    most = min(more, key=lambda other: (-more[other], other))
    return f"store {most} has {more[most]:f}"


# --- prices -----------------------------------------------------------------------------------------------


class Prices:
    """The statements about prices. RefusedError where there is nothing to compare them with."""

    def __init__(self, catalog: Catalog, policy: Policy, price: PriceEntry) -> None:
        self._table, self._price, self._sku = identifier(price.table), identifier(price.price), identifier(price.sku)
        require_columns(catalog, self._table, "price", [self._sku], [self._price])
        self._headquarters = price.headquarters
        self._values = {"headquarters": price.headquarters, "tolerance": price.tolerance}
        shared = policy.tables.get(self._table)
        if price.headquarters is None and (shared is None or self._price not in catalog.central_columns(self._table)):
            why = "is not shared" if shared is None else f"has no agreed {self._price}"
            raise RefusedError(
                f"`business.price`: {self._table} {why} by the policies, so no price can differ from the agreed one; "
                "name the store that sets prices, `headquarters: STORE`, in tillstream.yaml"
            )

    def counts(self, tx: Transaction) -> dict[str, int]:
        """Store → how many differ; all stores that have prices to compare."""
        return dict(self._rows(tx, statements.PRICE_COUNTS))

    def differing(self, tx: Transaction, most: int) -> Iterator[Anomaly]:
        for store, sku, pk, has, agreed, whose, of_store, _ in self._rows(tx, statements.PRICES, most=most):
            noun = "is" if self._headquarters else "agreed is"
            setter = f" in store {whose}" if self._headquarters else f" of store {whose}" if whose else ""
            yield Anomaly(
                kind=Kind.PRICE_DIFFERS, table=self._table, key=sku, column=self._price, stores=(store,), row=pk,
                told=f"{self._price} is {has}, {noun} {agreed}{setter}", of_store=of_store,
            )  # fmt: skip

    def _rows(self, tx: Transaction, statement: sql.SQL, **values: Any) -> list[tuple[Any, ...]]:
        names = {"table": quoted(self._table), "price": quoted(self._price), "sku": quoted(self._sku)}
        if self._headquarters:
            agreed, whose = statements.AT_HEADQUARTERS.format(**names), statements.HEADQUARTERS.format()
        else:
            name = sql.SQL(render(sql.Literal(self._price)).replace("%", "%%"))
            agreed, whose = statements.AGREED.format(**names), statements.WINNER.format(name=name)
        text = statement.format(agreed=agreed, whose=whose, **names)
        return tx.rows(render(text), {**self._values, **values})


def require_columns(
    catalog: Catalog, table: str, section: str, columns: Sequence[str], numbers: Iterable[str] = ()
) -> None:
    """RefusedError unless they are there, and `numbers` are such."""
    who, where = f"`business.{section}` names", "it in tillstream.yaml"
    require(catalog, table, columns, who, where)
    require_numbers(catalog, table, numbers, who, where)
