"""Each block of the README does what the README says, in its order, against a real store."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from invocation import TILLSTREAM, environment
from shown import require_shown

from tillstream.commands import build_app
from tillstream.commands.config import counted
from tillstream.rehearsal.mysql import MySQLServer

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PASSWORD = "a long password"


def _blocks() -> list[tuple[str, str, str]]:
    return [(language, note.strip(), text) for language, note, text in BLOCK.findall(README.read_text())]


def test_every_command_is_in_the_readme() -> None:
    """A verb that the program has and the README does not name would never be found."""
    text = README.read_text()
    app = build_app()
    for command in app.registered_commands:
        name = command.name
        assert f"`tillstream {name}" in text, name
    for group in app.registered_groups:
        assert f"`tillstream {group.name} " in text
        for command in group.typer_instance.registered_commands:
            assert command.name in text, f"{group.name} {command.name}"


def test_both_make_targets_exist() -> None:
    """`make demo` and `make test` are the README's two commands."""
    makefile = (README.parent / "Makefile").read_text()
    assert re.search(r"^demo:", makefile, re.MULTILINE)
    assert re.search(r"^test:", makefile, re.MULTILINE)


@pytest.mark.timeout(200)
def test_the_first_store_in_ten_minutes(open_shop: Callable[..., MySQLServer], server_directory: Path) -> None:
    """From the source to a second store: the grants and every command as they stand there lead to captured and verified
    stores, with the output that stands there; the later policy is accepted and taken up by the next run."""
    server, second = (_with_tables(open_shop(number, options={"default-time-zone": "+08:00"})) for number in (1, 2))
    here, environment_ = server_directory, {**environment(), "HOME": str(server_directory)}
    with ExitStack() as running:
        answer = fragment = grants = ""
        for language, note, text in _blocks():
            # integration/test_readme_policies.py, unit/test_policy_test.py, integration/test_parked_keys.py
            # integration/test_business.py, e2e/test_kafka_demo.py
            if note in ("two-stores", "policy-tests", "own-rules", "business", "past-one-machine"):
                continue
            if note == "setup":
                here, path = _set_up(text, environment_)
                environment_["PATH"] = path
            elif language == "sql":
                grants = text
                _execute(grants, server)
            elif note == "stores":
                _execute(grants, second)
                _write_line(text, here / "tillstream.yaml", {"10.0.1.5": server, "10.0.2.5": second})
                _wait_until_live(here, environment_, stores=2)
            elif note == "fragment":
                fragment = text
            elif language == "yaml":
                _require_policies(text, here)
            elif language == "text":
                require_shown(text, answer)
            elif note == "background":
                assert text.split() == ["tillstream", "run"]
                with (here / "tillstream.yaml").open("a") as config:
                    config.write("metrics: {port: null}\n")
                running.enter_context(_run_in_background(here))
                _wait_until_live(here, environment_)
            elif not text.startswith("make"):  # `make demo` is an end-to-end test of its own
                reached = text.replace("--host 10.0.1.5", f"--host 127.0.0.1 --port {server.port}")
                answer = _run(reached, here, environment_)
    (here / "policies.yaml").write_text((here / "later.yaml").read_text())
    assert fragment.startswith("tables:\n")
    whole = (here / "tillstream.yaml").read_text()
    (here / "tillstream.yaml").write_text(whole.replace("tables:\n", fragment, 1))
    answer = _run("tillstream config validate", here, environment_)
    assert "2 shared tables" in answer


def _with_tables(server: MySQLServer) -> MySQLServer:
    """And without the user that captures: the README makes it."""
    server.execute("CREATE TABLE pos.members (id INT PRIMARY KEY, phone VARCHAR(20), points DECIMAL(8,2), level INT,"
                   " birthday DATE, updated_at DATETIME, password VARCHAR(20))")  # fmt: skip
    server.execute("CREATE TABLE pos.sales (id INT PRIMARY KEY, sold_at DATETIME, amount DECIMAL(8,2))")
    server.execute("INSERT INTO pos.members VALUES (1, '138 0013 8000', 12.50, 2, NULL, NOW(), 'x')")
    server.execute("INSERT INTO pos.sales VALUES (1, NOW(), 9.90)")
    server.execute("DROP USER 'tillstream'@'%'")
    return server


def _set_up(script: str, env: dict[str, str]) -> tuple[Path, str]:
    """Where a terminal stands after it, and its PATH, by which `tillstream` is found."""
    said = _run(f"{script}\npwd\nprintenv PATH", README.parent, env)
    directory, path = said.splitlines()[-2:]
    assert shutil.which("tillstream", path=path) == str(README.parent / ".venv" / "bin" / "tillstream")
    return Path(directory), path


def _execute(script: str, server: MySQLServer) -> None:
    for statement in filter(None, (part.strip() for part in script.split(";"))):
        server.execute(statement)


def _write_line(shown: str, config: Path, servers: Mapping[str, MySQLServer]) -> None:
    """All but the last line are what `init` wrote; that one is new. Servers are where they are here."""
    for host, server in servers.items():
        shown = shown.replace(f"host: {host}", f"host: 127.0.0.1, port: {server.port}")
    *there, _ = shown.splitlines(keepends=True)
    written = config.read_text()
    assert "".join(there) in written
    config.write_text(written.replace("".join(there), shown))


def _require_policies(shown: str, directory: Path) -> None:
    """The first that is shown is what `init` wrote; the second is for later."""
    if (directory / "shown.yaml").exists():
        (directory / "later.yaml").write_text(shown)
    else:
        (directory / "shown.yaml").write_text(shown)
        require_shown(shown, (directory / "policies.yaml").read_text())


@contextmanager
def _run_in_background(directory: Path) -> Iterator[None]:
    """`tillstream run` until the end, which it must come to by itself when told."""
    with (directory / "run.log").open("ab") as log:
        process = subprocess.Popen(
            [str(TILLSTREAM), "run"], cwd=directory, env={**environment(), "POS_PASSWORD": PASSWORD},
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield
        assert process.poll() is None, _log(directory)
    finally:
        process.terminate()
        assert process.wait(30) == 0


def _run(script: str, directory: Path, env: dict[str, str]) -> str:
    script = f"set -e\nexport POS_PASSWORD='{PASSWORD}'\n{script}"
    answer = subprocess.run(["sh", "-c", script], cwd=directory, env=env, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, f"{script}\n{answer.stdout}\n{answer.stderr}\n{_log(directory)}"
    return answer.stdout


def _wait_until_live(directory: Path, env: dict[str, str], *, stores: int = 1) -> None:
    deadline = time.monotonic() + 60
    told = f"{stores} of {counted(stores, 'store')} live, the chain complete as of "
    while told not in _run("tillstream status || true", directory, env):  # 1 before `run` has reported
        assert time.monotonic() < deadline, _log(directory)
        time.sleep(1)


def _log(directory: Path) -> str:
    log = directory / "run.log"
    return log.read_text()[-2000:] if log.exists() else ""
