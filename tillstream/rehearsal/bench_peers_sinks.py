"""Who brings the lanes into PostgreSQL: Tillstream, and the others that are started as Python processes."""

import json
import pickle
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from psycopg import sql

from sinks.warehouse import Warehouse
from tillstream import processes
from tillstream.rehearsal.bench_peers_day import POSTGRES, TABLES, lane
from tillstream.rehearsal.bench_peers_run import Place, SpoiltError, connected, driver_url
from tillstream.rehearsal.bench_peers_topics import prefix, topics

STOP_SECONDS = 30.0
CEILING_BATCH = 10_000  # records; what Tillstream's worker takes at once
_MIDNIGHT = datetime(1970, 1, 1)
SCRIPTS = Path(__file__).with_name("peers")
OFFSETS_TOPIC = "tillstream.connect.offsets"


class Programs:
    """Processes of one contender, and tables that a user of it would have made: no store, no stamps."""

    name: str

    def __init__(self) -> None:
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def prepare(self, place: Place) -> None:
        with connected(place.database) as connection:
            for table in TABLES:
                connection.execute(table_ddl(table))

    def start(self, place: Place) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        for process, _ in self._running:
            process.terminate()
        for process, _ in self._running:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def pids(self) -> list[int]:
        found = []
        for process, log in self._running:
            if (code := process.poll()) not in (None, 0):
                raise SpoiltError(f"{self.name} ended with exit code {code}: {processes.last_lines(log, 3)}")
            if code is None:
                found.append(process.pid)
                found.extend(child.pid for child in psutil.Process(process.pid).children(recursive=True))
        return found

    def relation(self, table: str) -> sql.Composable:
        return sql.Identifier(table)

    def live(self) -> sql.Composable:
        return sql.SQL("true")

    def spawn(self, argv: list[str | Path], place: Place, environment: dict[str, str] | None = None) -> None:
        log = place.directory / f"{self.name.replace(' ', '-')}-{len(self._running) + 1}.log"
        log.unlink(missing_ok=True)
        process = processes.spawn(
            argv, directory=place.directory, log=log, environment=environment, as_ourselves=True
        )  # fmt: skip
        self._running.append((process, log))


def table_ddl(table: str, more: str = "") -> sql.Composed:
    columns = [
        sql.SQL("{} {}{}").format(sql.Identifier(name), sql.SQL(POSTGRES[kind]), sql.SQL("" if at else " PRIMARY KEY"))
        for at, (name, kind) in enumerate(TABLES[table].items())
    ]
    return sql.SQL("CREATE TABLE {} ({}{})").format(sql.Identifier(table), sql.SQL(", ").join(columns), sql.SQL(more))


