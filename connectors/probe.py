"""Every half minute each store is looked at past its engine, which stays "running" through losses that no event tells:
another log under the same name, a right that was taken away, a setting, a table altered without its log."""

import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from conflict.clock import Look
from connectors import examination, history
from connectors.examination import Clock, Server, StoredColumn
from connectors.findings import beside_ours, duration
from connectors.history import Break, SeenLog
from connectors.preflight import require_capturable, store_connection
from tillstream.config import Store
from tillstream.envelope import Witness, file_number
from tillstream.errors import RefusedError

log = logging.getLogger(__name__)


class Known(Protocol):
    """What the warehouse knows of the log it follows: see sinks/epochs.py."""

    @property
    def epoch(self) -> int: ...

    @property
    def position(self) -> tuple[int, int]: ...

    @property
    def server_uuid(self) -> str: ...

    @property
    def witness(self) -> Witness | None: ...


class HistoryBooks(Protocol):
    """What a probe asks of the warehouse."""

    def known(self, store: str) -> Known | None: ...

    def remember(self, store: str, server_uuid: str, witness: Witness | None) -> None: ...

    def look_at_clock(self, store: str, look: Look) -> int | None: ...

    def changed_unseen(self, store: str, fingerprints: Mapping[str, str]) -> list[str]: ...

    def keep_fingerprints(self, store: str, at: tuple[int, int], fingerprints: Mapping[str, str]) -> None: ...


class BrokenHistoryError(RefusedError):
    """The store's log is not the one that was read."""

    def __init__(self, store: str, found: Break) -> None:
        self.found = found
        super().__init__(f"store {store}: {found.reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a look came to. `altered`: tables whose columns changed without the log telling."""

    head: tuple[int, int]
    clock: Clock
    retention_seconds: int | None
    altered: tuple[str, ...]


class Probe:
    """One store's; keeps from look to look what has to be seen twice."""

    def __init__(self, store: Store, books: HistoryBooks) -> None:
        self._store, self._books = store, books
        self._ended: tuple[str, int] | None = None  # where the log ended at the last look
        self._altered: frozenset[str] = frozenset()

    def look(self) -> Looked | None:
        """BrokenHistoryError, RefusedError for what forbids to go on, UnreachableError; None before the first start."""
        store, began_us = self._store, _now_us()
        known = self._books.known(store.id)  # before the log's end is asked for, which only grows
        if known is None:
            return None
        with store_connection(store) as connection:
            server = examination.read_server(connection)
            require_capturable(store, server)
            assert server.head is not None
            head = (server.head.file, server.head.position)
            columns = examination.read_columns(connection, store.database)  # after the head: see _altered_unseen
            clock, ended_us = examination.read_clock(connection, server.version), _now_us()
            again = history.again(connection, known.witness)
            binlogs = examination.read_binlogs(connection)  # after that: what is purged in between is not missed
            seen = SeenLog(
                server_uuid=server.uuid,
                ends={file_number(each.name): each.size_bytes for each in binlogs},
                head=(file_number(head[0]), head[1]),
                again=again,
            )
            if found := history.broken(known.position, known.server_uuid, known.witness, seen):
                raise BrokenHistoryError(store.id, found)
            witness = history.next_witness(connection, self._ended, head)
        self._ended = head
        self._books.remember(store.id, server.uuid, witness)
        self._note_clock(Look(
            place=(known.epoch, *seen.head), began_us=began_us, ended_us=ended_us,
            offset_us=_us(clock.offset_seconds), uncertainty_us=_us(clock.uncertainty_seconds),
        ))  # fmt: skip
        return Looked(
            head=seen.head,
            clock=clock,
            retention_seconds=retention_seconds(server),
            altered=self._altered_unseen(seen.head, _fingerprints(columns)),
        )

    def _altered_unseen(self, head: tuple[int, int], fingerprints: Mapping[str, str]) -> tuple[str, ...]:
        """Seen twice, as an ALTER may show in the catalog before it stands in the log.

        The log's end was asked for before the columns: what is kept as seen at a position may be of a later one, and
        then the change comes, and is told; the other way round a change told before would look unseen.
        """
        now = self._books.known(self._store.id)
        if now is None or now.position < head:
            return ()
        changed = frozenset(self._books.changed_unseen(self._store.id, fingerprints))
        certain, self._altered = changed & self._altered, changed
        kept = {table: each for table, each in fingerprints.items() if table not in changed or table in certain}
        self._books.keep_fingerprints(self._store.id, head, kept)
        return tuple(sorted(certain))

    def _note_clock(self, look: Look) -> None:
        moved_us = self._books.look_at_clock(self._store.id, look)
        if moved_us is not None:
            log.warning(
                "store %s: its clock was put %s by %s, it is %s now; its changes are timed without that",
                self._store.id, "forward" if moved_us > 0 else "back", duration(abs(moved_us) / 1_000_000),
                beside_ours(look.offset_us / 1_000_000),
            )  # fmt: skip


def retention_seconds(server: Server) -> int | None:
    """How long the server keeps its log; None for ever, or as long as a person lets it."""
    seconds = server.setting("binlog_expire_logs_seconds", "0")
    days = server.setting("expire_logs_days", "0")
    return int(float(seconds)) or int(float(days) * 86_400) or None


def _now_us() -> int:
    return time.time_ns() // 1000


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _fingerprints(columns: Iterable[StoredColumn]) -> dict[str, str]:
    tables: dict[str, list[str]] = defaultdict(list)
    for each in columns:
        tables[each.table].append(f"{each.name}\x1e{each.column_type}\x1e{each.charset}\x1e{each.nullable}")
    return {
        table: hashlib.md5("\x1f".join(each).encode(), usedforsecurity=False).hexdigest()
        for table, each in tables.items()
    }
