"""The servers everything else is tried on: real ones, started here without root or Docker."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pymysql
import pytest

from sinks.embedded_warehouse import EmbeddedWarehouse
from tillstream.errors import RefusedError
from tillstream.free_ports import free_port, is_free
from tillstream.processes import server_account
from tillstream.rehearsal import downloads
from tillstream.rehearsal.mysql import MySQLServer, find_install

VERSIONS = pytest.mark.parametrize("version", ["5.6", "9.7"])

ANOTHER_USER = """
import sys
from pathlib import Path
from sinks.embedded_warehouse import EmbeddedWarehouse
warehouse = EmbeddedWarehouse(Path(sys.argv[1]))
print(warehouse.start(), flush=True)
sys.stdin.readline()
warehouse.stop()
"""


class AnotherProcess:
    """A second user process of the warehouse; leaves when told to."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", ANOTHER_USER, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()

    def leave(self) -> None:
        self.process.communicate("\n", timeout=60)
        assert self.process.returncode == 0

    def die(self) -> None:
        self.process.kill()
        self.process.communicate()


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


@VERSIONS
def test_a_store_logs_rows_and_keeps_its_data_over_a_kill(version: str, server_directory: Path) -> None:
    """A server has its binlog in full ROW format; killed and started again it has its port and its data."""
    with MySQLServer(find_install(version), server_directory / "store", server_id=7) as server:
        assert server.version.startswith(version)
        assert server.execute("SELECT @@log_bin, @@binlog_format, @@binlog_row_image, @@server_id") == (
            (1, "ROW", "FULL", 7),
        )
        assert server.execute("SELECT COUNT(*) FROM mysql.user WHERE User = ''") == ((0,),)
        server.execute("CREATE DATABASE shop")
        server.execute("CREATE TABLE shop.goods (id INT PRIMARY KEY, name VARCHAR(40))")
        server.execute("INSERT INTO shop.goods VALUES (1, %s)", "乌龙茶 🍵")
        port = server.port
        server.kill()
        assert not server.running
        server.start()
        assert server.port == port
        assert server.execute("SELECT * FROM shop.goods") == ((1, "乌龙茶 🍵"),)


@VERSIONS
def test_two_stores_are_two_servers(version: str, server_directory: Path) -> None:
    """Two servers of one install, started at once by a pool that is gone, have two server_uuids."""
    servers = [MySQLServer(find_install(version), server_directory / f"store{n}") for n in (1, 2)]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(MySQLServer.start, servers))
        time.sleep(0.2)  # long enough for a signal on the death of the pool's threads to have struck
        assert all(server.running for server in servers)
        assert len({server.execute("SELECT @@server_uuid") for server in servers}) == 2
    finally:
        for server in servers:
            server.stop()


@pytest.mark.parametrize("server_fixture", ["mysql56", "mysql97"])
def test_the_capture_user_may_read_the_log_and_nothing_more(
    server_fixture: str, request: pytest.FixtureRequest, store_database: Callable[[MySQLServer], str]
) -> None:
    """The account for capture sees the binlog and the tables, by its password, and cannot write."""
    server: MySQLServer = request.getfixturevalue(server_fixture)
    database = store_database(server)
    server.execute(f"CREATE TABLE {database}.t (i INT PRIMARY KEY)")
    password = server.create_capture_user()
    assert server.create_capture_user(password=password) == password  # a second time is no error
    connection = server.connect(database, user="tillstream", password=password)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW BINARY LOGS")
            assert cursor.fetchall()
            assert cursor.execute("SELECT * FROM t") == 0
            with pytest.raises(pymysql.err.OperationalError, match="INSERT command denied"):
                cursor.execute("INSERT INTO t VALUES (1)")
    finally:
        connection.close()
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        server.connect(user="tillstream", password="")


def test_options_override_and_remove_ours(server_directory: Path) -> None:
    """A server can be had as bad as a shop's may be: other settings, or no binlog at all."""
    options = {"log_bin": None, "binlog-format": "STATEMENT", "default_time_zone": "+08:00"}
    with MySQLServer(find_install("5.6"), server_directory / "store", options=options) as server:
        assert server.execute("SELECT @@log_bin, @@binlog_format, @@time_zone") == ((0, "STATEMENT", "+08:00"),)


