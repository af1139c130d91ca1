"""A changed key, made in a column of its own beside the one in force."""

from collections.abc import Collection

from psycopg import sql

from sinks.names import identifier
from sinks.statements import quoted, render

PLACE = "SELECT definition, store, pk, done FROM tillstream.key_changes WHERE table_name = %s FOR UPDATE"
BEGIN = "INSERT INTO tillstream.key_changes (table_name, definition) VALUES (%s, %s)"
MOVE = "UPDATE tillstream.key_changes SET store = %s, pk = %s, done = %s WHERE table_name = %s"
FORGET = "DELETE FROM tillstream.key_changes WHERE table_name = %s"
BEGUN = "SELECT table_name FROM tillstream.key_changes"
NO_STALE = "DELETE FROM tillstream.stale_keys WHERE table_name = %s"
STALE = "SELECT store, pk FROM tillstream.stale_keys WHERE table_name = %s ORDER BY store, pk LIMIT %s"
NOT_STALE = """\
DELETE FROM tillstream.stale_keys
WHERE table_name = %s AND (store, pk) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"""

# Whoever waits for a lock that keeps all others waiting waits this long, and tries again.
PATIENCE = "SET LOCAL lock_timeout = '1s'"
NO_VACUUM = sql.SQL("LOCK TABLE stores.{table} IN SHARE UPDATE EXCLUSIVE MODE")
HOLD = sql.SQL("LOCK TABLE stores.{table} IN ACCESS EXCLUSIVE MODE")
_ADD = sql.SQL('ALTER TABLE stores.{table} ADD COLUMN _next_key text COLLATE "C"')
_NOTE = sql.SQL("""\
CREATE TRIGGER {trigger} AFTER {event} ON stores.{table} REFERENCING NEW TABLE AS written FOR EACH STATEMENT
WHEN (current_setting('tillstream.makes_keys', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION tillstream.key_is_stale()""")
_TRIGGERS = {"INSERT": "key_is_stale_inserted", "UPDATE": "key_is_stale_updated"}
_FORGO = sql.SQL("DROP TRIGGER IF EXISTS {trigger} ON stores.{table}")
_DROP_NEXT = sql.SQL("ALTER TABLE stores.{table} DROP COLUMN IF EXISTS _next_key")
OWN_WRITES = "SET LOCAL tillstream.makes_keys = 'on'"

IS_INDEXED = """\
SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'stores'::regnamespace AND c.relname = %s"""
DROP_INDEX = sql.SQL("DROP INDEX IF EXISTS stores.{index}")
INDEX = sql.SQL("CREATE INDEX CONCURRENTLY {index} ON stores.{table} (_next_key, _store) WHERE _next_key IS NOT NULL")

# Rows in the order of their keys, as whoever writes them locks them.
_NEXT = sql.SQL("""\
SELECT _store, _pk{columns} FROM stores.{table}
WHERE (_store, _pk) > (%s, %s) ORDER BY _store, _pk LIMIT %s FOR UPDATE""")
_THESE = sql.SQL("""\
SELECT _store, _pk{columns} FROM stores.{table}
WHERE (_store, _pk) IN (SELECT * FROM unnest(%s::text[], %s::text[])) ORDER BY _store, _pk FOR UPDATE""")
_SET = sql.SQL("""\
UPDATE stores.{table} t SET _next_key = k.key
FROM unnest(%s::text[], %s::text[], %s::text[]) AS k(store, pk, key)
WHERE t._store = k.store AND t._pk = k.pk AND t._next_key IS DISTINCT FROM k.key""")
ANALYZE = sql.SQL("ANALYZE stores.{table} (_next_key)")
COUNT_UNDER = sql.SQL("""\
UPDATE stores.{table} t SET _next_key = a.canonical FROM tillstream.aliases a
WHERE a.table_name = {name} AND t._next_key = a.key""")
_SWAP = sql.SQL("""\
ALTER TABLE stores.{table} RENAME COLUMN _key TO _last_key;
ALTER TABLE stores.{table} RENAME COLUMN _next_key TO _key;
ALTER INDEX IF EXISTS stores.{index} RENAME TO {last_index};
ALTER INDEX IF EXISTS stores.{next_index} RENAME TO {index}""")
END = sql.SQL("ALTER TABLE stores.{table} DROP COLUMN _last_key")

FOREIGN_VIEWS = """\
SELECT DISTINCT v.oid::regclass::text FROM pg_depend d
JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_class v ON v.oid = r.ev_class
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.refobjid = %s::regclass AND a.attname = '_key' AND coalesce(obj_description(v.oid), '') NOT LIKE %s
ORDER BY 1"""


def key_index(table: str) -> str:
    return identifier(f"{table}__key")


def next_index(table: str) -> str:
    return identifier(f"{table}__next_key")


def begin(table: str) -> list[str]:
    place = sql.Identifier(table)
    notes = (
        _NOTE.format(trigger=sql.Identifier(trigger), event=sql.SQL(event), table=place)
        for event, trigger in _TRIGGERS.items()
    )
    return [render(each) for each in (_ADD.format(table=place), *notes)]


def abandon(table: str) -> list[str]:
    return [*_no_triggers(table), render(_DROP_NEXT.format(table=sql.Identifier(table)))]


def swap(table: str) -> list[str]:
    texts = _SWAP.format(
        table=sql.Identifier(table),
        index=sql.Identifier(key_index(table)),
        last_index=sql.Identifier(identifier(f"{table}__last_key")),
        next_index=sql.Identifier(next_index(table)),
    )
    return [*_no_triggers(table), render(texts)]


def _no_triggers(table: str) -> list[str]:
    return [
        render(_FORGO.format(trigger=sql.Identifier(trigger), table=sql.Identifier(table)))
        for trigger in _TRIGGERS.values()
    ]


def next_rows(table: str, columns: Collection[str]) -> sql.Composed:
    return _NEXT.format(table=quoted(table), columns=_further(columns))


def these_rows(table: str, columns: Collection[str]) -> sql.Composed:
    return _THESE.format(table=quoted(table), columns=_further(columns))


def set_keys(table: str) -> sql.Composed:
    return _SET.format(table=quoted(table))


def _further(columns: Collection[str]) -> sql.Composable:
    return sql.SQL(", ") + sql.SQL(", ").join(map(quoted, columns)) if columns else sql.SQL("")
