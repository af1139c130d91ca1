"""Whether a store's binlog is still the one that was read. Positions do not tell: after RESET MASTER, on a restored
disk or another machine they begin again, and a reader that goes on by them reads the wrong events without a word."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pymysql

from tillstream.envelope import Witness, file_number

Connection: TypeAlias = "pymysql.connections.Connection[Any]"
Position: TypeAlias = tuple[int, int]

FILE_BEGIN = 4
MOST_EVENTS = 6  # a transaction's, with the number that makes it unlike any other


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenLog:
    """The log as the store shows it now; `again` is what stands where the witness stood, None if nothing can."""

    server_uuid: str
    ends: Mapping[int, int]  # of every file that is still there, by its number
    head: Position
    again: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Why it is another log."""

    reason: str
    same_server: bool


def broken(position: Position, server_uuid: str, witness: Witness | None, seen: SeenLog) -> Break | None:
    """`position` is how far it was read, from the server `server_uuid`, which had shown `witness`. Pure."""
    if server_uuid and seen.server_uuid and server_uuid != seen.server_uuid:
        return Break(
            reason=f"another server answers there: its server_uuid was {server_uuid} and is {seen.server_uuid}",
            same_server=False,
        )
    if seen.head < position:
        return Break(
            reason=f"its log ends at {_shown(seen.head)}, and was read up to {_shown(position)}: it was reset, or the "
            "disk restored",
            same_server=True,
        )
    file, pos = position
    if pos > seen.ends.get(file, pos):
        return Break(
            reason=f"its file {file:06d} ends at {seen.ends[file]}, and was read up to {pos}: the server lost the end "
            "of its log in a crash (sync_binlog is not 1), or the disk was restored",
            same_server=True,
        )
    if (
        witness is not None
        and min(seen.ends, default=0) <= file_number(witness.file) <= seen.head[0]
        and seen.again != witness.events
    ):
        return Break(
            reason=f"at {witness.file}:{witness.pos} stand other events than were there: its log was reset, or the "
            "disk restored",
            same_server=True,
        )
    return None


def next_witness(connection: Connection, before: tuple[str, int] | None, head: tuple[str, int]) -> Witness | None:
    """Events to ask for again later: the first of those written since `before`, where the log ended then."""
    file, pos = before or (head[0], FILE_BEGIN)
    if (file, pos) == head:
        return None
    events = events_at(connection, file, pos, MOST_EVENTS)
    return Witness(file=file, pos=pos, events=events) if events else None


def again(connection: Connection, witness: Witness | None) -> tuple[str, ...] | None:
    return None if witness is None else events_at(connection, witness.file, witness.pos, len(witness.events))


def events_at(connection: Connection, file: str, pos: int, most: int) -> tuple[str, ...] | None:
    """Digests of the events that begin there: they may hold what customers typed. None if none can begin there."""
    with connection.cursor() as cursor:
        try:
            cursor.execute("SHOW BINLOG EVENTS IN %s FROM %s LIMIT %s", (file, pos, most))
        except (pymysql.err.OperationalError, pymysql.err.InternalError, pymysql.err.ProgrammingError) as error:
            if error.args and error.args[0] == pymysql.constants.ER.ERROR_WHEN_EXECUTING_COMMAND:
                return None
            raise
        return tuple(_digest(row) for row in cursor.fetchall())


def _digest(row: tuple[Any, ...]) -> str:
    text = "\x1f".join(str(part) for part in row)
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _shown(position: Position) -> str:
    return f"{position[0]:06d}:{position[1]}"
