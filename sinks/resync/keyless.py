"""A table without a key read anew: its rows are known by content alone, so they are counted, not found.

All of it is read as it stood at one position of the log. What the warehouse held there is known: a row carries the
stamp of its insert in its identity, and the stamp of its end once it has one. Where the store has more rows of a
content they are added, where it has fewer the newest are withdrawn.
"""

from collections.abc import Callable

from psycopg import sql

from sinks.columns import column_type
from sinks.copy_text import chunks, copy_line, escaped_fields
from sinks.evolution import Catalog
from sinks.ledger import versions_at
from sinks.resync import requests
from sinks.resync.pace import Pace
from sinks.resync.requests import Request
from sinks.resync.table_reader import backticked, source
from sinks.row_codec import RowCodec, Shapes
from sinks.statements import names, quoted
from sinks.store_session import StoreSession
from sinks.warehouse import Transaction, Warehouse
from tillstream.envelope import Stamp
from tillstream.errors import RefusedError, TransientError

# The worker waits: a TRUNCATE, or a change of a row that is being counted, comes before all of it or after.
_ALONE = sql.SQL("LOCK TABLE stores.{table} IN SHARE ROW EXCLUSIVE MODE")
_EMPTIED = """\
SELECT EXISTS (SELECT FROM tillstream.floors WHERE store = %s AND table_name = %s
               AND (epoch, file, pos, row, ord) > (%s, %s, %s, %s, %s))"""
_READ = sql.SQL("CREATE TEMP TABLE read ({columns}, _content text) ON COMMIT DROP")
_ASKED = """\
CREATE TEMP TABLE asked ON COMMIT DROP AS
SELECT *, row_number() OVER (PARTITION BY _content) AS _number FROM read"""
_HELD = sql.SQL("""\
CREATE TEMP TABLE held ON COMMIT DROP AS
SELECT split_part(_pk, ':', 1) AS _content, count(*) AS _count FROM stores.{table}
WHERE _store = %(store)s AND (string_to_array(split_part(_pk, ':', 2), '.')::bigint[])[1:5] <= %(at)s::bigint[]
  AND (NOT _deleted OR (_epoch, _file, _pos, _row, _order) > (%(epoch)s, %(file)s, %(pos)s, %(row)s, %(order)s))
GROUP BY 1""")
_WITHDRAW = sql.SQL("""\
UPDATE stores.{table} SET _deleted = true, _op = 't',
  _epoch = %(epoch)s, _file = %(file)s, _pos = %(pos)s, _row = %(row)s, _order = %(order)s
WHERE ctid IN (
  SELECT place FROM (
    SELECT t.ctid AS place, h._count,
           row_number() OVER (PARTITION BY h._content ORDER BY t._epoch DESC, t._file DESC, t._pos DESC, t._row DESC,
                              t._order DESC) AS nth,
           (SELECT count(*) FROM asked a WHERE a._content = h._content) AS wanted
    FROM held h JOIN stores.{table} t
      ON t._store = %(store)s AND t._pk >= h._content || ':' AND t._pk < h._content || ';' AND NOT t._deleted
     AND (string_to_array(split_part(t._pk, ':', 2), '.')::bigint[])[1:5] <= %(at)s::bigint[]
  ) numbered
  WHERE nth <= _count - wanted)""")
# Of the rows of one content, numbered, those beyond the number held are missing.
_ADD = sql.SQL("""\
INSERT INTO stores.{table}
  ({columns}, _store, _pk, _epoch, _file, _pos, _row, _order, _event_at, _op, _deleted)
SELECT {asked}, %(store)s, a._content || ':' || %(stamp)s || '.' || a._number,
       %(epoch)s, %(file)s, %(pos)s, %(row)s, %(order)s, clock_timestamp(), 'r', false
FROM asked a LEFT JOIN held h ON h._content = a._content
WHERE a._number > coalesce(h._count, 0)""")


