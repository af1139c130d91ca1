"""stores.<table>: each store's rows as they are. COPY into a stage, then one guarded upsert."""

from dataclasses import dataclass

from psycopg import sql

from conflict.resolution import OPENING
from sinks.statements import names, quoted, render, stage_name
from sinks.statements.holds import CHANGES

STAMP = ("_epoch", "_file", "_pos", "_row", "_order")
ROW_META = ("_store", "_pk", *STAMP, "_event_us", "_op", "_deleted")
SHARED_META = ("_key", "_stamps", "_moved_from")

CREATE = sql.SQL("""\
CREATE TABLE IF NOT EXISTS stores.{table} (
  _store text COLLATE "C" NOT NULL,
  _pk text COLLATE "C" NOT NULL,
  _epoch int NOT NULL, _file int NOT NULL, _pos bigint NOT NULL, _row int NOT NULL, _order bigint NOT NULL,
  _event_at timestamptz,
  _seen_at timestamptz NOT NULL DEFAULT now(),
  _op text NOT NULL,
  _deleted boolean NOT NULL,
  _key text COLLATE "C",
  _stamps jsonb,
  PRIMARY KEY (_store, _pk)
)""")
ADD_COLUMN = sql.SQL("ALTER TABLE {schema}.{table} ADD COLUMN IF NOT EXISTS {column} {type}")
WIDEN = sql.SQL("ALTER TABLE {schema}.{table} ALTER COLUMN {column} TYPE {type} USING {column}::{type}")
INDEX_KEY = sql.SQL("CREATE INDEX IF NOT EXISTS {index} ON stores.{table} (_key, _store) WHERE _key IS NOT NULL")

_STAGE = sql.SQL("""\
CREATE TEMP TABLE IF NOT EXISTS {stage} (
  {columns},
  _store text COLLATE "C", _pk text COLLATE "C",
  _epoch int, _file int, _pos bigint, _row int, _order bigint,
  _event_us bigint, _op text, _deleted boolean,
  _key text COLLATE "C", _stamps jsonb, _moved_from text COLLATE "C"
) ON COMMIT DELETE ROWS""")

_COPY = sql.SQL("COPY {stage} ({columns}) FROM STDIN")

# Rows are locked in the order of their keys, whoever writes them. A stage is sorted before it is copied (it is a third
# of the statement's time in PostgreSQL to do it here), and a temporary table is read in the order it was written; only
# where rows of the stage were updated since is it sorted anew.
_UPSERT = sql.SQL("""\
INSERT INTO stores.{table} AS t
  ({columns}, _store, _pk, _epoch, _file, _pos, _row, _order, _event_at, _op, _deleted)
SELECT {staged}, s._store, s._pk, s._epoch, s._file, s._pos, s._row, s._order,
       timestamptz 'epoch' + s._event_us * interval '1 microsecond', s._op, s._deleted
FROM {stage} s
{order}
ON CONFLICT (_store, _pk) DO UPDATE SET
  {assignments},
  _epoch = EXCLUDED._epoch, _file = EXCLUDED._file, _pos = EXCLUDED._pos,
  _row = EXCLUDED._row, _order = EXCLUDED._order,
  _event_at = EXCLUDED._event_at, _seen_at = EXCLUDED._seen_at,
  _op = EXCLUDED._op, _deleted = EXCLUDED._deleted
WHERE (t._epoch, t._file, t._pos, t._row, t._order)
    < (EXCLUDED._epoch, EXCLUDED._file, EXCLUDED._pos, EXCLUDED._row, EXCLUDED._order)""")

# A lane's own events lie above every floor that the lane has raised. What does not come in its lane's order (a dead
# letter tried again, an answer of the store) may lie below: it does not live.
_SINK_BELOW_FLOOR = sql.SQL("""\
UPDATE {stage} s SET _deleted = true, _op = CASE s._op WHEN 'd' THEN 'd' ELSE 't' END
FROM tillstream.floors f
WHERE f.table_name = {name} AND f.store = s._store
  AND (s._epoch, s._file, s._pos, s._row, s._order) < (f.epoch, f.file, f.pos, f.row, f.ord)""")

# What the store was asked for and is there already: known to stand at this position, and otherwise left as it is.
_TOUCH = sql.SQL("""\
WITH same AS (
  UPDATE stores.{table} t SET
    _epoch = s._epoch, _file = s._file, _pos = s._pos, _row = s._row, _order = s._order
  FROM {stage} s
  WHERE t._store = s._store AND t._pk = s._pk AND NOT t._deleted AND NOT s._deleted
    AND (t._epoch, t._file, t._pos, t._row, t._order) < (s._epoch, s._file, s._pos, s._row, s._order)
    AND ({stored}) IS NOT DISTINCT FROM ({staged})
  RETURNING t._store, t._pk)
DELETE FROM {stage} s USING same WHERE s._store = same._store AND s._pk = same._pk""")