def test_a_frozen_server_goes_on_after_the_thaw(server_directory: Path) -> None:
    """Frozen, a server keeps its connections open and answers nothing; thawed, it answers what was asked."""
    with MySQLServer(find_install("5.6"), server_directory / "store") as server:
        server.freeze()
        with pytest.raises(pymysql.err.OperationalError):
            server.connect(read_timeout=1, connect_timeout=1)
        server.thaw()
        assert server.execute("SELECT 1") == ((1,),)


def test_a_server_that_cannot_start_says_why(server_directory: Path) -> None:
    """The end of mysqld's own log stands in the refusal."""
    server = MySQLServer(find_install("5.6"), server_directory / "store", options={"no-such-option": "1"})
    with pytest.raises(RefusedError, match="no-such-option"):
        server.start()
    assert not server.running


def test_a_deep_directory_is_no_obstacle(server_directory: Path) -> None:
    """Unix socket paths end at 107 bytes; the data may lie deeper."""
    deep = server_directory / ("d" * 60) / ("e" * 60)
    with MySQLServer(find_install("5.6"), deep) as server:
        assert server.execute("SELECT 1") == ((1,),)
        place = server.socket.parent
    assert not place.exists()


def test_a_server_dies_with_the_process_that_started_it(server_directory: Path) -> None:
    """A killed rehearsal leaves no servers behind."""
    script = (
        "import sys, time; from pathlib import Path\n"
        "from tillstream.rehearsal.mysql import MySQLServer, find_install\n"
        "server = MySQLServer(find_install('5.6'), Path(sys.argv[1])); server.start()\n"
        "print(server.port, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(server_directory / "store")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not is_free(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_free(port)


def test_what_cannot_be_had_is_refused_with_the_choices(
    monkeypatch: pytest.MonkeyPatch, server_directory: Path
) -> None:
    """With an empty cache and no client the refusal names every way to get a server."""
    monkeypatch.setenv("TILLSTREAM_CACHE", str(server_directory / "cache"))
    monkeypatch.setenv("PATH", str(server_directory))
    monkeypatch.setattr(sys, "executable", str(server_directory / "python"))
    with pytest.raises(RefusedError, match=r"(?s)TILLSTREAM_MYSQLD.*npm.*Docker"):
        find_install()
    assert [path.name for path in (server_directory / "cache").iterdir()] == [".mysql-5.6.24.lock"]


def test_the_debian_archive_is_the_machines_own(tmp_path: Path) -> None:
    """Both styles of apt's sources are read; security, third parties and disabled ones are left out."""
    (tmp_path / "sources.list.d").mkdir()
    stanzas = tmp_path / "sources.list.d" / "debian.sources"
    stanzas.write_text(
        "Types: deb\nURIs: http://tools.invalid/apt\nSuites: x\nComponents: main\n\n"
        "Types: deb\nURIs: http://off.invalid/debian\nSuites: x\nComponents: main\nEnabled: no\n\n"
        "# a comment\nTypes: deb\n# another\nURIs: http://new.invalid/debian/\nSuites: x x-updates\n"
        "Components: main\nSigned-By: /ring.gpg\n"
    )
    assert downloads.debian_archive(tmp_path) == downloads.DebianArchive(
        uri="http://new.invalid/debian/", signed_by="/ring.gpg"
    )
    (tmp_path / "sources.list").write_text(
        "# deb http://off.invalid/debian x main\n"
        "deb http://safe.invalid/debian-security x-security main\n"
        "deb [arch=amd64 signed-by=/old.gpg] http://old.invalid/debian x main contrib\n"
    )
    assert downloads.debian_archive(tmp_path) == downloads.DebianArchive(
        uri="http://old.invalid/debian", signed_by="/old.gpg"
    )
    with pytest.raises(RefusedError, match="no Debian archive"):
        downloads.debian_archive(tmp_path / "sources.list.d")


def test_ports_are_given_once() -> None:
    """Many threads asking at once get as many ports."""
    ports: list[int] = []
    threads = [threading.Thread(target=lambda: ports.append(free_port())) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ports)) == 50


