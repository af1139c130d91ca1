"""One run: a contender brings filled topics into PostgreSQL, watched from outside by the marks in its lanes."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

from sinks.embedded_warehouse import EmbeddedWarehouse
from tillstream.errors import TillstreamError
from tillstream.rehearsal.bench_peers_day import TABLES, Load, Sum, sum_query

LOOK_SECONDS = 0.1
STUCK_SECONDS = 60.0
MOST_BEFORE = 0.6  # of all events, in by the time that the warm-up is over
GRACE_SECONDS = 20.0  # from the last mark to the last row of another table


class SpoiltError(TillstreamError):
    """A run that does not count, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a contender reads and where it writes."""

    kafka: str
    load: Load
    form: str
    database: URL
    directory: Path


class Contender(Protocol):
    name: str

    def prepare(self, place: Place) -> None:
        """Tables, where it does not make its own; nothing of this is measured."""

    def start(self, place: Place) -> None: ...

    def stop(self) -> None: ...

    def pids(self) -> list[int]:
        """Its processes outside PostgreSQL. SpoiltError if one of them has failed."""

    def relation(self, table: str) -> sql.Composable: ...

    def live(self) -> sql.Composable:
        """Tells rows that are there from those that are only remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    contender: str
    workload: str
    form: str
    repetition: int
    events: int  # counted: those after the warm-up
    seconds: float
    cpu_seconds: float  # of the contender, outside PostgreSQL
    postgres_cpu_seconds: float
    wal_bytes: int
    peak_megabytes: int  # resident, of its largest process
    processes: int
    start_seconds: float  # until its first mark was there
    spoilt: str | None = None

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0

    @property
    def cpu_seconds_per_million(self) -> float:
        return self.cpu_seconds / self.events * 1e6 if self.events else 0.0


class Postgres:
    """One server for all contenders, a database for each run."""

    def __init__(self, directory: Path) -> None:
        self._server = EmbeddedWarehouse(directory, die_with_parent=True)
        self._made = 0

    def __enter__(self) -> "Postgres":
        self._server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.stop()

    @contextmanager
    def database(self) -> Iterator[URL]:
        self._made += 1
        url, name = make_url(self._server.url), f"run_{self._made}"
        with connected(url) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            connection.execute("CHECKPOINT")
        try:
            yield url.set(database=name)
        finally:
            with connected(url) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def pids(self) -> list[int]:
        postmaster = int((self._server.data / "postmaster.pid").read_text().split()[0])
        return [postmaster, *(child.pid for child in psutil.Process(postmaster).children())]


@contextmanager
def connected(url: URL) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(driver_url(url), autocommit=True) as connection:
        yield connection


