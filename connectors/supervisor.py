"""One store's capture, kept going: examined, started, watched, and started again with backoff, for ever."""

import logging
import re
import threading
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Protocol

from tenacity import RetryCallState
from tenacity.wait import wait_exponential_jitter

from connectors import jvm, preflight
from connectors.beginning import Beginning
from connectors.examination import LOG_BEGIN
from connectors.probe import BrokenHistoryError, HistoryBooks, Looked, Probe
from tillstream.config import Config, Store
from tillstream.errors import ConfigError, RefusedError, StoreUnreachableError, TillstreamError
from tillstream.states import StoreReport, StoreState

log = logging.getLogger(__name__)

PROBE_SECONDS = 5.0
HEADER_BYTES = 157  # of a file's own events: its format, and the GTIDs before it
LOOKS_APART = 6  # probes: every half minute the store is looked at in full
LOST_ROW = "Received DML"  # Debezium's only word for a row that was written as a statement
MOST_LOG_ENDS = 1_000  # kept of a store that is behind; an hour and a half of probes
STALLED_SECONDS = 30.0  # the log goes on, the engine does not: a reconnect that fails is not always reported


# A statement that writes one table, and names it first. Of any other, a join's or one in other words, all tables are
# read: which of them it wrote is not told.
_ONE_TABLE = re.compile(
    r"'(?:(?:INSERT|REPLACE)\s+{words}(?:INTO\s+)?{table}\s*(?:\(|VALUES?\b|SET\b|SELECT\b)"
    r"|UPDATE\s+{words}{table}\s+SET\b"
    r"|DELETE\s+{words}FROM\s+{table}\s*(?:WHERE\b|ORDER\b|LIMIT\b|'))".format(
        words=r"(?:(?:LOW_PRIORITY|HIGH_PRIORITY|DELAYED|QUICK|IGNORE)\s+)*", table=r"(`[^`]+`|[\w$]+)"
    ),
    re.IGNORECASE,
)


class Engine(Protocol):
    """One run of one store's capture, wherever it is done."""

    def start(self) -> None: ...

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it has stopped by then, or has to be."""

    def close(self) -> None: ...

    def leave(self) -> None:
        """We end: it is closed, unless it can do without us."""

    def raise_failure(self) -> None:
        """What stopped it, if anything but `close` did."""

    def position(self, reached: tuple[int, int]) -> tuple[int, int]:
        """Where in the log it stands, as far as it tells; `reached` is where the warehouse stands."""


class Capture(Protocol):
    """Makes engines: those of this process, or connectors of Kafka Connect."""

    def prepare(self, store: Store, facts: preflight.ServerFacts) -> Beginning: ...

    def engine(self, store: Store, facts: preflight.ServerFacts, beginning: Beginning) -> Engine: ...


class Bookkeeping(HistoryBooks, Protocol):
    """What capture asks of the warehouse."""

    def must_begin_anew(self, store: str) -> bool: ...

    def begin_anew(self, store: str, reason: str) -> None: ...

    def read_anew(self, store: str, reason: str, table: str | None) -> None: ...

    def begin_epoch(self, store: str, reason: str) -> None: ...

    def note_break(self, store: str, reason: str) -> None: ...

    def reached(self, store: str) -> tuple[bool, tuple[int, int]]: ...

    def report(self, report: StoreReport) -> None: ...


@dataclass(slots=True)
class Freshness:
    """Since when the store's log has been ahead of what it is compared with: the warehouse, or what was captured."""

    complete_at: float | None = None  # all that the log had then has been reached
    _ahead: list[tuple[tuple[int, int], float]] = field(default_factory=list)  # log ends not reached, and when seen
    _apart_seconds: float = 0.0  # at least, that they are kept

    @property
    def is_caught_up(self) -> bool:
        return not self._ahead

    def lag_seconds(self, head: tuple[int, int] | None, reached: tuple[int, int], now: float) -> float:
        """The age of the oldest log end, seen by a probe, that is not reached; `head` was read after `now`."""
        while self._ahead and self._ahead[0][0] <= reached:
            self.complete_at = self._ahead.pop(0)[1]
        if head is not None:
            if head[1] <= HEADER_BYTES:
                head = (head[0], LOG_BEGIN)  # a new file without an event: an engine stands at its beginning
            if head <= reached:
                self.complete_at = now
            elif not self._ahead or (head > self._ahead[-1][0] and now >= self._ahead[-1][1] + self._apart_seconds):
                self._ahead.append((head, now))
        if len(self._ahead) > MOST_LOG_ENDS:  # of a day it need not be known to the second
            del self._ahead[1::2]
            self._apart_seconds = 2 * max(self._apart_seconds, (now - self._ahead[0][1]) / MOST_LOG_ENDS)
        elif not self._ahead:
            self._apart_seconds = 0.0
        return self.last_lag_seconds(now) or 0.0

    def last_lag_seconds(self, now: float) -> float | None:
        """By what was seen last; None where nothing was ahead then, which tells nothing of now."""
        return now - self._ahead[0][1] if self._ahead else None


