"""What `run` looks for in rows, regularly: anomalies, and the figures of `business:`.

Each look reads whole tables, so it is taken as seldom as it takes long. A search that fails is told and counted, and
stops no other.
"""

import logging
import time
from collections.abc import Callable
from functools import partial

from psycopg import sql

from conflict.policy import EMPTY_POLICY, Policy
from sinks.anomalies import Search
from sinks.business import Goods, Prices, Stores, require_columns, searches
from sinks.evolution import Catalog
from sinks.found_anomalies import Counted, counts, keep_only, record
from sinks.names import identifier, in_warehouse_names
from sinks.policy_versions import policy_in_force
from sinks.sold import Sold
from sinks.statements import business as statements
from sinks.statements import quoted, render
from sinks.warehouse import Transaction, mapped_errors
from sinks.watching.watch import Look
from tillstream import metrics
from tillstream.business_file import Business, PointsEntry, PriceEntry, StockEntry
from tillstream.errors import TillstreamError

log = logging.getLogger(__name__)

MOST_SAMPLES = 500  # of a kind in a table, of each store
SHARE = 0.02  # of the time that one look may take

_READ = "SELECT EXISTS (SELECT FROM tillstream.ledger WHERE snapshot_done)"

Tell = Callable[[Transaction, Catalog, Policy], None]


def business_looks(business: Business, stores: Stores, written: Policy = EMPTY_POLICY) -> list[Look]:
    """`written` are the policies of the file; those in force are looked up each time."""

    def look(name: str, tell: Tell) -> Look:
        return Look(name=name, every_seconds=business.every, tell=_Paced(tell, written))

    looks = []
    if (lines := business.sale_lines) is not None:
        sold = Sold(lines, business.sales, stores)
        looks.append(look("sold", lambda tx, catalog, _: sold.keep(tx, catalog)))
    if (stock := business.stock) is not None:
        looks.append(look("stock", lambda tx, catalog, _: _tell_stock(tx, catalog, stock)))
    if (price := business.price) is not None:
        looks.append(look("prices", lambda tx, catalog, policy: _tell_prices(tx, catalog, policy, price)))
    if (points := business.points) is not None:
        looks.append(look("points", lambda tx, catalog, _: _tell_points(tx, catalog, points)))
    return [*looks, look("anomalies", partial(_tell_anomalies, business, stores))]


class _Paced:
    """Nothing before a store has been read; then whenever it is due, but in no more than its share of the time."""

    def __init__(self, tell: Tell, written: Policy) -> None:
        self._tell, self._written = tell, written
        self._free_at = 0.0  # time.monotonic()

    def __call__(self, tx: Transaction) -> None:
        began = time.monotonic()
        if began < self._free_at or not tx.value(_READ):
            return
        try:
            catalog = Catalog()
            catalog.load(tx)
            self._tell(tx, catalog, in_warehouse_names(policy_in_force(tx, self._written)))
        finally:
            ended = time.monotonic()
            self._free_at = ended + (ended - began) * (1 / SHARE - 1)


def _tell_anomalies(business: Business, stores: Stores, tx: Transaction, catalog: Catalog, policy: Policy) -> None:
    looked_for = searches(policy, business, stores)
    keep_only(tx, {(each.kind.value, each.table) for each in looked_for})
    in_all: dict[tuple[str, str, str], int] = {}
    for search in looked_for:
        if catalog.columns(search.table):
            in_all.update(_search(tx, catalog, search))
    metrics.ANOMALIES.replace(counts(tx, in_all))


def _search(tx: Transaction, catalog: Catalog, search: Search) -> Counted:
    try:
        with mapped_errors(), tx.connection.transaction():  # a savepoint: what fails leaves the others' work alone
            found = list(search.find(tx, catalog, MOST_SAMPLES))
            return record(tx, search, found, MOST_SAMPLES)
    except TillstreamError as error:
        log.warning("looking for %s in %s: %s", search.kind.value, search.table, error)
        metrics.LOOK_FAILURES.labels("anomalies").inc()
        return {}


def _tell_stock(tx: Transaction, catalog: Catalog, stock: StockEntry) -> None:
    if not catalog.columns(identifier(stock.table)):
        return
    rows = Goods(catalog, stock).rows(tx, statements.STOCK)
    stands = ("negative", "low", "enough")
    metrics.STOCK_ROWS.replace({(row[0], stand): row[at] for row in rows for at, stand in enumerate(stands, start=1)})
    metrics.STOCK_COVER_DAYS.replace({(row[0],): row[4] for row in rows if row[4] is not None})


def _tell_prices(tx: Transaction, catalog: Catalog, policy: Policy, price: PriceEntry) -> None:
    if catalog.columns(identifier(price.table)):
        differing = Prices(catalog, policy, price).counts(tx)
        metrics.PRICE_DIFFERENCES.replace({(store,): count for store, count in differing.items()})


def _tell_points(tx: Transaction, catalog: Catalog, points: PointsEntry) -> None:
    table, balance = identifier(points.table), identifier(points.balance)
    if not catalog.columns(table):
        return
    require_columns(catalog, table, "points", [], [balance])
    names = {"table": quoted(table), "balance": quoted(balance)}
    is_agreed = balance in catalog.central_columns(table)
    # a row without a business key is no one's of whom anything was agreed
    counted = sql.SQL("t._key IS NOT NULL" if is_agreed else "true")
    sides: dict[tuple[str, ...], float] = {
        ("stores",): tx.value(render(statements.STORES_POINTS.format(counted=counted, **names)), {})
    }
    if is_agreed:
        sides["agreed",] = tx.value(render(statements.AGREED_POINTS.format(**names)), {})
    metrics.POINTS.replace(sides)
