"""What is to be said of a store's server, from the facts alone: pure, so that `run` and `doctor` judge alike."""

import zoneinfo
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from conflict.clock import LET_PASS_US
from connectors.examination import BinlogFile, Clock, Server
from connectors.rights import EVERYWHERE, lacking, least_grants
from tillstream.config import Store
from tillstream.envelope import file_number

LARGE_FILE_BYTES = 2 * 1024**3  # a position has 32 bits; some readers count with a sign
WEEK_SECONDS = 7 * 86_400
SHORT_RETENTION_HOURS = 72.0  # a long weekend
XA_AT_PREPARE = (5, 7, 7)  # from here on XA writes its rows to the binlog at PREPARE
MARIADB_XA_AT_PREPARE = (10, 5, 0)
OLDEST_TRIED, OLDEST_MARIADB_TRIED = (5, 6, 0), (10, 11, 0)


class Level(StrEnum):
    REFUSE = "refuse"  # capture would lose or bend data
    WARN = "warn"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to be said. `paste` holds the lines that put it right, as a person can paste them."""

    level: Level
    subject: str  # a setting, "table members", "user tillstream"
    sentence: str
    remedy: str = ""
    paste: tuple[str, ...] = ()

    def in_one_line(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        paste = f": {' '.join(self.paste)}" if self.paste else ""
        return f"{self.subject}: {self.sentence}{remedy}{paste}"


Check = Callable[[Store, Server], Iterator[Finding]]


def what_forbids_capture(store: Store, server: Server) -> list[Finding]:
    """For `run`: with any of these the log does not hold what is needed, or may not be read."""
    return [finding for check in _FORBIDDING for finding in check(store, server)]


def of_server(store: Store, server: Server) -> list[Finding]:
    """Everything that a server's settings tell; what forbids capture comes first."""
    return [finding for check in (*_FORBIDDING, *_ADVISING) for finding in check(store, server)]


def my_cnf(*lines: str) -> tuple[str, ...]:
    return ("[mysqld]", *lines)


LOOK_DEEPER = "look with `tillstream doctor --deep`"
IN_MY_CNF = "put this into the store's my.cnf (my.ini on Windows) and restart its MySQL"


# --- what forbids capture -----------------------------------------------------------------------------------


def _row_binlog(store: Store, server: Server) -> Iterator[Finding]:
    if not server.is_on("log_bin"):
        yield _in_my_cnf("log_bin", "the server writes no binlog", "log-bin = mysql-bin")
    given = server.setting("binlog_format", "ROW").upper()  # gone in MySQL 9: there is only ROW
    if given != "ROW":
        yield _in_my_cnf(
            "binlog_format",
            f"the binlog is written in the format {given}, which names statements and not the rows they changed",
            "binlog_format = ROW",
        )
    image = server.setting("binlog_row_image", "FULL").upper()  # absent before 5.6: always full
    if image != "FULL":
        yield _in_my_cnf(
            "binlog_row_image",
            f"with {image} the binlog leaves out columns that did not change",
            "binlog_row_image = FULL",
        )
    if "PARTIAL_JSON" in server.setting("binlog_row_value_options").upper():
        yield _in_my_cnf(
            "binlog_row_value_options",
            "with PARTIAL_JSON an UPDATE of a JSON column is written in a form that vanishes without a word",
            "binlog_row_value_options = ''",
        )
    if server.setting("server_id", "0") == "0":
        yield _in_my_cnf("server_id", "with server_id 0 nobody may read the binlog", "server-id = 1")


def _compressed_log(store: Store, server: Server) -> Iterator[Finding]:
    if server.is_on("log_bin_compress"):
        yield _in_my_cnf(
            "log_bin_compress",
            "MariaDB's compressed events cannot be read, and their rows would be missing",
            "log_bin_compress = OFF",
        )


def _left_out_database(store: Store, server: Server) -> Iterator[Finding]:
    head = server.head
    if head is None:
        return
    only, ignored = head.only_databases, head.ignored_databases
    if store.database in ignored or (only and store.database not in only):
        what = f"binlog-do-db names only {', '.join(only)}" if only else f"binlog-ignore-db names {store.database}"
        yield Finding(
            level=Level.REFUSE,
            subject="binlog filters",
            sentence=f"{what}: changes of {store.database} are not written to the binlog",
            remedy="take these lines out of the store's my.cnf and restart its MySQL",
            paste=tuple(_filter_lines(server)),
        )


