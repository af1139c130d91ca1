"""desk.<table>: what stands behind each value of a shared table, for people with only SQL."""

from collections.abc import Mapping

from psycopg import sql

from conflict.resolution import CHANGED, SNAPSHOT
from sinks.names import identifier
from sinks.statements import render

COLUMNS = (
    "key", "column_name", "central_value", "is_winner", "store", "store_name", "row_id", "store_value", "state",
    "changed_at", "doubt", "known_from", "row_changed_at", "rule", "says", "policy_version", "contested", "uncertain",
    "decided_value", "decided_by", "decided_because", "decided_at", "quarantined_since", "quarantined_because",
)  # fmt: skip

# Both rows are looked at as a whole, not column by column: a column whose type is changed then needs no other view,
# which would take away what was granted. OFFSET 0: made once a row, not once a column.
_VIEW = sql.SQL("""\
CREATE OR REPLACE VIEW desk.{view} AS
SELECT t._key AS key, v.name COLLATE "C" AS column_name, w.central->>v.name AS central_value,
       s.state = 'counts' AND c._winners->>v.name IS NOT DISTINCT FROM t._store AS is_winner,
       t._store AS store, n.name AS store_name, t._pk AS row_id,
       CASE WHEN s.state <> 'no such column' THEN w.own->>v.name END AS store_value, s.state,
       m.at AS changed_at, m.doubt,
       CASE WHEN (w.stamps->v.stamp->3)::int < 0 THEN 'reading' WHEN w.stamps ? v.stamp THEN 'change'
            WHEN m.at IS NOT NULL THEN 'snapshot' ELSE 'nothing' END AS known_from,
       x.at AS row_changed_at,
       r.rule, r.says, p.version AS policy_version,
       coalesce(v.name = ANY(c._contested), false) AS contested,
       coalesce(v.name = ANY(c._uncertain), false) AS uncertain,
       d.value AS decided_value, d.author AS decided_by, d.reason AS decided_because, d.decided_at,
       q.since AS quarantined_since, q.reason AS quarantined_because
FROM stores.{table} t
LEFT JOIN central.{table} c ON c._key = t._key
CROSS JOIN LATERAL (SELECT to_jsonb(t) AS own, to_jsonb(c) AS central, coalesce(t._stamps, '{{}}') AS stamps OFFSET 0) w
CROSS JOIN (VALUES {columns}) AS v(name, stamp, timed)
LEFT JOIN tillstream.presence e ON e.table_name = {name} AND e.store = t._store
LEFT JOIN tillstream.store_orders o ON o.store = t._store
LEFT JOIN tillstream.store_states n ON n.store = t._store
LEFT JOIN LATERAL (
  SELECT q.since, q.reason FROM tillstream.quarantines q
  WHERE q.store = t._store AND coalesce(q.table_name, {name}) = {name} AND q.lifted_at IS NULL
  ORDER BY q.since LIMIT 1) q ON true
CROSS JOIN LATERAL desk._time(t._store, CASE WHEN w.stamps ? v.stamp THEN v.stamp ELSE {snapshot} END,
                              coalesce(w.stamps->v.stamp, w.stamps->{snapshot})) m
CROSS JOIN LATERAL desk._time(t._store, {changed}, w.stamps->{changed}) x
CROSS JOIN LATERAL (SELECT CASE
    WHEN o.retired THEN 'store retired' WHEN t._op IN ('t', 'm') THEN 'withdrawn' WHEN t._deleted THEN 'deleted'
    WHEN v.name <> ALL (e.columns) THEN 'no such column'
    WHEN EXISTS (SELECT FROM stores.{table} l WHERE l._key = t._key AND l._store = t._store AND NOT l._deleted
                 AND l._op NOT IN ('t', 'm') AND (l._epoch, l._file, l._pos, l._row, l._order, l._pk)
                                                 > (t._epoch, t._file, t._pos, t._row, t._order, t._pk))
      THEN 'not the store''s last row'
    WHEN greatest(CASE WHEN w.stamps ? v.name THEN m.at WHEN NOT v.timed THEN x.at END,
                  CASE WHEN t._op = 'r' AND NOT w.stamps ? v.name THEN t._seen_at END) >= q.since THEN 'in quarantine'
    ELSE 'counts' END AS state OFFSET 0) s
LEFT JOIN tillstream.policies p ON p.id = coalesce(c._policy, (SELECT max(id) FROM tillstream.policies))
LEFT JOIN LATERAL (
  SELECT r.rule, r.says FROM tillstream.rules r
  WHERE r.policy = p.id AND r.table_name = {name} AND r.column_name IN (v.name, '*')
  ORDER BY r.column_name = '*' LIMIT 1) r ON true
LEFT JOIN tillstream.decisions d
  ON d.table_name = {name} AND d.key = t._key AND d.column_name = v.name AND d.ended_at IS NULL
WHERE t._key IS NOT NULL""")


def desk_view(table: str) -> str:
    """The name, in the schema desk, where `_history`, `_reviews` and `_rules` stand, too."""
    return identifier(f"{table} of a store" if table in ("_history", "_reviews", "_rules") else table)


def desk(table: str, columns: Mapping[str, tuple[str, bool]]) -> str:
    """`columns`: those that are decided, each with the stamp that its rule asks for, and whether it asks for times."""
    return render(
        _VIEW.format(
            view=sql.Identifier(desk_view(table)),
            table=sql.Identifier(table),
            name=sql.Literal(table),
            columns=sql.SQL(", ").join(
                sql.SQL("({}, {}, {})").format(*map(sql.Literal, (name, stamp, timed)))
                for name, (stamp, timed) in columns.items()
            ),
            changed=sql.Literal(CHANGED),
            snapshot=sql.Literal(SNAPSHOT),
        )
    )
