"""One real mysqld as a store, without root and without an installation."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql

from connectors.login import log_in
from tillstream import processes
from tillstream.errors import RefusedError
from tillstream.free_ports import free_port
from tillstream.rehearsal import downloads

START_SECONDS = 90.0  # twenty at once on two cores: the last one waits for all the others
STOP_SECONDS = 30.0
LONGEST_SOCKET_PATH_BYTES = 100  # the kernel's limit is 107; mysqld appends ".lock" for a second file
DOCKER_IMAGE = "mysql:8.4"
ACCESS_DENIED = 1045


@dataclass(frozen=True, slots=True, kw_only=True)
class MySQLInstall:
    """A mysqld program and what it needs around it."""

    mysqld: Path
    version: tuple[int, int, int]
    loader: tuple[str, ...] = ()  # a dynamic loader of its own to start it through, with arguments
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)  # where its messages and character sets lie
    template: Path | None = None  # a data directory to copy; without one mysqld makes its own
    system_tables: tuple[Path, ...] = ()  # MariaDB's: the SQL that makes a data directory

    @property
    def is_mariadb(self) -> bool:
        return bool(self.system_tables)

    def command(self, *arguments: str) -> list[str]:
        return [*self.loader, str(self.mysqld), *arguments]


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerInstall:
    """A MySQL image. Untried: no Docker daemon was at hand where this was written."""

    image: str = DOCKER_IMAGE
    version: tuple[int, int, int] = (8, 4, 0)


def find_install(version: str | None = None) -> MySQLInstall | DockerInstall:
    """The server to run stores on: exactly "5.6", "9.7" or "mariadb-10.11", or None for what this machine has or can
    get.

    Raises RefusedError naming every way to get one.
    """
    match version:
        case "5.6":
            return _mysql_56()
        case "9.7":
            return _mysql_97()
        case "mariadb-10.11":
            return _mariadb_1011()
        case None:
            return _given_by_the_user() or _fetched_or_docker()
    raise RefusedError(f'MySQL "{version}" is not one of "5.6", "9.7", "mariadb-10.11"')


def _given_by_the_user() -> MySQLInstall | None:
    named = os.environ.get("TILLSTREAM_MYSQLD")
    if named:
        return _installed(Path(named).expanduser().absolute())
    on_path = shutil.which("mysqld")
    try:
        return _installed(Path(on_path)) if on_path else None
    except RefusedError:  # nobody asked for that one; the next way may do
        return None


def _fetched_or_docker() -> MySQLInstall | DockerInstall:
    try:
        return _mysql_56()
    except RefusedError:
        if not _docker_runs():
            raise
    downloads.log.info("fetching the Docker image %s ...", DOCKER_IMAGE)
    downloads.call(["docker", "pull", "--quiet", DOCKER_IMAGE], directory=Path("/"))
    return DockerInstall()


def _docker_runs() -> bool:
    if not shutil.which("docker"):
        return False
    asked = subprocess.run(["docker", "info"], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return asked.returncode == 0


def _installed(mysqld: Path) -> MySQLInstall:
    install = MySQLInstall(mysqld=mysqld, version=_version_of([str(mysqld)], {}))
    if install.version < (5, 7, 0):
        raise downloads.NoServerError(f"{mysqld} is older than 5.7 and cannot make a data directory")
    return install


def _mysql_56() -> MySQLInstall:
    server = downloads.mysql_56()
    environment = {"LD_LIBRARY_PATH": str(server)}
    return MySQLInstall(
        mysqld=server / "mysqld",
        version=_version_of([str(server / "mysqld")], environment),
        environment=environment,
        options={
            "lc-messages-dir": str(server / "share"),
            "character-sets-dir": str(server / "share" / "charsets"),
        },
        template=server / "data" / "mysql",
    )


def _mysql_97() -> MySQLInstall:
    root = downloads.mysql_97()
    libraries = root / "usr" / "lib" / "x86_64-linux-gnu"
    # Its C library is newer than most machines': it runs through the loader that came along with it.
    loader = (str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries))
    environment = {"LC_ALL": "C", "OPENSSL_CONF": os.devnull}  # the machine's is for another OpenSSL
    mysqld = root / "usr" / "sbin" / "mysqld"
    share = root / "usr" / "share" / "mysql"
    return MySQLInstall(
        mysqld=mysqld,
        version=_version_of([*loader, str(mysqld)], environment),
        loader=loader,
        environment=environment,
        options={
            "basedir": str(root / "usr"),
            "plugin-dir": str(root / "usr" / "lib" / "mysql" / "plugin"),
            "lc-messages-dir": str(share),
            "character-sets-dir": str(share / "charsets"),
            "secure-file-priv": "NULL",  # what was compiled in is a directory this machine has not
        },
    )


def _mariadb_1011() -> MySQLInstall:
    root = downloads.mariadb_1011()
    libraries = root / "lib" / "x86_64-linux-gnu"
    path = f"{libraries}:{root / 'usr' / 'lib' / 'x86_64-linux-gnu'}"
    loader = (str(libraries / "ld-linux-x86-64.so.2"), "--library-path", path)
    environment = {"LC_ALL": "C", "OPENSSL_CONF": os.devnull}
    mariadbd = root / "usr" / "sbin" / "mariadbd"
    share = root / "usr" / "share" / "mysql"
    return MySQLInstall(
        mysqld=mariadbd,
        version=_version_of([*loader, str(mariadbd)], environment, mariadb=True),
        loader=loader,
        environment=environment,
        options={
            "basedir": str(root / "usr"),
            "plugin-dir": str(root / "usr" / "lib" / "mysql" / "plugin"),
            "lc-messages-dir": str(share),
            "character-sets-dir": str(share / "charsets"),
        },
        system_tables=tuple(share / f"mysql_{part}.sql" for part in ("system_tables", "system_tables_data")),
    )


def _version_of(command: list[str], environment: Mapping[str, str], *, mariadb: bool = False) -> tuple[int, int, int]:
    try:
        asking = [*command, "--no-defaults", "--version"]
        said = processes.run(asking, directory=Path("/"), environment=environment)
    except OSError as error:
        raise downloads.NoServerError(f"{command[-1]} cannot be started: {error}") from error
    found = re.search(r"Ver (\d+)\.(\d+)\.(\d+)", said.stdout)
    if not found or ("MariaDB" in said.stdout) != mariadb:
        wanted = "MariaDB" if mariadb else "MySQL"
        raise downloads.NoServerError(f"{command[-1]} is not a {wanted} server: {said.stdout.strip()[:200]}")
    return int(found[1]), int(found[2]), int(found[3])


class MySQLServer:
    """A MySQL server on a loopback port; its data and its port survive stop, kill and start."""

    host = "127.0.0.1"

    def __init__(
        self,
        install: MySQLInstall | DockerInstall,
        directory: Path,
        *,
        port: int | None = None,
        server_id: int = 1,
        options: Mapping[str, str | None] | None = None,
    ) -> None:
        """`options` are mysqld's own, by name, over the ones of `_usual_options`; None removes one."""
        self.install = install
        self.directory = directory.absolute()
        self.port = port or free_port()
        self.server_id = server_id
        self._overrides = {name.replace("_", "-"): value for name, value in (options or {}).items()}
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: Path | None = None
        self._container = f"tillstream-{os.getpid()}-{self.port}"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def error_log(self) -> Path:
        """What mysqld prints: with a log-error of its own, 5.6 loses its last words."""
        return self.directory / "error.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def version(self) -> str:
        return str(self.execute("SELECT VERSION()")[0][0])

    def start(self) -> None:
        """Return when the server answers; RefusedError with its last words where it does not."""
        if self.running:
            return
        processes.make_directory(self.directory)
        match self.install:
            case DockerInstall():
                self._process = self._start_container(self.install)
            case MySQLInstall():
                self._process = self._start_process(self.install)
        self._await_answer(self._process)

    def stop(self) -> None:
        """Shut down cleanly, by force where that takes longer than STOP_SECONDS."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._gone()

    def kill(self) -> None:
        """Die on the spot, as by a power cut: nothing is flushed or said goodbye to."""
        if self._process is None:
            return
        if isinstance(self.install, DockerInstall):
            self._docker("kill")
        self._process.kill()
        self._process.wait()
        self._gone()

    def freeze(self) -> None:
        """Stop answering while every connection stays open."""
        self._signal(signal.SIGSTOP, docker="pause")

    def thaw(self) -> None:
        self._signal(signal.SIGCONT, docker="unpause")

    def connect(
        self, database: str | None = None, user: str = "root", password: str = "", **kw: Any
    ) -> "pymysql.Connection[Any]":
        return log_in(
            host=self.host,
            port=self.port,
            user=user,
            password=password,
            database=database,
            **{"charset": "utf8mb4", "autocommit": True, **kw},
        )

    def execute(self, sql: str, *args: object) -> tuple[tuple[Any, ...], ...]:
        """One statement as root, on a connection of its own; its rows."""
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(sql, args or None)
            return tuple(cursor.fetchall())

    def create_capture_user(self, user: str = "tillstream", password: str | None = None) -> str:
        """Make the account capture reads with, its rights exactly what Debezium asks for; its password."""
        password = password or secrets.token_urlsafe(16)
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SET sql_log_bin = 0")  # accounts are the server's own affair, not the shop's data
            if cursor.execute("SELECT 1 FROM mysql.user WHERE User = %s AND Host = '%%'", (user,)):
                cursor.execute("DROP USER %s@'%%'", (user,))
            cursor.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (user, password))
            cursor.execute(
                "GRANT SELECT, RELOAD, SHOW DATABASES, LOCK TABLES, REPLICATION SLAVE, REPLICATION CLIENT "
                "ON *.* TO %s@'%%'",
                (user,),
            )
        return password

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_process(self, install: MySQLInstall) -> "subprocess.Popen[bytes]":
        self._place_socket()
        first_words = self.directory / "first_statements.sql"
        first_words.write_text("\n".join(_account_statements(install)) + "\n")
        settings = self.directory / "my.cnf"
        settings.write_text(_as_settings(self._options(install)))
        self._make_data(install, settings)
        for leftover in (self.socket, self.socket.with_name(self.socket.name + ".lock")):
            # After a kill it names a process id that may be another program's by now: mysqld would refuse.
            leftover.unlink(missing_ok=True)
        processes.hand_over(self.directory)
        return processes.spawn(
            install.command(f"--defaults-file={settings}", f"--init-file={first_words}"),
            directory=self.directory,
            log=self.error_log,
            environment=install.environment,
        )

    def _make_data(self, install: MySQLInstall, settings: Path) -> None:
        if self.data.exists():
            return
        draft = self.directory / "data.draft"
        shutil.rmtree(draft, ignore_errors=True)
        if install.template:
            shutil.copytree(install.template, draft)
            # It holds the server_uuid; copied along, every store would pass for the same server.
            (draft / "auto.cnf").unlink(missing_ok=True)
        else:
            draft.mkdir()
            processes.hand_over(self.directory)
            making = [f"--defaults-file={settings}", f"--datadir={draft}"]
            made = processes.run(
                _bootstrap(install, self.directory, making)
                if install.is_mariadb
                else install.command(*making, "--initialize-insecure"),
                directory=self.directory,
                environment=install.environment,
            )
            if made.returncode != 0:
                raise RefusedError(f"mysqld made no data directory in {draft}:\n{made.stdout[-2000:]}")
        draft.rename(self.data)  # a first start that was cut short begins again

    @property
    def socket(self) -> Path:
        return self._socket or self.directory / "mysql.sock"

    def _place_socket(self) -> None:
        beside_data = self.directory / "mysql.sock"
        if len(os.fsencode(beside_data)) > LONGEST_SOCKET_PATH_BYTES and self._socket is None:
            place = Path(tempfile.mkdtemp(prefix="tillstream-"))
            processes.hand_over(place)
            self._socket = place / "mysql.sock"

    def _gone(self) -> None:
        self._process = None
        if self._socket:
            shutil.rmtree(self._socket.parent, ignore_errors=True)
            self._socket = None

    def _options(self, install: MySQLInstall) -> dict[str, str]:
        usual = {
            **_usual_options(install.version),
            **install.options,
            "server-id": str(self.server_id),
            "port": str(self.port),
            "bind-address": self.host,
            "datadir": str(self.data),
            "tmpdir": str(self.directory),
            "socket": str(self.socket),
            "pid-file": str(self.directory / "mysqld.pid"),
        }
        return {name: value for name, value in {**usual, **self._overrides}.items() if value is not None}

    def _await_answer(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                self.connect(connect_timeout=2).close()
            except pymysql.err.OperationalError as error:
                if error.args[0] == ACCESS_DENIED:  # a root password was set since: it is up all the same
                    return
                time.sleep(0.05)
            else:
                return
        said = "exited" if process.poll() is not None else f"did not answer within {START_SECONDS:.0f} s"
        self.kill()
        raise RefusedError(
            f"the MySQL server in {self.directory} {said}; the end of {self.error_log.name}:\n"
            f"{processes.last_lines(self.error_log, without='[Note]')}"
        )

    def _signal(self, number: signal.Signals, *, docker: str) -> None:
        if not self._process or not self.running:
            return
        if isinstance(self.install, DockerInstall):
            self._docker(docker)
        else:
            self._process.send_signal(number)

    def _start_container(self, install: DockerInstall) -> "subprocess.Popen[bytes]":
        """Untried. In the foreground, so that a container is waited for like any other process."""
        self.data.mkdir(exist_ok=True)
        processes.hand_over(self.data)
        account = processes.server_account()
        user = f"{account.uid}:{account.gid}" if account else f"{os.geteuid()}:{os.getegid()}"
        options = {**_usual_options(install.version), "server-id": str(self.server_id), **self._overrides}
        return processes.spawn(
            [
                *("docker", "run", "--rm", "--name", self._container, "--user", user),
                *("-p", f"{self.host}:{self.port}:3306", "-v", f"{self.data}:/var/lib/mysql"),
                *("-e", "MYSQL_ALLOW_EMPTY_PASSWORD=1", install.image),
                *(f"--{name}={value}" for name, value in options.items() if value is not None),
            ],
            directory=self.directory,
            log=self.error_log,
            as_ourselves=True,
        )

    def _docker(self, verb: str) -> None:
        subprocess.run(["docker", verb, self._container], capture_output=True, check=False)


def _usual_options(version: tuple[int, int, int]) -> dict[str, str]:
    """A shop's server as Debezium wants it, small enough for twenty on a laptop."""
    options = {
        "log-bin": "binlog",
        "binlog-format": "ROW",
        "binlog-row-image": "FULL",
        "character-set-server": "utf8mb4",
        "explicit-defaults-for-timestamp": "ON",
        "skip-name-resolve": "ON",
        "performance-schema": "OFF",
        "innodb-buffer-pool-size": "16M",
        "innodb-flush-log-at-trx-commit": "2",  # a rehearsal's machine is never cut off from power
        "sync-binlog": "0",
        "innodb-use-native-aio": "OFF",  # the kernel's default allows 24 servers' worth on the whole machine
        "innodb-log-buffer-size": "1M",  # 64 MB in 9.x, paid by every server at once
        "table-open-cache": "200",
        "table-definition-cache": "400",
        "key-buffer-size": "1M",
    }
    if version < (5, 7, 0) or version >= (10, 0, 0):  # MariaDB counts from 10 on
        options["innodb-log-file-size"] = "16M"  # two of them; a row must fit ten times into one
    else:
        options["loose-mysqlx"] = "OFF"  # its fixed port 33060 is there once only
    return options


