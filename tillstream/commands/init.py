"""tillstream init: the first store's tillstream.yaml and policies.yaml, proposed from what the store itself says."""

import os
import sys
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tillstream.commands.config import DEFAULT_PATH, load_all
from tillstream.config import Secret, Store
from tillstream.config_file import MYSQL_PORT, known_timezone, variable_name, well_formed_id
from tillstream.errors import Fault, RefusedError

if TYPE_CHECKING:
    from connectors.examination import Clock, Server, StoredTable
    from tillstream.first_files import FirstStore
    from tillstream.suggestions import Suggestions

POLICIES = "policies.yaml"
NAMED_ZONES = {0: "UTC", 7 * 3600: "Asia/Bangkok", 8 * 3600: "Asia/Shanghai", 9 * 3600: "Asia/Tokyo"}


def _checked(check: Callable[[str], str]) -> Callable[[str | None], str | None]:
    def callback(given: str | None) -> str | None:
        try:
            return check(given) if given is not None else None
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return callback


Host = Annotated[str | None, typer.Option("--host", help="Address of the store's MySQL.")]
Port = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Its port; 3306 if left out.")]
Database = Annotated[str | None, typer.Option("--database", help="The POS's database.")]
User = Annotated[str | None, typer.Option("--user", help="The MySQL user that Tillstream reads with.")]
PasswordEnv = Annotated[
    str | None,
    typer.Option(
        "--password-env", metavar="NAME", help="Environment variable that holds the user's password.",
        callback=_checked(variable_name),
    ),
]  # fmt: skip
PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", metavar="PATH", help="File that holds it, instead of a variable.")
]
StoreId = Annotated[
    str | None,
    typer.Option("--store", metavar="ID", help="Short lasting id of the store.", callback=_checked(well_formed_id)),
]
Name = Annotated[str | None, typer.Option("--name", help="The store's name for people; the id if left out.")]
TimeZone = Annotated[
    str | None,
    typer.Option(
        "--timezone", help="IANA zone of the store's clock; guessed from it if left out.",
        callback=_checked(known_timezone),
    ),
]  # fmt: skip
Directory = Annotated[Path, typer.Option("--directory", help="Where both files are written.")]
Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing: take what is proposed for whatever no flag gives.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")]


def register(app: typer.Typer) -> None:
    app.command("init")(init)