def driver_url(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    taken: int
    cpu: float
    postgres_cpu: float
    wal: int


def measure(
    contender: Contender, place: Place, postgres: Postgres, *, warm: int, expected: Mapping[str, Sum], repetition: int
) -> Measured:
    """A run that does not reach the expected state comes back spoilt."""
    watch = _Watch(contender, place, postgres)
    try:
        with watch:
            first = watch.until(1)
            begin = watch.until(warm)
            if begin.taken > MOST_BEFORE * place.load.events:
                raise SpoiltError(f"{begin.taken:,} of {place.load.events:,} events came at once: take more of them")
            watch.until(place.load.events)
            watch.require(expected)
            end = watch.look()
            return watch.measured(first, begin, end, repetition)
    except SpoiltError as error:
        return Measured(
            contender=contender.name, workload=place.load.name, form=place.form, repetition=repetition, events=0,
            seconds=0.0, cpu_seconds=0.0, postgres_cpu_seconds=0.0, wal_bytes=0, peak_megabytes=0, processes=0,
            start_seconds=0.0, spoilt=str(error),
        )  # fmt: skip


def pilot(contender: Contender, place: Place, postgres: Postgres, seconds: float, warm_seconds: float) -> float:
    """Events a second in so many seconds, of which the first are not counted. SpoiltError."""
    with _Watch(contender, place, postgres) as watch:
        watch.until(1)
        begin = watch.after(warm_seconds)
        end = watch.after(seconds - warm_seconds)
        return (end.taken - begin.taken) / (end.at - begin.at)


class _Watch:
    def __init__(self, contender: Contender, place: Place, postgres: Postgres) -> None:
        self._contender, self._place, self._postgres = contender, place, postgres
        self._taken_query = sql.SQL("SELECT coalesce(sum(records), 0)::bigint FROM {}").format(
            contender.relation("marks")
        )
        self._last = _Look(0.0, 0, 0.0, 0.0, 0)

    def __enter__(self) -> "_Watch":
        self._contender.prepare(self._place)
        self._connection = psycopg.connect(driver_url(self._place.database), autocommit=True)
        self._started = time.monotonic()
        try:
            self._contender.start(self._place)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._contender.stop()
        self._connection.close()

    def until(self, records: int) -> _Look:
        """When so many are in."""
        moved = time.monotonic()
        while (taken := self._taken()) < records:
            now = time.monotonic()
            if taken > self._last.taken:
                self._last, moved = _Look(now, taken, 0.0, 0.0, 0), now
            elif now - moved > STUCK_SECONDS:
                raise SpoiltError(f"nothing came within {STUCK_SECONDS:.0f} s after {taken:,} events")
            self._contender.pids()
            time.sleep(LOOK_SECONDS)
        self._last = self.look()
        return self._last

    def after(self, seconds: float) -> _Look:
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline and self._taken() < self._place.load.events:
            self._contender.pids()
            time.sleep(min(LOOK_SECONDS, deadline - now))
        return self.look()

    def look(self) -> _Look:
        taken, at = self._taken(), time.monotonic()
        (wal,) = self._connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone() or (0,)
        return _Look(at, taken, cpu_seconds(self._contender.pids()), cpu_seconds(self._postgres.pids()), int(wal))

    def require(self, expected: Mapping[str, Sum]) -> None:
        deadline = time.monotonic() + GRACE_SECONDS
        while wrong := self._differences(expected):
            if time.monotonic() > deadline:
                raise SpoiltError(wrong)
            time.sleep(LOOK_SECONDS)

    def _differences(self, expected: Mapping[str, Sum]) -> str:
        wrong = []
        for table in TABLES:
            if expected[table].rows == 0:
                continue
            query = sum_query(table, self._contender.relation(table), self._contender.live())
            found = Sum(*(int(value) for value in self._connection.execute(query).fetchone() or (0, 0)))
            if found != expected[table]:
                values = "" if found.rows != expected[table].rows else ", and their values differ"
                wrong.append(f"{table} has {found.rows:,} rows of {expected[table].rows:,}{values}")
        return "; ".join(wrong)

    def measured(self, first: _Look, begin: _Look, end: _Look, repetition: int) -> Measured:
        pids = self._contender.pids()
        return Measured(
            contender=self._contender.name,
            workload=self._place.load.name,
            form=self._place.form,
            repetition=repetition,
            events=end.taken - begin.taken,
            seconds=end.at - begin.at,
            cpu_seconds=end.cpu - begin.cpu,
            postgres_cpu_seconds=end.postgres_cpu - begin.postgres_cpu,
            wal_bytes=end.wal - begin.wal,
            peak_megabytes=max((peak_megabytes(pid) for pid in pids), default=0),
            processes=len(pids),
            start_seconds=first.at - self._started,
        )

    def _taken(self) -> int:
        try:
            row = self._connection.execute(self._taken_query).fetchone()
        except psycopg.errors.UndefinedTable:
            return 0  # the contender makes it with the first record
        return int(row[0]) if row else 0


def cpu_seconds(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        with suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def peak_megabytes(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return 0
