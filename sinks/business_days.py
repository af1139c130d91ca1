"""The sales of one business day in each store: what the warehouse has, whether that is all, and what the store says."""

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from time import sleep
from typing import TYPE_CHECKING, Any

from psycopg import sql

from sinks.anomalies import INEXACT, TOLERANCE
from sinks.business import require_columns
from sinks.evolution import Catalog
from sinks.names import identifier
from sinks.resync.table_reader import backticked
from sinks.statements import business as statements
from sinks.statements import quoted, render
from sinks.store_session import StoreSource
from sinks.warehouse import Transaction, Warehouse
from tillstream.business_file import SalesEntry
from tillstream.config import Config
from tillstream.errors import RefusedError, TillstreamError

if TYPE_CHECKING:
    import pymysql

STORES_AT_ONCE = 8
ASK_SECONDS = 30  # an old till's MySQL may have to read all its sales for it
LOOK_AGAIN_SECONDS = 2.0  # a change of just now is in the store before it is here

_TYPE = """\
SELECT data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = %s AND column_name = %s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessDay:
    """From the moment at which the day before ended, by the store's own clock."""

    date: dt.date
    ends_at: dt.time  # of the next date
    timezone: str

    @property
    def begins(self) -> dt.datetime:
        return dt.datetime.combine(self.date, self.ends_at, zoneinfo.ZoneInfo(self.timezone))

    @property
    def ends(self) -> dt.datetime:
        next_date = self.date + dt.timedelta(days=1)
        return dt.datetime.combine(next_date, self.ends_at, zoneinfo.ZoneInfo(self.timezone))

    def bounds(self, kind: str) -> tuple[Any, Any]:
        """From the one on, and before the other; `kind` is the type of the column that they are compared with."""
        match kind:
            case "date":
                return self.date, self.date + dt.timedelta(days=1)
            case "timestamptz":
                return self.begins, self.ends
            case "timestamp":  # MySQL's, in a session whose zone is UTC; pymysql drops a zone without a word
                return _in_utc(self.begins), _in_utc(self.ends)
        return self.begins.replace(tzinfo=None), self.ends.replace(tzinfo=None)


def _in_utc(bound: dt.datetime) -> dt.datetime:
    return bound.astimezone(dt.UTC).replace(tzinfo=None)


