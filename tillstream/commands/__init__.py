"""The command `tillstream`: one file a verb, and one place that turns errors into exit codes.

    0 done   1 a fault or a difference was found   2 used wrongly
    3 something could not be reached and nothing, or not everything, was judged   130 interrupted

A verb raises; it prints no error itself. Data goes to stdout, everything else to stderr.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, NoReturn

import typer

from tillstream.commands import (
    anomalies,
    config,
    connectors,
    day_close,
    dead_letters,
    demo,
    doctor,
    explain,
    identity,
    init,
    migrate,
    parked,
    policy,
    quarantine,
    resync,
    reviews,
    run,
    status,
    stores,
    verify,
    work,
)
from tillstream.errors import TillstreamError, UnreachableError

FAULT, USED_WRONGLY, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
PIPE_CLOSED = 141  # what a shell shows for any program whose reader, such as `head`, went away

VERBS = (
    demo,
    init,
    doctor,
    run,
    work,
    status,
    verify,
    anomalies,
    day_close,
    explain,
    identity,
    policy,
    resync,
    stores,
    connectors,
    migrate,
    quarantine,
    reviews,
    dead_letters,
    parked,
    config,
)  # each has register(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code; a traceback only if TILLSTREAM_DEBUG=1."""
    sys.exit(_exit_code(arguments))


def build_app() -> typer.Typer:
    app = typer.Typer(
        name="tillstream",
        no_args_is_help=True,
        rich_markup_mode=None,  # plain help: it is read in logs and over slow lines too
    )
    app.callback()(_options)
    for verb in VERBS:
        verb.register(app)
    return app


def _print_version(asked: bool) -> None:
    if asked:
        print(f"tillstream {_version()}")
        raise typer.Exit


def _version() -> str:
    try:
        return metadata.version("tillstream")
    except metadata.PackageNotFoundError:
        return "unknown: not installed, run from its sources"


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Every store's MySQL binlog into one PostgreSQL, and one agreed row for what the stores share."""


def _exit_code(arguments: Sequence[str] | None) -> int:
    try:
        code = _run(arguments)
        sys.stdout.flush()  # a closed pipe must show here, not in the interpreter's last words
        return code
    except BrokenPipeError:
        return _pipe_closed()
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except typer.TyperException as error:
        return _used_wrongly(error)
    except Exception as error:
        return _report(error)


def _run(arguments: Sequence[str] | None) -> int:
    command = typer.main.get_command(build_app())
    try:
        code = command(arguments, prog_name="tillstream", standalone_mode=False)
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # typer answers a closed pipe with exit code 1
            raise leaving.__context__ from None
        raise
    return code if isinstance(code, int) else 0


def _used_wrongly(error: typer.TyperException) -> int:
    show = getattr(error, "show", None)  # typer's usage errors know the line that says how to use the verb
    if show is not None:
        show()
    else:
        print(f"Error: {error.format_message()}", file=sys.stderr)
    return USED_WRONGLY


def _report(error: Exception) -> int:
    if os.environ.get("TILLSTREAM_DEBUG") == "1":
        traceback.print_exception(error)
    elif isinstance(error, TillstreamError):
        print(error, file=sys.stderr)
    else:
        told = f"{type(error).__name__}: {error}"
        print(f"internal error: {told} (TILLSTREAM_DEBUG=1 shows where)", file=sys.stderr)
    return UNREACHABLE if isinstance(error, UnreachableError) else FAULT


def _pipe_closed() -> int:
    # What is still buffered can go nowhere; without this the interpreter complains at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return PIPE_CLOSED
