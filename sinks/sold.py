"""How fast each store sells its goods: tillstream.sold, made anew store by store."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import sql

from sinks.business import Stores, require_columns
from sinks.evolution import Catalog
from sinks.names import identifier
from sinks.statements import business as statements
from sinks.statements import quoted, render
from sinks.warehouse import Transaction, mapped_errors
from tillstream import metrics
from tillstream.business_file import SaleLinesEntry, SalesEntry
from tillstream.errors import RefusedError, TillstreamError

log = logging.getLogger(__name__)

TURN_SECONDS = 5.0  # of each look; a store of which all sales ever are here may take a second


class Sold:
    """Each time for as many stores as there is time, those first whose turn was longest ago: what is sold in weeks does
    not change in minutes."""

    def __init__(self, lines: SaleLinesEntry, sales: SalesEntry | None, stores: Stores) -> None:
        self._lines, self._sales, self._stores = lines, sales, stores
        self._turn: dict[str, float] = {}  # store → time.monotonic()

    def keep(self, tx: Transaction, catalog: Catalog) -> None:
        """RefusedError where something is named that is not there."""
        if not catalog.columns(identifier(self._lines.table)):
            return
        statement = render(_statement(catalog, self._lines, self._sales))
        began = time.monotonic()
        for store in sorted(self._stores.timezones, key=lambda store: (self._turn.get(store, float("-inf")), store)):
            self._turn[store] = time.monotonic()
            with _alone(tx, store):
                tx.execute(statements.FORGET_SOLD, [store])
                tx.execute(statement, {"store": store, "zone": self._stores.timezones[store]})
            if time.monotonic() - began > TURN_SECONDS:
                break


@contextmanager
def _alone(tx: Transaction, store: str) -> Iterator[None]:
    """A store that cannot be worked out keeps what was known of it, and holds up no other."""
    try:
        with mapped_errors(), tx.connection.transaction():
            yield
    except TillstreamError as error:
        log.warning("looking at what store %s sells: %s", store, error)
        metrics.LOOK_FAILURES.labels("sold").inc()


def _statement(catalog: Catalog, lines: SaleLinesEntry, sales: SalesEntry | None) -> sql.Composed:
    """By when a line says that it was sold, or its sale; else by when it was seen to come."""
    table, sku, quantity = (identifier(name) for name in (lines.table, lines.sku, lines.quantity))
    require_columns(catalog, table, "sale_lines", [sku], [quantity])
    parts: dict[str, Any] = {"sales": sql.SQL(""), "seen": sql.SQL("true")}
    if lines.sale is not None and sales is not None:
        require_columns(catalog, table, "sale_lines", [identifier(lines.sale)])
        header = identifier(sales.table)
        parts["sales"] = statements.BY_SALE.format(table=quoted(header), sale=quoted(identifier(lines.sale)))
        parts["at"] = _instant(catalog, header, "sales", sql.SQL("s"), identifier(sales.at))
    elif lines.at is not None:
        parts["at"] = _instant(catalog, table, "sale_lines", sql.SQL("l"), identifier(lines.at))
    else:
        parts |= {"seen": statements.SEEN_TO_COME, "at": sql.SQL("l._event_at")}
    return statements.SOLD.format(sku=quoted(sku), quantity=quoted(quantity), table=quoted(table), **parts)


def _instant(catalog: Catalog, table: str, section: str, of: sql.SQL, column: str) -> sql.Composable:
    require_columns(catalog, table, section, [column])
    kind = catalog.columns(table)[column]
    if kind not in ("date", "timestamp", "timestamptz"):
        raise RefusedError(
            f"`business.{section}` names {table}.{column}, which is {kind} and no time; correct it in tillstream.yaml"
        )
    form = statements.WITH_ZONE if kind == "timestamptz" else statements.WITHOUT_ZONE
    return form.format(of=of, at=quoted(column))
