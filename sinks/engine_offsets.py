"""Debezium's own offset and history, one table each per store, and their comparison with the ledger."""

import json
from typing import Any

from psycopg import sql

from sinks.warehouse import Transaction, Warehouse
from tillstream.envelope import file_number

_OFFSET = sql.SQL("""\
CREATE TABLE IF NOT EXISTS debezium.{} (
  id varchar(36) NOT NULL, offset_key text, offset_val text,
  record_insert_ts timestamp NOT NULL, record_insert_seq integer NOT NULL)""")
_HISTORY = sql.SQL("""\
CREATE TABLE IF NOT EXISTS debezium.{} (
  id varchar(36) NOT NULL, history_data text, history_data_seq integer,
  record_insert_ts timestamp NOT NULL, record_insert_seq integer NOT NULL)""")


class EngineOffsets:
    """What an engine needs to find before it starts, and whether it may trust it."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def prepare(self, store: str) -> tuple[int, str | None]:
        """The store's epoch, and why its offset was thrown away, if it was: then the engine reads the store anew.

        The tables are made here: Debezium's own check for them takes `_` in a name for a wildcard.
        """
        with self._warehouse.transaction() as tx:
            tx.execute(_OFFSET.format(sql.Identifier(f"offset_{store}")))
            tx.execute(_HISTORY.format(sql.Identifier(f"history_{store}")))
            tx.execute("INSERT INTO tillstream.ledger (store) VALUES (%s) ON CONFLICT DO NOTHING", [store])
            epoch, file, pos, done = tx.rows(
                "SELECT epoch, file, pos, snapshot_done FROM tillstream.ledger WHERE store = %s", [store]
            )[0]
            offset = _offset(tx, store)
            reason = _mistrust(offset, (file, pos), done)
            if offset is None or reason is not None:
                self._forget(tx, store)
            return int(epoch), reason

    def reset(self, store: str) -> None:
        """Forget the engine's offset, so that its next start reads the whole store anew."""
        with self._warehouse.transaction() as tx:
            if tx.value("SELECT to_regclass(%s)", [f"debezium.offset_{store}"]) is not None:
                self._forget(tx, store)
            tx.execute("UPDATE tillstream.ledger SET snapshot_done = false WHERE store = %s", [store])

    def _forget(self, tx: Transaction, store: str) -> None:
        # both or neither: a history without its offset describes tables as they were at another position
        tx.execute(sql.SQL("DELETE FROM debezium.{}").format(sql.Identifier(f"offset_{store}")))
        tx.execute(sql.SQL("DELETE FROM debezium.{}").format(sql.Identifier(f"history_{store}")))


def _offset(tx: Transaction, store: str) -> dict[str, Any] | None:
    statement = sql.SQL("SELECT offset_val FROM debezium.{} ORDER BY record_insert_seq DESC LIMIT 1")
    value = tx.value(statement.format(sql.Identifier(f"offset_{store}")))
    return json.loads(value) if value else None


def _mistrust(offset: dict[str, Any] | None, ledger: tuple[int, int], snapshot_done: bool) -> str | None:
    """An offset ahead of the ledger would skip what the warehouse does not have."""
    if offset is None or "snapshot" in offset:
        return None  # nothing read yet, or not to the end: the engine begins again by itself
    at = (file_number(str(offset["file"])), int(offset["pos"]))
    if not snapshot_done:
        return "the engine has finished a snapshot that the warehouse has not"
    if at > ledger:
        return f"the engine stands at {at[0]:06d}:{at[1]}, ahead of the warehouse at {ledger[0]:06d}:{ledger[1]}"
    return None
