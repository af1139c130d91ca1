"""The process that functions of one's own run in: a line of JSON asks, a line answers each question of it.

Started by `runner.py`, with none of our environment and without anything of ours open.
"""

import importlib
import json
import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, BinaryIO

from sinks.own_functions.wire import decode, encode

MOST_MEMORY_BYTES = 1 << 30
GRACE_SECONDS = 2.0  # after which it ends itself, where whoever should end it is gone
MOST_CHARACTERS = 500  # of what is told of an error

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One store's row, as a function of one's own is given it."""

    store: str  # its id
    value: Any  # of the column that is decided
    changed_at: datetime | None  # UTC, corrected; None where no change of the value was ever seen
    values: Mapping[str, Any]  # all columns that the store has
    stands: bool  # the store's last row under the key


def main() -> None:
    directory = sys.argv[1]
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what functions print is none of the answers
    sys.dont_write_bytecode = True
    sys.path.insert(0, directory)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    for line in sys.stdin.buffer:
        _serve(json.loads(line), directory, answers)


def _serve(asked: dict[str, Any], directory: str, answers: BinaryIO) -> None:
    if "rows" not in asked:
        _tell(answers, _loading(asked["function"], directory))
        return
    function = _loaded(asked["function"])
    for rows in asked["rows"]:
        signal.setitimer(signal.ITIMER_REAL, asked["seconds"] + GRACE_SECONDS)
        answer = _answer(function, [_contribution(row) for row in rows], directory)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _tell(answers, answer)


def _tell(answers: BinaryIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _loading(name: str, directory: str) -> dict[str, Any]:
    try:
        function = _loaded(name)
    except BaseException as error:
        return {"error": _in_words(error, directory)}
    return {} if callable(function) else {"error": f"{name} is no function"}


def _loaded(name: str) -> Callable[[Sequence[Contribution]], Any]:
    module, _, function = name.partition(":")
    found: Callable[[Sequence[Contribution]], Any] = getattr(importlib.import_module(module), function)
    return found


def _contribution(row: dict[str, Any]) -> Contribution:
    at = row["changed_us"]
    return Contribution(
        store=row["store"],
        value=decode(row["value"]),
        changed_at=None if at is None else _EPOCH + timedelta(microseconds=at),
        values=MappingProxyType({name: decode(value) for name, value in row["values"].items()}),
        stands=row["stands"],
    )


def _answer(
    function: Callable[[Sequence[Contribution]], Any], rows: list[Contribution], directory: str
) -> dict[str, Any]:
    try:
        first = encode(function(list(rows)))
        again = encode(function(_shuffled(rows)))
    except BaseException as error:
        return {"error": _in_words(error, directory)}
    if json.dumps(first) != json.dumps(again):
        return {"error": "it says something else when the rows come in another order"}
    return {"value": first}


def _shuffled(rows: list[Contribution]) -> list[Contribution]:
    """In another order, if there is one, and always the same."""
    order = list(range(len(rows)))
    random.Random(len(rows)).shuffle(order)
    if order == sorted(order):
        order.reverse()
    return [rows[place] for place in order]


def _in_words(error: BaseException, directory: str) -> str:
    """With the last line of one's own that it came from."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename.startswith(directory)]
    place = ""
    if isinstance(error, SyntaxError) and (error.filename or "").startswith(directory):
        place = f"{os.path.relpath(error.filename or '', directory)}:{error.lineno}: "
    elif frames:
        place = f"{os.path.relpath(frames[-1].filename, directory)}:{frames[-1].lineno}: "
    told = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{place}{type(error).__name__}{f': {told}' if told else ''}"[:MOST_CHARACTERS]


if __name__ == "__main__":
    main()
