"""Two ways to show a rehearsal on stderr: a live view for a terminal, plain lines for everything else."""

import logging
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tillstream.rehearsal.watch import Display, Picture, StoreLine

TOLD = 5  # lines of what happened that stay in view

_COLOURS = {"live": "green", "snapshot": "cyan", "unreachable": "red", "refused": "bold red"}


class Lines:
    """For logs and pipes."""

    seconds = 3.0

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def show(self, picture: Picture) -> None:
        stores = ", ".join(f"{each.id} {each.state} {_lag(each)}" for each in picture.stores)
        pool = f"; points {picture.pool}" if picture.pool else ""
        self.say(f"  {picture.row_changes} row changes in; {stores}; {picture.conflict_count} conflicts{pool}")


class LiveView:
    """For a terminal. What is said stays below the picture for a while."""

    seconds = 0.5

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._told: list[str] = []
        self._picture: Picture | None = None

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        self._told = [*self._told, f"{time.strftime('%H:%M:%S')}  {line}"][-TOLD:]
        self._draw()

    def show(self, picture: Picture) -> None:
        self._picture = picture
        self._draw()

    def _draw(self) -> None:
        parts: list[Any] = [Text(line, style="bold" if line is self._told[-1] else "dim") for line in self._told]
        if self._picture is not None:
            parts = [*_drawn(self._picture), Text(), *parts]
        self._live.update(Group(*parts), refresh=True)


def display_for_stderr() -> AbstractContextManager[Display]:
    console = Console(stderr=True, highlight=False)
    live = console.is_terminal and not console.is_dumb_terminal
    return LiveView(console) if live else nullcontext(Lines())


class LogLines(logging.Handler):
    """Sends warnings, and what a download has to say, to the display, which a print would tear."""

    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        self._display.say(record.getMessage())


def _drawn(picture: Picture) -> list[Any]:
    table = Table(box=None, pad_edge=False)
    for heading, justify in (("store", "left"), ("", "left"), ("state", "left"), ("lag", "right"), ("rows/s", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for each in picture.stores:
        state = Text(each.state, style=_COLOURS.get(each.state, ""))
        table.add_row(each.id, each.name, state, _lag(each), f"{each.per_second:.0f}")
    parts: list[Any] = [table, Text()]
    if picture.pool is not None:
        parts.append(Text(f"pool of points: {picture.pool}"))
    parts.append(Text(f"conflicts decided: {picture.conflict_count}"))
    return [*parts, *(Text(f"  {line}", no_wrap=True, overflow="ellipsis") for line in picture.conflicts)]


def _lag(store: StoreLine) -> str:
    return "-" if store.lag_seconds is None else f"{store.lag_seconds:.1f} s"