def _rights(store: Store, server: Server) -> Iterator[Finding]:
    missing = lacking(server.rights, store.database)
    if missing:
        yield Finding(
            level=Level.REFUSE,
            subject=f"user {store.user}",
            sentence=f"lacks {', '.join(missing)} ({', '.join(_what_for(store, right) for right in missing)})",
            remedy="run in the store as an administrator; name the account's own host instead of % if it has one",
            paste=least_grants(store),
        )


def _what_for(store: Store, right: str) -> str:
    return EVERYWHERE.get(right) or f"reading the tables of {store.database}"


# --- what a person should know ------------------------------------------------------------------------------


def _version(store: Store, server: Server) -> Iterator[Finding]:
    version = server.version
    if version.numbers < (OLDEST_MARIADB_TRIED if version.is_mariadb else OLDEST_TRIED):
        yield Finding(
            level=Level.WARN,
            subject="server",
            sentence=f"{version} was never tried; Tillstream is tested on MySQL 5.6 and 9.7 and MariaDB 10.11",
            remedy="run `tillstream verify` after the first day, and often",
        )


def _filters(store: Store, server: Server) -> Iterator[Finding]:
    if server.head is None or not (server.head.only_databases or server.head.ignored_databases):
        return
    if any(True for _ in _left_out_database(store, server)):
        return
    yield Finding(
        level=Level.WARN,
        subject="binlog filters",
        sentence="an ALTER TABLE that is sent from another database than the table's own may be left out of the binlog",
        remedy="take these lines out of the store's my.cnf and restart its MySQL",
        paste=tuple(_filter_lines(server)),
    )


def _filter_lines(server: Server) -> Iterator[str]:
    if server.head is not None:
        yield from (f"binlog-do-db = {name}" for name in server.head.only_databases)
        yield from (f"binlog-ignore-db = {name}" for name in server.head.ignored_databases)


def _transaction_compression(store: Store, server: Server) -> Iterator[Finding]:
    if server.is_on("binlog_transaction_compression"):
        yield Finding(
            level=Level.NOTE,
            subject="binlog_transaction_compression",
            sentence="transactions are compressed in the binlog, which is read all the same",
        )


def _retention(store: Store, server: Server) -> Iterator[Finding]:
    hours = retention_hours(server)
    if hours is None or hours >= SHORT_RETENTION_HOURS:
        return
    by_seconds = "binlog_expire_logs_seconds" in server.variables
    wanted = f"binlog_expire_logs_seconds = {WEEK_SECONDS}" if by_seconds else "expire_logs_days = 7"
    yield Finding(
        level=Level.WARN,
        subject="binlog retention",
        sentence=f"the server deletes its binlog after {hours:.0f} hours: cut off for longer, "
        "the store has to be read anew",
        remedy="keep a week: run the first line in the store as an administrator and put the others into its my.cnf",
        paste=(f"SET GLOBAL {wanted};", *my_cnf(wanted)),
    )


def _sql_mode(store: Store, server: Server) -> Iterator[Finding]:
    modes = server.setting("sql_mode").upper().split(",")
    if "ANSI_QUOTES" in modes:
        yield Finding(
            level=Level.WARN,
            subject="sql_mode",
            sentence='with ANSI_QUOTES an ALTER TABLE that quotes names as "name" cannot be read and stops the store',
            remedy="take ANSI_QUOTES out, or quote names in DDL with backticks",
            paste=(f"SET GLOBAL sql_mode = '{','.join(m for m in modes if m not in ('ANSI_QUOTES', 'ANSI'))}';",),
        )
    if "NO_ZERO_DATE" not in modes or not {"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES", "TRADITIONAL"} & set(modes):
        yield Finding(
            level=Level.NOTE,
            subject="sql_mode",
            sentence="the server accepts zero dates (0000-00-00), which are NULL in the warehouse",
            remedy=LOOK_DEEPER,
        )


_FORBIDDING: tuple[Check, ...] = (_row_binlog, _compressed_log, _left_out_database, _rights)
_ADVISING: tuple[Check, ...] = (_version, _filters, _retention, _transaction_compression, _sql_mode)


# --- what needs more than the settings ------------------------------------------------------------------------


def retention_hours(server: Server) -> float | None:
    """How long the server keeps its binlog; None for ever."""
    seconds = float(server.setting("binlog_expire_logs_seconds", "0") or 0)
    days = float(server.setting("expire_logs_days", "0") or 0)
    hours = seconds / 3600 or days * 24
    purges = server.setting("binlog_expire_logs_auto_purge", "ON").upper() in ("ON", "1")
    return hours if hours and purges else None


