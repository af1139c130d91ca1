"""Tables whose columns are others than in most stores of the chain, and how often tables changed."""

from sinks.warehouse import Transaction
from tillstream import metrics

_VERSIONS = """\
SELECT v.store, count(*) FROM tillstream.schema_versions v JOIN tillstream.store_states s USING (store)
WHERE s.listed GROUP BY v.store"""
# Where two shapes are as frequent, neither is the odd one. What versions of MySQL write differently is no difference:
# the width that an integer is displayed with, utf8 or utf8mb3, how a default is spelt.
_DRIFT = """\
WITH present AS (
  SELECT DISTINCT ON (v.store, v.database, v.table_name) v.store, v.table_name,
         md5(c.shape || v.primary_key::text) AS shape, v.columns = '[]' AS dropped
  FROM tillstream.schema_versions v JOIN tillstream.store_states s USING (store)
  CROSS JOIN LATERAL (
    SELECT coalesce(string_agg(jsonb_build_array(
      lower(c->>'name'), t.kind, CASE WHEN t.kind !~ '^((TINY|SMALL|MEDIUM|BIG)?INT|YEAR)\\M' THEN c->'length' END,
      c->'scale', c->'optional', c->'enumValues')::text, ',' ORDER BY lower(c->>'name')), '') AS shape
    FROM jsonb_array_elements(v.columns::jsonb) c,
         LATERAL (SELECT regexp_replace(upper(c->>'typeName'), '^INTEGER\\M', 'INT') AS kind) t
  ) c
  WHERE s.listed AND s.state <> 'retired'
  ORDER BY v.store, v.database, v.table_name, v.epoch DESC, v.file DESC, v.pos DESC, v.row DESC, v.ord DESC
),
frequency AS (SELECT table_name, shape, count(*) AS stores FROM present WHERE NOT dropped GROUP BY table_name, shape),
most AS (SELECT table_name, max(stores) AS stores FROM frequency GROUP BY table_name)
SELECT p.store, count(*) FILTER (WHERE f.stores < m.stores)
FROM present p JOIN frequency f USING (table_name, shape) JOIN most m USING (table_name)
WHERE NOT p.dropped GROUP BY p.store"""


def tell_shapes(tx: Transaction) -> None:
    metrics.STORE_SCHEMA_VERSIONS.replace({(store,): count for store, count in tx.rows(_VERSIONS)})
    metrics.STORE_SCHEMA_DRIFT_TABLES.replace({(store,): count for store, count in tx.rows(_DRIFT)})