def decimals_as_text(place: Place) -> None:
    with connected(place.database) as connection:
        for table, types in TABLES.items():
            for name in [name for name, kind in types.items() if kind == "DECIMAL"]:
                connection.execute(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE text".encode())


class Tillstream(Programs):
    """`tillstream work`, as a user starts it; on records with schemas a worker that takes these off first."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        self._workers = workers
        self.name = f"tillstream {workers}"

    def prepare(self, place: Place) -> None:
        warehouse = Warehouse(driver_url(place.database).replace("postgresql:", "postgresql+psycopg:"))
        warehouse.migrate()
        warehouse.dispose()

    def start(self, place: Place) -> None:
        url = place.database
        (place.directory / "password").write_text(url.password or "")
        config = place.directory / "tillstream.yaml"
        config.write_text(
            f"warehouse: {{url: 'postgresql+psycopg://{url.username}@{url.host}:{url.port}/{url.database}', "
            "password: {file: password}}\n"
            f"capture: {{kafka: '{place.kafka}', connect: 'http://127.0.0.1:1', "
            f"prefix: '{prefix(place.load.name, place.form)}'}}\n"
            "defaults: {user: nobody, password: {file: password}, database: pos}\n"
            f"stores: [{{id: {place.load.stores[0]}, host: 127.0.0.1}}]\n"
        )
        program = Path(sys.executable).with_name("tillstream")
        plain: list[str | Path] = [program, "work", "--config", config, "--metrics-port", "0"]
        schema: list[str | Path] = [sys.executable, "-m", "tillstream.rehearsal.bench_peers_worker", config]
        for _ in range(self._workers):
            self.spawn(plain if place.form == "plain" else schema, place)

    def relation(self, table: str) -> sql.Composable:
        return sql.Identifier("stores", table)

    def live(self) -> sql.Composable:
        return sql.SQL("NOT _deleted")


STAMPS = ("_store", "_pk", "_epoch", "_file", "_pos", "_row", "_order", "_event_us", "_op", "_deleted")
STAMPS_DDL = (
    ', _store text COLLATE "C", _pk text COLLATE "C", _epoch int, _file int, _pos bigint, _row int, _order bigint,'
    " _event_us bigint, _op text, _deleted boolean"
)


class Ceiling(Programs):
    """Bare psycopg: rows that are ready, deduplicated, by COPY into a stage and one upsert a table."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count
        self.name = f"ceiling {count}"

    def prepare(self, place: Place) -> None:
        with connected(place.database) as connection:
            for table in TABLES:
                columns = ", ".join(f"{name} {POSTGRES[kind]}" for name, kind in TABLES[table].items())
                key = ", PRIMARY KEY (_store, _pk)"
                connection.execute(f"CREATE TABLE {table} ({columns}{STAMPS_DDL}{key})".encode())
        for part in range(self._count):
            with self._file(place, part).open("wb") as file:
                for batch in _ready(place, range(part, len(place.load.records), self._count)):
                    pickle.dump(batch, file, pickle.HIGHEST_PROTOCOL)

    def start(self, place: Place) -> None:
        for part in range(self._count):
            argv: list[str | Path] = [sys.executable, "-m", "tillstream.rehearsal.bench_peers_ceiling"]
            self.spawn([*argv, self._file(place, part)], place, {"CEILING_URL": driver_url(place.database)})

    def _file(self, place: Place, part: int) -> Path:
        return place.directory / f"ceiling-{part}.pickle"

    def live(self) -> sql.Composable:
        return sql.SQL("NOT _deleted")


def _ready(place: Place, numbers: range) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    """Batches as a worker takes them: of each lane in turn, folded to one row a key."""
    folded: dict[str, dict[int, tuple[Any, ...]]] = {table: {} for table in TABLES}
    count = 0
    for number in numbers:
        store, latest = place.load.stores[number], 0
        for change in lane(place.load, number):
            count += 1
            if change.pos > latest:
                latest = change.pos
                image = change.after or change.before or {}
                folded[change.table][change.key] = (
                    *(_ready_value(change.table, *item) for item in image.items()), store, str(change.key),
                    1, 1, change.pos, 0, 0, change.pos, change.op, change.op == "d",
                )  # fmt: skip
            if count % CEILING_BATCH == 0:
                yield {table: list(rows.values()) for table, rows in folded.items()}
                folded = {table: {} for table in TABLES}
    yield {table: list(rows.values()) for table, rows in folded.items()}


def _ready_value(table: str, column: str, value: Any) -> Any:
    if TABLES[table][column] != "DATETIME":
        return value
    return _MIDNIGHT + timedelta(microseconds=value)


class Script(Programs):
    """A peer that is a Python library: a program for it, in a virtual environment of its own."""

    def __init__(self, name: str, python: Path, *, count: int = 1, environment: dict[str, str] | None = None) -> None:
        super().__init__()
        self.name, self._python, self._count, self._environment = name, python, count, environment or {}

    def prepare(self, place: Place) -> None:
        super().prepare(place)
        if self.name == "pathway":  # it has no decimals but floats, and writes text into nothing but text
            decimals_as_text(place)
        if self.name == "quix":  # its sink writes no deletes: what is gone is marked
            with connected(place.database) as connection:
                for table in TABLES:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN deleted boolean".encode())

    def start(self, place: Place) -> None:
        url = place.database
        task = place.directory / f"{self.name}.json"
        task.write_text(
            json.dumps(
                {
                    "kafka": place.kafka, "topics": topics(place.load, place.form), "form": place.form,
                    "group": uuid.uuid4().hex, "tables": TABLES,
                    "postgres": {"host": url.host, "port": url.port, "user": url.username, "password": url.password,
                                 "dbname": url.database},
                }
            )
        )  # fmt: skip
        for _ in range(self._count):
            self.spawn([self._python, SCRIPTS / f"{self.name}_sink.py", task], place, self._environment)

    def live(self) -> sql.Composable:
        return sql.SQL("deleted IS NOT TRUE" if self.name == "quix" else "true")