def test_the_warehouse_listens_on_loopback_and_wants_its_password(server_directory: Path) -> None:
    """It is PostgreSQL 16 over TCP, UTF8, with commit timestamps; without the password nobody gets in."""
    with EmbeddedWarehouse(server_directory / "warehouse") as warehouse:
        with psycopg.connect(plain(warehouse.url)) as connection:
            shown = [
                connection.execute(f"SHOW {name}").fetchone()
                for name in ("listen_addresses", "track_commit_timestamp", "server_encoding", "timezone")
            ]
            assert shown == [("127.0.0.1",), ("on",), ("UTF8",), ("UTC",)]
            assert connection.info.server_version // 10000 == 16
        password = server_directory / "warehouse" / "postgresql.password"
        assert password.stat().st_mode & 0o777 == 0o600
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(plain(warehouse.url).replace(password.read_text(), "guess"))
    assert not warehouse.running


def test_the_last_one_out_stops_the_warehouse(server_directory: Path) -> None:
    """Processes on one directory share one server; it stops when the last of them leaves."""
    directory = server_directory / "warehouse"
    warehouse = EmbeddedWarehouse(directory)
    url = warehouse.start()
    other = AnotherProcess(directory)
    assert other.url == url
    warehouse.stop()
    assert warehouse.running
    other.leave()
    assert not warehouse.running


def test_a_killed_user_leaves_the_warehouse_to_the_next(server_directory: Path) -> None:
    """A user process killed outright neither takes the server along nor counts as a user any more."""
    directory = server_directory / "warehouse"
    other = AnotherProcess(directory)
    other.die()
    warehouse = EmbeddedWarehouse(directory)
    assert warehouse.running
    assert warehouse.start() == other.url
    warehouse.stop()
    assert not warehouse.running


@pytest.mark.parametrize("die_with_parent", [False, True])
def test_the_warehouse_keeps_its_data_over_a_kill(die_with_parent: bool, server_directory: Path) -> None:
    """What was committed before the server was killed is there after the next start, at the same URL."""
    warehouse = EmbeddedWarehouse(server_directory / "warehouse", die_with_parent=die_with_parent)
    url = warehouse.start()
    try:
        with psycopg.connect(plain(url)) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        warehouse.kill()
        assert not warehouse.running
        assert warehouse.start() == url
        with psycopg.connect(plain(url)) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    finally:
        warehouse.stop()


def test_a_lost_password_is_refused_at_once(server_directory: Path) -> None:
    """Data without its password file is not waited for: the refusal names the file."""
    directory = server_directory / "warehouse"
    with EmbeddedWarehouse(directory):
        pass
    (directory / "postgresql.password").unlink()
    with pytest.raises(RefusedError, match=r"postgresql\.password is missing"):
        EmbeddedWarehouse(directory).start()


def test_a_taken_port_is_given_up(server_directory: Path) -> None:
    """Where somebody took the warehouse's port since, it comes up on another."""
    directory = server_directory / "warehouse"
    with EmbeddedWarehouse(directory) as warehouse:
        url = warehouse.url
    port = int((directory / "postgresql.port").read_text())
    with socket.create_server(("127.0.0.1", port)), EmbeddedWarehouse(directory) as warehouse:
        assert warehouse.url != url
        psycopg.connect(plain(warehouse.url)).close()


def test_a_stale_process_id_does_not_keep_the_warehouse_down(server_directory: Path) -> None:
    """After a reboot the id in postmaster.pid may be another program's: it is not taken for the server."""
    warehouse = EmbeddedWarehouse(server_directory / "warehouse")
    warehouse.start()
    warehouse.kill()
    account = server_account()
    bystander = subprocess.Popen(["sleep", "60"], user=account.uid if account else None)
    try:
        pid_file = server_directory / "warehouse" / "data" / "postmaster.pid"
        pid_file.write_text(pid_file.read_text().replace(pid_file.read_text().split()[0], str(bystander.pid), 1))
        warehouse.start()
        assert warehouse.running
    finally:
        warehouse.stop()
        bystander.kill()
        bystander.wait()


def test_each_test_gets_an_empty_database(fresh_database: str, warehouse_url: str) -> None:
    """The fixtures' database is on the session's server and holds no table."""
    assert fresh_database != warehouse_url
    with psycopg.connect(plain(fresh_database)) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
