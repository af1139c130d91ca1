"""The store is asked for the rows that were noted, and its answers take the place of what the log told."""

from collections import defaultdict
from contextlib import suppress

import pymysql

from sinks.ledger import mark_dirty, versions_at
from sinks.policy_versions import enter
from sinks.resync import requests
from sinks.resync.asking import MOST_AT_ONCE, UNTOLD, as_logged
from sinks.resync.table_reader import TableReader, key_literals
from sinks.resync.table_resync import GONE, write_rows
from sinks.row_codec import Row, RowCodec, Shapes
from sinks.statements import mirror as mirror_sql
from sinks.statements import quoted
from sinks.store_session import Position, StoreSession
from sinks.warehouse import Transaction, Warehouse
from tillstream.envelope import Stamp, TableVersion
from tillstream.errors import RefusedError

_NOTED = "SELECT id, database, table_name, key FROM tillstream.to_ask WHERE store = %s ORDER BY id LIMIT %s"
_MANY = """\
SELECT database, table_name FROM tillstream.to_ask WHERE store = %s
GROUP BY database, table_name HAVING count(*) > %s"""
_DONE = "DELETE FROM tillstream.to_ask WHERE id = ANY(%s)"
_DONE_TABLE = "DELETE FROM tillstream.to_ask WHERE store = %s AND database = %s AND table_name = %s"
_SUPERSEDE = """\
UPDATE tillstream.dead_letters SET status = 'superseded', settled_at = clock_timestamp()
WHERE status = 'open' AND store = %s AND table_name = %s AND pk = ANY(%s)
  AND (epoch, file, pos, row, ord) < (%s, %s, %s, %s, %s)"""


class Answers:
    def __init__(self, session: StoreSession, warehouse: Warehouse, shapes: Shapes, store: str) -> None:
        self._session, self._warehouse, self._shapes, self._store = session, warehouse, shapes, store

    def fetch(self) -> None:
        """Ask for what is noted now. It stays noted where the warehouse does not follow the store's log yet."""
        with self._warehouse.transaction() as tx:
            for database, table in tx.rows(_MANY, [self._store, MOST_AT_ONCE]):
                requests.add(tx, self._store, UNTOLD, database=database, table=table)
                tx.execute(_DONE_TABLE, [self._store, database, table])
            noted = tx.rows(_NOTED, [self._store, MOST_AT_ONCE])
            versions = {(each.database, each.table): each for each in versions_at(tx, self._store)}
        by_table: dict[tuple[str, str], dict[int, Row]] = defaultdict(dict)
        for number, database, table, key in noted:
            by_table[database, table][number] = as_logged(key)
        if not by_table:
            return
        low = self._session.low()
        for place, keys in by_table.items():
            version = versions.get(place)
            if version is None or not version.primary_key or self._fetch_table(version, list(keys.values()), low):
                with self._warehouse.transaction() as tx:
                    tx.execute(_DONE, [list(keys)])

    def _fetch_table(self, version: TableVersion, keys: list[Row], low: Position) -> bool:
        """Whether that is done. `low` lies behind all that was noted."""
        logged, asked = self._shapes.of(version), self._shapes.of(version, asked=True)
        literals: dict[tuple[str, ...], str] = {}
        for key in keys:
            with suppress(ValueError, KeyError):  # its letter stays open, for a person
                literals[key_literals(logged, key, self._session)] = logged.pk_of(key)
        if not literals:
            return True
        try:
            rows = TableReader(self._session, asked).rows_with(sorted(literals))
        except (RefusedError, pymysql.err.ProgrammingError, pymysql.err.OperationalError) as error:
            if not isinstance(error, RefusedError) and error.args[0] not in GONE:
                raise
            with self._warehouse.transaction() as tx:  # what is to be done then is known where whole tables are read
                requests.add(tx, self._store, UNTOLD, database=version.database, table=version.table)
            return True
        epoch = self._session.follow()
        if epoch is None:
            return False
        with self._warehouse.transaction() as tx:
            enter(tx, self._shapes.policy_id)
            stamp = requests.asked_stamp(epoch, low, requests.next_number(tx))
            write_rows(tx, asked, self._store, rows, stamp)
            gone = set(literals.values()) - {asked.pk_of(row.image) for row in rows}
            _withdraw(tx, asked, self._store, sorted(gone), stamp)
        return True


def _withdraw(tx: Transaction, codec: RowCodec, store: str, pks: list[str], stamp: Stamp) -> None:
    """The store does not have these rows any more, nor anything to set aside of them."""
    where = {
        "store": store, "pks": pks, "epoch": stamp.epoch, "file": stamp.file, "pos": stamp.pos, "row": stamp.row,
        "ord": stamp.order,
    }  # fmt: skip
    keys = tx.rows(mirror_sql.WITHDRAW_ROWS.format(table=quoted(codec.table)), where)
    mark_dirty(tx, {(codec.table, key) for (key,) in keys if key is not None}, f"store {store} was asked")
    tx.execute(_SUPERSEDE, [store, codec.table, pks, *stamp])
