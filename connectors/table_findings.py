"""What is to be said of a store's captured tables, from its catalog alone: pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from connectors.examination import ForeignKey, Server, StoredColumn, StoredTable, Version
from connectors.findings import LOOK_DEEPER, Finding, Level
from tillstream.config_file import Tables

CASCADES_LOGGED = (9, 6, 0)  # from here on MySQL writes to the binlog what a foreign key does by itself
WITHOUT_TRANSACTIONS = frozenset({"MYISAM", "ARIA", "MEMORY", "CSV", "MRG_MYISAM", "ARCHIVE", "HEAP"})
UNDECODABLE_CHARSETS = frozenset({"cp1256"})

ReasonAgainst = Callable[[StoredColumn], str | None]
"""Why a column cannot be kept in the warehouse, None if it can. The sinks know it, and are no business of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the two files ask of a store's tables."""

    tables: Tables
    shared: Mapping[str, tuple[str, ...]]  # table → columns that the policy needs: the business key, changed_at

    def captured(self, found: Iterable[StoredTable]) -> tuple[StoredTable, ...]:
        """The captured ones, with the captured columns."""
        return tuple(_without(table, self.tables.exclude_columns.get(table.name, ())) for table in found
                     if self.tables.takes(table.name))  # fmt: skip


def of_tables(
    server: Server, found: Sequence[StoredTable], wanted: Wanted, reason_against: ReasonAgainst
) -> Iterator[Finding]:
    captured = wanted.captured(found)
    yield from _missing(server, found, captured, wanted)
    yield from _unreadable(found, wanted)
    yield from _unkeepable(captured, reason_against)
    yield from _old_times(server.version, captured)
    yield from _cascades(server.version, captured)
    yield from _system_versioned(captured)
    yield from _keyless(captured, wanted)
    yield from _without_transactions(captured)
    yield from _latin1(captured)


def _missing(
    server: Server, found: Sequence[StoredTable], captured: Sequence[StoredTable], wanted: Wanted
) -> Iterator[Finding]:
    named = {table.name for table in found}
    absent = [name for name in wanted.tables.include or () if name not in named]
    if absent:
        yield Finding(
            level=Level.WARN,
            subject=_tables(absent),
            sentence="tables.include names what this store does not have, or what the user may not read",
            remedy="correct tables.include in tillstream.yaml, or grant SELECT",
        )
    if not captured:
        yield Finding(
            level=Level.REFUSE,
            subject="tables",
            sentence="there is no table to capture that the user may read",
            remedy="check `database:` and `tables:` in tillstream.yaml, and the user's SELECT",
        )
    for table in captured:
        lacking = [name for name in wanted.shared.get(table.name, ()) if table.column(name) is None]
        if lacking:
            yield Finding(
                level=Level.REFUSE,
                subject=f"table {table.name}",
                sentence=f"the policy needs {_columns(lacking)}, which the store does not have or does not give",
                remedy=f"correct tables.{table.name} in the policies, or tables.exclude_columns",
            )


def _unreadable(found: Iterable[StoredTable], wanted: Wanted) -> Iterator[Finding]:
    """Left-out columns count: the declaration is read as a whole."""
    for table in found:
        reasons = {column.name: column.unreadable for column in table.columns if column.unreadable}
        if reasons and wanted.tables.takes(table.name):
            told = ", ".join(f"{name} ({reason})" for name, reason in reasons.items())
            yield Finding(
                level=Level.REFUSE,
                subject=f"table {table.name}",
                sentence=f"cannot be captured: {told}",
                remedy="leave the table out under tables: in tillstream.yaml (its columns alone will not do: the whole "
                "declaration is read), or change the column in the store",
                paste=(f"exclude: [{table.name}]",),
            )


def _unkeepable(captured: Iterable[StoredTable], reason_against: ReasonAgainst) -> Iterator[Finding]:
    for table in captured:
        reasons: dict[str, str] = {}
        for column in table.columns:
            if column.unreadable:
                continue
            reason = f"charset {column.charset}" if column.charset in UNDECODABLE_CHARSETS else reason_against(column)
            if reason:
                reasons[column.name] = reason
        if reasons:
            told = ", ".join(f"{name} ({reason})" for name, reason in reasons.items())
            yield Finding(
                level=Level.REFUSE,
                subject=f"table {table.name}",
                sentence=f"cannot be kept: {told}",
                remedy="leave it out under tables: in tillstream.yaml",
                paste=(f"exclude_columns: {{{table.name}: [{', '.join(reasons)}]}}",),
            )


def _old_times(version: Version, captured: Iterable[StoredTable]) -> Iterator[Finding]:
    for table in captured:
        old = [column.name for column in table.columns if column.is_old_temporal and column.type_name == "time"]
        if old:
            yield Finding(
                level=Level.REFUSE,
                subject=f"table {table.name}",
                sentence=f"{_columns(old)} of type TIME {_are(old)} in the format of MySQL 5.5, whose negative times "
                "are read wrong",
                remedy="rebuild the table in the store when it is closed (MySQL 5.6 or later), or leave the column out",
                paste=(f"ALTER TABLE {quoted(table.name)} FORCE;",),
            )


