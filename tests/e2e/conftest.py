"""`tillstream` as a person starts it: a process of its own, told what to do by files and flags only."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from invocation import PASSWORD, TILLSTREAM, environment

from tillstream.rehearsal.mysql import MySQLServer, find_install

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tillstream() -> Command:
    """Run a verb to its end; stdout and stderr as text."""

    def run(*arguments: str, directory: Path, timeout_seconds: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(TILLSTREAM), *arguments],
            cwd=directory,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        )

    return run


@pytest.fixture
def started() -> Iterator[Callable[[Path], "subprocess.Popen[bytes]"]]:
    """`tillstream run` in the background, its output in run.log; whatever still runs at the end is killed."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(directory: Path, *arguments: str) -> "subprocess.Popen[bytes]":
        with (directory / "run.log").open("ab") as log:
            process = subprocess.Popen(
                [str(TILLSTREAM), "run", *arguments],
                cwd=directory, env=environment(), stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def open_shop(server_directory: Path) -> Iterator[Callable[..., MySQLServer]]:
    """A store on MySQL 5.6 with an empty database `pos` and the user that captures it."""
    with ExitStack() as shops:

        def open_one(number: int, **options: Any) -> MySQLServer:
            server = MySQLServer(find_install("5.6"), server_directory / f"s{number}", server_id=number, **options)
            shops.enter_context(server)
            shops.callback(server.kill)  # nobody needs its data any more: a clean end takes seconds
            server.create_capture_user(password=PASSWORD)
            server.execute("CREATE DATABASE pos CHARACTER SET utf8mb4")
            return server

        yield open_one
