"""central.<table>: one agreed row per business key."""

from collections.abc import Mapping

from psycopg import sql

from sinks.statements import names, render, stage_name

CREATE = sql.SQL("""\
CREATE TABLE IF NOT EXISTS central.{table} (
  _key text COLLATE "C" PRIMARY KEY,
  _stores text[] NOT NULL,
  _winners jsonb NOT NULL,
  _newest jsonb NOT NULL,
  _contested text[] NOT NULL,
  _uncertain text[] NOT NULL,
  _policy int NOT NULL,
  _decided_at timestamptz NOT NULL DEFAULT now()
)""")

_STAGE = sql.SQL("""\
CREATE TEMP TABLE IF NOT EXISTS {stage} (
  {columns}, _key text COLLATE "C", _stores text[], _winners jsonb, _newest jsonb, _contested text[],
  _uncertain text[], _policy int
) ON COMMIT DELETE ROWS""")

_UPSERT = sql.SQL("""\
INSERT INTO central.{table} AS t ({columns}, _key, _stores, _winners, _newest, _contested, _uncertain, _policy)
SELECT {columns}, _key, _stores, _winners, _newest, _contested, _uncertain, _policy FROM {stage}
{on_conflict}""")

_ON_CONFLICT = sql.SQL("""\
ON CONFLICT (_key) DO UPDATE SET
  {assignments}, _stores = EXCLUDED._stores, _winners = EXCLUDED._winners, _newest = EXCLUDED._newest,
  _contested = EXCLUDED._contested, _uncertain = EXCLUDED._uncertain, _policy = EXCLUDED._policy, _decided_at = now()
WHERE ({present}, t._stores, t._winners, t._newest, t._contested, t._uncertain, t._policy)
  IS DISTINCT FROM
      ({incoming}, EXCLUDED._stores, EXCLUDED._winners, EXCLUDED._newest, EXCLUDED._contested, EXCLUDED._uncertain,
       EXCLUDED._policy)""")

META = ("_key", "_stores", "_winners", "_newest", "_contested", "_uncertain", "_policy")

# Of keys that were decided from a few rows: the stores that were there are there still.
_ADD_STORES = sql.SQL("""\
UPDATE {stage} s SET _stores = tillstream.with_stores(t._stores, s._stores)
FROM central.{table} t WHERE t._key = s._key AND s._key = ANY(%s)""")

_STANDING = sql.SQL("""\
SELECT _key, _winners, _newest FROM json_array_elements_text(%s) AS w(key)
CROSS JOIN LATERAL (SELECT * FROM central.{table} WHERE _key = w.key OFFSET 0) t
WHERE _policy = %s AND cardinality(_stores) >= %s AND _contested = '{{}}' AND _uncertain = '{{}}'""")

REMOVE = sql.SQL("DELETE FROM central.{table} WHERE _key = ANY(%s)")

# Read in a statement of its own after the keys are locked, or it would not see what the lock waited for.
# 't' and 'm' are withdrawals: they count for nothing, not even for deletes.
_CONTRIBUTIONS = sql.SQL("""\
SELECT w.key, t._store, t._pk, t._epoch, t._file, t._pos, t._row, t._order, t._deleted, t._stamps,
       nullif(p.columns, {present}), CASE WHEN t._op = 'r' THEN (extract(epoch FROM t._seen_at) * 1000000)::bigint END,
       (SELECT (extract(epoch FROM min(q.since)) * 1000000)::bigint FROM tillstream.quarantines q
        WHERE q.store = t._store AND coalesce(q.table_name, {name}) = {name} AND q.lifted_at IS NULL), {columns}
FROM {rows}
LEFT JOIN tillstream.presence p ON p.table_name = {name} AND p.store = t._store
WHERE t._op NOT IN ('t', 'm')
  AND t._store <> ALL (ARRAY(SELECT store FROM tillstream.store_orders WHERE retired))""")

# By index whatever the statistics say: a batch's keys are few, and what the planner takes a list for is not.
_OF_KEYS = sql.SQL("json_array_elements_text({given}) AS w(key)")
_OF_STORES = sql.SQL("json_to_recordset({given}) AS w(key text, store text)")
_ROWS = sql.SQL(
    "{wanted} CROSS JOIN LATERAL (SELECT * FROM stores.{table} t WHERE t._key = w.key{and_store} OFFSET 0) t"
)
# Of a store that is held its rows as they were before (see `sinks.holds`).
_HELD_ROWS = sql.SQL("""\
{wanted} CROSS JOIN LATERAL (
  SELECT t.* FROM stores.{table} t WHERE t._key = w.key AND t._store <> ALL ({held})
  UNION ALL
  SELECT t.* FROM tillstream.held_rows h CROSS JOIN LATERAL jsonb_populate_record(NULL::stores.{table}, h.row) t
  WHERE h.table_name = {name} AND h.key = w.key AND h.store = ANY ({held})) t""")
