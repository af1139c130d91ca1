"""A chain of real servers through the real pipeline, for the tests that need all of it at once."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import sqlalchemy

from conflict.policy import EMPTY_POLICY
from conflict.policy_file import parse_policy
from sinks.resync import requests
from sinks.warehouse import Warehouse
from tillstream import checked_yaml
from tillstream.config import load_config
from tillstream.pipeline import Pipeline
from tillstream.policies import in_force
from tillstream.rehearsal.mysql import MySQLServer
from tillstream.verifying import verification_for

HEAP_MEGABYTES = 300  # the JVM starts once per pytest process: the first chain decides for all of them
SETTLE_SECONDS = 90.0  # on a machine that has much else to do
MARKER = "zz_marker"  # a table of the harness: what stands before its newest row in a log has arrived with it
PASSWORD = "captured & %20 §"


class Chain:
    """Servers as stores, one database name in all of them, one empty warehouse."""

    def __init__(
        self,
        directory: Path,
        warehouse_url: str,
        stores: Mapping[str, MySQLServer],
        *,
        database: str,
        policies: str | None = None,
        settings: str = "",
        probe_seconds: float = 1.0,
    ) -> None:
        """`policies` and `settings` are YAML: the whole of policies.yaml, and more of tillstream.yaml."""
        self.stores = stores
        self._probe_seconds = probe_seconds
        self.database = database
        self._markers = 0
        for server in stores.values():
            server.create_capture_user(password=PASSWORD)
            server.execute(f"DROP DATABASE IF EXISTS `{database}`")
            server.execute(f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4")
        for store in stores:
            self.on(store, f"CREATE TABLE {MARKER} (n INT PRIMARY KEY)")
        (directory / "secrets").mkdir(exist_ok=True)
        (directory / "secrets" / "password").write_text(PASSWORD)
        file = directory / "tillstream.yaml"
        file.write_text(_settings(stores, database) + settings)
        self.config = load_config(file)
        self.policy = EMPTY_POLICY
        if policies is not None:
            (directory / "policies.yaml").write_text(policies)
            self.take_up_file()
        self.warehouse = Warehouse(warehouse_url)
        self.warehouse.migrate()
        self.pipeline: Pipeline | None = None

    # --- the stores -------------------------------------------------------------------------------------

    def on(self, store: str, *statements: str, **options: Any) -> None:
        """Run statements in one session of a store's server."""
        with self.session(store, **options) as cursor:
            for statement in statements:
                cursor.execute(statement)

    def on_all(self, *statements: str, **options: Any) -> None:
        for store in self.stores:
            self.on(store, *statements, **options)

    @contextmanager
    def session(self, store: str, **options: Any) -> Iterator["pymysql.cursors.Cursor"]:
        connection = self.stores[store].connect(self.database, **options)
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def asked(self, store: str, query: str) -> list[tuple[Any, ...]]:
        """What the store itself answers, its TIMESTAMPs in UTC."""
        with self.session(store) as cursor:
            cursor.execute("SET time_zone = '+00:00'")
            cursor.execute(query)
            return [tuple(row) for row in cursor.fetchall()]

    # --- the pipeline -----------------------------------------------------------------------------------

    def start(self) -> None:
        self.pipeline = Pipeline(self.config, self.policy, self.warehouse, probe_seconds=self._probe_seconds)
        self.pipeline.start()
        self._wait(self._snapshots_done, list(self.stores))

    def take_up_file(self) -> None:
        """policies.yaml as it is now: what the next start of `run` finds."""
        file = checked_yaml.load(self.config.directory / "policies.yaml")
        self.policy = parse_policy(file, {key: {} for key in self.stores})

    def settle(self, *, without: tuple[str, ...] = ()) -> None:
        """Return once everything that the stores wrote so far has arrived and is decided."""
        self._markers += 1
        stores = [store for store in self.stores if store not in without]
        for store in stores:
            self.on(store, f"INSERT INTO {MARKER} VALUES ({self._markers})")
        self._wait(lambda: self._arrived(stores), stores)

    def stop(self) -> None:
        if self.pipeline is not None:
            self.pipeline.stop()
            failure, self.pipeline = self.pipeline.failure, None
            assert failure is None, failure

    def close(self) -> None:
        try:
            self.stop()
        finally:
            self.warehouse.dispose()
            for server in self.stores.values():
                if server.running:
                    server.execute(f"DROP DATABASE IF EXISTS `{self.database}`")

    def read_anew(
        self, wanted: Iterable[tuple[str, str | None]], *, where: str | None = None
    ) -> dict[tuple[str, str], tuple[int, int, int]]:
        """Have these stores' tables read anew, None for all of them; rows read, mended and withdrawn of each."""
        first: dict[str, int] = {}
        with self.warehouse.transaction() as tx:
            for store, table in wanted:
                database = None if table is None else self.database
                number = requests.add(tx, store, "a test", database=database, table=table, condition=where)
                assert number is not None
                first.setdefault(store, number)
        self._wait(lambda: not self._unread(first), [])
        with self.warehouse.transaction() as tx:
            found = [each for store, number in first.items() for each in requests.since(tx, number, store)]
        errors = [each.error for each in found if each.error]
        assert not errors, errors
        return {(each.store, each.table): (each.rows, each.mended, each.withdrawn) for each in found if each.table}

    def _unread(self, first: Mapping[str, int]) -> bool:
        with self.warehouse.transaction() as tx:
            found = [each for store, number in first.items() for each in requests.since(tx, number, store)]
        return any(each.state not in ("done", "failed") for each in found)

    # --- the warehouse ----------------------------------------------------------------------------------

    def rows(self, query: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
        with self.warehouse.transaction() as tx:
            return tx.rows(query, parameters)

    def letters(self, store: str, table: str) -> dict[str, str]:
        """Open dead letters: primary key → reason."""
        return dict(
            self.rows(
                "SELECT pk, reason FROM tillstream.dead_letters"
                " WHERE status = 'open' AND store = %s AND table_name = %s",
                [store, table],
            )
        )

    def states(self) -> dict[str, tuple[str, str]]:
        return {
            s: (state, why) for s, state, why in self.rows("SELECT store, state, reason FROM tillstream.store_states")
        }

    def wait_for_state(self, store: str, state: str) -> tuple[str, str]:
        """The store's state and its reason, once that is its state."""
        self._wait(lambda: self.states().get(store, ("", ""))[0] == state, [])
        return self.states()[store]

    def wait_until(self, reached: Callable[[], bool]) -> None:
        self._wait(reached, [])

    def _snapshots_done(self) -> bool:
        done = {store for (store,) in self.rows("SELECT store FROM tillstream.ledger WHERE snapshot_done")}
        return done >= set(self.stores)

    def _arrived(self, stores: list[str]) -> bool:
        marked = self.rows(f"SELECT count(*) FROM stores.{MARKER} WHERE _pk = %s AND _store = ANY(%s)",
                           [str(self._markers), stores])  # fmt: skip
        left = self.rows(
            "SELECT (SELECT count(*) FROM tillstream.dirty_keys), (SELECT count(*) FROM tillstream.to_ask),"
            " (SELECT count(*) FROM tillstream.resyncs WHERE state IN ('waiting', 'reading')),"
            " (SELECT count(*) FROM tillstream.redecisions)"
        )
        return marked[0][0] == len(stores) and left == [(0, 0, 0, 0)]

    def _wait(self, reached: Callable[[], bool], stores: Collection[str]) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while not reached():
            assert self.pipeline is not None
            assert self.pipeline.failure is None, self.pipeline.failure
            assert time.monotonic() < deadline, f"nothing more arrives: {self.states()}"
            refused = {s: why for s, (state, why) in self.states().items() if state == "refused" and s in stores}
            assert not refused, refused
            time.sleep(0.05)


def read_anew(
    chain: Chain, store: str, table: str | None = None, where: str | None = None
) -> dict[str, tuple[int, int, int]]:
    """By table of one store: rows read, mended, withdrawn."""
    return {name: found for (_, name), found in chain.read_anew([(store, table)], where=where).items()}


@contextmanager
def unseen(chain: Chain, store: str) -> Iterator[Callable[[str], object]]:
    """Statements that leave no trace in the store's log."""
    with chain.session(store) as cursor:
        cursor.execute("SET sql_log_bin = 0")
        yield cursor.execute


def assert_no_difference(chain: Chain) -> None:
    policy = in_force(chain.warehouse, chain.policy)
    result = verification_for(chain.config, policy, chain.warehouse).run()
    assert (result.differences, result.set_aside, result.unreachable) == (0, 0, ()), result.samples


def fresh_warehouse(warehouse_url: str, name: str) -> str:
    """The URL of an empty database on the same PostgreSQL."""
    url = sqlalchemy.make_url(warehouse_url)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    return url.set(database=name).render_as_string(hide_password=False)


def _settings(stores: Mapping[str, MySQLServer], database: str) -> str:
    lines = "".join(
        f"  - {{id: {store}, host: {server.host}, port: {server.port}}}\n" for store, server in stores.items()
    )
    return (
        f"defaults: {{user: tillstream, password: {{file: secrets/password}}, database: {database}}}\n"
        f"metrics: {{port: null}}\n"
        f"capture_options: {{heap_megabytes: {HEAP_MEGABYTES}, heartbeat_seconds: 1}}\n"
        f"stores:\n{lines}"
    )
