"""What looks wrong in the stores' rows of a shared table. Of each kind the worst, or the first, so many."""

from psycopg import sql

OF_OPEN_STORES = """\
NOT EXISTS (SELECT FROM tillstream.store_orders o WHERE o.store = t._store AND o.retired)
  AND NOT EXISTS (SELECT FROM tillstream.store_states x WHERE x.store = t._store AND NOT x.listed)"""


def of_each_store(found: str, order: str, most: str = "%s") -> str:
    """Of every store the first so many, each with how many it has and which of them it is. `found` has a store."""
    return f"""\
SELECT * FROM (
  SELECT f.*, count(*) OVER by_store AS of_store, row_number() OVER (by_store ORDER BY {order}) AS nth
  FROM ({found}) f WINDOW by_store AS (PARTITION BY f.store)
) n WHERE nth <= {most} ORDER BY store, nth"""


ROWS_PER_KEY = sql.SQL(
    of_each_store(
        """\
SELECT _key, _store AS store, count(*) AS rows FROM stores.{table} WHERE NOT _deleted AND _key IS NOT NULL
GROUP BY _key, _store HAVING count(*) > %s""",
        "rows DESC, _key",
    )
)

# Blanks and capitals are no other name.
DIFFERENT = sql.SQL("""\
SELECT _key, array_agg(DISTINCT _store), array_agg(DISTINCT {column}::text)
FROM stores.{table} WHERE NOT _deleted AND _key IS NOT NULL AND {column} IS NOT NULL
GROUP BY _key HAVING count(DISTINCT lower(regexp_replace(trim({column}::text), '\\s+', ' ', 'g'))) > 1
ORDER BY 1 LIMIT %s""")

FLIP_FLOPS = """\
SELECT h.key, c.key, count(*), array_agg(DISTINCT c.value->>3)
FROM tillstream.history h, json_each(h.changes) c
WHERE h.table_name = %s AND h.at > now() - make_interval(secs => %s)
  AND c.value->>2 IS NOT NULL AND c.value->>3 IS NOT NULL AND c.value->>2 <> c.value->>3
GROUP BY h.key, c.key HAVING count(*) >= %s AND count(DISTINCT c.value->>3) = 2
ORDER BY 3 DESC, 1, 2 LIMIT %s"""

# By way of text: straight from `real` only six digits would be kept.
BALANCE = sql.SQL(
    of_each_store(
        """\
SELECT t._key, t._store AS store, t._pk, t.{column}::text AS has, coalesce(l.total, 0)::text AS total
FROM stores.{table} t LEFT JOIN (
  SELECT _store, {row}::text AS row, sum({change}::text::numeric) AS total FROM stores.{ledger} WHERE NOT _deleted
  GROUP BY 1, 2
) l ON l._store = t._store AND l.row = t._pk
WHERE NOT t._deleted AND abs(coalesce(t.{column}::text::numeric, 0) - coalesce(l.total, 0)) > {tolerance}
  AND """
        + OF_OPEN_STORES,
        "_pk",
    )
)
