"""How far back a store's binlog reaches: no statement tells, so it is asked as a replica asks, of a file's head."""

import struct
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pymysql
from pymysql.constants.COMMAND import COM_BINLOG_DUMP

from connectors.examination import BinlogFile, Server

Connection: TypeAlias = "pymysql.connections.Connection[Any]"

END_WHERE_THE_LOG_ENDS = 1  # BINLOG_DUMP_NON_BLOCK: the server hangs up instead of waiting for more
FILE_BEGIN = 4
FORMAT_DESCRIPTION = 15
MOST_EVENTS = 4  # a made-up ROTATE comes first, then the file's own description


def begun_at(connection: Connection, server: Server, file: BinlogFile, reader_id: int) -> datetime | None:
    """When a binlog file was begun; None where it cannot be told. The connection is of no use afterwards.

    `reader_id`: no other reader's, not even that of the store's engine, which would be cut off.
    """
    try:
        return _asked(connection, server, file, reader_id)
    except (pymysql.err.MySQLError, struct.error, OSError):
        return None


def _asked(connection: Connection, server: Server, file: BinlogFile, reader_id: int) -> datetime | None:
    with connection.cursor() as cursor:
        if "binlog_checksum" in server.variables:  # a reader must say that it knows of checksums
            cursor.execute("SET @master_binlog_checksum = @@global.binlog_checksum")
    request = struct.pack("<IHI", FILE_BEGIN, END_WHERE_THE_LOG_ENDS, reader_id) + file.name.encode()
    wire: Any = connection  # the driver knows the command, and has no public way to send it
    wire._execute_command(COM_BINLOG_DUMP, request)
    for _ in range(MOST_EVENTS):
        packet = wire._read_packet().get_all_data()
        seconds, kind = struct.unpack_from("<IB", packet, 1)  # the first byte says that the packet is fine
        if kind == FORMAT_DESCRIPTION and seconds:
            return datetime.fromtimestamp(seconds, UTC)
    return None
