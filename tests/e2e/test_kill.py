"""`run` killed with SIGKILL again and again, under load."""

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from invocation import write_config

from tillstream.rehearsal.mysql import MySQLServer

KILLS = 20
POLICIES = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: digits}
    columns: {points: {rule: sum}, "*": {rule: latest}}
"""


class Till(threading.Thread):
    """Writes to one store until told to stop, and keeps a log of every row whose COMMIT has returned."""

    def __init__(self, server: MySQLServer, seed: int) -> None:
        super().__init__(daemon=True)
        self._server, self._dice = server, random.Random(seed)
        self.done = threading.Event()
        self.sales: dict[int, str] = {}
        self.stock: dict[int, int] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            connection = self._server.connect("pos", autocommit=False)
            while not self.done.is_set():
                self._transaction(connection)
                time.sleep(0.01)
            connection.close()
        except BaseException as error:
            self.error = error

    def _transaction(self, connection: Any) -> None:
        note = f"少冰 {self._dice.random()}"
        sku = self._dice.randrange(1, 50)
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO sales (note, total) VALUES (%s, %s)", (note, "18.50"))
            sale = cursor.lastrowid
            cursor.execute("UPDATE stock SET qty = qty - 1 WHERE sku = %s", (sku,))
            cursor.execute("UPDATE members SET points = points + 1 WHERE id = %s", (self._dice.randrange(1, 20),))
            cursor.execute("INSERT INTO drawer VALUES ('sale', 18.50)")
            if self._dice.random() < 0.2:
                cursor.execute("DELETE FROM drawer LIMIT 1")
        connection.commit()
        self.sales[sale] = note


def _with_tables(server: MySQLServer) -> MySQLServer:
    connection = server.connect("pos")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE sales (id INT PRIMARY KEY AUTO_INCREMENT, note VARCHAR(60), total DECIMAL(8,2))")
        cursor.execute("CREATE TABLE stock (sku INT PRIMARY KEY, qty INT NOT NULL)")
        cursor.execute("CREATE TABLE members (id INT PRIMARY KEY, phone VARCHAR(20), points DECIMAL(10,2))")
        cursor.execute("CREATE TABLE drawer (what VARCHAR(10), amount DECIMAL(8,2))")
        cursor.executemany("INSERT INTO stock VALUES (%s, 1000)", [(sku,) for sku in range(1, 50)])
        cursor.executemany("INSERT INTO members VALUES (%s, %s, 0)", [(n, f"138000000{n:02d}") for n in range(1, 20)])
    connection.close()
    return server


@pytest.mark.timeout(400)
def test_twenty_kills_lose_and_invent_nothing(
    open_shop: Callable[..., MySQLServer],
    fresh_database: str,
    tmp_path: Path,
    tillstream: Callable[..., Any],
    started: Callable[..., Any],
) -> None:
    """After 20 SIGKILLs at random moments under load, verify finds no difference and every committed row is there."""
    dice = random.Random()
    servers = [_with_tables(open_shop(number)) for number in (1, 2)]
    write_config(tmp_path, fresh_database, {f"s{n}": s.port for n, s in enumerate(servers, 1)}, policies=POLICIES)
    assert tillstream("migrate", directory=tmp_path).returncode == 0
    tills = [Till(server, seed) for seed, server in enumerate(servers)]
    for till in tills:
        till.start()
    survived = []
    for _ in range(KILLS):
        process = started(tmp_path)
        survived.append(dice.uniform(0.3, 4.0))
        time.sleep(survived[-1])
        assert process.poll() is None, (tmp_path / "run.log").read_text()[-3000:]
        process.kill()
        process.wait()
    process = started(tmp_path)
    time.sleep(3)
    for till in tills:
        till.done.set()
        till.join()
        assert till.error is None
    _wait_until_arrived(fresh_database, servers, tmp_path)

    verified = tillstream("verify", "--output", "json", directory=tmp_path)
    assert verified.returncode == 0, f"killed after {survived}: {verified.stdout}\n{verified.stderr}"
    assert json.loads(verified.stdout)["differences"] == 0
    for number, till in enumerate(tills, 1):
        assert len(till.sales) > 500
        assert _sales(fresh_database, f"s{number}") == till.sales
    process.terminate()
    assert process.wait(30) == 0


def _wait_until_arrived(url: str, servers: list[MySQLServer], directory: Path) -> None:
    heads = {}
    for number, server in enumerate(servers, 1):
        file, pos = server.execute("SHOW MASTER STATUS")[0][:2]
        heads[f"s{number}"] = (int(file.rpartition(".")[2]), pos)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        rows = _query(url, "SELECT store, file, pos FROM tillstream.ledger")
        if all((file, pos) >= heads[store] for store, file, pos in rows):
            return
        time.sleep(0.2)
    raise AssertionError(f"not arrived: {rows} of {heads}\n{(directory / 'run.log').read_text()[-3000:]}")


def _sales(url: str, store: str) -> dict[int, str]:
    return dict(_query(url, f"SELECT id, note FROM stores.sales WHERE _store = '{store}' AND NOT _deleted"))


def _query(url: str, query: str) -> list[Any]:
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
        return connection.execute(query).fetchall()
