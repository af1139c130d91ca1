"""Stores that live in memory: the source of truth for what a warehouse must make of their logs.

A `FakeStore` keeps its own rows, writes the log Debezium would make of what is done to them, and works out the right
answer on its own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import msgspec

from conflict.clock import StoreClock
from conflict.policy import TablePolicy
from conflict.resolution import CHANGED, NEVER_OBSERVED, UNSEEN, ColumnStamp, Contribution, Held
from tillstream.envelope import (
    ChangeEvent,
    DeclaredChange,
    DeclaredColumn,
    DeclaredTable,
    LaneBatch,
    Resume,
    Source,
    Stamp,
    TransactionOrder,
)

DATABASE = "pos"
Row = dict[str, Any]

# --- a log and its cuts -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record of a log. An engine that stops before it goes on from `restart`, an index into the log."""

    event: ChangeEvent
    restart: int
    in_snapshot: bool
    ends_snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    store: str
    epoch: int
    entries: tuple[Entry, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def batch(self, start: int, end: int) -> LaneBatch:
        """Entries [start, end); the events are copies, for who folds them must not change the log."""
        events = [_again(entry.event) for entry in self.entries[start:end]]
        return LaneBatch(store=self.store, epoch=self.epoch, events=events, resume=self.resume(end))

    def resume(self, end: int) -> Resume:
        """From where an engine that has handed over everything before `end` would go on."""
        last = self.entries[end - 1] if end else None
        in_snapshot = last is None or (last.in_snapshot and not last.ends_snapshot)
        if end < len(self) and not self.entries[end].in_snapshot:
            following = self._sources(self.entries[self.entries[end].restart :])
            if (source := next(following, None)) is not None:
                return Resume(file=source.file, pos=source.pos, in_snapshot=in_snapshot, raw={})
        source = next(self._sources(reversed(self.entries[:end])), None)
        if source is None:
            return Resume(file="mysql-bin.000001", pos=4, in_snapshot=in_snapshot, raw={})
        # the log's end (or a snapshot that comes next, which stands there): behind the last event
        behind = 0 if source.snapshot else 1
        return Resume(file=source.file, pos=source.pos + behind, in_snapshot=in_snapshot, raw={})

    @staticmethod
    def _sources(entries: Iterable[Entry]) -> Iterator[Source]:
        return (entry.event.source for entry in entries if entry.event.source is not None)

    def batches(self, sizes: Iterable[int], backs: Iterable[int] = (), *, start: int = 0) -> Iterator[LaneBatch]:
        """The whole log in batches of `sizes` (the last size for what is left).

        After each batch the engine is started again `back` entries earlier, or as early as an engine might: it reads
        a snapshot that was not finished from its beginning, and none that was finished.
        """
        cut, again = iter(sizes), iter(backs)
        at, size = self.restart(start, 0), max(1, len(self))
        if at == len(self):
            yield self.batch(at, at)
        while at < len(self):
            size = max(1, next(cut, size))
            end = min(len(self), at + size)
            yield self.batch(at, end)
            at = self.restart(end, back) if (back := next(again, 0)) else end

    def restart(self, reached: int, back: int) -> int:
        """From where an engine goes on that is started again when the warehouse has everything before `reached`."""
        finished = max((i + 1 for i, e in enumerate(self.entries[:reached]) if e.ends_snapshot), default=0)
        if reached < len(self) and self.entries[reached].in_snapshot:
            return self.entries[reached].restart
        at = max(finished, reached - back)
        return max(finished, self.entries[at].restart) if at < len(self) else at

    def rows_of_finished_snapshots(self, table: str) -> LaneBatch:
        """Snapshot rows of `table` that arrive once more although their snapshot has ended; they move no position."""
        events = [
            _again(e.event)
            for e in self.entries
            if e.event.op == "r" and e.event.source and e.event.source.table == table
        ]
        return LaneBatch(store=self.store, epoch=self.epoch, events=events, resume=self.resume(len(self)))


def _again(event: ChangeEvent) -> ChangeEvent:
    return msgspec.json.decode(msgspec.json.encode(event), type=ChangeEvent)


# --- a store ----------------------------------------------------------------------------------------------


def column(name: str, type_name: str, **facts: Any) -> DeclaredColumn:
    return DeclaredColumn(name=name, type_name=type_name, position=0, **facts)


@dataclass(slots=True)
class FakeTable:
    """A table as the store has it now. `rows` are JSON values as Debezium renders them; keyless rows have a number."""

    name: str
    columns: list[DeclaredColumn]
    primary_key: tuple[str, ...]
    policy: TablePolicy | None = None
    rows: dict[Any, Row] = field(default_factory=dict)
    kept: "dict[str, Kept]" = field(default_factory=dict)  # what the warehouse must hold, by its text of the key
    numbers: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.columns)

    @property
    def declared(self) -> DeclaredTable:
        return DeclaredTable(primary_key_column_names=list(self.primary_key), columns=list(self.columns))

    @property
    def stamped(self) -> tuple[str, ...]:
        """The columns of which the policy wants to know when they changed."""
        if self.policy is None:
            return ()
        own = {part.column for part in self.policy.key}
        return tuple(name for name in self.names if name not in own and _by_time(self.policy, name))

    def key(self, row: Row) -> Any:
        if not self.primary_key:
            self.numbers += 1
            return self.numbers
        return tuple(row[name] for name in self.primary_key)

    def pk_text(self, row: Row) -> str:
        texts = [str(row[name]) for name in self.primary_key]
        return texts[0] if len(texts) == 1 else msgspec.json.encode(texts).decode()