_UPSERT_SHARED = sql.SQL("""\
INSERT INTO stores.{table} AS t
  ({columns}, _store, _pk, _epoch, _file, _pos, _row, _order, _event_at, _op, _deleted,
   _key, _stamps)
SELECT {staged}, s._store, s._pk, s._epoch, s._file, s._pos, s._row, s._order,
       timestamptz 'epoch' + s._event_us * interval '1 microsecond', s._op, s._deleted,
       s._key,
       CASE WHEN (SELECT true FROM stores.{table} n WHERE n._store = s._store AND n._pk = s._pk LIMIT 1) IS NULL
         THEN s._stamps - '' ELSE s._stamps END
FROM {stage} s
ORDER BY s._store, s._pk
ON CONFLICT (_store, _pk) DO UPDATE SET
  {assignments},
  _epoch = EXCLUDED._epoch, _file = EXCLUDED._file, _pos = EXCLUDED._pos,
  _row = EXCLUDED._row, _order = EXCLUDED._order,
  _event_at = EXCLUDED._event_at, _seen_at = EXCLUDED._seen_at,
  _op = EXCLUDED._op, _deleted = EXCLUDED._deleted, _key = EXCLUDED._key,
  _stamps = CASE WHEN EXCLUDED._stamps ? '' THEN {joined}
                 ELSE tillstream.try_again('another one inserted the same row meanwhile') END
WHERE (t._epoch, t._file, t._pos, t._row, t._order)
    < (EXCLUDED._epoch, EXCLUDED._file, EXCLUDED._pos, EXCLUDED._row, EXCLUDED._order)
RETURNING _store, _pk, _key, _deleted""")

# A primary key changed, nothing else need have: the new row inherits the old row's stamps.
_INHERIT = sql.SQL("""\
UPDATE {stage} s SET
  _stamps = {joined} || jsonb_build_object('', s._stamps->'')
FROM stores.{table} o
WHERE s._moved_from IS NOT NULL AND o._store = s._store AND o._pk = s._moved_from""")

# Aliases change while no transaction that writes keys is open (see `policy_versions.enter` and `alone`).
_COUNT_UNDER = sql.SQL("""\
UPDATE {stage} s SET _key = a.canonical FROM tillstream.aliases a WHERE a.table_name = {name} AND a.key = s._key""")

_LOCK_ROWS = sql.SQL("""\
SELECT t.* FROM (SELECT _store, _pk FROM {stage} ORDER BY _store, _pk) s CROSS JOIN LATERAL (
  SELECT t._store, t._pk, t._key, t._deleted FROM stores.{table} t
  WHERE t._store = s._store AND t._pk = s._pk LIMIT 1 FOR UPDATE) t""")

_TAKE_KEYLESS = sql.SQL("""\
UPDATE stores.{table} SET _deleted = true, _op = %(op)s, _event_at = now(),
  _epoch = %(epoch)s, _file = %(file)s, _pos = %(pos)s, _row = %(row)s, _order = %(order)s
WHERE ctid = (
  SELECT ctid FROM stores.{table}
  WHERE _store = %(store)s AND _pk >= %(content)s || ':' AND _pk < %(content)s || ';' AND NOT _deleted
  ORDER BY _epoch, _file, _pos, _row, _order LIMIT 1)""")

WITHDRAW_BELOW = sql.SQL("""\
UPDATE stores.{table} SET _deleted = true, _op = 't'
WHERE _store = %(store)s AND NOT _deleted
  AND (_epoch, _file, _pos, _row, _order) < (%(epoch)s, %(file)s, %(pos)s, %(row)s, %(ord)s)
RETURNING _key""")

WITHDRAW_ROWS = sql.SQL("""\
UPDATE stores.{table} SET _deleted = true, _op = 't',
  _epoch = %(epoch)s, _file = %(file)s, _pos = %(pos)s, _row = %(row)s, _order = %(ord)s
WHERE _store = %(store)s AND _pk = ANY(%(pks)s) AND NOT _deleted
  AND (_epoch, _file, _pos, _row, _order) < (%(epoch)s, %(file)s, %(pos)s, %(row)s, %(ord)s)
RETURNING _key""")

BACKFILL = sql.SQL("""\
UPDATE stores.{table} SET {column} = %(value)s::text::{type}, _stamps = _stamps - %(registers)s::text[]
WHERE _store = %(store)s AND ({column} IS DISTINCT FROM %(value)s::text::{type} OR _stamps ?| %(registers)s::text[])
  AND (_epoch, _file, _pos, _row, _order) < (%(epoch)s, %(file)s, %(pos)s, %(row)s, %(ord)s)
RETURNING _key""")

