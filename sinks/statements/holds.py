"""Stores that are held, and their rows as they were before."""

from psycopg import sql

OPEN = """\
SELECT id, store, table_name, reason, held_at FROM tillstream.holds WHERE released_at IS NULL ORDER BY id"""
OF_TABLE = "SELECT store FROM tillstream.holds WHERE table_name = %s AND released_at IS NULL"
HELD_IN = """\
SELECT store, to_char(held_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC: ' || reason FROM tillstream.holds
WHERE table_name = %s AND released_at IS NULL ORDER BY store"""
BEGIN = """\
INSERT INTO tillstream.holds (store, table_name, reason) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING RETURNING id"""
RELEASE = """\
UPDATE tillstream.holds SET released_at = clock_timestamp(), released_by = %s, release_reason = %s
WHERE store = %s AND table_name = %s AND released_at IS NULL"""

# Until when a person has seen what the store did, by our clock.
SEEN = sql.SQL("""\
coalesce((SELECT max(released_at) FROM tillstream.holds h WHERE h.store = %(store)s AND h.table_name = {name}),
         '-infinity')""")

# Rows that the store deleted since the moment given are taken back: a tombstone has its row's last values.
KEEP_ROWS = sql.SQL("""\
INSERT INTO tillstream.held_rows (table_name, key, store, pk, row)
SELECT {name}, t._key, t._store, t._pk,
       to_jsonb(t) || CASE WHEN t._event_at >= %(since)s AND t._seen_at > {seen}
                           THEN '{{"_deleted": false}}' ELSE '{{}}' END::jsonb
FROM stores.{table} t
WHERE t._store = %(store)s AND t._key IS NOT NULL AND t._op NOT IN ('t', 'm')
RETURNING key, (row->>'_deleted')::boolean IS DISTINCT FROM
  (SELECT s._deleted FROM stores.{table} s WHERE s._store = held_rows.store AND s._pk = held_rows.pk)""")
FORGET_ROWS = "DELETE FROM tillstream.held_rows WHERE table_name = %s AND store = %s"

# Keys under which rows of the store count as they were, though it may have left them.
DECIDE_HELD_AGAIN = """\
INSERT INTO tillstream.dirty_keys (table_name, key)
SELECT table_name, key FROM tillstream.held_rows WHERE table_name = %s AND store = %s ON CONFLICT DO NOTHING"""
# Whatever the store has under a key by now, and whatever it had.
DECIDE_AGAIN = sql.SQL("""\
INSERT INTO tillstream.dirty_keys (table_name, key)
SELECT {name}, _key FROM stores.{table} WHERE _store = %(store)s AND _key IS NOT NULL
UNION SELECT {name}, key FROM tillstream.held_rows WHERE table_name = {name} AND store = %(store)s
ON CONFLICT DO NOTHING""")
KEYS = sql.SQL("""\
SELECT key FROM (
  SELECT _key AS key FROM stores.{table} WHERE _store = %(store)s
  UNION SELECT key FROM tillstream.held_rows WHERE table_name = {name} AND store = %(store)s) k
WHERE key > %(last)s ORDER BY 1 LIMIT %(limit)s""")

# What a stage that is about to be written changes: by store deletes of rows that are there, other values of such, and
# the earliest change that the log dates, be it a new row, and the latest.
CHANGES = sql.SQL("""\
SELECT s._store, count(*) FILTER (WHERE NOT t._deleted AND s._deleted),
       count(*) FILTER (WHERE NOT t._deleted AND NOT s._deleted AND ({stored}) IS DISTINCT FROM ({staged})),
       min(s._event_us) FILTER (WHERE s._op <> 'r'), max(s._event_us)
FROM {stage} s LEFT JOIN LATERAL (
  SELECT * FROM stores.{table} t WHERE t._store = s._store AND t._pk = s._pk OFFSET 0) t ON true
WHERE s._op <> 'm' AND (
  t._pk IS NULL OR (t._epoch, t._file, t._pos, t._row, t._order) < (s._epoch, s._file, s._pos, s._row, s._order))
GROUP BY s._store""")
# Of one store's table: live rows, and how many were deleted, and changed or found to be other, from a moment on; what
# somebody has seen and released is not counted again.
LATELY = sql.SQL("""\
SELECT count(*) FILTER (WHERE NOT _deleted),
       count(*) FILTER (WHERE _deleted AND _op = 'd' AND _event_at >= %(since)s AND _seen_at > {seen}),
       count(*) FILTER (WHERE NOT _deleted AND _event_at >= %(since)s AND _seen_at > {seen}
                          AND (_op = 'u' OR _op = 'r' AND _row < 0 AND _order > 0))
FROM stores.{table} WHERE _store = %(store)s""")
BELOW = sql.SQL("""\
SELECT count(*) FILTER (WHERE (_epoch, _file, _pos, _row, _order) < (%s, %s, %s, %s, %s)), count(*)
FROM stores.{table} WHERE _store = %s AND NOT _deleted""")