def last_ended(now: dt.datetime, ends_at: dt.time, timezone: str) -> dt.date:
    """The last business day that is over."""
    local = now.astimezone(zoneinfo.ZoneInfo(timezone)).replace(tzinfo=None)
    return (local - dt.timedelta(hours=ends_at.hour, minutes=ends_at.minute)).date() - dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    sales: int = 0
    amount: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreDay:
    """One store on one day. `asked` is what the store itself says; None where it could not be asked, and why."""

    store: str
    name: str
    day: BusinessDay
    complete_at: dt.datetime | None
    missing: str  # why the warehouse may not have all of the day; empty: it has
    here: Total
    asked: Total | None
    not_asked: str
    is_exact: bool

    @property
    def differs(self) -> bool:
        if self.asked is None:
            return False
        by = abs(self.asked.amount - self.here.amount)
        return self.asked.sales != self.here.sales or by > (Decimal(0) if self.is_exact else TOLERANCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedStore:
    """A store, how it is asked, and when its day ends."""

    source: StoreSource
    name: str
    database: str
    day: BusinessDay


def keep_days(warehouse: Warehouse, config: Config) -> None:
    """What tillstream.days is made of."""
    sales = config.business.sales
    names = [identifier(name) for name in (sales.table, sales.at, sales.amount)] if sales else [None] * 3
    with warehouse.transaction() as tx:
        tx.execute(statements.FORGET_BUSINESS)
        for store in config.stores[:1]:  # all have one time zone
            tx.execute(statements.KEEP_BUSINESS, [*names, store.day_ends_at, store.timezone])


def close_day(
    warehouse: Warehouse,
    sales: SalesEntry,
    stores: Sequence[AskedStore],
    *,
    again_seconds: float = LOOK_AGAIN_SECONDS,
) -> list[StoreDay]:
    """Of every store that is not retired, in this order. What differs is looked at a second time."""
    with warehouse.transaction() as tx:
        retired = {store for (store,) in tx.rows(statements.RETIRED)}
    stores = [store for store in stores if store.source.id not in retired]
    found = _look(warehouse, sales, stores)
    if differing := [store for store in stores if store.source.id in {each.store for each in found if each.differs}]:
        sleep(again_seconds)
        again = {each.store: each for each in _look(warehouse, sales, differing)}
        found = [again.get(each.store, each) for each in found]
    return found


def _look(warehouse: Warehouse, sales: SalesEntry, stores: Sequence[AskedStore]) -> list[StoreDay]:
    with ThreadPoolExecutor(STORES_AT_ONCE, thread_name_prefix="day-close") as pool:
        answers = dict(pool.map(lambda store: (store.source.id, _ask(store, sales)), stores))
    with warehouse.transaction() as tx:
        known = _known(tx, sales, stores)
    return [
        replace(known[store.source.id], asked=total, not_asked=why)
        for store in stores
        for total, why in [answers[store.source.id]]
    ]


# --- the warehouse's side ---------------------------------------------------------------------------------


def _known(tx: Transaction, sales: SalesEntry, stores: Sequence[AskedStore]) -> dict[str, StoreDay]:
    tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    catalog = Catalog()
    catalog.load(tx)
    table, at, amount = identifier(sales.table), identifier(sales.at), identifier(sales.amount)
    require_columns(catalog, table, "sales", [at], [amount])
    kind = catalog.columns(table)[at]
    is_exact = catalog.columns(table)[amount] not in INEXACT
    statement = statements.SALES_OF_DAY.format(
        table=quoted(table), at=quoted(at), amount=quoted(amount), kind=sql.SQL("numeric" if is_exact else "float8")
    )
    marks = {store: rest for store, *rest in tx.rows(statements.WATERMARKS)}
    totals: dict[BusinessDay, dict[str, Total]] = {}
    for day in {store.day for store in stores}:
        begins, ends = day.bounds(kind if kind in ("date", "timestamptz") else "datetime")
        rows = tx.rows(render(statement), {"begins": begins, "ends": ends})
        totals[day] = {store: Total(sales=count, amount=total) for store, count, total in rows}
    found = {}
    for store in stores:
        name, complete_at, set_aside, anew, by_its_clock = marks.get(store.source.id, (store.name, None, 0, 0, None))
        found[store.source.id] = StoreDay(
            store=store.source.id, name=name or store.name, day=store.day, complete_at=complete_at,
            missing=_missing(store.day, by_its_clock, set_aside, anew),
            here=totals[store.day].get(store.source.id, Total()), asked=None, not_asked="",
            is_exact=is_exact,
        )  # fmt: skip
    return found


def _missing(day: BusinessDay, complete_at: dt.datetime | None, set_aside: int, reading_anew: int) -> str:
    """`complete_at` is by the store's own clock, as its sales are: by one that is slow the day is over later."""
    why = []
    if complete_at is None:
        why.append("the warehouse never had all of it")
    elif complete_at < day.ends:
        local = complete_at.astimezone(day.ends.tzinfo)
        why.append(f"the warehouse has all of it up to {local:%Y-%m-%d %H:%M} only")
    if set_aside:
        why.append(f"{set_aside} of its events {'is' if set_aside == 1 else 'are'} set aside")
    if reading_anew:
        why.append(f"{reading_anew} of its tables {'is' if reading_anew == 1 else 'are'} yet to be read anew")
    return ", ".join(why)


# --- the store's side -------------------------------------------------------------------------------------


def _ask(store: AskedStore, sales: SalesEntry) -> tuple[Total | None, str]:
    """What the store says, or why it says nothing."""
    try:
        with store.source.connect() as connection, connection.cursor() as cursor:
            for statement in ("SET time_zone = '+00:00'", "SET SESSION TRANSACTION READ ONLY"):
                cursor.execute(statement)
            return _asked(cursor, store, sales), ""
    except TillstreamError as error:
        return None, str(error)


def _asked(cursor: "pymysql.cursors.Cursor", store: AskedStore, sales: SalesEntry) -> Total:
    cursor.execute(_TYPE, (store.database, sales.table, sales.at))
    found = cursor.fetchone()
    if found is None:
        raise RefusedError(f"store {store.source.id} has no {sales.table}.{sales.at}")
    at, amount, table = (backticked(name).replace("%", "%%") for name in (sales.at, sales.amount, sales.table))
    # servers that do not know the hint take it for a comment; then the line's own timeout ends it for us
    cursor.execute(
        f"SELECT /*+ MAX_EXECUTION_TIME({ASK_SECONDS * 1000}) */ COUNT(*), COALESCE(SUM({amount}), 0) FROM {table} "
        f"WHERE {at} >= %s AND {at} < %s",
        store.day.bounds(str(found[0]).lower()),
    )
    row = cursor.fetchone()
    assert row is not None, "an aggregate without GROUP BY is one row"
    return Total(sales=row[0], amount=Decimal(str(row[1])))
