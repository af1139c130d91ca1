"""One table of one store read anew while its log goes on, chunk by chunk, each in one transaction.

`low` is a position of the log, everything up to which could be seen when the chunk was read. Its rows are stamped
with it: what the log changed since has a later stamp and stays, or comes later and wins. A chunk goes in once the
warehouse has followed the log past the reading; rows of the whole table below the first chunk's `low` were found in
no chunk and were changed by nothing since, so the store no longer has them.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pymysql
from pymysql.constants import ER

from sinks.dead_letters import DeadLetters
from sinks.evolution import Catalog
from sinks.fold import Change, Fold, SharedChange, no_key
from sinks.ledger import Ledger, mark_dirty, versions_at
from sinks.mirror import Mirror
from sinks.policy_versions import enter
from sinks.resync import requests
from sinks.resync.pace import Pace
from sinks.resync.requests import Request
from sinks.resync.table_reader import AskedRow, TableReader
from sinks.row_codec import RowCodec, Shapes
from sinks.schema_changes import withdraw_below
from sinks.stage import render
from sinks.store_session import StoreSession
from sinks.warehouse import Transaction, Warehouse
from tillstream.envelope import ChangeEvent, Source, Stamp, TableVersion
from tillstream.errors import RefusedError, TransientError

ASKED = "asked"  # of a change's source: it was read from the store, not from its log
FIRST_CLIENT_ERROR = 2000  # below, the server itself has answered
GONE = {ER.BAD_FIELD_ERROR, ER.NO_SUCH_TABLE, ER.BAD_TABLE_ERROR}


class SchemaMovedError(TransientError):
    """The table's shape changed while a chunk was read: it is read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    rows: Sequence[AskedRow]
    low: Stamp
    is_last: bool


class TableResync:
    """RefusedError where the table cannot be read like this; TransientError where it should be tried again."""

    def __init__(
        self, session: StoreSession, warehouse: Warehouse, shapes: Shapes, request: Request, pace: Pace
    ) -> None:
        self._session, self._warehouse, self._shapes, self._request = session, warehouse, shapes, request
        self._pace = pace
        self._after = request.after
        self._floor = request.floor

    def run(self, should_stop: Callable[[], bool]) -> None:
        """To the end, or until told to stop; what is in stays in, and the next run goes on from there."""
        codec = self._codec()
        if codec is None or not self._session.columns(codec.version.database, codec.version.table):
            self._withdraw_all(codec)
            return
        reader = TableReader(self._session, codec, self._request.condition)
        is_done = False
        while not is_done and not should_stop():
            chunk = self._read(reader)
            self._write(codec, chunk, reader.expected_rows)
            is_done = chunk.is_last

    def _codec(self) -> RowCodec | None:
        version = self._version()
        return None if version is None else self._shapes.of(version, asked=True)

    def _version(self) -> TableVersion | None:
        with self._warehouse.transaction() as tx:
            return _version(tx, self._request)

    def _read(self, reader: TableReader) -> Chunk:
        low = self._session.settled_low()
        try:
            rows, is_last = reader.chunk(self._after, self._pace)
        except pymysql.err.MySQLError as error:
            number = error.args[0] if error.args else 0
            if self._request.condition is not None and number < FIRST_CLIENT_ERROR:
                raise RefusedError(
                    f"MySQL does not take the condition: ({number}) {error.args[-1]}; it is an expression over the "
                    "columns of this table, in the store's own SQL"
                ) from error
            if number in GONE:
                raise SchemaMovedError(f"the table changed while it was read: {error.args[-1]}") from error
            raise
        epoch = self._session.follow()
        if epoch is None:
            raise TransientError(f"store {self._request.store}: the warehouse does not follow its log yet")
        return Chunk(rows=rows, low=requests.asked_stamp(epoch, low, self._request.id), is_last=is_last)

    def _write(self, codec: RowCodec, chunk: Chunk, expected_rows: int) -> None:
        request = self._request
        with self._warehouse.transaction() as tx:
            enter(tx, self._shapes.policy_id)
            requests.require_unchanged(tx, request, self._after)
            self._require_same(tx, codec)
            if self._floor is None:
                self._floor = chunk.low
                requests.begin(tx, request, chunk.low, expected_rows)
            mended = write_rows(tx, codec, request.store, chunk.rows, chunk.low)
            if chunk.rows:
                requests.advance(tx, request, chunk.rows[-1].key, len(chunk.rows), mended)
            if chunk.is_last:
                withdrawn = 0
                if request.condition is None:
                    withdrawn = withdraw_below(tx, Ledger(), request.store, codec, self._floor)
                requests.finish(tx, request, withdrawn)
        if chunk.rows:
            self._after = chunk.rows[-1].key

    def _require_same(self, tx: Transaction, codec: RowCodec) -> None:
        """What was read with one shape in mind must not be written under another."""
        now = _version(tx, self._request)
        if now is None or self._shapes.of(now, asked=True).version != codec.version:
            raise SchemaMovedError("the table's shape changed while it was read")

    def _withdraw_all(self, codec: RowCodec | None) -> None:
        """The store has no such table any more; one that was made again meanwhile is another matter."""
        position = self._session.low()
        if codec is not None and self._session.columns(codec.version.database, codec.version.table):
            raise SchemaMovedError("the table is there again")
        epoch = self._session.follow()
        if epoch is None:
            raise TransientError(f"store {self._request.store}: the warehouse does not follow its log yet")
        with self._warehouse.transaction() as tx:
            enter(tx, self._shapes.policy_id)
            withdrawn = 0
            if codec is not None:
                self._require_same(tx, codec)
                low = requests.asked_stamp(epoch, position, self._request.id)
                withdrawn = withdraw_below(tx, Ledger(), self._request.store, codec, low)
                Ledger().keep_drop(tx, codec, low)
            requests.finish(tx, self._request, withdrawn)


def write_rows(tx: Transaction, codec: RowCodec, store: str, rows: Sequence[AskedRow], low: Stamp) -> int:
    """Put what the store answered beside what is there, never over what is later; how many rows that mended.

    Rows are known not to have changed below `low` since: a difference is one that no event told.
    """
    if not rows:
        return 0
    folded = Fold(odd_text=True)
    at_us = time.time_ns() // 1000
    asked = Source(
        file=str(low.file), pos=low.pos, ts_us=at_us, db=codec.version.database, table=codec.version.table,
        snapshot=ASKED,
    )  # fmt: skip
    staged = folded.rows[codec.shape]
    for row in rows:
        event = ChangeEvent(source=asked, op="r", after=row.image)
        try:
            pk = codec.pk_of(row.image)
        except ValueError as error:
            folded.dead_letters.append(no_key(store, codec, low, event, error))
            continue
        isolated = codec.policy is None
        staged[store, pk] = Change(codec, low, event) if isolated else SharedChange(codec, low, event, at_us)
    catalog, letters = Catalog(), DeadLetters()
    catalog.load(tx)  # with room for all of it: the worker made that when the table was declared like this
    stages = render(folded)
    applied = Mirror(catalog, letters, asked=True).apply(tx, folded, stages)
    letters.flush(tx)
    mark_dirty(tx, applied.touched, f"store {store} was read anew")
    return applied.news


def _version(tx: Transaction, request: Request) -> TableVersion | None:
    for version in versions_at(tx, request.store):
        if (version.database, version.table) == (request.database, request.table):
            return version
    return None
