"""What `explain` asks beside the contributions: the row that stands, and what does not count and why."""

from collections.abc import Mapping

from psycopg import sql

from sinks.statements import quoted, render

_STANDING = sql.SQL("""\
SELECT p.version, t._decided_at, t._contested, {columns}
FROM central.{table} t LEFT JOIN tillstream.policies p ON p.id = t._policy
WHERE t._key = %s""")

_NOT_COUNTING = sql.SQL("""\
SELECT t._store, t._pk,
       CASE WHEN coalesce(o.retired, false) THEN 'retired' WHEN t._op IN ('t', 'm') THEN t._op ELSE 'held' END
FROM stores.{table} t LEFT JOIN tillstream.store_orders o ON o.store = t._store
LEFT JOIN tillstream.holds h ON h.store = t._store AND h.table_name = {name} AND h.released_at IS NULL
WHERE t._key = %s AND (
  t._op IN ('t', 'm') OR coalesce(o.retired, false) OR h.id IS NOT NULL AND NOT EXISTS (
    SELECT FROM tillstream.held_rows r
    WHERE r.table_name = {name} AND r.key = t._key AND r.store = t._store AND r.pk = t._pk))
ORDER BY t._store, t._pk""")

POLICY = "SELECT version, applied_at FROM tillstream.policies ORDER BY id DESC LIMIT 1"
FLOORS = """\
SELECT store, epoch, file, pos FROM tillstream.floors WHERE table_name = %s AND store = ANY(%s) ORDER BY store"""
CONFLICTS = """\
SELECT column_name, rule, winner, value, losers, reason, decided_at FROM tillstream.conflicts
WHERE table_name = %s AND key = ANY(%s) AND column_name = ANY(%s) ORDER BY decided_at DESC, column_name LIMIT %s"""


def standing(table: str, columns: Mapping[str, str]) -> str:
    """The row of central.<table> under a key; its columns as contributions are read."""
    return render(
        _STANDING.format(
            table=quoted(table),
            columns=sql.SQL(", ").join(
                sql.SQL("t.{}::{}").format(quoted(name), sql.SQL("text" if kind == "jsonb" else kind))
                for name, kind in columns.items()
            ),
        )
    )


def not_counting(table: str) -> str:
    return render(_NOT_COUNTING.format(table=quoted(table), name=sql.Literal(table.replace("%", "%%"))))
