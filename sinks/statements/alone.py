"""central.<table> for keys that a single row contributes to: written as it stands there, in one statement."""

from collections.abc import Mapping

from psycopg import sql

from conflict.alone import Alone
from sinks.statements import names, render
from sinks.statements.central import on_conflict

# A row that was withdrawn or deleted, or is of a store that is retired, in quarantine or without some of the columns,
# is left to whoever reads all of a key. So is a key with any other row, be it one that counts for nothing.
_WRITE = sql.SQL("""\
WITH whole AS MATERIALIZED (
  SELECT p.store FROM tillstream.presence p
  WHERE p.table_name = {name} AND p.columns @> {decided}::text[]
    AND NOT EXISTS (SELECT FROM tillstream.store_orders o WHERE o.store = p.store AND o.retired)
    AND NOT EXISTS (SELECT FROM tillstream.quarantines q WHERE q.store = p.store AND q.lifted_at IS NULL
                    AND coalesce(q.table_name, {name}) = {name})
), alone AS MATERIALIZED (
  SELECT t.* FROM json_array_elements_text({given}) AS k(key) CROSS JOIN LATERAL (
    SELECT two.*, count(*) OVER () AS " " FROM (SELECT * FROM stores.{table} t WHERE t._key = k.key LIMIT 2) two
  ) t
  WHERE t." " = 1 AND NOT t._deleted AND t._op NOT IN ('t', 'm') AND t._store IN (SELECT store FROM whole)
), written AS (
  INSERT INTO central.{table} AS t ({columns}, _key, _stores, _winners, _newest, _contested, _uncertain, _policy)
  SELECT {values}, a._key, ARRAY[a._store], {winners}, {newest}, '{{}}', '{{}}', {given} FROM alone a
  {on_conflict}
)
SELECT _key FROM alone""")


def write_alone(table: str, key: tuple[str, ...], kinds: Mapping[str, str], decided: Mapping[str, Alone]) -> str:
    """Takes a list of keys, as JSON, and the policy's number, and returns those of the keys that it decided.

    `kinds` are the types of all columns of central.<table>: of those of `key`, in the order of its parts, which may be
    numbers' that were decided before, and of those of `decided`.
    """
    values = {name: _key_part(place, len(key), kinds[name]) for place, name in enumerate(key)}
    winners, newest = [], []
    for name, each in decided.items():
        column, named = sql.SQL("a.{}").format(sql.Identifier(name)), sql.Literal(name)
        values[name] = sql.SQL("NULL") if each is Alone.NONE else column
        if each is Alone.WINS:
            winners.append(sql.SQL("{}, a._store").format(named))
        if each is Alone.WINS_IF_GIVEN:
            winners.append(sql.SQL("{}, CASE WHEN {} IS NOT NULL THEN a._store END").format(named, column))
            newest.append(
                sql.SQL("{0}, CASE WHEN {1} IS NULL AND a._stamps ? {0} THEN a._store END").format(named, column)
            )
    text = render(
        _WRITE.format(
            table=sql.Identifier(table),
            name=sql.Literal(table),
            decided=sql.Literal([*decided]),
            columns=names(tuple(kinds)),
            values=sql.SQL(", ").join(values[name] for name in kinds),
            winners=_stores_by_column(winners),
            newest=_stores_by_column(newest),
            on_conflict=on_conflict(tuple(kinds)),
            given=sql.SQL("\x00"),
        )
    )
    return text.replace("%", "%%").replace("\x00", "%s")


def _key_part(place: int, parts: int, kind: str) -> sql.Composable:
    text = sql.SQL("a._key") if parts == 1 else sql.SQL("((a._key::jsonb)->>{})").format(sql.Literal(place))
    return sql.SQL("{}::{}").format(text, sql.SQL(kind))


def _stores_by_column(pairs: list[sql.Composed]) -> sql.Composable:
    if not pairs:
        return sql.SQL("'{}'::jsonb")
    return sql.SQL("jsonb_strip_nulls(jsonb_build_object({}))").format(sql.SQL(", ").join(pairs))
