"""Capture and worker put together, for `run` and for `demo`."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import psycopg

from conflict.policy import Policy
from connectors import jvm
from connectors.connector_engine import ConnectorCapture
from connectors.debezium import OffsetStore
from connectors.embedded import EmbeddedCapture, EmbeddedLanes
from connectors.supervisor import PROBE_SECONDS, Capture, Supervisor
from sinks.batch import Committed
from sinks.business import stores_of
from sinks.business_days import keep_days
from sinks.clock_looks import ClockLooks
from sinks.deadlines import Deadlines
from sinks.engine_offsets import ConnectorBeginnings, EngineOffsets
from sinks.epochs import Epochs
from sinks.history import HistoryKeeper, keep_for
from sinks.lane_topics import LaneRefusals
from sinks.policy_switch import take_up_file
from sinks.resync.requests import RequestBook
from sinks.resync.resyncer import Resyncer
from sinks.row_codec import Shapes
from sinks.store_orders import StoreOrders
from sinks.store_states import StoreStates
from sinks.warehouse import Warehouse, mapped_errors
from sinks.watching.business import business_looks
from sinks.watching.looks import LOOKS
from sinks.watching.watch import Watch
from sinks.worker import Worker
from tillstream.config import Config, Store
from tillstream.errors import RefusedError, TransientError
from tillstream.fleet import Fleet
from tillstream.policies import shapes_in_force, shapes_of
from tillstream.states import StoreReport
from tillstream.verifying import store_sources

log = logging.getLogger(__name__)

# Debezium's classes and one engine's batches; then what waits per store (see QUEUE_BYTES and max_batch_rows).
HEAP_MEGABYTES, HEAP_MEGABYTES_PER_STORE = 160, 12
READY_SECONDS = 30.0
_TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey")  # psycopg and JDBC mean the same by them
LEAST_STORES = 3  # room for some that are added while it runs
_ONLY_ONE = "SELECT pg_try_advisory_lock(hashtextextended('tillstream run', 0))"

_GIVE_BACK = "SELECT pg_advisory_unlock(hashtextextended('tillstream run', 0))"


class Books:
    """The warehouse as capture sees it."""

    def __init__(self, warehouse: Warehouse, on_report: Callable[[StoreReport], None] | None) -> None:
        """None: how a store is doing is told to nobody, and not kept; someone else watches over it, or nobody does."""
        states, epochs, requests = StoreStates(warehouse), Epochs(warehouse), RequestBook(warehouse)
        self.reached = states.reached
        self.must_begin_anew, self.begin_anew = requests.must_begin_anew, requests.begin_anew
        self.read_anew = requests.read_anew
        self.known, self.remember = epochs.known, epochs.remember
        self.look_at_clock = ClockLooks(warehouse).look
        self.begin_epoch, self.note_break = epochs.begin, epochs.note_break
        self.changed_unseen, self.keep_fingerprints = epochs.changed_unseen, epochs.keep_fingerprints
        self._states, self._on_report = states, on_report

    def report(self, report: StoreReport) -> None:
        if self._on_report is None:
            return
        self._on_report(report)
        self._states.report(report)


class Pipeline:
    """Every store into one warehouse. Only one at a time may work on a warehouse."""

    def __init__(
        self,
        config: Config,
        policy: Policy,
        warehouse: Warehouse,
        *,
        on_commit: Callable[[Committed], None] = lambda committed: None,
        on_report: Callable[[StoreReport], None] = lambda report: None,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._config, self._policy, self._warehouse = config, policy, warehouse
        self._on_commit = on_commit
        self._books = Books(warehouse, on_report)
        self._probe_seconds = probe_seconds
        self._lanes = EmbeddedLanes() if config.capture is None else None
        self._capture = self._make_capture()
        self._stopping = threading.Event()
        self._owners: dict[str, str] = {}
        self._timezones: dict[str, str] = {}  # shared with the worker: stores are added while it works
        self._fleet: Fleet | None = None
        self._worker: threading.Thread | None = None
        self._resyncer: Resyncer | None = None
        self._deadlines = Deadlines(warehouse)
        self._history = HistoryKeeper(warehouse)
        self._watch = Watch(warehouse, LOOKS)
        self._known_stores = stores_of(config.stores)
        # of its own: what reads whole tables holds up nobody who is looked at every five seconds
        self._business = Watch(warehouse, business_looks(config.business, self._known_stores, policy))
        self._only_one: psycopg.Connection[Any] | None = None
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Returns once everything is on its way. RefusedError if another process works on this warehouse."""
        self.claim()
        self._warehouse.check_version()
        config = self._config
        self._timezones.update(config.timezones)
        self._take_up_policy()
        if self._lanes is not None:
            self._start_worker(self._lanes)
        self._resyncer = Resyncer(
            self._warehouse, self._in_force, store_sources(config.stores), load_percent=config.resync.load_percent
        )
        self._resyncer.start()
        self._deadlines.start()
        self._history.start()
        StoreStates(self._warehouse).list_only([store.id for store in config.stores])
        self._watch.start()
        self._business.start()
        if self._lanes is not None:
            heap = config.capture_options.heap_megabytes
            jvm.start(heap or HEAP_MEGABYTES + HEAP_MEGABYTES_PER_STORE * max(len(config.stores), LEAST_STORES))
        self._fleet = Fleet(
            config, self._supervise, StoreOrders(self._warehouse).read, self._books.report, self._take_up
        )
        self._fleet.start()

    def _start_worker(self, lanes: EmbeddedLanes) -> None:
        worker = Worker(self._warehouse, lanes, self._in_force(), in_force=self._in_force, on_commit=self._on_commit)
        self._worker = threading.Thread(target=self._work, args=(worker, lanes), name="worker", daemon=True)
        self._worker.start()

    def _make_capture(self) -> Capture:
        if self._lanes is None:
            refusals = LaneRefusals(self._warehouse)
            return ConnectorCapture(self._config, ConnectorBeginnings(self._warehouse), refusals.why)
        prepare = EngineOffsets(self._warehouse).prepare
        return EmbeddedCapture(self._config, self._lanes, _offset_store(self._warehouse), prepare)

    def _take_up_policy(self) -> None:
        keep_for(self._warehouse, self._config.tables.history_seconds)
        keep_days(self._warehouse, self._config)
        taken_up = take_up_file(self._warehouse, shapes_of(self._config, self._policy))
        if taken_up.fingerprint != self._policy.fingerprint:
            log.warning(
                "the file of policies is not in force: policy %d (version %d) was gone back to; "
                "`tillstream policy apply` takes the file up",
                taken_up.id,
                taken_up.version,
            )

    def _in_force(self) -> Shapes:
        return shapes_in_force(self._warehouse, self._config, self._policy, self._timezones)

    def look_at_stores(self) -> None:
        """Read tillstream.yaml again: stores that were added, changed or taken out."""
        if self._fleet is not None:
            self._fleet.look_now()

    def _supervise(self, config: Config, store: Store) -> Supervisor:
        return Supervisor(
            config,
            store,
            self._capture,
            self._books,
            self._owners,
            probe_seconds=self._probe_seconds,
        )

    def _take_up(self, stores: Sequence[Store]) -> None:
        self._timezones.update({store.id: store.timezone for store in stores})
        self._known_stores.know(stores)
        if self._resyncer is not None:
            self._resyncer.know(store_sources(stores))
        StoreStates(self._warehouse).list_only([store.id for store in stores])

    def wait(self, timeout_seconds: float) -> bool:
        """Whether the worker has ended by then, which it does only when told to or when it fails; workers of their own
        processes are their own affair."""
        if self._worker is None:
            time.sleep(timeout_seconds)
            return False
        self._worker.join(timeout_seconds)
        return not self._worker.is_alive()

    def why_not_ready(self) -> str:
        """Empty if it is at work and the warehouse answers."""
        if self.failure is not None:
            return f"the worker has stopped: {self.failure}"
        if self._watch.seconds_since_answer > READY_SECONDS:
            return "the warehouse has not answered yet, or not for a while"
        return ""

    def stop(self) -> None:
        """Drain: engines close, what was taken from them is finished, the warehouse is left at a commit."""
        self._deadlines.stop()
        self._history.stop()
        self._watch.stop()
        self._business.stop()
        if self._resyncer is not None:
            self._resyncer.stop()
        if self._fleet is not None:
            self._fleet.stop()
        if self._resyncer is not None:
            self._resyncer.join(60)
        if self._deadlines.is_alive():
            self._deadlines.join(60)
        self._stopping.set()
        if self._worker is not None:
            self._worker.join(60)
        if self._only_one is not None:
            self._only_one.close()

    def _work(self, worker: Worker, lanes: EmbeddedLanes) -> None:
        try:
            worker.run(self._stopping.is_set)
        except BaseException as error:
            self.failure = error
            lanes.refuse_all(TransientError("the worker has stopped"))  # nobody takes what engines hand over

    def claim(self) -> None:
        """Be the only one at work on this warehouse, until `stop`."""
        if self._only_one is not None:
            return
        url = self._warehouse.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with mapped_errors():
            self._only_one = psycopg.connect(url, autocommit=True, connect_timeout=10)
            held = self._only_one.execute(_ONLY_ONE).fetchone()
        if not held or not held[0]:
            self._only_one.close()
            raise RefusedError(
                "another `tillstream run` is at work on this warehouse; stop it first, or give this one its own"
            )


def is_at_work(warehouse: Warehouse) -> bool:
    """Whether some process is the one at work on this warehouse."""
    with warehouse.transaction() as tx:
        held = tx.value(_ONLY_ONE)
        if held:
            tx.execute(_GIVE_BACK)
    return not held


def _offset_store(warehouse: Warehouse) -> OffsetStore:
    url = warehouse.url
    tls = "".join(f"&{name}={quote(str(value))}" for name, value in url.query.items() if name in _TLS)
    return OffsetStore(
        jdbc_url=f"jdbc:postgresql://{url.host}:{url.port or 5432}/{url.database}?currentSchema=debezium{tls}",
        user=url.username or "",
        password=url.password or "",
    )