def _bootstrap(install: MySQLInstall, directory: Path, options: list[str]) -> list[str]:
    """What mariadb-install-db does, which is a script for a server that is installed: its SQL, read from stdin."""
    first = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n"
    statements = directory / "bootstrap.sql"
    statements.write_text(first + "".join(file.read_text() for file in install.system_tables))
    server = install.command(*options, "--bootstrap", "--skip-log-bin", "--log-warnings=0")
    return ["/bin/sh", "-c", 'exec "$@" < bootstrap.sql', "sh", *server]


def _account_statements(install: MySQLInstall) -> list[str]:
    """What mysqld runs, a statement to a line, before it opens its port.

    Anonymous accounts go because ''@'localhost' beats 'user'@'%' for who comes from this machine. With
    skip-name-resolve 127.0.0.1 is not localhost, so that root needs an account for it.
    """
    root = "'root'@'127.0.0.1'"
    accounts = "global_priv" if install.is_mariadb else "user"
    return [
        "SET sql_log_bin = 0;",
        f"DELETE FROM mysql.{accounts} WHERE User = '';",
        "DELETE FROM mysql.db WHERE User = '';",
        "FLUSH PRIVILEGES;",
        *([] if install.version < (5, 7, 0) else [f"CREATE USER IF NOT EXISTS {root} IDENTIFIED BY '';"]),
        f"GRANT ALL PRIVILEGES ON *.* TO {root} WITH GRANT OPTION;",
    ]


def _as_settings(options: Mapping[str, str]) -> str:
    return "[mysqld]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())
