"""`tillstream doctor` against real servers: what it finds, that its statements mend it, and how it ends."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from catalog import a_store
from invocation import PASSWORD, TILLSTREAM, environment

from connectors import deep_look, examination
from connectors.rights import least_grants
from tillstream import commands
from tillstream.free_ports import free_port
from tillstream.rehearsal.mysql import MySQLServer

StoreDatabase = Callable[[MySQLServer], str]
Place = tuple[MySQLServer, str]  # a server and the store's database on it


@pytest.fixture(params=["mysql56", "mysql97"])
def server(request: pytest.FixtureRequest) -> MySQLServer:
    found: MySQLServer = request.getfixturevalue(request.param)
    return found


@contextmanager
def account(server: MySQLServer, user: str, *grants: str) -> Iterator[None]:
    server.execute(f"CREATE USER '{user}'@'%%' IDENTIFIED BY %s", PASSWORD)
    try:
        for grant in grants:
            server.execute(grant)
        yield
    finally:
        server.execute(f"DROP USER '{user}'@'%'")


@contextmanager
def setting(server: MySQLServer, **wanted: str) -> Iterator[None]:
    before = {name: server.execute(f"SELECT @@GLOBAL.{name}")[0][0] for name in wanted}
    try:
        for name, value in wanted.items():
            server.execute(f"SET GLOBAL {name} = {value}")
        yield
    finally:
        for name, value in before.items():
            server.execute(f"SET GLOBAL {name} = %s", value)


def fill(server: MySQLServer, database: str, *statements: str) -> None:
    connection = server.connect(database)
    with connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        for statement in statements:
            cursor.execute(statement)


@dataclass(frozen=True)
class Answer:
    code: object
    out: str
    err: str


class Tillstream:
    """The command in this process: a new one would spend most of the time on imports."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory, self._capsys = directory, capsys

    def run(self, *arguments: str) -> Answer:
        with pytest.raises(SystemExit) as left:
            commands.main(arguments)
        said = self._capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        assert PASSWORD not in said.out + said.err
        return Answer(left.value.code, said.out, said.err)

    def doctor(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        answer = self.run("doctor", "--output", "json", *arguments)
        assert answer.code == code, answer
        found: dict[str, Any] = json.loads(answer.out)
        assert found["schema"] == 1
        return found

    def write(
        self, stores: Mapping[str, Place], *, more: str = "", users: Mapping[str, str] = MappingProxyType({})
    ) -> Path:
        entries = "".join(
            f"  - {{id: {store}, host: 127.0.0.1, port: {server.port}, database: {database}, "
            f"user: {users.get(store, 'tillstream')}}}\n"
            for store, (server, database) in stores.items()
        )
        file = self.directory / "tillstream.yaml"
        file.write_text(f"defaults: {{password: {{env: POS_PASSWORD}}, timezone: UTC}}\n{more}stores:\n{entries}")
        return file


@pytest.fixture
def tillstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tillstream:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POS_PASSWORD", PASSWORD)
    monkeypatch.setenv("WRONG_PASSWORD", "wrong")
    return Tillstream(tmp_path, capsys)


def findings(report: dict[str, Any], store: str = "s1") -> dict[str, dict[str, Any]]:
    [one] = [each for each in report["stores"] if each["id"] == store]
    return {f"{each['level']} {each['subject']}": each for each in one["findings"]}


def test_the_least_rights_are_enough_and_a_fit_store_is_let_through(
    server: MySQLServer, store_database: StoreDatabase, tillstream: Tillstream
) -> None:
    """With exactly the statements that doctor prints; facts of the server come with it."""
    database = store_database(server)
    fill(server, database, "CREATE TABLE sales (id INT PRIMARY KEY)")
    tillstream.write({"s1": (server, database)}, users={"s1": "least"})
    with account(server, "least", *least_grants(a_store(database=database, user="least"))):
        report = tillstream.doctor()
        [store] = report["stores"]
        assert report["ok"]
        assert store["version"] == server.version
        assert store["captured_tables"] == 1
        assert store["server_uuid"] == server.execute("SELECT @@server_uuid")[0][0]
        assert abs(store["clock_offset_seconds"]) < 1 > store["clock_uncertainty_seconds"]
        assert 0 < store["binlog_reaches_back_hours"] < 1
        assert server.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'least'") == ((0,),)


def test_each_missing_right_is_named_and_granting_it_helps(
    server: MySQLServer, store_database: StoreDatabase, tillstream: Tillstream
) -> None:
    """A store each for an account that lacks one; pasting the statements ends the finding."""
    database = store_database(server)
    fill(server, database, "CREATE TABLE sales (id INT PRIMARY KEY)")
    for right in ("RELOAD", "REPLICATION SLAVE", "REPLICATION CLIENT"):
        others = {"RELOAD", "REPLICATION SLAVE", "REPLICATION CLIENT"} - {right}
        grants = (f"GRANT SELECT ON {database}.* TO 'poor'@'%'", f"GRANT {', '.join(others)} ON *.* TO 'poor'@'%'")
        tillstream.write({"s1": (server, database)}, users={"s1": "poor"})
        with account(server, "poor", *grants):
            found = findings(tillstream.doctor(code=1))["refuse user poor"]
            assert found["sentence"].startswith(f"lacks {right} (")
            if right == "RELOAD":
                for statement in found["paste"]:
                    server.execute(statement)
                tillstream.doctor()


def test_a_role_counts_if_it_is_active(
    mysql97: MySQLServer, store_database: StoreDatabase, tillstream: Tillstream
) -> None:
    """Its rights are not among the account's own, and are those the account has."""
    database = store_database(mysql97)
    fill(mysql97, database, "CREATE TABLE sales (id INT PRIMARY KEY)")
    tillstream.write({"s1": (mysql97, database)}, users={"s1": "actor"})
    mysql97.execute("CREATE ROLE reader")
    try:
        mysql97.execute(f"GRANT SELECT ON {database}.* TO reader")
        mysql97.execute("GRANT RELOAD, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO reader")
        with account(mysql97, "actor", f"GRANT SELECT ON {database}.* TO 'actor'@'%'", "GRANT reader TO 'actor'@'%'"):
            assert "refuse user actor" in findings(tillstream.doctor(code=1))
            mysql97.execute("SET DEFAULT ROLE reader TO 'actor'@'%'")
            tillstream.doctor()
    finally:
        mysql97.execute("DROP ROLE reader")


BAD_TABLES = (
    "CREATE TABLE sales (id INT PRIMARY KEY, sold_on DATE, closed_at DATETIME NOT NULL)",
    "CREATE TABLE sale_lines (id INT PRIMARY KEY, sale INT, CONSTRAINT of_sale FOREIGN KEY (sale)"
    " REFERENCES sales (id) ON DELETE CASCADE ON UPDATE SET NULL)",
    "CREATE TABLE stock (sku VARCHAR(20), qty INT)",
    "CREATE TABLE notes (id INT PRIMARY KEY, arabic VARCHAR(20) CHARACTER SET cp1256) ENGINE = MyISAM",
    "CREATE TABLE people (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET latin1, b VARCHAR(20) CHARACTER SET latin1)",
    "INSERT INTO sales VALUES (1, '0000-00-00', '2020-00-00'), (2, NULL, NOW())",
    "INSERT INTO people VALUES (1, x'81', 'plain'), (2, 'é', x'E4B8AD')",
)


def test_what_is_wrong_with_tables_is_found_and_mended_by_its_statements(
    server: MySQLServer, store_database: StoreDatabase, tillstream: Tillstream
) -> None:
    """Each kind of finding once; the statements, pasted as they are, end those that a statement can end."""
    database = store_database(server)
    server.create_capture_user(password=PASSWORD)
    fill(server, database, *BAD_TABLES)
    tillstream.write({"s1": (server, database)})
    found = findings(tillstream.doctor("--deep", code=1))
    old = server.version.startswith("5.6")
    expected = {
        "refuse table notes", "warn table stock", "warn table notes",
        "note table sales, column sold_on", "note table sales, column closed_at",
        "warn table people, column a", "warn table people, column b",
        *(["refuse table sale_lines"] if old else []),  # from 9.6 on the server logs what a cascade does
    }  # fmt: skip
    assert {name for name in found if " table " in name} == expected
    if old:
        assert "ON DELETE CASCADE and ON UPDATE SET NULL" in found["refuse table sale_lines"]["sentence"]
    fill(server, database, *(line for each in found.values() for line in each["paste"] if line.endswith(";")))
    mended = findings(tillstream.doctor("--deep", code=1))
    assert {name for name in mended if " table " in name} == {"refuse table notes", "warn table people, column a"}


def test_mariadb_is_judged_as_mysql_is(
    mariadb1011: MySQLServer, store_database: StoreDatabase, tillstream: Tillstream
) -> None:
    """The least rights are enough for all that is told; what MariaDB alone has, and nobody can read, is refused."""
    database = store_database(mariadb1011)
    fill(mariadb1011, database, "CREATE TABLE sales (id INT PRIMARY KEY, place POINT, card UUID, note JSON)")
    tillstream.write({"s1": (mariadb1011, database)}, users={"s1": "least"})
    with account(mariadb1011, "least", *least_grants(a_store(database=database, user="least"))):
        [store] = tillstream.doctor("--deep")["stores"]
        assert store["version"] == mariadb1011.execute("SELECT @@version")[0][0]
        assert store["server_uuid"] == mariadb1011.execute("SELECT @@server_uid")[0][0]
        assert 0 < store["binlog_reaches_back_hours"] < 1
        fill(
            mariadb1011,
            database,
            "CREATE TABLE price (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING",
            "CREATE TABLE gate (id INT PRIMARY KEY, v INET6)",
            "CREATE TABLE note (id INT PRIMARY KEY, v TEXT COMPRESSED)",
        )
        with setting(mariadb1011, log_bin_compress="ON"):
            found = findings(tillstream.doctor(code=1))
        assert {name for name in found if name.startswith("refuse")} == {
            "refuse table price", "refuse table gate", "refuse table note", "refuse log_bin_compress",
        }  # fmt: skip
        assert found["refuse table gate"]["paste"] == ["exclude: [gate]"]
        fill(mariadb1011, database, *found["refuse table price"]["paste"])
        tillstream.write(
            {"s1": (mariadb1011, database)}, users={"s1": "least"}, more="tables: {exclude: [gate, note]}\n"
        )
        assert tillstream.doctor()["ok"]


def test_what_the_files_leave_out_is_not_held_against_a_store(
    mysql56: MySQLServer, store_database: StoreDatabase, tillstream: Tillstream
) -> None:
    """tables.exclude and exclude_columns as doctor proposes them."""
    database = store_database(mysql56)
    mysql56.create_capture_user(password=PASSWORD)
    fill(mysql56, database, *BAD_TABLES[:5])
    left_out = "tables: {exclude: [sale_lines], exclude_columns: {notes: [arabic]}}\n"
    tillstream.write({"s1": (mysql56, database)}, more=left_out)
    assert tillstream.doctor()["ok"]


def test_settings_that_lose_rows_are_refused_and_others_only_told(
    mysql56: MySQLServer, mysql97: MySQLServer, store_database: StoreDatabase, tillstream: Tillstream
) -> None:
    """Read live from the server, so that a change at run time shows."""
    places = {"old": (mysql56, store_database(mysql56)), "new": (mysql97, store_database(mysql97))}
    for server, database in places.values():
        server.create_capture_user(password=PASSWORD)
        fill(server, database, "CREATE TABLE sales (id INT PRIMARY KEY)")
    tillstream.write(places)
    with (
        setting(mysql56, binlog_format="STATEMENT", binlog_row_image="MINIMAL", expire_logs_days="1"),
        setting(mysql97, binlog_row_value_options="'PARTIAL_JSON'", binlog_transaction_compression="ON"),
    ):
        report = tillstream.doctor(code=1)
    assert {"refuse binlog_format", "refuse binlog_row_image", "warn binlog retention"} <= set(findings(report, "old"))
    assert {"refuse binlog_row_value_options", "note binlog_transaction_compression"} <= set(findings(report, "new"))
    assert tillstream.doctor()["ok"]


def test_how_it_ends_and_what_people_see(
    mysql56: MySQLServer, mysql97: MySQLServer, store_database: StoreDatabase, tillstream: Tillstream
) -> None:
    """An absent store is 3 unless another is refused; a wrong password, an absent database and an unknown name are
    each told with their remedy, the odd ones out at the end."""
    good, other = store_database(mysql56), store_database(mysql97)
    for server, database, kind in ((mysql56, good, "INT"), (mysql97, other, "BIGINT")):
        server.create_capture_user(password=PASSWORD)
        fill(server, database, f"CREATE TABLE sales (id {kind} PRIMARY KEY)")
    config = tillstream.write({"s1": (mysql56, good), "s2": (mysql97, other), "s5": (mysql56, "nowhere")})
    config.write_text(
        config.read_text() + f"  - {{id: s3, host: 127.0.0.1, port: {free_port()}, database: pos, user: tillstream}}\n"
        f"  - {{id: s4, host: localhost, port: {mysql56.port}, database: {good}, user: tillstream, "
        "password: {env: WRONG_PASSWORD}}\n"
    )
    fit = tillstream.doctor("s1", "s2")
    assert {"sales.id", "version"} <= {each["subject"] for each in fit["census"]}
    dark = tillstream.doctor("s1", "s3", code=3)
    assert [each["reachable"] for each in dark["stores"]] == [True, False]
    locked = findings(tillstream.doctor("s3", "s4", code=1), "s4")["refuse user tillstream"]
    assert "check the password" in locked["remedy"]
    assert locked["paste"] == [
        "CREATE USER 'tillstream'@'%' IDENTIFIED BY 'a long password';",
        *least_grants(a_store(database=good)),
    ]
    assert "no database nowhere" in findings(tillstream.doctor("s5", code=1), "s5")["refuse login"]["sentence"]

    shown = tillstream.run("doctor")
    assert shown.code == 1
    assert "sales.id: int not null in s1; bigint not null in s2" in shown.out
    assert "2 of 5 stores can be captured without loss, 2 must be changed first, 1 could not be reached" in shown.out
    unknown = tillstream.run("doctor", "s9")
    assert unknown.code == 2
    assert "there is no store s9" in unknown.err


def test_two_stores_on_one_server_are_refused(
    mysql56: MySQLServer, store_database: StoreDatabase, tillstream: Tillstream
) -> None:
    """As `run` refuses the second of them: a cloned disk looks just so."""
    tillstream.write({"s1": (mysql56, store_database(mysql56)), "s2": (mysql56, store_database(mysql56))})
    mysql56.create_capture_user(password=PASSWORD)
    report = tillstream.doctor(code=1)
    for store in ("s1", "s2"):
        assert "s1 and s2" in findings(report, store)["refuse server_uuid"]["sentence"]


def test_a_deep_look_gives_up_in_time(
    server: MySQLServer, store_database: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the server's own limit, or by ending the statement where it has none: a till must go on selling."""
    monkeypatch.setattr(deep_look, "ASK_SECONDS", 0.2)
    monkeypatch.setattr(deep_look, "_MOST_STATEMENT_TIMES", {"max_execution_time": 200})
    database = store_database(server)
    fill(server, database, "CREATE TABLE sales (id INT PRIMARY KEY, sold_on DATE)")

    def kill(number: int) -> None:
        server.execute(f"KILL QUERY {number}")

    with server.connect(database) as asking, server.connect(database) as holding, holding.cursor() as cursor:
        facts = examination.read_server(asking)
        tables = examination.read_tables(asking, facts, database)
        cursor.execute("LOCK TABLES sales WRITE")
        [told] = deep_look.look_at_values(asking, facts, tables, kill)
        assert "not looked through" in told.sentence
        cursor.execute("UNLOCK TABLES")
        assert list(deep_look.look_at_values(asking, facts, tables, kill)) == []


def test_ctrl_c_does_not_wait_for_a_store_that_hangs(mysql97: MySQLServer, tillstream: Tillstream) -> None:
    """Exit code 130 at once, though a login may take seconds to fail."""
    file = tillstream.write({"s1": (mysql97, "pos")})
    assert not waits_for(mysql97.port)
    mysql97.freeze()
    try:
        with subprocess.Popen(
            [str(TILLSTREAM), "doctor", "--config", str(file)], env=environment(), stderr=subprocess.PIPE, text=True
        ) as process:
            while not waits_for(mysql97.port):
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            asked = time.monotonic()
            assert process.wait(10) == 130
            assert time.monotonic() - asked < 2
            assert process.stderr is not None
            assert process.stderr.read() == ""
    finally:
        mysql97.thaw()


def waits_for(port: int) -> bool:
    """Whether a connection to this port of ours stands: a server that hangs is no hindrance to that."""
    entries = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(there.endswith(f":{port:04X}") and state == "01" for _, _, there, state, *_ in entries)
