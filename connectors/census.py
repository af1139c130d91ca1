"""All stores side by side: which differ from most in schema or settings, and which are one server twice. Pure."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from connectors.examination import Server, StoredColumn, StoredTable
from connectors.findings import Finding, Level

SETTINGS = (
    "sql_mode", "time_zone", "system_time_zone", "character_set_server", "collation_server", "lower_case_table_names",
    "default_storage_engine", "innodb_file_format", "gtid_mode", "explicit_defaults_for_timestamp",
    "expire_logs_days", "binlog_expire_logs_seconds", "binlog_format", "binlog_row_image",
)  # fmt: skip
MISSING = "missing"
_DISPLAY_WIDTH = re.compile(r"\b(tinyint|smallint|mediumint|int|bigint|year)\(\d+\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A store that answered."""

    store: str
    server: Server
    tables: tuple[StoredTable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where the stores do not agree. `usual` is what more than half of them have, None where nothing is."""

    subject: str  # "sql_mode", "members.points"
    usual: str | None
    odd: Mapping[str, tuple[str, ...]]  # value → the stores that have it


def of_fleet(seen: Sequence[Seen]) -> dict[str, tuple[Finding, ...]]:
    """Store → what only the others' answers show."""
    found: dict[str, list[Finding]] = {}
    for stores in _sharing(seen, lambda each: each.server.uuid):
        for store in stores:
            found.setdefault(store, []).append(_one_server(stores))
    for stores in _sharing(seen, lambda each: each.server.setting("server_id")):
        for store in stores:
            found.setdefault(store, []).append(_one_id(stores))
    return {store: tuple(findings) for store, findings in found.items()}


def differences(seen: Sequence[Seen]) -> Iterator[Difference]:
    """Nothing for fewer than two stores."""
    if len(seen) < 2:
        return
    yield from _different("version", {each.store: _version(each.server) for each in seen})
    for name in SETTINGS:
        # what a version does not have is no difference from one that has it: the versions are told
        values = {each.store: each.server.variables[name] for each in seen if name in each.server.variables}
        yield from _different(name, _not_in_all(values))
    for table in sorted({table.name for each in seen for table in each.tables}):
        yield from _in_table(table, {each.store: _find(each.tables, table) for each in seen})


def _in_table(name: str, stores: Mapping[str, StoredTable | None]) -> Iterator[Difference]:
    yield from _different(name, {store: "there" if table else MISSING for store, table in stores.items()})
    present = {store: table for store, table in stores.items() if table}
    yield from _different(f"{name}: primary key", {s: ", ".join(t.primary_key) or "none" for s, t in present.items()})
    yield from _different(f"{name}: engine", {store: table.engine for store, table in present.items()})
    for column in dict.fromkeys(column.name for table in present.values() for column in table.columns):
        shapes = {store: _shape(table.column(column)) for store, table in present.items()}
        yield from _different(f"{name}.{column}", shapes)


def _different(subject: str, values: Mapping[str, str]) -> Iterator[Difference]:
    counted = Counter(values.values())
    if len(counted) < 2:
        return
    value, count = counted.most_common(1)[0]
    usual = value if count * 2 > len(values) else None
    odd = {each: tuple(s for s, v in values.items() if v == each) for each in counted if each != usual}
    yield Difference(subject=subject, usual=usual, odd=odd)


def _not_in_all(values: Mapping[str, str]) -> dict[str, str]:
    """Of comma-separated lists, such as sql_mode, what some have and others have not."""
    parts = {store: dict.fromkeys(value.split(",")) for store, value in values.items()}
    common = set.intersection(*(set(each) for each in parts.values())) if parts else set()
    if len(set(values.values())) == 1:
        return dict(values)
    return {store: ",".join(part for part in each if part not in common) for store, each in parts.items()}


def _shape(column: StoredColumn | None) -> str:
    if column is None:
        return MISSING
    # MySQL 8.0.19 and later no longer show the width that an integer is displayed with, and nothing else hangs on it
    shown = _DISPLAY_WIDTH.sub(r"\1", column.column_type)
    charset = "utf8" if column.charset == "utf8mb3" else column.charset
    return " ".join([shown, *([charset] if charset else []), *([] if column.nullable else ["not null"])])


def _version(server: Server) -> str:
    kind, numbers = str(server.version).split()
    return f"{kind} {numbers.rpartition('.')[0]}"


def _find(tables: Iterable[StoredTable], name: str) -> StoredTable | None:
    return next((table for table in tables if table.name == name), None)


def _sharing(seen: Iterable[Seen], key: Callable[[Seen], str]) -> Iterator[list[str]]:
    by_key: dict[str, list[str]] = {}
    for each in seen:
        if key(each):
            by_key.setdefault(key(each), []).append(each.store)
    yield from (stores for stores in by_key.values() if len(stores) > 1)


def _one_server(stores: Sequence[str]) -> Finding:
    return Finding(
        level=Level.REFUSE,
        subject="server_uuid",
        sentence=f"{' and '.join(stores)} are one and the same server, or a disk was cloned",
        remedy="correct the address in tillstream.yaml; on a clone, delete auto.cnf in MySQL's data directory and "
        "restart it",
    )


def _one_id(stores: Sequence[str]) -> Finding:
    return Finding(
        level=Level.NOTE,
        subject="server_id",
        sentence=f"{', '.join(stores)} have one server_id, which only matters to servers that replicate each other",
    )
