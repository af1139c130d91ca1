"""What something a person may say of a store would make of central.*, for that person to read."""

import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from tillstream.commands.config import Output

if TYPE_CHECKING:
    from sinks.previews import Preview

PREVIEWED = 1  # nothing was changed: nobody was there to say yes


def agrees(
    heading: Iterable[str], previews: "Iterable[Preview]", output: Output, *, question: str = "Decide it so?"
) -> bool:
    """Whether a person who was shown it all says yes; nobody does where nobody is at the terminal."""
    for line in (*heading, *(line for each in previews for line in in_words(each))):
        typer.echo(line, err=True)
    if output is Output.JSON or not sys.stdin.isatty():
        typer.echo("Nothing was changed; say --yes to have it so.", err=True)
        return False
    return typer.confirm(question, err=True)


def in_words(preview: "Preview") -> list[str]:
    values = ", ".join(f"{column} {count:,}" for column, count in sorted(preview.values.items()))
    lines = [
        f"  {preview.table}: of {preview.keys:,} keys {preview.rows_gone:,} rows go, {preview.rows_back:,} come back;"
        f" values that change: {values or 'none'}"
    ]
    if preview.undecided:
        lines.append(f"    of {preview.undecided:,} keys nobody can tell: a rule of theirs cannot decide them")
    return lines + [f"    {key} {column}: {now} -> {then}" for key, column, now, then in preview.samples]


def plain(preview: "Preview") -> dict[str, Any]:
    samples = [{"key": key, "column": column, "now": now, "then": then} for key, column, now, then in preview.samples]
    return {**asdict(preview), "values": dict(preview.values), "samples": samples}
