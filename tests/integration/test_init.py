"""`tillstream init` against real servers: with flags and without a terminal, with a terminal, and used wrongly."""

import io
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from invocation import PASSWORD, TILLSTREAM, environment

from tillstream import commands
from tillstream.commands.config import load_all
from tillstream.free_ports import free_port
from tillstream.rehearsal.mysql import MySQLServer

TABLES = (
    "CREATE TABLE members (id INT PRIMARY KEY, phone VARCHAR(20), points DECIMAL(9,2), password VARCHAR(32),"
    " updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)",
    "CREATE TABLE goods (id INT PRIMARY KEY, barcode VARCHAR(20) UNIQUE, price DECIMAL(9,2))",
    "CREATE TABLE sales (id INT PRIMARY KEY)",
    "CREATE TABLE tmp_import (id INT PRIMARY KEY)",
    "CREATE VIEW members_view AS SELECT id FROM members",
)


@pytest.fixture(params=["mysql56", "mysql97"])
def flags(request: pytest.FixtureRequest, store_database: Callable[[MySQLServer], str]) -> dict[str, str]:
    """What init has to be told of a store with a few tables."""
    server: MySQLServer = request.getfixturevalue(request.param)
    database = store_database(server)
    server.create_capture_user(password=PASSWORD)
    with server.connect(database) as connection, connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)
    return {"--host": "127.0.0.1", "--port": str(server.port), "--database": database, "--user": "tillstream",
           "--password-env": "POS_PASSWORD"}  # fmt: skip


