"""One store's MySQL while it is verified: its rows, where its log ends, and whether the warehouse has followed."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.constants import ER

from sinks.statements import verification as statements
from sinks.verification.row_forms import MD5, SHA256, Hashing
from sinks.warehouse import Warehouse
from tillstream.errors import RefusedError, TransientError

Position = tuple[int, int]  # (file number, position)
Row = tuple[Any, ...]
LOOK_SECONDS = 0.1
LOCK_SECONDS = 5  # who waits for a lock holds others up
_LOCK_SESSION = (
    f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}, innodb_lock_wait_timeout = {LOCK_SECONDS}",
    # Only then does InnoDB lock the table itself: MySQL before 5.7 lets LOCK TABLES pass by open transactions that
    # have written it. From UNLOCK TABLES on nothing of it is left.
    "SET SESSION autocommit = 0, innodb_table_locks = 1",
)
# A new log file begins with its format and the GTIDs of the files before it: no row ends below this position, and an
# engine may have nothing to report from there.
FILE_HEAD_BYTES = 157


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSource:
    """How to ask one store. Both raise TillstreamError where it cannot be asked."""

    id: str
    connect: Callable[[], AbstractContextManager["pymysql.connections.Connection[Any]"]]
    head: Callable[[], Position]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    settle_seconds: float = 1.0  # MySQL 5.6 shows a log position before the rows written there can be seen
    follow_seconds: float = 30.0  # how long the warehouse may take to come up to a store's log


class StoreSession:
    def __init__(
        self,
        source: StoreSource,
        connection: "pymysql.connections.Connection[Any]",
        warehouse: Warehouse,
        patience: Patience,
    ) -> None:
        self._source, self._connection, self._warehouse, self._patience = source, connection, warehouse, patience
        self._stalled_at: tuple[Any, ...] | None = None
        self._heads: deque[tuple[float, Position]] = deque()
        for statement in statements.STORE_SESSION:
            self.rows(statement)
        self.hashing = self._hashing()
        self._epoch = self._require_one_history()

    @property
    def is_stalled(self) -> bool:
        """The warehouse did not follow the store's log in time: capture stands still, or is far behind."""
        return self._stalled_at is not None

    def rows(self, statement: str, parameters: tuple[str, ...] | None = None) -> tuple[tuple[Any, ...], ...]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return tuple(cursor.fetchall())

    @contextmanager
    def at_one_position(
        self, table: str, select: str, spread: Callable[[Iterator[Row]], Iterator[Row]]
    ) -> Iterator[tuple[Iterator[Row], Position]]:
        """What a SELECT from this table finds, one by one, and the position of the log at which that is so.

        The lock keeps the table's writers out while the position is read: no transaction that has written it is
        open then. It is given up at once where the engine has snapshots of its own; MyISAM's readers keep it, and
        hurry. The others `spread` their rows.
        """
        with self._source.connect() as other, other.cursor() as lock:
            for statement in (*_LOCK_SESSION, f"LOCK TABLES {table} READ"):
                _try_lock(lock, statement, table)
            position = self._source.head()
            self.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            try:
                is_free = self._has_snapshots(table)
                if is_free:
                    lock.execute("UNLOCK TABLES")
                with self._connection.cursor(pymysql.cursors.SSCursor) as cursor:
                    cursor.execute(select)
                    yield spread(iter(cursor)) if is_free else iter(cursor), position
            finally:
                self.rows("COMMIT")

    def _has_snapshots(self, table: str) -> bool:
        return "ENGINE=InnoDB" in str(self.rows(f"SHOW CREATE TABLE {table}")[0][1])

    def literal(self, value: Any) -> str:
        """A value the store has given, as SQL that means it."""
        if isinstance(value, bytes):
            return f"X'{value.hex()}'" if value else "''"
        return str(self._connection.escape(value))

    def columns(self, database: str, table: str) -> frozenset[str]:
        """The names, in lower case, of the columns that the store's table has now; none for no table."""
        return frozenset(str(name).lower() for (name,) in self.rows(statements.STORE_COLUMNS, (database, table)))

    def low(self) -> Position:
        """Everything that the store's log held up to here is visible to the next statement."""
        head = self._source.head()
        time.sleep(self._patience.settle_seconds)
        return head

    def settled_low(self) -> Position:
        """The same without the wait, for who asks again and again: the newest end of the log that is old enough."""
        now = time.monotonic()
        self._heads.append((now, self._source.head()))
        while len(self._heads) > 1 and self._heads[1][0] <= now - self._patience.settle_seconds:
            self._heads.popleft()
        seen_at, position = self._heads[0]
        time.sleep(max(seen_at + self._patience.settle_seconds - now, 0.0))
        return position

    def follow(self) -> int | None:
        """Wait until the warehouse holds all that the store's log holds now: the epoch it is in, None if it does not.

        Nor if that is not the one in which this session began: its positions were of another log.
        Waits as long as the warehouse moves, and once only for one that does not.
        """
        file, position = self._source.head()
        high = (file, position if position > FILE_HEAD_BYTES else 0)
        moved_at, last = time.monotonic(), None
        while True:
            epoch, *reached, snapshot_done = ledger = self._ledger()
            if epoch != self._epoch:
                self._stalled_at = ledger
                return None
            if snapshot_done and tuple(reached) >= high:
                self._stalled_at = None
                return int(epoch)
            if ledger != last:
                moved_at, last = time.monotonic(), ledger
            if ledger == self._stalled_at or time.monotonic() - moved_at > self._patience.follow_seconds:
                self._stalled_at = ledger
                return None
            time.sleep(LOOK_SECONDS)

    def _hashing(self) -> Hashing:
        try:
            self.rows(statements.HAS_MD5)
        except pymysql.err.MySQLError:  # "denied" to who may not call functions of his own, "does not exist" otherwise
            return SHA256
        return MD5

    def _ledger(self) -> tuple[Any, ...]:
        with self._warehouse.transaction() as tx:
            found = tx.rows(statements.LEDGER, [self._source.id])
        return found[0] if found else (0, 0, 0, False)

    def _require_one_history(self) -> int:
        """The epoch of that history."""
        epoch, file, position, _ = self._ledger()  # first: the log only grows, so its end comes to lie behind this
        if (file, position) > self._source.head():
            raise RefusedError(
                f"store {self._source.id}: its log ends before {file:06d}:{position}, which the warehouse has already "
                "read: the log was reset or the disk restored; `tillstream run` says what to do"
            )
        return int(epoch)


def _try_lock(cursor: "pymysql.cursors.Cursor", statement: str, table: str) -> None:
    try:
        cursor.execute(statement)
    except pymysql.err.MySQLError as error:
        if error.args and error.args[0] in (ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK):
            raise TransientError(f"a transaction that is still open has written {table}") from error
        raise
