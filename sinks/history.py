"""What became of central.*: when, from what to what, and why. It is told, and decides nothing.

Triggers on central.* keep it, so that whoever writes there has no hand in it but saying why. `run` lets go of what is
older than it is to be kept.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from sinks.names import identifier
from sinks.statements import history as statements
from sinks.warehouse import Transaction, Warehouse
from tillstream.config_file import REST
from tillstream.errors import TillstreamError

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
ROWS_AT_ONCE, REST_SECONDS = 5_000, 0.5  # let go in a few ms, and then the worker has the disk to itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One column's value became another; without `column` the row came to be."""

    at: datetime
    key: str
    column: str | None
    value_before: str | None
    value: str | None
    winner_before: str | None  # store; None where the value is no single store's
    winner: str | None
    reason: str
    version_before: int | None  # of the policy; None where there was no row
    version: int | None  # None where the row is gone


def because(tx: Transaction, reason: str) -> None:
    """Keys that this transaction leaves to be decided again are so for this reason."""
    tx.execute(statements.BECAUSE, [reason])


def tell_reasons(tx: Transaction, reasons: Mapping[str, str]) -> None:
    """What this transaction writes of the next table's keys it writes because of that."""
    tx.execute(statements.REASONS, [json.dumps(reasons, ensure_ascii=False)])


def keep_history(tx: Transaction, central: Mapping[str, Iterable[str]]) -> None:
    """Triggers on all tables of central.*, by their columns as they are now, unless nothing is kept of them."""
    kept = dict(tx.rows(statements.KEPT))
    present = dict(tx.rows(statements.PRESENT))
    for table, columns in central.items():
        name = statements.function_of(table)
        place = sql.Identifier(name)
        if not kept.get(table, kept[REST]):
            if name in present:
                tx.execute(statements.DROP.format(function=place))
            continue
        wanted = statements.keeping(table, list(columns))
        digest = hashlib.sha256("".join(wanted).encode()).hexdigest()
        if present.get(name) != digest:
            for statement in wanted:
                tx.execute(statement)
            tx.execute(statements.COMMENT.format(function=place, text=sql.Literal(digest)))


def changes_of(tx: Transaction, table: str, keys: list[str], columns: list[str], most: int) -> list[Change]:
    """The latest first."""
    return [
        Change(
            at=at, key=key, column=column, value_before=value_before, value=value,
            winner_before=winner_before, winner=winner, reason=reason, version_before=version_before, version=version,
        )
        for at, key, reason, version_before, version, column, value_before, value, winner_before, winner
        in tx.rows(statements.OF_KEYS, [table, keys, columns, most])
    ]  # fmt: skip


class HistoryKeeper(threading.Thread):
    """Lets go of what is old, a little at a time, until told to stop."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(name="history", daemon=True)
        self._warehouse = warehouse
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        wait_seconds = 0.0
        while not self._stopping.wait(wait_seconds):
            wait_seconds = LOOK_SECONDS
            try:
                if let_go(self._warehouse):
                    wait_seconds = REST_SECONDS
            except TillstreamError as error:
                log.debug("history: %s", error)


def keep_for(warehouse: Warehouse, seconds: Mapping[str, float]) -> None:
    """How long, by table as the stores call it; what is not named as long as `*`."""
    with warehouse.transaction() as tx:
        tx.execute(statements.FORGET_KEPT)
        names = [table if table == REST else identifier(table) for table in seconds]
        tx.execute(statements.KEEP, [names, [round(each) for each in seconds.values()]])


def let_go(warehouse: Warehouse) -> int:
    """Of every table some that is too old; how many rows that were."""
    with warehouse.transaction() as tx:
        kept = dict(tx.rows(statements.KEPT))
        tables = [table for (table,) in tx.rows(statements.TABLES)]
        return sum(
            max(tx.execute(statements.PRUNE, [table, kept.get(table, kept[REST]), ROWS_AT_ONCE]), 0) for table in tables
        )
