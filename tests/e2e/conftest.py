"""`tillstream` as a person starts it: a process of its own, told what to do by files and flags only."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from invocation import TILLSTREAM, environment

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