def _cascades(version: Version, captured: Sequence[StoredTable]) -> Iterator[Finding]:
    if not version.is_mariadb and version.numbers >= CASCADES_LOGGED:
        return
    for table in captured:
        for key in table.foreign_keys:
            yield Finding(
                level=Level.REFUSE,
                subject=f"table {table.name}",
                sentence=f"foreign key {key.name}: what {_does(key)} changes here when {key.parent} changes "
                "is not written to the binlog",
                remedy="let the POS delete these rows itself, or leave the table out with tables.exclude; until then "
                "`tillstream verify` finds what was missed",
                paste=_plain_foreign_key(table.name, key),
            )


def _does(key: ForeignKey) -> str:
    parts = {"ON DELETE": key.on_delete, "ON UPDATE": key.on_update}
    return " and ".join(f"{event} {rule}" for event, rule in parts.items() if rule not in ("RESTRICT", "NO ACTION"))


def _plain_foreign_key(table: str, key: ForeignKey) -> tuple[str, ...]:
    if not key.columns or not key.parent_columns:
        return ()
    return (
        # two statements: MySQL 5.5 and 5.6 refuse to take a name away and give it again in one
        f"ALTER TABLE {quoted(table)} DROP FOREIGN KEY {quoted(key.name)};",
        f"ALTER TABLE {quoted(table)} ADD CONSTRAINT {quoted(key.name)} FOREIGN KEY ({_list(key.columns)}) "
        f"REFERENCES {quoted(key.parent)} ({_list(key.parent_columns)});",
    )


def _system_versioned(captured: Iterable[StoredTable]) -> Iterator[Finding]:
    versioned = [table.name for table in captured if table.system_versioned]
    if versioned:
        yield Finding(
            level=Level.REFUSE,
            subject=_tables(versioned),
            sentence="system-versioned: each change also writes the old row as a new one",
            remedy="leave it out with tables.exclude, or end the versioning in the store",
            paste=tuple(f"ALTER TABLE {quoted(name)} DROP SYSTEM VERSIONING;" for name in versioned),
        )


def _keyless(captured: Sequence[StoredTable], wanted: Wanted) -> Iterator[Finding]:
    keyless = [table for table in captured if table.is_keyless]
    shared = [table.name for table in keyless if table.name in wanted.shared]
    others = [table.name for table in keyless if table.name not in wanted.shared]
    if shared:
        yield Finding(
            level=Level.REFUSE,
            subject=_tables(shared),
            sentence="has no primary key, and the policy shares it: its rows cannot be told apart",
            remedy="give it a key in the store, or take it out of the policies",
            paste=tuple(_new_key(name) for name in shared),
        )
    if others:
        yield Finding(
            level=Level.WARN,
            subject=_tables(others),
            sentence="no primary key: rows are known by their content, and a change of the table's shape may stop the "
            "store",
            remedy="give it a key in the store, or leave it out with tables.exclude",
            paste=tuple(_new_key(name) for name in others),
        )


def _new_key(table: str) -> str:
    return f"ALTER TABLE {quoted(table)} ADD COLUMN row_id BIGINT AUTO_INCREMENT PRIMARY KEY;"


def _without_transactions(captured: Iterable[StoredTable]) -> Iterator[Finding]:
    plain = [table for table in captured if table.engine.upper() in WITHOUT_TRANSACTIONS]
    if plain:
        engines = ", ".join(sorted({table.engine for table in plain}))
        yield Finding(
            level=Level.WARN,
            subject=_tables([table.name for table in plain]),
            sentence=f"{engines}: no transactions, so after a crash the table and the binlog may differ",
            remedy="convert it in the store when it is closed, and run `tillstream verify` after each power cut until "
            "then",
            paste=tuple(f"ALTER TABLE {quoted(table.name)} ENGINE = InnoDB;" for table in plain),
        )


def _latin1(captured: Iterable[StoredTable]) -> Iterator[Finding]:
    found = [table.name for table in captured if any(column.charset == "latin1" for column in table.columns)]
    if found:
        yield Finding(
            level=Level.NOTE,
            subject=_tables(found),
            sentence="declared latin1: old programs often keep other bytes in such columns",
            remedy=LOOK_DEEPER,
        )


# --- words ------------------------------------------------------------------------------------------------


def quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _list(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def _tables(names: Sequence[str]) -> str:
    return f"table {names[0]}" if len(names) == 1 else f"tables {', '.join(names)}"


def _columns(names: Sequence[str]) -> str:
    return f"column {names[0]}" if len(names) == 1 else f"columns {', '.join(names)}"


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _without(table: StoredTable, columns: Sequence[str]) -> StoredTable:
    return replace(table, columns=tuple(column for column in table.columns if column.name not in columns))