def init(
    host: Host = None,
    port: Port = None,
    database: Database = None,
    user: User = None,
    password_env: PasswordEnv = None,
    password_file: PasswordFile = None,
    store: StoreId = None,
    name: Name = None,
    timezone: TimeZone = None,
    directory: Directory = Path(),
    yes: Yes = False,
    force: Force = False,
) -> None:
    """Write the first store's tillstream.yaml and policies.yaml, after a look at its tables.

    Asks on a terminal for what no flag gives. Only reads from the store, and writes nothing else.
    """
    if password_env is not None and password_file is not None:
        raise typer.BadParameter("a password is either in a variable or in a file", param_hint="--password-file")
    files = (directory / DEFAULT_PATH, directory / POLICIES)
    if not force:
        _require_free(files)
    asker = _Asker(may_ask=sys.stdin.isatty() and not yes)
    told = _Told(
        host=asker.text("--host", host, "Address of the store's MySQL"),
        port=port or asker.number("--port", "Port", MYSQL_PORT),
        database=asker.text("--database", database, "The POS's database"),
        user=asker.text("--user", user, "MySQL user", "tillstream"),
        password=_password(asker, password_env, password_file),
        store=asker.word("--store", store, "Short lasting id of the store", "s001", well_formed_id),
        name=name,
    )
    server, clock, tables = _read(told, asker)
    first, suggestions = _proposal(told, asker, clock, tables, timezone, directory)
    if asker.may_ask:
        print("\n".join(_summary(suggestions)), file=sys.stderr)
        typer.confirm(f"Write {files[0]} and {files[1]}?", default=True, abort=True, err=True)
    _write(files, first, suggestions)
    print("\n".join(_told_at_the_end(files, told, server, tables, suggestions)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What flags and answers gave."""

    host: str
    port: int
    database: str
    user: str
    password: Secret
    store: str
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asker:
    """Asks a person, or takes the default where nobody is there to be asked."""

    may_ask: bool

    def text(self, flag: str, given: str | None, question: str, default: str | None = None) -> str:
        if given:
            return given
        if self.may_ask:
            return str(typer.prompt(question, default=default, err=True))
        raise typer.BadParameter("is needed where nobody can be asked", param_hint=flag)

    def number(self, flag: str, question: str, default: int) -> int:
        return int(typer.prompt(question, default=default, type=int, err=True)) if self.may_ask else default

    def word(self, flag: str, given: str | None, question: str, default: str, check: Callable[[str], str]) -> str:
        """`default` without asking; a wrong answer is asked for again."""
        while given is None and self.may_ask:
            try:
                return check(str(typer.prompt(question, default=default, err=True)))
            except ValueError as error:
                print(error, file=sys.stderr)
        return given or default


def _require_free(files: tuple[Path, ...]) -> None:
    taken = [str(file) for file in files if file.exists()]
    if taken:
        are = "is" if len(taken) == 1 else "are"
        raise RefusedError(
            f"{' and '.join(taken)} {are} there already; --force overwrites, --directory writes elsewhere"
        )


def _password(asker: _Asker, env: str | None, file: Path | None) -> Secret:
    if file is None and env is None:
        if not asker.may_ask:
            raise typer.BadParameter(
                "is needed where nobody can be asked, or --password-file", param_hint="--password-env"
            )
        env = asker.word("", None, "Environment variable with the password", "POS_PASSWORD", variable_name)
    place = Fault(file="tillstream init", line=0, path="--password-file" if file else "--password-env", message="")
    if env is not None and env not in os.environ and asker.may_ask:
        # only for this process: the file names the variable, and `run` needs it set
        os.environ[env] = typer.prompt(f"{env} is not set; the password, for now", hide_input=True, err=True)
    return Secret(env=env, file=file, owner="the store", declared=place)


# --- the store ----------------------------------------------------------------------------------------------


def _read(told: _Told, asker: _Asker) -> "tuple[Server, Clock, tuple[StoredTable, ...]]":
    from connectors.rights import least_grants
    from tillstream.examining import read_catalog

    store = Store(
        id=told.store, name=told.store, host=told.host, port=told.port, user=told.user, password=told.password,
        database=told.database, timezone="UTC",
    )  # fmt: skip
    found = read_catalog(store)
    if not found[2]:
        raise RefusedError(
            f"store {store.id} at {store.host}:{store.port}: user {store.user} sees no table in {store.database}; "
            f"check --database, or run in the store: {' '.join(least_grants(store))}"
        )
    return found


def _proposal(
    told: _Told, asker: _Asker, clock: "Clock", tables: "tuple[StoredTable, ...]", timezone: str | None, directory: Path
) -> "tuple[FirstStore, Suggestions]":
    from tillstream.examining import reason_against
    from tillstream.first_files import FirstStore
    from tillstream.suggestions import suggest

    guess, why = guessed_zone(clock.utc_offset_seconds)
    zone = asker.word("--timezone", timezone, "Time zone of the store's clock", guess, known_timezone)
    first = FirstStore(
        id=told.store,
        name=told.name or told.store,
        host=told.host,
        port=told.port,
        user=told.user,
        password=_reference(told.password, directory),
        database=told.database,
        timezone=zone,
        timezone_why=why if zone == guess else "of the stores' clocks",
    )
    return first, suggest(tables, reason_against)


def guessed_zone(offset_seconds: int) -> tuple[str, str]:
    """A zone that a clock so far from UTC may stand in, and how sure that is."""
    shown = (
        f"UTC{'-' if offset_seconds < 0 else '+'}{abs(offset_seconds) // 3600:02d}:{abs(offset_seconds) // 60 % 60:02d}"
    )
    if offset_seconds in NAMED_ZONES:
        return NAMED_ZONES[offset_seconds], f"guessed: the store's clock shows {shown}"
    fixed = f"Etc/GMT{-offset_seconds // 3600:+d}"  # these are named by what has to be added to reach UTC
    if offset_seconds % 3600 == 0 and fixed in zoneinfo.available_timezones():
        return fixed, f"guessed: the store's clock shows {shown}; name its town's zone if it has summer time"
    return "UTC", f"to be corrected: the store's clock shows {shown}"


def _reference(password: Secret, directory: Path) -> dict[str, str]:
    if password.file is None:
        return {"env": password.env or ""}
    # relative paths in the file are meant from the file's own directory
    target, base = password.file.resolve(), directory.resolve()
    return {"file": str(target.relative_to(base) if target.is_relative_to(base) else target)}


# --- both files ---------------------------------------------------------------------------------------------


def _write(files: tuple[Path, Path], first: "FirstStore", suggestions: "Suggestions") -> None:
    from tillstream.first_files import config_text, policies_text

    try:
        files[0].parent.mkdir(parents=True, exist_ok=True)
        # the configuration last: where it is there, all is there
        files[1].write_text(policies_text(first, suggestions), encoding="utf-8")
        files[0].write_text(config_text(first, suggestions), encoding="utf-8")
    except OSError as error:
        raise RefusedError(f"{error.filename or files[0].parent}: cannot be written: {error.strerror}") from error
    load_all(files[0])


def _summary(suggestions: "Suggestions") -> list[str]:
    shared = [f"{each.table} by {' and '.join(part.column for part in each.key)}" for each in suggestions.shared]
    out = [f"{table} ({why})" for table, why in suggestions.left_out.items()]
    out += [f"{table}.{column}" for table, columns in suggestions.left_out_columns.items() for column in columns]
    lines = {"shared": shared, "each store's own": list(suggestions.own), "left out": out}
    return [f"  {heading:<17} {', '.join(names)}" for heading, names in lines.items() if names]


def _told_at_the_end(
    files: tuple[Path, Path], told: _Told, server: "Server", tables: "tuple[StoredTable, ...]", found: "Suggestions"
) -> list[str]:
    option = "" if files[0] == DEFAULT_PATH else f" --config {files[0]}"
    variable = told.password.env
    export = [f"  export {variable}=...   the password, wherever Tillstream runs"] if variable else []
    return [
        f"Wrote {files[0]} and {files[1]} for store {told.store} ({server.version}, {_counted(len(tables))}):",
        *_summary(found),
        "Read both: every choice says why. Then:",
        *export,
        f"  tillstream doctor{option}   what must be changed in the store before it is captured",
        f"  tillstream run{option}",
    ]


def _counted(tables: int) -> str:
    return "1 table" if tables == 1 else f"{tables} tables"