class Supervisor(threading.Thread):
    """The thread that keeps one store's engine going."""

    def __init__(
        self,
        config: Config,
        store: Store,
        capture: Capture,
        books: Bookkeeping,
        owners: MutableMapping[str, str],
        *,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        super().__init__(name=f"store-{store.id}", daemon=True)
        self._config, self._store, self._capture, self._books = config, store, capture, books
        self._owners = owners  # server_uuid → store: two live stores on one server are one store too many
        self._probe_seconds = probe_seconds
        self._stopping = threading.Event()
        self._is_leaving = False
        self._freshness, self._captured = Freshness(), Freshness()
        self._backoff = wait_exponential_jitter(multiplier=config.retry.first_seconds, max=config.retry.most_seconds)
        self._failures = 0
        self._probe = Probe(store, books)
        self._look_at = 0.0  # when the next full look is due
        self._looked: Looked | None = None
        self._lost: set[str] = set()  # statements in which rows were lost, as far as they are told

    def stop(self) -> None:
        """Ask it to end; join() waits for the engine to have closed."""
        self._stopping.set()

    def leave(self) -> None:
        """The same where the store goes on, and only we end."""
        self._is_leaving = True
        self._stopping.set()

    def run(self) -> None:
        jvm.on_warning(self._hear)
        try:
            self._go_on()
        finally:
            jvm.no_more_warnings(self._hear)
            for server, owner in list(self._owners.items()):
                if owner == self._store.id:  # another may be told to capture it now
                    del self._owners[server]

    def _go_on(self) -> None:
        while not self._stopping.is_set():
            try:
                self._capture_once()
            except StoreUnreachableError as error:
                self._wait_after(StoreState.UNREACHABLE, error)
            except BrokenHistoryError as error:
                self._begin_epoch(error)
            except (RefusedError, ConfigError) as error:
                self._wait_after(StoreState.REFUSED, error)
            except TillstreamError as error:
                self._wait_after(StoreState.STARTING, error)
            except Exception as error:
                log.exception("store %s: unexpected", self._store.id)
                self._wait_after(StoreState.STARTING, error)
        self._tell(StoreState.STOPPED)

    def begin(self) -> Engine:
        """Examine the store and start its engine; raises what forbids it."""
        facts = preflight.examine(self._store)
        require_own(self._store, facts.server_uuid, self._owners)
        self._look()  # before its engine starts: Debezium itself compares no more than the file's name
        beginning = self._capture.prepare(self._store, facts)
        if beginning.reason:
            log.warning("store %s: %s; reading the store anew", self._store.id, beginning.reason)
        if beginning.schema_only:
            # an end seen before may be one of another log, never to be reached
            self._freshness, self._captured = Freshness(), Freshness()
        engine = self._capture.engine(self._store, facts, beginning)
        self._tell(StoreState.STARTING)
        engine.start()
        return engine

    def _capture_once(self) -> None:
        """Run the store's engine until it stops or we are told to."""
        engine = self.begin()
        try:
            self._watch(engine)
        finally:
            if self._is_leaving:
                engine.leave()
            else:
                engine.close()
        engine.raise_failure()

    def _watch(self, engine: Engine) -> None:
        moved_at = time.monotonic()
        stood = (0, 0)
        snapshot_done = False
        while not self._stopping.is_set():
            # a person who waits for the first snapshot to end is told within a second
            if engine.wait(self._probe_seconds if snapshot_done else 1.0) or self._stopping.is_set():
                return
            if self._is_asked_to_begin_anew():
                return
            snapshot_done, reached = self._books.reached(self._store.id)
            looked_at = time.monotonic()
            head = self._head(reached, snapshot_done)
            if head is None:
                continue
            if head < reached or time.monotonic() >= self._look_at:
                self._look()
            self._read_what_was_lost()
            lag = self._freshness.lag_seconds(head, reached, looked_at)
            stands = engine.position(reached) if lag else reached  # of a thousand stores few are behind
            self._failures = 0
            self._tell(
                StoreState.LIVE if snapshot_done else StoreState.SNAPSHOT,
                head=head,
                lag_seconds=lag,
                capture_lag_seconds=self._captured.lag_seconds(head, stands, looked_at),
                is_complete=snapshot_done,
                is_caught_up=snapshot_done and self._freshness.is_caught_up,
            )
            now = time.monotonic()
            if not lag or stands != stood:
                stood, moved_at = stands, now
            quiet = now - moved_at
            if snapshot_done and head > stands and lag > STALLED_SECONDS and quiet > STALLED_SECONDS:
                log.warning(
                    "store %s: its log went on, but nothing came for %.0f s; restarting capture",
                    self._store.id, quiet,
                )  # fmt: skip
                return

    def _look(self) -> None:
        """Past the engine: raises what forbids to go on."""
        self._look_at = time.monotonic() + LOOKS_APART * self._probe_seconds
        self._looked = self._probe.look() or self._looked
        for table in self._looked.altered if self._looked else ():
            reason = f"the columns of {table} changed without its log telling"
            log.warning("store %s: %s; reading the store anew", self._store.id, reason)
            self._books.begin_anew(self._store.id, reason)

    def _begin_epoch(self, error: BrokenHistoryError) -> None:
        """Nothing of the log that is there now compares with what was read: all of it is read anew, once that is sure
        to be wanted."""
        accept = self._config.capture_options.new_epochs
        if accept == "always" or (accept == "same_server" and error.found.same_server):
            log.warning("%s; a new epoch begins, and the store is read anew", error)
            self._books.begin_epoch(self._store.id, error.found.reason)
            return
        self._books.note_break(self._store.id, error.found.reason)
        remedy = f"if this is the store's server now, say so with `tillstream stores accept-epoch {self._store.id}`"
        self._wait_after(StoreState.REFUSED, RefusedError(f"{error}; {remedy}"))

    def _hear(self, thread: str, message: str) -> None:
        if LOST_ROW in message and thread.endswith(f"-{self._store.host}:{self._store.port}"):  # the reader's own name
            self._lost.add(message)

    def _read_what_was_lost(self) -> None:
        for message in tuple(self._lost):
            self._books.read_anew(
                self._store.id, "a session wrote statements into its log instead of rows", _table_of(message)
            )
            self._lost.discard(message)  # only once that is noted

    def _head(self, reached: tuple[int, int], is_complete: bool) -> tuple[int, int] | None:
        """Where the store's log ends; None, and told, if the store cannot be asked. The engine goes on trying."""
        try:
            return preflight.read_head(self._store)
        except TillstreamError as error:
            state = StoreState.UNREACHABLE if isinstance(error, StoreUnreachableError) else StoreState.REFUSED
            self._freshness.lag_seconds(None, reached, time.monotonic())  # what was captured may still come in
            self._tell(state, str(error), is_complete=is_complete)
            return None

    def _wait_after(self, state: StoreState, error: Exception) -> None:
        self._failures += 1
        wait_seconds = self._backoff(_attempt(self._failures))
        if not self._stopping.is_set():
            log.warning("%s; trying again in %.0f s", error, wait_seconds)
            self._tell(state, str(error))
        until = time.monotonic() + wait_seconds
        while time.monotonic() < until and not self._stopping.wait(min(1.0, wait_seconds)):
            if self._is_asked_to_begin_anew():
                return  # a person has found the way past it

    def _is_asked_to_begin_anew(self) -> bool:
        try:
            return self._books.must_begin_anew(self._store.id)
        except TillstreamError:
            return False

    def _tell(
        self,
        state: StoreState,
        reason: str = "",
        *,
        head: tuple[int, int] | None = None,
        lag_seconds: float | None = None,
        capture_lag_seconds: float | None = None,
        is_complete: bool = False,
        is_caught_up: bool = False,
    ) -> None:
        complete_at = self._freshness.complete_at if is_complete else None
        if lag_seconds is None:  # not asked now: a store whose engine fails again and again is behind all the same
            now = time.monotonic()
            lag_seconds, capture_lag_seconds = (
                each.last_lag_seconds(now) for each in (self._freshness, self._captured)
            )
        report = StoreReport(
            store=self._store.id,
            name=self._store.name,
            state=state,
            reason=reason,
            head=head,
            lag_seconds=lag_seconds,
            capture_lag_seconds=capture_lag_seconds,
            is_caught_up=is_caught_up,
            complete_at=complete_at,
            retention_seconds=self._looked.retention_seconds if self._looked else None,
            clock_offset_seconds=self._looked.clock.offset_seconds if self._looked else None,
            clock_uncertainty_seconds=self._looked.clock.uncertainty_seconds if self._looked else None,
        )
        try:
            self._books.report(report)
        except TillstreamError as error:  # the warehouse is away: the worker says so, and waits
            log.debug("store %s: could not report: %s", self._store.id, error)


def require_own(store: Store, server_uuid: str, owners: MutableMapping[str, str]) -> None:
    """RefusedError where another store is on the same server; `owners` learns of this one."""
    owner = owners.setdefault(server_uuid, store.id) if server_uuid else store.id
    if owner != store.id:
        raise RefusedError(
            f"store {store.id} at {store.host}:{store.port} is the same server as store {owner} (server_uuid "
            f"{server_uuid}); correct the address in tillstream.yaml, or if the disk was cloned, delete auto.cnf in "
            "that server's data directory and restart it"
        )


def _table_of(message: str) -> str | None:
    found = _ONE_TABLE.search(message)
    return next(name for name in found.groups() if name).strip("`") if found else None


def _attempt(number: int) -> RetryCallState:
    state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # tenacity's wait reads only the number
    state.attempt_number = number
    return state