@dataclass(slots=True)
class Kept:
    """What a warehouse that took in the whole log must know of one row of a shared or isolated table."""

    values: Row
    position: Stamp
    changed: "Mark | None" = None
    stamps: dict[str, "Mark"] = field(default_factory=dict)
    since: dict[str, "Mark"] = field(default_factory=dict)  # column → when it last came to have a value
    inserted: "Mark | None" = None
    had: dict[str, list[tuple[Any, "Mark | None"]]] = field(default_factory=dict)  # column → all its values in turn
    deleted: bool = False
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A change: where in the log, the store's own time, 1 if its event was missed, and of the changes before it on its
    row the one with the latest time, if that is later."""

    at: Stamp
    us: int
    missed: int = 0
    ahead: "Mark | None" = None

    @property
    def latest(self) -> "Mark":
        return self.ahead or self

    def after(self, *others: "Mark | None") -> "Mark":
        known = [each.latest for each in others if each is not None and each.latest.us > self.latest.us]
        return replace(self, ahead=max(known, key=lambda each: each.us)) if known else self

    @property
    def stored(self) -> list[Any]:
        return [*self.at, self.us, self.missed, *([[*self.ahead.at, self.ahead.us]] if self.ahead else [])]

    def by(self, clock: StoreClock) -> ColumnStamp:
        return clock.timed(self.at, self.us, (self.ahead.at, self.ahead.us) if self.ahead else None)


class FakeStore:
    """One store and its log. Until the first `snapshot` nobody listens: what happens leaves no events."""

    def __init__(self, name: str, tables: Iterable[FakeTable], *, epoch: int = 1, compressed: bool = False) -> None:
        self.name, self.epoch = name, epoch
        self.tables = {table.name: table for table in tables}
        self.compressed = compressed  # transactions share one position, as MySQL 8.0.20+ may write them
        self.seconds = 1_700_000_000
        self.clock = StoreClock()  # what is known of it
        self._file, self._pos = 1, 4
        self._entries: list[Entry] = []
        self._ended: list[Log] = []
        self._listening = False
        self._transaction: tuple[int, int] | None = None  # (index of its first entry, events so far)

    @property
    def log(self) -> Log:
        """Of its present epoch."""
        return Log(self.name, self.epoch, tuple(self._entries))

    @property
    def logs(self) -> list[Log]:
        """Of every epoch."""
        return [*self._ended, self.log]

    # --- time and place

    def tick(self, seconds: int) -> None:
        """Whole seconds, and backwards too: so it is on one row of MySQL 5.6 with a perfect clock."""
        self.seconds += seconds

    def rotate(self) -> None:
        self._file, self._pos = self._file + 1, 4

    def stop_listening(self) -> None:
        """The log is purged before anyone reads it: only another snapshot tells what happened from here on."""
        self._listening = False

    @contextmanager
    def unlogged(self) -> Iterator[None]:
        """What is done meanwhile leaves no trace in the log (`sql_log_bin = 0`)."""
        self._listening = False
        yield
        self._listening = True

    @property
    def log_end(self) -> tuple[int, int]:
        return self._file, self._pos + 50  # behind the beginning of its last event

    def backup(self) -> dict[str, dict[Any, Row]]:
        return {table.name: dict(table.rows) for table in self.tables.values()}

    def restore(self, backup: Mapping[str, Mapping[Any, Row]]) -> None:
        """Its tables as they were then, and a log that begins anew. What it `kept` is not worked out beyond this."""
        for name, rows in backup.items():
            self.tables[name].rows = dict(rows)
        self.reset_log()

    def reset_log(self) -> None:
        """Its numbering begins again, in an epoch of its own; nobody listens until another snapshot."""
        self._ended.append(self.log)
        self.epoch, self._file, self._pos, self._entries = self.epoch + 1, 1, 4, []
        self._listening = False

    # --- what is done to rows

    def insert(self, table: str, *rows: Row) -> None:
        """One statement, and one row event of the log."""
        it = self.tables[table]
        changes = []
        for row in rows:
            full = {name: row.get(name) for name in it.names}
            it.rows[it.key(full)] = full
            changes.append((None, full))
        self._change(it, changes)

    def update(self, table: str, key: Any, **values: Any) -> None:
        it = self.tables[table]
        before = it.rows[key]
        after = {**before, **values}
        if after == before:
            return  # MySQL logs no event for it
        new_key = tuple(after[name] for name in it.primary_key) if it.primary_key else key
        if new_key != key:
            if new_key in it.rows:
                return  # a duplicate key: the statement fails
            del it.rows[key]
        it.rows[new_key] = after
        self._change(it, [(before, after)])

    def delete(self, table: str, key: Any) -> None:
        it = self.tables[table]
        self._change(it, [(it.rows.pop(key), None)])

    def truncate(self, table: str, *, moves_log: bool = True) -> None:
        """`moves_log=False`: it begins where the log ended last, as a statement does that no GTID announces."""
        it = self.tables[table]
        it.rows.clear()
        if not self._listening:
            return
        stamp = self._next_place() if moves_log else Stamp(self.epoch, self._file, self._pos, 0, 0)
        self._append(ChangeEvent(source=self._source(it, stamp), op="t"))
        self._withdraw_below(it, stamp)

    def transaction(self, *acts: Callable[[], None]) -> None:
        """Do them as one; a compressing store gives all of them one position."""
        if self.compressed and self._listening:
            self._pos += 100
            self._transaction = (len(self._entries), 0)
        for act in acts:
            act()
        self._transaction = None

    # --- what is done to tables

    def add_column(self, table: str, added: DeclaredColumn) -> None:
        it = self.tables[table]
        it.columns.append(added)
        for row in it.rows.values():
            row[added.name] = _json_default(added)
        self._alter(it, f"ALTER TABLE {table} ADD COLUMN {added.name}")
        if self._listening:
            for kept in it.kept.values():
                kept.values[added.name] = _json_default(added)
                kept.stamps.pop(added.name, None)
                kept.had.pop(added.name, None)

    def drop_column(self, table: str, name: str) -> None:
        it = self.tables[table]
        it.columns = [each for each in it.columns if each.name != name]
        for row in it.rows.values():
            del row[name]
        self._alter(it, f"ALTER TABLE {table} DROP COLUMN {name}")

    def widen_column(self, table: str, name: str, type_name: str) -> None:
        it = self.tables[table]
        it.columns = [msgspec.structs.replace(e, type_name=type_name) if e.name == name else e for e in it.columns]
        self._alter(it, f"ALTER TABLE {table} MODIFY {name} {type_name}")

    def drop(self, *tables: str) -> None:
        """By one statement: as many events, at one position."""
        stamp = self._next_place()
        for name in tables:
            it = self.tables[name]
            it.rows.clear()
            self._withdraw_below(it, stamp)
            change = DeclaredChange(type="DROP", id=f'"{DATABASE}"."{name}"', table=None)
            self._append(ChangeEvent(source=self._source(it, stamp), ddl=f"DROP TABLE {name}", table_changes=[change]))

    def _alter(self, it: FakeTable, ddl: str) -> None:
        for key, row in it.rows.items():
            it.rows[key] = dict(row)  # what the log holds stays as it was
        if self._listening:
            stamp = self._next_place()
            change = DeclaredChange(type="ALTER", id=f'"{DATABASE}"."{it.name}"', table=it.declared)
            self._append(ChangeEvent(source=self._source(it, stamp), ddl=ddl, table_changes=[change]))

    def heartbeat(self) -> None:
        if self._listening:
            self._append(ChangeEvent())

    # --- snapshots

    def snapshot(self, *, stop_after: int | None = None) -> None:
        """All of it read anew at the log's present end. Stopped after some rows it is worth nothing, and nobody
        listens until another one is finished."""
        start, stamp = self._declare()
        rows = [(table, row) for table in self.tables.values() for row in table.rows.values()]
        for table, row in rows[:stop_after]:
            event = ChangeEvent(source=self._source(table, stamp, snapshot="true"), op="r", after=dict(row))
            self._append(event, start, snapshot=True)
            if table.primary_key:
                self._keep_read(table, row, stamp)
        self._listening = stop_after is None
        if self._listening:
            self._entries[-1] = replace(self._entries[-1], ends_snapshot=True)
            for table in self.tables.values():
                self._withdraw_below(table, Stamp(self.epoch, self._file, self._pos))

    def begin_anew(self) -> None:
        """At the log's present end, with declarations and no rows: a resync reads those."""
        self._declare()
        self._listening = True
        self._entries[-1] = replace(self._entries[-1], ends_snapshot=True)

    def _declare(self) -> tuple[int, Stamp]:
        """Where in the recording, and where in the log."""
        self._file, self._pos = self.log_end
        start, stamp = len(self._entries), Stamp(self.epoch, self._file, self._pos, -1, 0)
        for table in self.tables.values():
            for kind, declared in (("DROP", None), ("CREATE", table.declared)):
                change = DeclaredChange(type=kind, id=f'"{DATABASE}"."{table.name}"', table=declared)
                source = self._source(table, stamp, snapshot="true")
                self._append(ChangeEvent(source=source, ddl=kind, table_changes=[change]), start, snapshot=True)
        return start, stamp

    # --- what the warehouse must hold

    def rows(self, table: str) -> dict[str, Row] | Counter[tuple[Any, ...]]:
        """The live rows as the warehouse must show them: by key, or counted if the table has none."""
        it = self.tables[table]
        shown = [{each.name: _shown(each, row[each.name]) for each in it.columns} for row in it.rows.values()]
        if not it.primary_key:
            return Counter(tuple(row.values()) for row in shown)
        return {it.pk_text(raw): row for raw, row in zip(it.rows.values(), shown, strict=True)}

    def contributions(self, table: str, key_of: Callable[[Row], str | None]) -> dict[str, list[Contribution]]:
        """By business key, what this store contributes: worked out from its own history, event by event."""
        it = self.tables[table]
        found: dict[str, list[Contribution]] = {}
        for pk, kept in it.kept.items():
            values = {each.name: _shown(each, kept.values.get(each.name)) for each in it.columns}
            key = key_of(values)
            if key is None or kept.withdrawn:
                continue
            found.setdefault(key, []).append(
                Contribution(
                    store=self.name,
                    pk=pk,
                    position=tuple(kept.position),
                    changed_us=kept.changed.by(self.clock).effective_us if kept.changed else NEVER_OBSERVED,
                    deleted=kept.deleted,
                    columns=frozenset(it.names),
                    values=values,
                    stamps={name: mark.by(self.clock) for name, mark in kept.stamps.items() if name in it.names}
                    | {
                        f"{name} ": mark.by(self.clock)
                        for name, mark in kept.since.items()
                        if name in it.stamped and _asks(it.policy, name, "earliest")
                    },
                    around=self._around(it, kept),
                    inserted_us=kept.inserted.by(self.clock).effective_us
                    if kept.inserted and _asks_inserts(it.policy)
                    else NEVER_OBSERVED,
                )
            )
        return found

    def _around(self, it: FakeTable, kept: Kept) -> dict[tuple[str, int], tuple[Held, ...]]:
        """All values that a column ever had, however long ago."""
        found = {}
        for declared in it.columns:
            opening_us = it.policy.opening_us(declared.name) if it.policy else None
            values = kept.had.get(declared.name, ())
            if opening_us is not None and len(values) > 1:
                found[declared.name, opening_us] = tuple(
                    Held(_shown(declared, value), mark.by(self.clock) if number and mark else UNSEEN)
                    for number, (value, mark) in enumerate(values)
                )
        return found

    def stamps(self, table: str) -> dict[str, dict[str, list[Any]]]:
        """By key, the stamps of columns, and of the last change, that stores.<table> must hold of a shared table."""
        it = self.tables[table]
        return {
            pk: {name: mark.stored for name, mark in kept.stamps.items() if name in it.names}
            | ({CHANGED: kept.changed.stored} if kept.changed else {})
            for pk, kept in it.kept.items()
        }

    # --- how a log is written

    def _change(self, it: FakeTable, changes: Sequence[tuple[Row | None, Row | None]]) -> None:
        if not self._listening:
            return
        place = self._next_place()
        start = self._transaction[0] if self._transaction else len(self._entries)
        for number, (before, after) in enumerate(changes):
            stamp = place._replace(row=number)
            for event in self._events(it, stamp, before, after):
                self._append(event, start)
                if it.primary_key:
                    self._keep(it, event)

    def _events(self, it: FakeTable, stamp: Stamp, before: Row | None, after: Row | None) -> Iterator[ChangeEvent]:
        def event(op: str, before: Row | None, after: Row | None) -> ChangeEvent:
            return ChangeEvent(
                source=self._source(it, stamp),
                op=op,
                before=None if before is None else dict(before),
                after=None if after is None else dict(after),
                transaction=self._number(),
            )

        if before is None or after is None:
            yield event("c" if before is None else "d", before, after)
            return
        old, new = ({name: row[name] for name in it.primary_key} for row in (before, after))
        if old == new:
            yield event("u", before, after)
            return
        # one row event of the log, hence one position for both halves
        gone, come = event("d", before, None), event("c", None, after)
        gone.newkey, come.oldkey = new, old
        yield gone
        yield come

    def _number(self) -> TransactionOrder | None:
        if self._transaction is None:
            return None
        start, events = self._transaction
        self._transaction = (start, events + 1)
        return TransactionOrder(total_order=events + 1)

    def _next_place(self) -> Stamp:
        if self._transaction is None:
            self._pos += 100
        return Stamp(self.epoch, self._file, self._pos, 0, 0)

    def _source(self, it: FakeTable, stamp: Stamp, snapshot: str | None = None) -> Source:
        return Source(
            file=f"mysql-bin.{stamp.file:06d}",
            pos=stamp.pos,
            row=max(stamp.row, 0),
            ts_us=self.seconds * 1_000_000,
            db=DATABASE,
            table=it.name,
            snapshot=snapshot,
        )

    def _append(self, event: ChangeEvent, start: int | None = None, *, snapshot: bool = False) -> None:
        restart = len(self._entries) if start is None else start
        if event.source is None:  # a heartbeat: before the next event that has a place
            restart = len(self._entries)
        self._entries.append(Entry(event=event, restart=restart, in_snapshot=snapshot))

    # --- what the warehouse must make of it; the same words as design.md, event by event and never in batches

    def _keep(self, it: FakeTable, event: ChangeEvent) -> None:
        assert event.source is not None
        stamp, at_us = self._stamp(event), event.source.ts_us
        image = event.after if event.after is not None else event.before
        assert image is not None
        old = it.kept.get(it.pk_text(image))
        came_from = it.kept.get(it.pk_text(event.oldkey)) if event.oldkey is not None else None
        change = Mark(stamp, at_us)
        stamps: dict[str, Mark] = {}
        if came_from is not None:
            stamps = dict(came_from.stamps)
            for name in it.stamped:
                if image.get(name) != came_from.values.get(name):
                    stamps[name] = Mark(stamp, at_us, 1).after(came_from.changed)
        elif event.after is not None:
            for name in it.stamped:
                if event.before is None or event.before.get(name) != event.after.get(name):
                    stamps[name] = change
        it.kept[it.pk_text(image)] = Kept(
            values=dict(image),
            position=stamp,
            changed=change.after(*(each.changed for each in (came_from, old) if each)),
            stamps=self._joined(it, old, image, stamps, change),
            since=self._since(it, old, came_from, event, change),
            inserted=self._inserted(old, came_from, event, change),
            had=self._had(it, old, came_from, event, change),
            deleted=event.after is None,
            withdrawn=event.newkey is not None,
        )

    def _keep_read(self, it: FakeTable, row: Row, stamp: Stamp) -> None:
        old = it.kept.get(it.pk_text(row))
        it.kept[it.pk_text(row)] = Kept(
            values=dict(row),
            position=stamp,
            changed=old.changed if old else None,
            stamps=self._joined(it, old, row, {}, Mark(stamp, self.seconds * 1_000_000)),
            since=dict(old.since) if old else {},
            inserted=old.inserted if old else None,
            had=_seen(it, old, [(row, Mark(stamp, self.seconds * 1_000_000).after(old.changed if old else None))]),
        )

    def _had(
        self, it: FakeTable, old: Kept | None, came_from: Kept | None, event: ChangeEvent, change: Mark
    ) -> dict[str, list[tuple[Any, Mark | None]]]:
        mark = change.after(*(each.changed for each in (came_from, old) if each))
        if event.newkey is not None:
            return _seen(it, old, [(event.before, mark)])
        if event.oldkey is None:
            return _seen(it, old, [(event.before, mark), (event.after, mark)])
        had = _seen(it, old, [])
        for name, values in (came_from.had if came_from else {}).items():
            mine = had.setdefault(name, [])
            for value, came in values:
                if not mine or mine[-1][0] != value:
                    mine.append((value, came.after(old.changed if old else None) if came else mark))
        return _seen(it, Kept(values={}, position=change.at, had=had), [(event.after, mark)])

    def _since(
        self, it: FakeTable, old: Kept | None, came_from: Kept | None, event: ChangeEvent, change: Mark
    ) -> dict[str, Mark]:
        since = dict(old.since) if old else {}
        known = old.changed if old else None
        if came_from is not None:  # what was known of the row goes with it
            since |= {name: mark.after(known) for name, mark in came_from.since.items()}
        elif event.after is not None and event.oldkey is None:
            before = event.before or {}
            had = (name for name in it.names if before.get(name) is None and event.after[name] is not None)
            since |= dict.fromkeys(had, change.after(known))
        return since

    def _inserted(self, old: Kept | None, came_from: Kept | None, event: ChangeEvent, change: Mark) -> Mark | None:
        known = old.changed if old else None
        if came_from is not None and came_from.inserted:
            return came_from.inserted.after(known)
        if event.op == "c" and event.oldkey is None:
            return change.after(known)
        return old.inserted if old else None

    def _joined(
        self, it: FakeTable, old: Kept | None, image: Row, stamps: Mapping[str, Mark], first: Mark
    ) -> dict[str, Mark]:
        """A column that differs from what is known although no event changed it was changed by one that was missed."""
        if old is None:
            return dict(stamps)
        joined = dict(old.stamps)
        for name, mark in stamps.items():
            joined[name] = mark.after(old.changed)
        for name in it.stamped:
            if name not in stamps and image.get(name) != old.values.get(name):
                joined[name] = replace(first, missed=1).after(old.changed)
        return joined

    def _stamp(self, event: ChangeEvent) -> Stamp:
        """Only equality with what is stored, and order within this store, matter."""
        source = event.source
        assert source is not None
        if event.transaction is not None:
            return Stamp(self.epoch, self._file, source.pos, 0, event.transaction.total_order)
        return Stamp(self.epoch, self._file, source.pos, source.row, 0 if event.oldkey is None else 1)

    def _withdraw_below(self, it: FakeTable, floor: Stamp) -> None:
        for kept in it.kept.values():
            if kept.position < floor and not kept.deleted:
                kept.deleted = kept.withdrawn = True


