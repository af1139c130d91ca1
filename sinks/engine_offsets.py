"""Debezium's own offset and history, one table each per store, and their comparison with the ledger."""

import json
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from sinks.resync import requests
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """How an engine is to begin. `schema_only`: at its log's present end, without rows; a resync brings them."""

    epoch: int
    schema_only: bool = False
    reason: str = ""  # why it does not go on where it stood


class EngineOffsets:
    """What an engine needs to find before it starts, and whether it may trust it."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def prepare(self, store: str, *, oldest_file: int = 0) -> Beginning:
        """`oldest_file`: the number of the first file that the store's log still has.

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
            has_begun = offset is not None and not _is_reading(offset)
            is_beginning = not has_begun and any(each.table is None for each in requests.open_requests(tx, store))
            if done and not is_beginning and (reason := _mistrust(offset, (file, pos), oldest_file)):
                requests.add(tx, store, reason)
            anew = [each for each in requests.open_requests(tx, store) if each.table is None]
            if any(each.state == "waiting" for each in anew) or (anew and not has_begun):
                self._forget(tx, store)
                requests.begin_store(tx, store)
                return Beginning(epoch=epoch, schema_only=True, reason="; ".join(each.reason for each in anew))
            if offset is None or (has_begun and not done):
                self._forget(tx, store)
            return Beginning(epoch=epoch)

    def _forget(self, tx: Transaction, store: str) -> None:
        # both or neither: a history without its offset describes tables as they were at another position
        tx.execute(sql.SQL("DELETE FROM debezium.{}").format(sql.Identifier(f"offset_{store}")))
        tx.execute(sql.SQL("DELETE FROM debezium.{}").format(sql.Identifier(f"history_{store}")))


def _offset(tx: Transaction, store: str) -> dict[str, Any] | None:
    statement = sql.SQL("SELECT offset_val FROM debezium.{} ORDER BY record_insert_seq DESC LIMIT 1")
    value = tx.value(statement.format(sql.Identifier(f"offset_{store}")))
    return json.loads(value) if value else None


def _is_reading(offset: dict[str, Any]) -> bool:
    """Whether the engine's snapshot had not ended; what has ended stays named until the log goes on."""
    return "snapshot" in offset and not offset.get("snapshot_completed")


def _mistrust(offset: dict[str, Any] | None, ledger: tuple[int, int], oldest_file: int) -> str | None:
    """An offset ahead of the ledger would skip what the warehouse does not have; one behind the log's first file
    lies in what is gone."""
    if offset is None or _is_reading(offset):
        return "its offset was lost"
    at = (file_number(str(offset["file"])), int(offset["pos"]))
    if at > ledger:
        return f"the engine stands at {at[0]:06d}:{at[1]}, ahead of the warehouse at {ledger[0]:06d}:{ledger[1]}"
    if at[0] < oldest_file:
        return f"its binlog was purged before it was read: it begins with file {oldest_file:06d}, {at[0]:06d} was next"
    return None
