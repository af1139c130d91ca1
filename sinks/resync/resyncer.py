"""The thread that reads tables anew: whatever is asked for in the warehouse, a few stores at a time."""

import logging
import threading
from collections.abc import Callable, Container, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import pymysql

from sinks.ledger import versions_at
from sinks.policy_versions import PolicyChangedError
from sinks.resync import requests
from sinks.resync.answers import Answers
from sinks.resync.keyless import KeylessResync
from sinks.resync.pace import Pace
from sinks.resync.requests import Request
from sinks.resync.table_resync import FIRST_CLIENT_ERROR, TableResync
from sinks.row_codec import Shapes
from sinks.store_session import Patience, StoreSession, StoreSource
from sinks.warehouse import Warehouse
from tillstream.errors import RefusedError, TillstreamError, TransientError, UnreachableError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
STORES_AT_ONCE = 2  # each writes as fast as it can: more would take the worker's share
AGAIN_SECONDS = 5.0  # after a fault that may pass

# A store that rests has no engine that the warehouse could follow.
_OPEN_STORES = """\
(SELECT store FROM tillstream.resyncs WHERE state IN ('waiting', 'reading')
 UNION
 SELECT store FROM tillstream.to_ask)
EXCEPT
SELECT store FROM tillstream.store_orders WHERE paused OR retired"""


class Resyncer(threading.Thread):
    """Goes on until told to stop; what it was reading then is gone on with by the next one."""

    def __init__(
        self,
        warehouse: Warehouse,
        in_force: Callable[[], Shapes],
        stores: Iterable[StoreSource],
        *,
        load_percent: int,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        """`in_force` tells the policy to keep rows by, anew for each table. `load_percent`: of its time a store is read
        in that much at the most."""
        super().__init__(name="resync", daemon=True)
        self._load_percent = load_percent
        self._warehouse, self._in_force, self._patience = warehouse, in_force, patience
        self._sources: dict[str, StoreSource] = {}
        self.know(stores)
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(STORES_AT_ONCE, thread_name_prefix="resync")
        self._at_work: dict[str, Future[None]] = {}

    def know(self, stores: Iterable[StoreSource]) -> None:
        """The stores that there are now."""
        self._sources = {source.id: source for source in stores}

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            self._at_work = {store: future for store, future in self._at_work.items() if not future.done()}
            try:
                with self._warehouse.transaction() as tx:
                    wanting = {store for (store,) in tx.rows(_OPEN_STORES)}
            except TillstreamError as error:
                log.debug("resync: %s", error)
                continue
            except Exception:
                log.exception("resync: unexpected")
                continue
            for store in wanting & self._sources.keys() - self._at_work.keys():
                self._at_work[store] = self._pool.submit(self._work, store)
        self._pool.shutdown(cancel_futures=True)

    def _work(self, store: str) -> None:
        """All that is open for one store, in order."""
        try:
            self._read_store(store)
        except (TransientError, PolicyChangedError) as error:
            log.info("store %s: reading anew waits: %s", store, error)
            self._stopping.wait(AGAIN_SECONDS)
        except TillstreamError as error:
            log.warning("store %s: cannot be read anew: %s", store, error)
            self._stopping.wait(AGAIN_SECONDS * 6)
        except Exception:
            log.exception("store %s: reading anew: unexpected", store)
            self._stopping.wait(AGAIN_SECONDS * 6)

    def _read_store(self, store: str) -> None:
        source = self._sources.get(store)
        if source is None:
            return
        with source.connect() as connection:
            session = StoreSession(source, connection, self._warehouse, self._patience)
            Answers(session, self._warehouse, self._in_force(), store).fetch()
            pace = Pace(self._load_percent, self._stopping.wait)
            put_off: dict[int, TransientError] = {}
            while not self._stopping.is_set() and (request := self._next(store, put_off)):
                if request.table is None:
                    self._spread(request)
                    return  # the next session has seen no end of the log from before its engine began anew
                if error := self._read(session, request, pace):
                    log.info("store %s: reading %s anew is put off: %s", store, request.table, error)
                    put_off[request.id] = error
                    if session.is_stalled:  # so it would be with each of the others
                        break
            if put_off:
                raise next(iter(put_off.values()))

    def _next(self, store: str, put_off: Container[int]) -> Request | None:
        with self._warehouse.transaction() as tx:
            found = requests.open_requests(tx, store)
        if found and found[0].table is None and found[0].floor is None:
            return None  # its engine has still to begin anew
        return next((each for each in found if each.id not in put_off), None)

    def _read(self, session: StoreSession, request: Request, pace: Pace) -> TransientError | None:
        """Why it has to be tried again, if so: the store's other tables do not wait for it."""
        try:
            self._read_table(session, request, pace)
        except RefusedError as error:
            log.error("store %s: table %s cannot be read anew: %s", request.store, request.table, error)
            with self._warehouse.transaction() as tx:
                requests.fail(tx, request, str(error))
        except UnreachableError:
            raise
        except TransientError as error:
            return error
        except PolicyChangedError as error:
            return TransientError(str(error))
        except pymysql.err.MySQLError as error:
            if not error.args or error.args[0] >= FIRST_CLIENT_ERROR:
                raise
            return TransientError(f"MySQL says ({error.args[0]}) {error.args[-1]}")
        return None

    def _read_table(self, session: StoreSession, request: Request, pace: Pace) -> None:
        with self._warehouse.transaction() as tx:
            versions = {(each.database, each.table): each for each in versions_at(tx, request.store)}
        version = versions.get((request.database or "", request.table or ""))
        keyless = (
            version is not None
            and not version.primary_key
            and bool(session.columns(version.database, version.table))  # one that is gone is withdrawn as any other
        )
        way = KeylessResync if keyless else TableResync
        log.info("store %s: reading %s anew (%s)", request.store, request.table, request.reason)
        way(session, self._warehouse, self._in_force(), request, pace).run(self._stopping.is_set)

    def _spread(self, request: Request) -> None:
        """One request for a store whose engine has begun anew becomes one for each of its tables."""
        with self._warehouse.transaction() as tx:
            for version in versions_at(tx, request.store):
                requests.add(tx, request.store, request.reason, database=version.database, table=version.table)
            requests.finish(tx, request)
