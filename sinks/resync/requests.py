"""What is to be read anew, kept in the warehouse: a resync outlives the process that asked for it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sinks.ledger import versions_at
from sinks.warehouse import Transaction, Warehouse
from tillstream.envelope import Stamp
from tillstream.errors import TransientError

_OPEN = "state IN ('waiting', 'reading')"
_FIELDS = (
    "id, store, database, table_name, condition, reason, state, epoch, file, pos, after, expected_rows, rows,"
    " mended, withdrawn, error, extract(epoch FROM clock_timestamp() - began_at)::float8"
)

# The same thing asked for twice, and not begun yet, is one request.
_ADD = """\
INSERT INTO tillstream.resyncs (store, database, table_name, condition, reason)
SELECT %(store)s, %(database)s, %(table)s, %(condition)s, %(reason)s
WHERE NOT EXISTS (
  SELECT FROM tillstream.resyncs WHERE state = 'waiting' AND store = %(store)s
    AND database IS NOT DISTINCT FROM %(database)s AND table_name IS NOT DISTINCT FROM %(table)s
    AND condition IS NOT DISTINCT FROM %(condition)s)
RETURNING id"""
_BEGIN = """\
UPDATE tillstream.resyncs SET state = 'reading', epoch = %s, file = %s, pos = %s, after = NULL, expected_rows = %s,
  rows = 0, mended = 0, began_at = clock_timestamp()
WHERE id = %s"""
_ADVANCE = "UPDATE tillstream.resyncs SET after = %s, rows = rows + %s, mended = mended + %s WHERE id = %s"
_FINISH = """\
UPDATE tillstream.resyncs SET state = %s, withdrawn = %s, error = %s, finished_at = clock_timestamp() WHERE id = %s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One table to read, or, with no table, a store that is to begin anew."""

    id: int
    store: str
    database: str | None
    table: str | None
    condition: str | None
    reason: str
    state: str
    floor: Stamp | None  # where the log stood when its first chunk was read
    after: tuple[str, ...] | None
    expected_rows: int
    rows: int
    mended: int
    withdrawn: int
    error: str | None
    began_seconds_ago: float | None  # since its first chunk went in

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far, and by the store's own estimate of its rows; None while nothing can be said."""
        rest = self.expected_rows - self.rows
        if self.state != "reading" or not self.rows or not self.began_seconds_ago or rest <= 0:
            return None
        return rest * self.began_seconds_ago / self.rows


def add(
    tx: Transaction,
    store: str,
    reason: str,
    *,
    database: str | None = None,
    table: str | None = None,
    condition: str | None = None,
) -> int | None:
    """The request's number; None if the same one waits already."""
    found = tx.rows(
        _ADD, {"store": store, "database": database, "table": table, "condition": condition, "reason": reason}
    )
    return int(found[0][0]) if found else None


def open_requests(tx: Transaction, store: str | None = None) -> list[Request]:
    """In the order they were asked for; those of a whole store first, as everything else rests on them."""
    rows = tx.rows(
        f"SELECT {_FIELDS} FROM tillstream.resyncs WHERE {_OPEN} AND (%s::text IS NULL OR store = %s)"
        " ORDER BY table_name IS NOT NULL, id",
        [store, store],
    )
    return [_request(row) for row in rows]


def failed_requests(tx: Transaction) -> list[Request]:
    """Those that nothing has made good since."""
    rows = tx.rows(
        f"SELECT {_FIELDS} FROM tillstream.resyncs r WHERE state = 'failed' AND condition IS NULL AND NOT EXISTS ("
        "  SELECT FROM tillstream.resyncs d WHERE d.store = r.store AND d.table_name = r.table_name"
        "  AND d.condition IS NULL AND d.id > r.id) ORDER BY id"
    )
    return [_request(row) for row in rows]


def found(tx: Transaction, numbers: Sequence[int]) -> list[Request]:
    rows = tx.rows(f"SELECT {_FIELDS} FROM tillstream.resyncs WHERE id = ANY(%s) ORDER BY id", [list(numbers)])
    return [_request(row) for row in rows]


def since(tx: Transaction, number: int, store: str) -> list[Request]:
    """The request and those that were made of it or asked for after it."""
    rows = tx.rows(f"SELECT {_FIELDS} FROM tillstream.resyncs WHERE id >= %s AND store = %s ORDER BY id",
                   [number, store])  # fmt: skip
    return [_request(row) for row in rows]


