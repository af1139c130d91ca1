"""Where Debezium says it stands in each store's log, and whether that can be gone on from.

An engine in this process keeps its offset and its history in tables here, one each per store.
"""

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


LOG_END = (2**31, 0)  # behind every position


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """How an engine is to begin. `schema_only`: at its log's present end, without rows; a resync brings them."""

    epoch: int
    generation: int = 0  # of the connector, where Kafka Connect captures
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """By which connector a store is captured. `goes_on`: from its offset, which has to be there."""

    epoch: int = 1
    generation: int = 0
    goes_on: bool = False

    @property
    def beginning(self) -> Beginning:
        return Beginning(epoch=self.epoch, generation=self.generation, schema_only=self.generation > 0)


class ConnectorBeginnings:
    """The same where Kafka Connect keeps the offset: what is ahead of the ledger waits in the lane's topic."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def captured(self, store: str) -> Captured:
        with self._warehouse.transaction() as tx:
            return _captured(tx, store)[0]

    def look(self, store: str, offset: dict[str, Any] | None, *, oldest_file: int = 0) -> Beginning:
        """How its connector is to begin, if it were now; `offset` is that of the ledger's generation."""
        with self._warehouse.transaction() as tx:
            return self._decide(tx, store, offset, oldest_file)

    def prepare(self, store: str, offset: dict[str, Any] | None, *, oldest_file: int = 0) -> Beginning:
        """The same, and it is taken note of: a connector that begins anew is of the next generation."""
        with self._warehouse.transaction() as tx:
            tx.execute("INSERT INTO tillstream.ledger (store) VALUES (%s) ON CONFLICT DO NOTHING", [store])
            beginning = self._decide(tx, store, offset, oldest_file)
            if beginning.reason:
                requests.add(tx, store, beginning.reason)
                requests.begin_store(tx, store)
                tx.execute(
                    "UPDATE tillstream.ledger SET capture_generation = %s WHERE store = %s",
                    [beginning.generation, store],
                )
            return beginning

    def _decide(self, tx: Transaction, store: str, offset: dict[str, Any] | None, oldest_file: int) -> Beginning:
        captured, reasons = _captured(tx, store)
        if captured.goes_on and (reason := _what_connect_lost(offset, oldest_file)):
            reasons = [reason]
        if reasons:
            return Beginning(
                epoch=captured.epoch, generation=captured.generation + 1, schema_only=True, reason="; ".join(reasons)
            )
        return captured.beginning


def _captured(tx: Transaction, store: str) -> tuple[Captured, list[str]]:
    """And for what reasons it is to begin anew."""
    found = tx.rows("SELECT epoch, snapshot_done, capture_generation FROM tillstream.ledger WHERE store = %s", [store])
    epoch, done, generation = found[0] if found else (1, False, 0)
    anew = [each for each in requests.open_requests(tx, store) if each.table is None]
    reasons = [each.reason for each in anew if each.state == "waiting" or not generation]
    return Captured(epoch=epoch, generation=generation, goes_on=done and not anew), reasons


def _what_connect_lost(offset: dict[str, Any] | None, oldest_file: int) -> str | None:
    if offset is None:
        return "Kafka Connect does not know where it was read to"
    return None if _is_reading(offset) else _mistrust(offset, LOG_END, oldest_file)


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
