"""What is asked of the stores' rows for `business:`. Placeholders in braces are identifiers or expressions.

Numbers become numeric by way of text: straight from `real`, MySQL's FLOAT, PostgreSQL keeps six digits only.
"""

from psycopg import sql

from sinks.statements.anomalies import OF_OPEN_STORES, of_each_store

SOLD_DAYS = 28  # whole weeks: each day of the week counts as often

# Goods may lie in several places of a store, a row each.
_GOODS = f"""\
WITH goods AS (
  SELECT t._store AS store, trim({{sku}}::text) AS sku, sum({{quantity}}::text::numeric) AS quantity,
         min({{quantity}}::text::numeric) AS least, count(*) AS rows, max({{low}}::text::numeric) AS low
  FROM stores.{{table}} t
  WHERE NOT t._deleted AND {{sku}} IS NOT NULL AND {{quantity}} IS NOT NULL AND {{among}} AND {OF_OPEN_STORES}
  GROUP BY 1, 2
)
"""
STOCK = sql.SQL(
    _GOODS
    + """\
SELECT g.store, count(*) FILTER (WHERE least < 0), count(*) FILTER (WHERE least >= 0 AND quantity < low),
       count(*) FILTER (WHERE least >= 0 AND (low IS NULL OR quantity >= low)),
       min(greatest(quantity, 0) / s.per_day)::float8
FROM goods g LEFT JOIN tillstream.sold s ON s.store = g.store AND s.sku = g.sku GROUP BY g.store"""
)
NEGATIVE = sql.SQL(
    _GOODS
    + of_each_store(
        """\
SELECT store, sku, trim_scale(least)::text AS least, trim_scale(quantity)::text AS quantity, rows
FROM goods WHERE least < 0""",
        "sku",
        "%(most)s",
    )
)
LOW = sql.SQL(
    _GOODS
    + of_each_store(
        """\
SELECT g.store, g.sku, trim_scale(quantity) AS quantity, trim_scale(low) AS low, s.per_day
FROM goods g LEFT JOIN tillstream.sold s ON s.store = g.store AND s.sku = g.sku
WHERE least >= 0 AND quantity < low""",
        "sku",
        "%(most)s",
    )
)
ELSEWHERE = sql.SQL(
    _GOODS + "SELECT sku, store, trim_scale(quantity) FROM goods WHERE least >= 0 AND (low IS NULL OR quantity >= low)"
)

FORGET_SOLD = "DELETE FROM tillstream.sold WHERE store = %s"
# A store of which less is known than all these days is taken by what is known of it.
SOLD = sql.SQL(f"""\
INSERT INTO tillstream.sold (store, sku, per_day)
WITH line AS MATERIALIZED (
  SELECT trim(l.{{sku}}::text) AS sku, l.{{quantity}}::text::numeric AS quantity, {{at}} AS at
  FROM stores.{{table}} l {{sales}}
  WHERE l._store = %(store)s AND NOT l._deleted AND l.{{sku}} IS NOT NULL AND {{seen}}
),
span AS (
  SELECT since, greatest(extract(epoch FROM now() - greatest(since, min(at))) / 86400, 1) AS days
  FROM line, (SELECT now() - interval '{SOLD_DAYS} days' AS since) s GROUP BY since
)
SELECT %(store)s, sku, sum(quantity) / days FROM line, span
WHERE at >= since GROUP BY sku, days HAVING sum(quantity) > 0""")
BY_SALE = sql.SQL("JOIN stores.{table} s ON s._store = l._store AND s._pk = l.{sale}::text AND NOT s._deleted")
# Where no column says when a line was sold, those count that were seen to come.
SEEN_TO_COME = sql.SQL("l._op <> 'r'")
WITH_ZONE = sql.SQL("{of}.{at}")
WITHOUT_ZONE = sql.SQL("{of}.{at}::timestamp AT TIME ZONE %(zone)s")

_PRICES = f"""\
FROM stores.{{table}} t JOIN {{agreed}}
WHERE NOT t._deleted AND {OF_OPEN_STORES}
"""
_DIFFERS = "abs(t.{price}::text::numeric - c.{price}::text::numeric) > %(tolerance)s"
AGREED = sql.SQL("central.{table} c ON c._key = t._key")
AT_HEADQUARTERS = sql.SQL("""\
stores.{table} c ON c._store = %(headquarters)s AND NOT c._deleted AND t._store <> c._store
  AND trim(c.{sku}::text) = trim(t.{sku}::text)""")
WINNER = sql.SQL("c._winners->>{name}")
HEADQUARTERS = sql.SQL("c._store")
PRICE_COUNTS = sql.SQL(f"SELECT t._store, count(*) FILTER (WHERE {_DIFFERS})\n{_PRICES} GROUP BY t._store")
PRICES = sql.SQL(
    of_each_store(
        f"""\
SELECT t._store AS store, trim(t.{{sku}}::text) AS sku, t._pk, t.{{price}}::text AS has, c.{{price}}::text AS agreed,
       {{whose}} AS whose
{_PRICES} AND {_DIFFERS}""",
        "sku, _pk",
        "%(most)s",
    )
)

AGREED_POINTS = sql.SQL("SELECT coalesce(sum({balance}::text::numeric), 0)::float8 FROM central.{table}")
STORES_POINTS = sql.SQL(f"""\
SELECT coalesce(sum({{balance}}::text::numeric), 0)::float8 FROM stores.{{table}} t
WHERE NOT t._deleted AND {OF_OPEN_STORES} AND {{counted}}""")

# FLOAT adds up as in MySQL, whose SUM is of doubles.
SALES_OF_DAY = sql.SQL("""\
SELECT _store, count(*), coalesce(sum({amount}::{kind}::numeric), 0) FROM stores.{table}
WHERE NOT _deleted AND {at} >= %(begins)s AND {at} < %(ends)s GROUP BY 1""")
WATERMARKS = """\
SELECT w.store, w.name, w.complete_at, w.set_aside, w.reading_anew,
       w.complete_at + coalesce(s.clock_offset_seconds, 0) * interval '1 second' AS by_its_clock
FROM tillstream.watermarks w JOIN tillstream.store_states s USING (store)"""
RETIRED = "SELECT store FROM tillstream.store_orders WHERE retired"

FORGET_BUSINESS = "DELETE FROM tillstream.business"
KEEP_BUSINESS = "INSERT INTO tillstream.business VALUES (%s, %s, %s, %s::time::interval, %s)"

# --- what was found ---------------------------------------------------------------------------------------

FOUND = """\
INSERT INTO tillstream.found_anomalies AS f (kind, table_name, store, stores, key, row, column_name, told)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (kind, table_name, store, key, row, column_name) WHERE gone_at IS NULL
DO UPDATE SET told = EXCLUDED.told, stores = EXCLUDED.stores WHERE f.told <> EXCLUDED.told"""
OPEN = """\
SELECT id, kind, table_name, store, key, row, column_name, found_at FROM tillstream.found_anomalies
WHERE gone_at IS NULL"""
GONE = "UPDATE tillstream.found_anomalies SET gone_at = now() WHERE gone_at IS NULL AND id = ANY(%s)"
LET_GO = "DELETE FROM tillstream.found_anomalies WHERE gone_at < now() - %s * interval '1 day'"
COUNTS = """\
SELECT f.kind, f.table_name, s.store, count(*) FROM tillstream.found_anomalies f, unnest(f.stores) AS s(store)
WHERE f.gone_at IS NULL GROUP BY 1, 2, 3"""