@pytest.fixture
def in_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[object, str]]:
    """Its exit code and stderr, without the second that a new process takes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POS_PASSWORD", PASSWORD)
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def run_here(*arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as left:
            commands.main(arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        assert PASSWORD not in said.out + said.err
        return left.value.code, said.err

    return run_here


def run(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    answer = subprocess.run(
        [str(TILLSTREAM), *arguments], cwd=directory, env=environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in answer.stderr
    assert PASSWORD not in answer.stdout + answer.stderr
    return answer


def init(directory: Path, flags: dict[str, str], *more: str) -> "subprocess.CompletedProcess[str]":
    return run(directory, "init", *(word for pair in flags.items() for word in pair), *more)


def test_flags_alone_write_files_that_are_valid_and_say_what_to_do(flags: dict[str, str], tmp_path: Path) -> None:
    """Shared, own and left out, from a live catalog; views are no tables; doctor takes it from there."""
    told = init(tmp_path, flags, "--store", "s042", "--name", "中山路店", "--timezone", "Asia/Shanghai")
    assert told.returncode == 0, told.stderr
    assert "goods by barcode, members by phone" in told.stdout
    assert "tillstream doctor" in told.stdout
    assert run(tmp_path, "config", "validate").stdout == "tillstream.yaml: ok, 1 store, 2 shared tables\n"
    config, policy = load_all(tmp_path / "tillstream.yaml")
    assert (config.stores[0].id, config.stores[0].name) == ("s042", "中山路店")
    assert config.tables.exclude == ("tmp_import",)
    assert config.tables.exclude_columns == {"members": ("password",)}
    assert policy.tables["members"].changed_at == "updated_at"
    assert policy.tables["goods"].rule_for("price").stores == ("s042",)
    seen = run(tmp_path, "doctor")
    assert seen.returncode == 0, seen.stdout

    before = (tmp_path / "policies.yaml").read_text()
    refused = init(tmp_path, flags)
    assert (refused.returncode, "--force" in refused.stderr) == (1, True)
    assert (tmp_path / "policies.yaml").read_text() == before
    assert init(tmp_path, flags, "--force", "--store", "s001").returncode == 0
    assert "s001" in (tmp_path / "tillstream.yaml").read_text()


def test_what_is_missing_or_wrong_is_said_and_nothing_is_written(
    flags: dict[str, str], tmp_path: Path, in_process: Callable[..., tuple[object, str]]
) -> None:
    """2 for a flag that is missing or faulty, 1 for a store that refuses us, 3 for one that does not answer."""

    def ends(code: int, message: str, changed: dict[str, str | None], *more: str) -> None:
        given = {flag: value for flag, value in {**flags, **changed}.items() if value is not None}
        left, said = in_process("init", *(word for pair in given.items() for word in pair), *more)
        assert (left, message in " ".join(said.split())) == (code, True), said
        assert list(tmp_path.iterdir()) == []

    ends(2, "--host", {"--host": None})
    ends(2, "--password-env", {"--password-env": None})
    ends(2, "cannot be a store id", {}, "--store", "S-1")
    ends(2, "is not a time zone", {}, "--timezone", "Asia/Shanghay")
    ends(2, "either in a variable or in a file", {}, "--password-file", "x")
    ends(1, "NOT_SET is not set", {"--password-env": "NOT_SET"})
    ends(1, "check the password", {"--password-env": "PATH"})
    ends(1, "no database nowhere", {"--database": "nowhere"})
    ends(3, "does not answer", {"--port": str(free_port())})


def test_a_password_file_is_named_as_seen_from_the_configuration(flags: dict[str, str], tmp_path: Path) -> None:
    """The path was given from here; tillstream.yaml lies elsewhere."""
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    given = {flag: value for flag, value in flags.items() if flag != "--password-env"}
    told = init(tmp_path, {**given, "--password-file": "secret", "--directory": "chain"})
    assert told.returncode == 0, told.stderr
    assert run(tmp_path, "doctor", "--config", "chain/tillstream.yaml").returncode == 0


class Terminal:
    """`tillstream init` with a person at a terminal."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [str(TILLSTREAM), "init", *arguments], cwd=directory, env={**environment(), "TERM": "dumb"},
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""

    def answer(self, question: str, text: str) -> None:
        self.expect(question)
        self.seen = ""
        os.write(self._ours, text.encode() + b"\n")

    def expect(self, text: str) -> None:
        deadline = time.monotonic() + 20
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self._ours], [], [], 0.2)[0]:
                self.seen += os.read(self._ours, 4096).decode()

    def interrupt(self) -> None:
        time.sleep(0.3)  # no person is quick enough to come between the question and the waiting for its answer
        self.process.send_signal(signal.SIGINT)

    def ends(self, code: int) -> None:
        assert self.process.wait(20) == code, self.seen

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def test_a_person_is_asked_for_what_no_flag_gives(
    mysql56: MySQLServer, store_database: Callable[[MySQLServer], str], tmp_path: Path
) -> None:
    """Defaults on Enter, a wrong answer asked again, the password unseen, the proposal shown before it is written."""
    database = store_database(mysql56)
    mysql56.create_capture_user(password=PASSWORD)
    mysql56.execute(f"CREATE TABLE {database}.members (id INT PRIMARY KEY, phone VARCHAR(20))")
    with Terminal(tmp_path, "--port", str(mysql56.port)) as terminal:
        terminal.answer("Address", "127.0.0.1")
        terminal.answer("database", database)
        terminal.answer("MySQL user", "")
        terminal.answer("variable", "OTHER_PASSWORD")
        terminal.expect("for now")
        time.sleep(0.3)  # the terminal's echo goes off after the question, and takes along what was typed before
        terminal.answer("for now", PASSWORD)
        terminal.answer("id of the store", "Shop 1")
        terminal.answer("cannot be a store id", "shop1")
        terminal.answer("Time zone", "Asia/Shanghai")
        terminal.answer("members by phone", "y")
        terminal.expect("tillstream doctor")
        assert PASSWORD not in terminal.seen
        terminal.ends(0)
    config, _ = load_all(tmp_path / "tillstream.yaml")
    assert (config.stores[0].id, config.stores[0].timezone) == ("shop1", "Asia/Shanghai")
    assert config.stores[0].password.env == "OTHER_PASSWORD"


def test_ctrl_c_at_a_question_writes_nothing(tmp_path: Path) -> None:
    """Exit code 130, as everywhere."""
    with Terminal(tmp_path) as terminal:
        terminal.expect("Address")
        terminal.interrupt()
        terminal.ends(130)
    assert list(tmp_path.iterdir()) == []