def _seen(
    it: FakeTable, old: Kept | None, images: Sequence[tuple[Row | None, Mark]]
) -> dict[str, list[tuple[Any, Mark | None]]]:
    """What columns had, with what these images show; None where the row was not there."""
    had = {name: list(values) for name, values in old.had.items()} if old else {}
    for image, mark in images:
        for name in it.names:
            value = None if image is None else image.get(name)
            values = had.setdefault(name, [])
            if not values or values[-1][0] != value:
                values.append((value, mark if values else None))
    return had


def _by_time(policy: TablePolicy, name: str) -> bool:
    return any(_asks(policy, name, rule) for rule in ("latest", "earliest", "python"))


FALLS_BACK = ("priority", "owner", "majority", "highest", "lowest", "equal_or_flag", "review")


def _asks(policy: TablePolicy | None, name: str, rule_name: str) -> bool:
    """Rules that may find nothing to choose by are decided by `latest` then."""
    if policy is None:
        return False
    rule = policy.rule_for(name)
    found = [rule.rule.value]
    while rule.then is not None:
        rule = rule.then
        found.append(rule.rule.value)
    if rule.when is not None or found[-1] in FALLS_BACK:
        found.append("latest")
    return rule_name in found


def _asks_inserts(policy: TablePolicy | None) -> bool:
    return policy is not None and policy.deletes.value == "any"


def _json_default(added: DeclaredColumn) -> Any:
    default = added.default_value_expression
    if default is None:
        return None
    return int(default) if added.type_name.startswith(("INT", "BIGINT")) else default


def _shown(declared: DeclaredColumn, value: Any) -> Any:
    """The JSON value as psycopg gives it back."""
    return Decimal(value) if value is not None and declared.type_name == "DECIMAL" else value
