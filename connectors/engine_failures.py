"""What a person can do about an engine that stopped. Debezium gives no codes: its texts are all there is."""

from tillstream.errors import RefusedError, TillstreamError, TransientError


def engine_failure(store: str, reason: str) -> TillstreamError:
    line = _line(reason)
    if remedy := remedy_of(store, line):
        return RefusedError(f"store {store}: {line}; {remedy}")
    return TransientError(f"store {store}: the capture engine stopped: {line}")


def with_remedy(store: str, error: TillstreamError) -> TillstreamError:
    """The same error, where nothing is known about it."""
    line = _line(str(error))
    remedy = remedy_of(store, line)
    return RefusedError(f"store {store}: {line}; {remedy}") if remedy else error


def remedy_of(store: str, line: str) -> str | None:
    found = (remedy for text, remedy in _REMEDIES.items() if text in line)
    remedy = next(found, None)
    return None if remedy is None else remedy.format(store=store)


def _line(reason: str) -> str:
    return " ".join(reason.split())[:400]


_RESYNC = "read the store anew with `tillstream resync {store}`"
_REMEDIES = {  # texts of Debezium and the JVM → what a person does
    "no longer available on the server": f"its binlog was purged before it was read; {_RESYNC}",
    "Could not find first log file": f"its binlog was purged before it was read; {_RESYNC}",
    "db history topic is missing": _RESYNC,
    "internal schema size": f"the table's shape differs from the one recorded; {_RESYNC}",
    "Failed to properly convert data value": f"the table's shape differs from the one recorded; {_RESYNC}",
    "Failed to properly convert default value": "Debezium cannot read a column's DEFAULT; leave the table out with "
    "`tables: {{exclude: [...]}}`, or write the default as text in the store's table",
    "CP1256": "Debezium cannot decode the character set cp1256; leave the column out with tables.exclude_columns",
    "RecordTooLarge": "a row is larger than Kafka is to take: raise `capture: {{max_message_megabytes: ...}}` in "
    "tillstream.yaml, the broker's message.max.bytes where that is smaller, and start `run` again",
    "Could not list directory": "Kafka Connect reads the store's password there itself: let its user list the "
    "directory and read the file, or name another in tillstream.yaml",
    "OutOfMemoryError": "raise `capture_options: {{heap_megabytes: ...}}` in tillstream.yaml and start `run` again; "
    "Kafka Connect's heap is its own (KAFKA_HEAP_OPTS)",
    "SYSTEM VERSIONING": "a system-versioned table's log brings its history as rows; leave the table out with "
    "`tables: {{exclude: [...]}}`, then " + _RESYNC,
    "DDL statement couldn't be parsed": "Debezium cannot read this DDL statement; leave its table out with "
    "`tables: {{exclude: [...]}}` if it declares one, leave a note with the statement, then " + _RESYNC,
}
