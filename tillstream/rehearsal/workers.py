"""`tillstream work` as processes of their own, as somebody would start them on several machines."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tillstream import processes
from tillstream.errors import RefusedError

STOP_SECONDS = 60.0


class Workers:
    """So many workers on one configuration; each writes a log of its own into `directory`."""

    def __init__(self, config: Path, directory: Path, count: int) -> None:
        self._config, self.directory, self._count = config, directory, count
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        processes.make_directory(self.directory)
        while len(self.processes) < self._count:
            self.add()

    def add(self) -> "subprocess.Popen[bytes]":
        """One more."""
        process = processes.spawn(
            [Path(sys.executable).with_name("tillstream"), "work", "--config", self._config, "--metrics-port", "0"],
            directory=self._config.parent,
            log=self.log(len(self.processes)),
            as_ourselves=True,
        )
        self.processes.append(process)
        return process

    def require_alive(self) -> None:
        """RefusedError with the last words of one that has failed."""
        for number, process in enumerate(self.processes):
            if (code := process.poll()) not in (None, 0, -signal.SIGKILL):
                raise RefusedError(
                    f"worker {number + 1} ended with exit code {code}; the end of {self.log(number)}:\n"
                    f"{processes.last_lines(self.log(number))}"
                )

    def resident_bytes(self) -> int:
        total = 0
        for process in self.processes:
            with suppress(psutil.Error):
                total += psutil.Process(process.pid).memory_info().rss
        return total

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()

    def log(self, number: int) -> Path:
        return self.directory / f"worker-{number + 1}.log"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