def begin_store(tx: Transaction, store: str) -> None:
    """The store's engine starts at its log's present end: whatever was read of its tables so far is read again."""
    tx.execute(
        f"UPDATE tillstream.resyncs SET state = 'reading', epoch = NULL WHERE {_OPEN} AND store = %s"
        " AND table_name IS NULL",
        [store],
    )
    tx.execute(
        f"UPDATE tillstream.resyncs SET state = 'waiting', epoch = NULL, after = NULL WHERE {_OPEN} AND store = %s"
        " AND table_name IS NOT NULL",
        [store],
    )


def store_has_begun(tx: Transaction, store: str, at: Stamp) -> bool:
    """Its engine follows the log from here: the tables can be read, and nothing falls between. Whether anybody had
    asked for it."""
    begun = tx.execute(
        "UPDATE tillstream.resyncs SET epoch = %s, file = %s, pos = %s"
        " WHERE state = 'reading' AND store = %s AND table_name IS NULL",
        [at.epoch, at.file, at.pos, store],
    )
    return begun > 0


def require_unchanged(tx: Transaction, request: Request, after: Sequence[str] | None) -> None:
    """TransientError if the store has begun anew meanwhile: what was read then belongs to another reading."""
    kept = tx.rows(f"SELECT after FROM tillstream.resyncs WHERE id = %s AND {_OPEN} FOR UPDATE", [request.id])
    if not kept or kept[0][0] != (None if after is None else list(after)):
        raise TransientError(f"store {request.store}: reading {request.table} anew has begun again")


def begin(tx: Transaction, request: Request, floor: Stamp, expected_rows: int) -> None:
    tx.execute(_BEGIN, [floor.epoch, floor.file, floor.pos, expected_rows, request.id])


def advance(tx: Transaction, request: Request, after: Sequence[str], rows: int, mended: int) -> None:
    tx.execute(_ADVANCE, [json.dumps(list(after)), rows, mended, request.id])


def finish(tx: Transaction, request: Request, withdrawn: int = 0) -> None:
    tx.execute(_FINISH, ["done", withdrawn, None, request.id])


def fail(tx: Transaction, request: Request, error: str) -> None:
    tx.execute(_FINISH, ["failed", 0, error, request.id])


class RequestBook:
    """For who watches over stores: asks for what must be read anew, in transactions of its own."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def must_begin_anew(self, store: str) -> bool:
        """Whether that was asked for since the store's engine started."""
        with self._warehouse.transaction() as tx:
            return any(each.table is None and each.state == "waiting" for each in open_requests(tx, store))

    def begin_anew(self, store: str, reason: str) -> None:
        with self._warehouse.transaction() as tx:
            add(tx, store, reason)

    def read_anew(self, store: str, reason: str, table: str | None) -> None:
        """This table, or, if it is not known under that name, all of them; the store's engine goes on."""
        with self._warehouse.transaction() as tx:
            versions = versions_at(tx, store)
            named = [each for each in versions if each.table == table]
            for version in named or versions:
                add(tx, store, reason, database=version.database, table=version.table)


def _request(row: tuple[Any, ...]) -> Request:
    number, store, database, table, condition, reason, state, epoch, file, pos, after, expected, *rest = row
    rows, mended, withdrawn, error, began_seconds_ago = rest
    return Request(
        id=number,
        store=store,
        database=database,
        table=table,
        condition=condition,
        reason=reason,
        state=state,
        floor=None if epoch is None else asked_stamp(epoch, (file, pos), number),
        after=None if after is None else tuple(after),
        expected_rows=expected,
        rows=rows,
        mended=mended,
        withdrawn=withdrawn,
        error=error,
        began_seconds_ago=began_seconds_ago,
    )


def asked_stamp(epoch: int, position: tuple[int, int], number: int) -> Stamp:
    """Where rows stand that the store was asked for: after all that ends at this position and all that was asked for
    there before, in front of all that begins there."""
    return Stamp(epoch, *position, -1, number)


def next_number(tx: Transaction) -> int:
    """For rows that are asked for without a request."""
    return int(tx.value("SELECT nextval(pg_get_serial_sequence('tillstream.resyncs', 'id'))"))