def of_reader(server: Server, reader_id: int) -> Iterator[Finding]:
    """`reader_id`: the replica's id under which the store is read."""
    if server.setting("server_id") == str(reader_id):
        yield _in_my_cnf(
            "server_id",
            f"the server has the id {reader_id}, under which Tillstream reads it: it would refuse the reader",
            "server-id = 1",
        )


def of_binlogs(files: Sequence[BinlogFile]) -> Iterator[Finding]:
    large = [file for file in files if file.size_bytes > LARGE_FILE_BYTES]
    if large:
        biggest = max(large, key=lambda file: file.size_bytes)
        yield Finding(
            level=Level.WARN,
            subject="binlog files",
            sentence=f"{biggest.name} has {biggest.size_bytes / 1024**3:.1f} GiB: positions beyond 4 GiB do not fit, "
            "and a reader cut off there cannot go on",
            remedy="write less in one transaction (LOAD DATA, mass UPDATE), and keep files small",
            paste=("SET GLOBAL max_binlog_size = 268435456;", *my_cnf("max_binlog_size = 256M")),
        )


def of_reach(server: Server, oldest: BinlogFile, reaches_back_hours: float) -> Iterator[Finding]:
    """`oldest`: the first file that is still there, begun so long ago."""
    kept = retention_hours(server)
    deleted_some = file_number(oldest.name) > 1
    # A server that deletes by age keeps a file that is about as old as it says.
    if deleted_some and reaches_back_hours < SHORT_RETENTION_HOURS and (kept is None or reaches_back_hours < kept / 2):
        promised = "for ever" if kept is None else f"for {duration(kept * 3600)}"
        yield Finding(
            level=Level.WARN,
            subject="binlog retention",
            sentence=f"the server keeps its binlog {promised} by its settings, but it reaches back "
            f"{duration(reaches_back_hours * 3600)}: somebody deletes or resets it",
            remedy="find out which script runs PURGE BINARY LOGS or RESET MASTER, and have it stop",
        )


def of_clock(store: Store, clock: Clock, now: datetime) -> Iterator[Finding]:
    """`now`: any time of the hour in which the clock was read, with its zone."""
    if abs(clock.offset_seconds) - clock.uncertainty_seconds > LET_PASS_US / 1_000_000:
        yield Finding(
            level=Level.WARN,
            subject="clock",
            sentence=f"the store's clock is {beside_ours(clock.offset_seconds)}: its changes are timed "
            "without that, in doubt by some seconds",
            remedy="let the store's machine follow a time server: one line on Windows, the other on Linux",
            paste=("w32tm /resync", "timedatectl set-ntp true"),
        )
    expected = round((now.astimezone(zoneinfo.ZoneInfo(store.timezone)).utcoffset() or timedelta(0)).total_seconds())
    if expected != clock.utc_offset_seconds:
        yield Finding(
            level=Level.WARN,
            subject="time zone",
            sentence=f"tillstream.yaml says {store.timezone}, which is UTC{_signed(expected)} now, and the server "
            f"writes its local times at UTC{_signed(clock.utc_offset_seconds)}",
            remedy="correct `timezone:` under defaults in tillstream.yaml, or the server's own zone; "
            "`changed_at` of a policy goes by it",
        )


def of_xa(server: Server, prepared: int) -> Iterator[Finding]:
    since = MARIADB_XA_AT_PREPARE if server.version.is_mariadb else XA_AT_PREPARE
    if prepared and server.version.numbers >= since:
        yield Finding(
            level=Level.WARN,
            subject="XA transactions",
            sentence=f"{prepared} were prepared since the server started; one that is rolled back leaves a row "
            "that never was",
            remedy="have the program that uses XA use plain transactions; `tillstream verify` finds such rows",
        )


def beside_ours(offset_seconds: float) -> str:
    """Of a store's clock, in words."""
    return f"{duration(abs(offset_seconds))} {'ahead of' if offset_seconds > 0 else 'behind'} ours"


def duration(seconds: float) -> str:
    """`2.5 s`, `7 min`, `3 h`, `12 d`: as a person says it."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _signed(seconds: int) -> str:
    sign = "-" if seconds < 0 else "+"
    return f"{sign}{abs(seconds) // 3600:02d}:{abs(seconds) // 60 % 60:02d}"


def _in_my_cnf(subject: str, sentence: str, line: str) -> Finding:
    return Finding(level=Level.REFUSE, subject=subject, sentence=sentence, remedy=IN_MY_CNF, paste=my_cnf(line))