ANY_LIVE = sql.SQL("""\
SELECT 1 FROM stores.{table} WHERE _store = %(store)s AND NOT _deleted
  AND (_epoch, _file, _pos, _row, _order) < (%(epoch)s, %(file)s, %(pos)s, %(row)s, %(ord)s) LIMIT 1""")


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorStatements:
    """Everything one shape of one table needs."""

    stage: str
    create_stage: str
    clear_stage: str
    copy: str
    upsert: str
    upsert_late: str
    sink_below_floor: str
    touch: str
    changes: str
    lock_rows: str
    count_under: str
    inherit: str
    take_keyless: str


def mirror_statements(
    table: str,
    columns: tuple[str, ...],
    types: tuple[str, ...],
    *,
    shared: bool,
    stamped: tuple[str, ...],
    opened: tuple[tuple[str, int], ...] = (),
) -> MirrorStatements:
    """`columns` are warehouse names, `types` those of the warehouse's table, `stamped` the columns with stamps,
    `opened` those whose values around an opening are kept, with that."""
    stage = stage_name(table, columns, types, shared)
    parts = {
        "table": sql.Identifier(table),
        "name": sql.Literal(table),
        "stage": sql.Identifier(stage),
        "columns": names(columns),
        "staged": names(columns, "s."),
        "stored": names(columns, "t."),
        "assignments": sql.SQL(", ").join(
            sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(column)) for column in columns
        ),
    }
    declared = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
        for column, kind in zip(columns, types, strict=True)
    )
    meta = ROW_META + (SHARED_META if shared else ())
    return MirrorStatements(
        stage=stage,
        create_stage=render(_STAGE.format(stage=parts["stage"], columns=declared)),
        clear_stage=render(sql.SQL("DELETE FROM {stage}").format(stage=parts["stage"])),
        copy=render(_COPY.format(stage=parts["stage"], columns=names((*columns, *meta)))),
        upsert=render(
            _UPSERT_SHARED.format(**parts, joined=_joined(stamped, opened, "t", "EXCLUDED"))
            if shared
            else _UPSERT.format(**parts, order=sql.SQL(""))
        ),
        upsert_late=render(_UPSERT.format(**parts, order=sql.SQL("ORDER BY s._store, s._pk"))),
        sink_below_floor=render(_SINK_BELOW_FLOOR.format(**parts)),
        touch=render(_TOUCH.format(**parts)),
        changes=render(CHANGES.format(**parts)),
        lock_rows=render(_LOCK_ROWS.format(**parts)),
        count_under=render(_COUNT_UNDER.format(**parts)),
        inherit=render(_INHERIT.format(**parts, joined=_joined(stamped, opened, "o", "s"))),
        take_keyless=render(_TAKE_KEYLESS.format(table=quoted(table))),
    )


def _joined(
    stamped: tuple[str, ...], opened: tuple[tuple[str, int], ...], stored: str, incoming: str
) -> sql.Composable:
    both = {"stored": sql.SQL(stored), "incoming": sql.SQL(incoming)}
    joined = sql.SQL("tillstream.join_stamps({stored}._stamps, {incoming}._stamps, {missed})").format(
        **both, missed=_missed(stamped, stored, incoming)
    )
    if not opened:
        return joined
    return sql.SQL("tillstream.join_around({joined}, {stored}._stamps, {incoming}._stamps, {held})").format(
        **both, joined=joined, held=_held(opened, stored, incoming)
    )


def _held(opened: tuple[tuple[str, int], ...], stored: str, incoming: str) -> sql.Composable:
    """A row that was deleted holds nothing; one that was withdrawn may be there again, as it was."""
    facts = sql.SQL(", ").join(
        sql.SQL("{name}, jsonb_build_array({opening}, {was}, {comes})").format(
            name=sql.Literal(column + OPENING),
            opening=sql.Literal(str(opening_us)),
            was=_value_there(stored, column),
            comes=_value_there(incoming, column),
        )
        for column, opening_us in opened
    )
    return sql.SQL("jsonb_build_object({})").format(facts)


def _value_there(row: str, column: str) -> sql.Composable:
    return sql.SQL("CASE WHEN {row}._op <> 'd' THEN {row}.{column}::text END").format(
        row=sql.SQL(row), column=sql.Identifier(column)
    )


def _missed(stamped: tuple[str, ...], stored: str, incoming: str) -> sql.Composable:
    """Columns that differ from what is stored although no event of the batch changed them: an event was missed."""
    if not stamped:
        return sql.SQL("'{}'::text[]")
    cases = sql.SQL(", ").join(
        sql.SQL(
            "CASE WHEN {stored}.{column} IS DISTINCT FROM {incoming}.{column}"
            " AND NOT {incoming}._stamps ? {name} THEN {name} END"
        ).format(
            stored=sql.SQL(stored),
            incoming=sql.SQL(incoming),
            column=sql.Identifier(column),
            name=sql.Literal(column),
        )
        for column in stamped
    )
    return sql.SQL("array_remove(ARRAY[{}]::text[], NULL)").format(cases)
