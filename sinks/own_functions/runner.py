"""Functions of one's own, asked in a process that is started once, fed in batches, and ended when it is over time."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from conflict.functions import Function, Modules
from sinks.own_functions.wire import decode

LOADING_SECONDS = 10.0  # to start, and to import a module
ROWS_AT_ONCE = 2_000  # in one line: reading it is of the first key's time
MOST_STOPPED = 3  # in one batch: then it is not asked about the others yet, or all would wait for it
KEPT_OF_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


class FunctionError(Exception):
    """Why a function has no answer that counts."""


class NotAskedError(FunctionError):
    """Its turn is to come again: too many keys before it ended the process."""


class StoppedError(FunctionError):
    """The process has ended, or is to be ended."""


@dataclass(frozen=True, slots=True)
class Answer:
    value: Any = None
    error: FunctionError | None = None


class _Process:
    """One run of `host.py`, in a directory that has the modules as the policy was taken up with them."""

    def __init__(self, modules: Modules) -> None:
        self.loaded: set[str] = set()
        directory = Path(tempfile.mkdtemp(prefix="tillstream-functions-"))
        for path, text in modules.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        environment = {name: os.environ[name] for name in KEPT_OF_ENVIRONMENT if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-u", "-X", "utf8", "-m", "sinks.own_functions.host", str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=directory,
            start_new_session=True,  # Ctrl-C is for us: what is being asked is answered first
        )
        assert self._process.stdout is not None
        self._answers = select.poll()  # select() knows only the first 1,024 descriptors
        self._answers.register(self._process.stdout, select.POLLIN)
        self._unread = b""
        self.end = weakref.finalize(self, _end, self._process, directory)

    def send(self, asked: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended, as reading will find
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self, seconds: float) -> dict[str, Any]:
        """The next answer. StoppedError where there is none in time, or ever."""
        assert self._process.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._unread:
            left = until - time.monotonic()
            if left <= 0 or not self._answers.poll(left * 1_000):
                raise StoppedError(f"took longer than {seconds:g} s")
            read = os.read(self._process.stdout.fileno(), 1 << 16)
            if not read:
                raise StoppedError("ended the process that it ran in")
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise StoppedError("wrote where only answers belong") from None
        return answer


def _end(process: subprocess.Popen[bytes], directory: Path) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)  # and what it may have started
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()
    shutil.rmtree(directory, ignore_errors=True)


class Runner:
    """For one set of modules. Threads take turns."""

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._process: _Process | None = None
        self._turn = threading.Lock()

    def close(self) -> None:
        """End its process; one that is asked again starts anew."""
        with self._turn:
            self._stop()

    def load(self, function: Function) -> str | None:
        """Why it cannot be used, if it cannot."""
        with self._turn:
            try:
                self._loaded(function)
            except FunctionError as error:
                return str(error)
        return None

    def ask(self, function: Function, questions: Sequence[list[dict[str, Any]]]) -> list[Answer]:
        """What it makes of each question's rows."""
        with self._turn:
            return list(self._answers(function, list(questions)))

    def _answers(self, function: Function, questions: list[list[dict[str, Any]]]) -> Iterator[Answer]:
        stopped = 0
        while questions:
            if stopped >= MOST_STOPPED:
                error = NotAskedError(f"{function.name} was not asked: its process ended for {stopped} keys beside it")
                yield from [Answer(error=error)] * len(questions)
                return
            batch = questions[: _at_once(questions)]
            found = self._batch(function, batch)
            stopped += any(isinstance(each.error, StoppedError) for each in found)
            questions = questions[len(found) :]
            yield from found

    def _batch(self, function: Function, batch: list[list[dict[str, Any]]]) -> list[Answer]:
        """Of the first ones: none after one that ended the process."""
        found: list[Answer] = []
        try:
            process = self._loaded(function)
        except FunctionError as error:
            return [Answer(error=error)] * len(batch)
        process.send({"function": function.name, "seconds": function.seconds, "rows": batch})
        for _ in batch:
            try:
                answer = process.receive(function.seconds)
            except StoppedError as error:
                self._stop()
                found.append(Answer(error=StoppedError(f"{function.name} {error}")))
                break
            found.append(_read(function, answer))
        return found

    def _loaded(self, function: Function) -> _Process:
        if self._process is None:
            self._process = _Process(self._modules)
        if function.name not in self._process.loaded:
            self._process.send({"function": function.name})
            try:
                answer = self._process.receive(LOADING_SECONDS)
            except StoppedError as error:
                self._stop()
                raise FunctionError(f"importing {function.module} {error}") from None
            if "error" in answer:
                raise FunctionError(f"{function.name} cannot be imported: {answer['error']}")
            self._process.loaded.add(function.name)
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None


def _at_once(questions: Sequence[Sequence[Any]]) -> int:
    """At least one."""
    within = sum(1 for rows in accumulate(map(len, questions)) if rows <= ROWS_AT_ONCE)
    return max(1, within)


def _read(function: Function, answer: dict[str, Any]) -> Answer:
    if "error" in answer:
        return Answer(error=FunctionError(f"{function.name}: {answer['error']}"))
    return Answer(decode(answer["value"]))


def runner_for(modules: Modules) -> Runner:
    """The one of this process for these modules, as long as they are in use."""
    return _runner(tuple(sorted(modules.items())))


@lru_cache(maxsize=2)  # the policy in force, and one that is tried
def _runner(modules: tuple[tuple[str, str], ...]) -> Runner:
    return Runner(dict(modules))
