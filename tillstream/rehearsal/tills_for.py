"""Tills for stores that somebody else has started: `python -m tillstream.rehearsal.tills_for --config tillstream.yaml`.

A store of that file that has no shop in it yet gets one: tables, goods, members, and the account that capture reads
with. Then its till sells until SIGTERM or Ctrl-C. docker/compose.yaml has it in its profile demo.
"""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pymysql

from connectors.login import log_in
from connectors.rights import least_grants
from tillstream.config import Secret, Store, load_config
from tillstream.errors import TillstreamError
from tillstream.rehearsal import shop as pos
from tillstream.rehearsal.tills import Till

SEED = 7  # of the goods and members that a shop begins with
SHIFT_SECONDS = 3600.0  # a till remembers all it sold: the next one begins with an empty book
RETRY_SECONDS = 5.0
LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingShop:
    """A shop on a server that is not ours to start or stop; `index` counts from 0."""

    index: int
    store: Store
    root_password: Secret

    @property
    def id(self) -> str:
        return self.store.id

    @property
    def name(self) -> str:
        return self.store.name

    def connect(self) -> "pymysql.Connection[Any]":
        """As its till connects: nothing is committed by itself. UPDATE counts the rows that it really changed."""
        return self._log_in(database=self.store.database, autocommit=False)

    def open(self) -> bool:
        """Whether there was no shop yet; one that was left half-way is begun anew."""
        with closing(self._log_in(autocommit=True)) as connection, connection.cursor() as cursor:
            if self._is_open(cursor):
                return False
            self._make_account(cursor)
            cursor.execute(f"DROP DATABASE IF EXISTS `{self.store.database}`")
            pos.lay_out(connection, self.store.database, seed=SEED, store=self.index)
            return True

    def _is_open(self, cursor: Any) -> bool:
        """Its rows came as one transaction, after its tables."""
        tables = "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = 'members'"
        if not cursor.execute(tables, (self.store.database,)):
            return False
        return bool(cursor.execute(f"SELECT 1 FROM `{self.store.database}`.members LIMIT 1"))

    def _make_account(self, cursor: Any) -> None:
        user = self.store.user
        cursor.execute("SET sql_log_bin = 0")  # accounts are the server's own affair, not the shop's data
        if cursor.execute("SELECT 1 FROM mysql.user WHERE User = %s AND Host = '%%'", (user,)):
            cursor.execute("DROP USER %s@'%%'", (user,))
        cursor.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (user, self.store.password.reveal()))
        for statement in least_grants(self.store):
            cursor.execute(statement)
        cursor.execute("SET sql_log_bin = 1")

    def _log_in(self, **options: Any) -> "pymysql.Connection[Any]":
        return log_in(
            host=self.store.host,
            port=self.store.port,
            user="root",
            password=self.root_password.reveal(),
            charset="utf8mb4",
            **options,
        )


def open_shops(shops: Sequence[StandingShop], stop: threading.Event) -> None:
    """Return when all are open, or when told to stop; a server that does not answer is waited for."""
    for shop in shops:
        while not stop.is_set():
            try:
                print(f"store {shop.id}: {'opened' if shop.open() else 'was open already'}", flush=True)
                break
            except pymysql.err.MySQLError as error:
                _told(shop, error)
                stop.wait(RETRY_SECONDS)


def sell(shop: StandingShop, rate: float, stop: threading.Event) -> None:
    """`rate` row changes a second until told to stop; over a server that goes away and comes back."""
    while not stop.is_set():
        till = Till(shop, (), rate=rate, seed=time.time_ns(), tell=print)
        till.open(time.monotonic(), SHIFT_SECONDS)
        while till.is_alive() and not stop.wait(LOOK_SECONDS):
            pass
        till.close()
        till.join()
        if till.failure is not None:
            _told(shop, till.failure)
            stop.wait(RETRY_SECONDS)


def _told(shop: StandingShop, error: BaseException) -> None:
    print(f"store {shop.id}: {error}; trying again in {RETRY_SECONDS:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("tillstream.yaml"))
    parser.add_argument("--root-password", type=Path, required=True, metavar="FILE", help="of root on every server")
    parser.add_argument("--rate", type=float, default=20.0, help="row changes a second, of all stores together")
    parser.add_argument("--opened", type=Path, metavar="FILE", help="is made once all shops are open")
    asked = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stop.set())
    password = Secret(file=asked.root_password, owner="root")
    try:
        stores = load_config(asked.config).stores
        shops = [StandingShop(index=n, store=store, root_password=password) for n, store in enumerate(stores)]
        open_shops(shops, stop)
        if asked.opened is not None:
            asked.opened.touch()
        with ThreadPoolExecutor(len(shops)) as pool:
            list(pool.map(partial(sell, rate=asked.rate / len(shops), stop=stop), shops))
    except TillstreamError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