class KeylessResync:
    def __init__(
        self, session: StoreSession, warehouse: Warehouse, shapes: Shapes, request: Request, pace: Pace
    ) -> None:
        self._session, self._warehouse, self._shapes, self._request = session, warehouse, shapes, request
        self._pace = pace

    def run(self, should_stop: Callable[[], bool]) -> None:
        """In one go: there is no key to go on from. RefusedError, TransientError as for any table."""
        request = self._request
        if request.condition is not None:
            raise RefusedError(f"{request.table} has no primary key: it is read as a whole, without --where")
        with self._warehouse.transaction() as tx:
            codec = self._codec(tx)
            count, position = self._read(tx, codec)
            epoch = self._session.follow()
            if epoch is None or should_stop():
                raise TransientError(f"store {request.store}: the warehouse does not follow its log yet")
            with self._warehouse.transaction() as now:
                if self._codec(now).version != codec.version:
                    raise TransientError("the table's shape changed while it was read")
            at = requests.asked_stamp(epoch, position, request.id)
            _require_not_emptied(tx, codec, request.store, at)
            requests.begin(tx, request, at, count)
            added, withdrawn = _settle(tx, codec, request.store, at)
            requests.advance(tx, request, (), count, added)
            requests.finish(tx, request, withdrawn)

    def _codec(self, tx: Transaction) -> RowCodec:
        for version in versions_at(tx, self._request.store):
            if (version.database, version.table) == (self._request.database, self._request.table):
                return self._shapes.of(version, asked=True)
        raise TransientError(f"the store has no table {self._request.table} any more")

    def _read(self, tx: Transaction, codec: RowCodec) -> tuple[int, tuple[int, int]]:
        """All of the store's rows into a stage; how many, and where the log stood."""
        catalog = Catalog()
        catalog.load(tx)
        types = catalog.types(codec.table, codec.columns)
        declared = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in zip(codec.columns, types, strict=True)
        )
        tx.execute(_READ.format(columns=declared))
        asked = [column_type(column).asked.format(c=backticked(column.name)) for column in codec.version.columns]
        table = source(codec)
        select = f"SELECT {', '.join(asked)} FROM {table}"
        with self._session.at_one_position(table, select, self._pace.spread) as (rows, position):
            tx.copy_text("COPY read FROM STDIN", chunks(_line(codec, row) for row in rows))
        tx.execute(_ASKED)
        return int(tx.value("SELECT count(*) FROM asked")), position


def _line(codec: RowCodec, row: tuple[object, ...]) -> str:
    try:
        values = codec.values(dict(zip(codec.names, row, strict=True)))
    except ValueError as error:
        version = codec.version
        raise RefusedError(
            f"store {version.store}: a row of {version.table}, which has no key to set it aside by, cannot be kept: "
            f"{error}"
        ) from None
    return copy_line((*escaped_fields(values), codec.content_pk(values)))


def _require_not_emptied(tx: Transaction, codec: RowCodec, store: str, at: Stamp) -> None:
    """Of rows that went with a TRUNCATE nothing tells that they were there before it."""
    tx.execute(_ALONE.format(table=sql.Identifier(codec.table)))
    if tx.value(_EMPTIED, [store, codec.table, *at]):
        raise TransientError(f"{codec.version.table} was emptied while it was read")


def _settle(tx: Transaction, codec: RowCodec, store: str, at: Stamp) -> tuple[int, int]:
    """How many rows were missing, and how many were too many."""
    parts = {"table": quoted(codec.table), "columns": names(codec.columns), "asked": names(codec.columns, "a.")}
    where = {
        "store": store, "epoch": at.epoch, "file": at.file, "pos": at.pos, "row": at.row, "order": at.order,
        "at": list(at), "stamp": ".".join(str(part) for part in at),
    }  # fmt: skip
    tx.execute(_HELD.format(**parts), where)
    withdrawn = tx.execute(_WITHDRAW.format(**parts), where)
    return tx.execute(_ADD.format(**parts), where), withdrawn
