"""What became of central.*, kept by triggers: whatever writes a row there says why, and nothing else of it."""

import json
from collections.abc import Collection

from psycopg import sql

from sinks.names import identifier
from sinks.statements import render

# Rows before and after are joined by hash whatever the statistics say: a session's first batch is a few rows, and by
# what was planned for that one a batch of thousands would take seconds. OFFSET 0: compared once, not in WHERE again.
_FUNCTION = sql.SQL("""\
CREATE OR REPLACE FUNCTION tillstream.{function}() RETURNS trigger
LANGUAGE plpgsql SET enable_nestloop = off AS $history$
DECLARE reasons json := current_setting('tillstream.reasons')::json;
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO tillstream.history (at, table_name, key, reason, policy)
    SELECT statement_timestamp(), {table}, n._key, coalesce(r.value, ''), n._policy
    FROM new_rows n LEFT JOIN json_each_text(reasons) r ON r.key = n._key;
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO tillstream.history (at, table_name, key, reason, policy_before, policy, changes)
    SELECT statement_timestamp(), {table}, d._key, coalesce(r.value, ''), d.before, d.after,
           ('{{' || d.told || '}}')::json
    FROM (SELECT n._key, o._policy AS before, n._policy AS after, array_to_string(ARRAY[{changed}]::text[], ',') AS told
          FROM new_rows n JOIN old_rows o ON o._key = n._key OFFSET 0) d
    LEFT JOIN json_each_text(reasons) r ON r.key = d._key
    WHERE d.told <> '';
  ELSE
    INSERT INTO tillstream.history (at, table_name, key, reason, policy_before, changes)
    SELECT statement_timestamp(), {table}, o._key, coalesce(r.value, ''), o._policy,
           ('{{' || array_to_string(ARRAY[{gone}]::text[], ',') || '}}')::json
    FROM old_rows o LEFT JOIN json_each_text(reasons) r ON r.key = o._key;
  END IF;
  RETURN NULL;
END $history$""")
_CHANGED = sql.SQL("""\
CASE WHEN o.{column} IS DISTINCT FROM n.{column} THEN {name} || json_build_array(
  o.{column}::text, n.{column}::text, o._winners->>{winner}, n._winners->>{winner}) END""")
_GONE = sql.SQL("""\
CASE WHEN o.{column} IS NOT NULL THEN {name} || json_build_array(
  o.{column}::text, NULL, o._winners->>{winner}, NULL) END""")
_TRIGGER = sql.SQL("""\
CREATE OR REPLACE TRIGGER {trigger} AFTER {event} ON central.{table} REFERENCING {rows} FOR EACH STATEMENT
WHEN (current_setting('tillstream.reasons', true) <> '') EXECUTE FUNCTION tillstream.{function}()""")
_EVENTS = {
    "INSERT": "NEW TABLE AS new_rows",
    "UPDATE": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "OLD TABLE AS old_rows",
}
DROP = sql.SQL("DROP FUNCTION IF EXISTS tillstream.{function}() CASCADE")
COMMENT = sql.SQL("COMMENT ON FUNCTION tillstream.{function}() IS {text}")
PRESENT = """\
SELECT p.proname, coalesce(obj_description(p.oid), '') FROM pg_proc p
WHERE p.pronamespace = 'tillstream'::regnamespace AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = p.oid)"""

BECAUSE = "SELECT set_config('tillstream.reason', %s, true)"
REASONS = "SELECT set_config('tillstream.reasons', %s, true)"
KEPT = "SELECT table_name, seconds FROM tillstream.history_kept"
FORGET_KEPT = "DELETE FROM tillstream.history_kept"
KEEP = "INSERT INTO tillstream.history_kept SELECT * FROM unnest(%s::text[], %s::bigint[])"
TABLES = "SELECT relname::text FROM pg_class WHERE relnamespace = 'central'::regnamespace AND relkind = 'r'"
PRUNE = """\
DELETE FROM tillstream.history WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM tillstream.history WHERE table_name = %s AND at < now() - make_interval(secs => %s)
  ORDER BY at LIMIT %s))"""
OF_KEYS = """\
SELECT h.at, h.key, h.reason, b.version, a.version, c.key, c.value->>0, c.value->>1, c.value->>2, c.value->>3
FROM tillstream.history h
LEFT JOIN LATERAL json_each(h.changes) c ON true
LEFT JOIN tillstream.policies b ON b.id = h.policy_before LEFT JOIN tillstream.policies a ON a.id = h.policy
WHERE h.table_name = %s AND h.key = ANY(%s) AND (c.key IS NULL OR c.key = ANY(%s))
ORDER BY h.at DESC, h.key, c.key LIMIT %s"""


def function_of(table: str) -> str:
    """The name, in the schema tillstream."""
    return identifier(f"keep_{table}")


def keeping(table: str, columns: Collection[str]) -> list[str]:
    """The function and the triggers that keep what becomes of central.<table>'s rows."""
    function = sql.Identifier(function_of(table))
    body = _FUNCTION.format(
        function=function, table=sql.Literal(table), changed=_each(_CHANGED, columns), gone=_each(_GONE, columns)
    )
    triggers = (
        _TRIGGER.format(
            trigger=sql.Identifier(f"keep_{event.lower()}"),
            event=sql.SQL(event),
            table=sql.Identifier(table),
            rows=sql.SQL(rows),
            function=function,
        )
        for event, rows in _EVENTS.items()
    )
    return [render(each) for each in (body, *triggers)]


def _each(statement: sql.SQL, columns: Collection[str]) -> sql.Composed:
    return sql.SQL(",\n").join(
        statement.format(
            column=sql.Identifier(column),
            name=sql.Literal(f"{json.dumps(column, ensure_ascii=False)}:"),
            winner=sql.Literal(column),
        )
        for column in columns
    )