_HELD = sql.SQL("""\
ARRAY(SELECT store FROM tillstream.holds WHERE table_name = {name} AND released_at IS NULL AND store <> {released})""")
_REKEYED = sql.SQL("""\
{wanted} JOIN {rekeyed} k ON k._key = w.key JOIN stores.{table} t ON t._store = k._store AND t._pk = k._pk""")

# Keys that wait are as many as their contributions allow: a price list stands in every store.
AT_ONCE = "SELECT greatest(1, least(%s, %s / greatest(1, count(*)))) FROM tillstream.ledger"
TAKE_DIRTY = """\
DELETE FROM tillstream.dirty_keys WHERE (table_name, key) IN (
  SELECT table_name, key FROM tillstream.dirty_keys ORDER BY table_name, key LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING table_name, key, reason"""
NEXT_REDECISION = """\
SELECT table_name, after, reason FROM tillstream.redecisions ORDER BY table_name LIMIT 1 FOR UPDATE SKIP LOCKED"""
MOVE_REDECISION = "UPDATE tillstream.redecisions SET after = %s WHERE table_name = %s"
END_REDECISION = "DELETE FROM tillstream.redecisions WHERE table_name = %s"

# A row that is there is locked, too, though nothing is written into it.
LOCK_KEYS = """\
INSERT INTO tillstream.keys (table_name, key)
SELECT %s, key FROM json_array_elements_text(%s) AS key ORDER BY key COLLATE "C"
ON CONFLICT (table_name, key) DO UPDATE SET key = EXCLUDED.key WHERE false"""

CONFLICTS = """\
INSERT INTO tillstream.conflicts
  (table_name, fingerprint, key, column_name, rule, winner, value, losers, reason)
SELECT %s, fingerprint, key, column_name, rule, winner, value, losers, reason
FROM json_to_recordset(%s) AS c(
  fingerprint text, key text, column_name text, rule text, winner text, value text, losers jsonb, reason text)
ON CONFLICT DO NOTHING RETURNING rule, losers"""


def stage(table: str, columns: tuple[str, ...], types: tuple[str, ...]) -> tuple[str, str, str]:
    """(create the stage, COPY into it, upsert from it)."""
    staged = sql.Identifier(stage_name("central", table, columns, types))
    declared = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
        for column, kind in zip(columns, types, strict=True)
    )
    upsert = _UPSERT.format(
        table=sql.Identifier(table), stage=staged, columns=names(columns), on_conflict=on_conflict(columns)
    )
    return (
        render(_STAGE.format(stage=staged, columns=declared)),
        render(sql.SQL("COPY {} ({}) FROM STDIN").format(staged, names((*columns, *META)))),
        render(upsert),
    )


def on_conflict(columns: tuple[str, ...]) -> sql.Composed:
    """For an INSERT INTO central.<table> AS t of these columns and the row's own: a row that is the same stays."""
    return _ON_CONFLICT.format(
        assignments=sql.SQL(", ").join(
            sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(column)) for column in columns
        ),
        present=names(columns, "t."),
        incoming=names(columns, "EXCLUDED."),
    )


def add_stores(table: str, columns: tuple[str, ...], types: tuple[str, ...]) -> str:
    staged = sql.Identifier(stage_name("central", table, columns, types))
    return render(_ADD_STORES.format(stage=staged, table=sql.Identifier(table)))


def standing(table: str) -> str:
    return render(_STANDING.format(table=sql.Identifier(table)))


def contributions(
    table: str,
    columns: Mapping[str, str],
    rekeyed: str | None = None,
    *,
    of_stores: bool = False,
    released: str | None = None,
) -> str:
    """Takes the list of keys, of `rekeyed` where given; with `of_stores` a list of {key, store}. Both as JSON, for
    psycopg takes ten times as long to write an array. With `released`, for a table in which stores are held: all that
    are but for this one contribute what they had.
    Column names are quoted for a statement with parameters.

    The types stand in the text, so that a prepared statement is never asked for a column that was widened since:
    PostgreSQL refuses it then ("cached plan must not change result type").
    """
    given = sql.SQL("\x00")
    rows = _REKEYED if rekeyed else _ROWS if released is None else _HELD_ROWS
    text = render(
        _CONTRIBUTIONS.format(
            rows=rows.format(
                held=_HELD.format(name=sql.Literal(table), released=sql.Literal(released)),
                name=sql.Literal(table),
                wanted=(_OF_STORES if of_stores else _OF_KEYS).format(given=given),
                and_store=sql.SQL(" AND t._store = w.store" if of_stores else ""),
                table=sql.Identifier(table),
                rekeyed=sql.Identifier(rekeyed or ""),
            ),
            name=sql.Literal(table),
            present=sql.SQL("{}::text[]").format(sql.Literal(list(columns))),
            columns=sql.SQL(", ").join(
                # jsonb as text: a rule compares and hands on, it does not look inside
                sql.SQL("t.{}::{}").format(sql.Identifier(column), sql.SQL("text" if kind == "jsonb" else kind))
                for column, kind in columns.items()
            ),
        )
    )
    return text.replace("%", "%%").replace("\x00", "%s")
