"""How fast each store sells its goods: tillstream.sold, made anew by each look."""

from psycopg import sql

from sinks.business import Stores, require_columns, zones
from sinks.evolution import Catalog
from sinks.names import identifier
from sinks.statements import business as statements
from sinks.statements import quoted, render
from sinks.warehouse import Transaction
from tillstream.business_file import SaleLinesEntry, SalesEntry


def keep_sold(
    tx: Transaction, catalog: Catalog, lines: SaleLinesEntry, sales: SalesEntry | None, stores: Stores
) -> None:
    """By when a line says that it was sold, or its sale; else by when it was seen to come."""
    table = identifier(lines.table)
    if not catalog.columns(table):
        return
    sku, quantity = identifier(lines.sku), identifier(lines.quantity)
    require_columns(catalog, table, "sale_lines", [sku], [quantity])
    join: sql.Composable = sql.SQL("")
    seen = sql.SQL("true")
    if lines.sale is not None and sales is not None:
        require_columns(catalog, table, "sale_lines", [identifier(lines.sale)])
        header = identifier(sales.table)
        join = statements.BY_SALE.format(table=quoted(header), sale=quoted(identifier(lines.sale)))
        at = _instant(catalog, header, "sales", "s", identifier(sales.at))
    elif lines.at is not None:
        at = _instant(catalog, table, "sale_lines", "l", identifier(lines.at))
    else:
        seen, at = statements.SEEN_TO_COME, sql.SQL("l._event_at")
    statement = statements.SOLD.format(
        sku=quoted(sku), quantity=quoted(quantity), at=at, table=quoted(table), sales=join, seen=seen
    )
    tx.execute(statements.FORGET_SOLD)
    tx.execute(render(statement), {"zones": zones(stores)})


def _instant(catalog: Catalog, table: str, section: str, of: str, column: str) -> sql.Composable:
    require_columns(catalog, table, section, [column])
    has_zone = catalog.columns(table)[column].endswith(("timestamptz", "with time zone"))
    form = statements.WITH_ZONE if has_zone else statements.WITHOUT_ZONE
    return form.format(of=sql.SQL("l") if of == "l" else sql.SQL("s"), at=quoted(column))
