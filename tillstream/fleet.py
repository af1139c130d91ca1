"""The supervisors of all stores, as tillstream.yaml and what a person has said want them: also while `run` runs."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from tillstream.config import Config, Store, load_config
from tillstream.errors import ConfigError, TillstreamError
from tillstream.states import StoreReport, StoreState

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
JOIN_SECONDS = 60.0


class Orders(Protocol):
    @property
    def paused(self) -> frozenset[str]: ...

    @property
    def retired(self) -> frozenset[str]: ...


class Supervising(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...

    def leave(self) -> None: ...

    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool: ...


class Fleet(threading.Thread):
    """Starts, stops and restarts supervisors. A file that is faulty changes nothing, and is told once."""

    def __init__(
        self,
        config: Config,
        supervise: Callable[[Config, Store], Supervising],
        orders: Callable[[], Orders],
        report: Callable[[StoreReport], None],
        on_stores: Callable[[Sequence[Store]], None],
    ) -> None:
        """`on_stores` hears which stores there are, before any of them is started."""
        super().__init__(name="fleet", daemon=True)
        self._config, self._supervise, self._orders, self._report = config, supervise, orders, report
        self._on_stores = on_stores
        self._file = config.directory / Path(config.file).name
        self._stamp = self._file_stamp()
        self._running: dict[str, tuple[Store, Supervising]] = {}
        self._rests: dict[str, StoreState] = {}
        self._stopping, self._wake = threading.Event(), threading.Event()

    def look_now(self) -> None:
        """Read tillstream.yaml again, whether it seems to have changed or not."""
        self._stamp = None
        self._wake.set()

    def stop(self) -> None:
        """Stop every supervisor; returns once they have, or could not within a minute. What captures without us goes
        on."""
        self._stopping.set()
        self._wake.set()
        if self.is_alive():
            self.join(JOIN_SECONDS)
        self._end(list(self._running), leaving=True)

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read_again()
                self._settle()
            except TillstreamError as error:  # the warehouse is away: the worker says so, and waits
                log.debug("fleet: %s", error)
            except Exception:  # without this thread no store is taken up, paused or resumed any more
                log.exception("fleet: unexpected")
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()

    def _file_stamp(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size)

    def _read_again(self) -> None:
        stamp = self._file_stamp()
        if stamp is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            fresh = load_config(self._file)
        except ConfigError as error:
            log.warning("%s was changed and is not taken up: %s", self._file, error)
            return
        if fresh.without_stores() != self._config.without_stores():
            log.warning("%s: only changes of `stores` are taken up now, the others when `run` starts next", self._file)
        known = {store.id for store in self._config.stores}
        self._config = self._config.with_stores(fresh.stores)
        for each in fresh.stores:
            if each.id not in known:
                log.info("store %s (%s) was added to %s", each.id, each.name, self._file.name)
        for gone in known - {each.id for each in fresh.stores}:
            log.info("store %s is no more in %s; its rows stay", gone, self._file.name)
        try:
            self._on_stores(fresh.stores)
        except TillstreamError:  # the warehouse is away: it is to hear of them all the same
            self._stamp = None
            raise

    def _settle(self) -> None:
        orders = self._orders()
        stores = {store.id: store for store in self._config.stores}
        resting = {
            **dict.fromkeys(orders.paused & stores.keys(), StoreState.PAUSED),
            **dict.fromkeys(orders.retired & stores.keys(), StoreState.RETIRED),
        }
        self._end([
            store for store, (as_it_was, _) in self._running.items()
            if store in resting or stores.get(store) != as_it_was
        ])  # fmt: skip
        for store, state in resting.items():
            self._report(StoreReport(store=store, name=stores[store].name, state=state))
            if self._rests.get(store) is not state:
                log.info("store %s is %s", store, state.value)
        self._rests = resting
        for store, as_it_is in stores.items():
            if store not in resting and store not in self._running and not self._stopping.is_set():
                supervisor = self._supervise(self._config, as_it_is)
                supervisor.start()
                self._running[store] = (as_it_is, supervisor)

    def _end(self, stores: Sequence[str], *, leaving: bool = False) -> None:
        """One that does not end in time stays, and is waited for again: two may never follow one store."""
        ending = {store: self._running[store][1] for store in stores}
        for supervisor in ending.values():
            if leaving:
                supervisor.leave()
            else:
                supervisor.stop()
        for store, supervisor in ending.items():
            supervisor.join(JOIN_SECONDS)
            if supervisor.is_alive():
                log.warning("store %s: its capture did not end within %.0f s", store, JOIN_SECONDS)
            else:
                del self._running[store]
