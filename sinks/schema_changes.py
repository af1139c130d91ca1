"""What a lane's control events do: schema changes, TRUNCATE, the end of a snapshot. They lead a part, in order."""

import re
from collections.abc import Iterable

from psycopg import sql

from sinks.evolution import RESYNC, Catalog, backfill
from sinks.fold import Lane, TableId
from sinks.guards import before_withdrawal
from sinks.history import because
from sinks.kept_values import keeps_values, nothing_holds_both, rewritten
from sinks.ledger import Ledger, mark_dirty
from sinks.names import identifier
from sinks.resync import requests
from sinks.row_codec import RowCodec, Shapes
from sinks.statements import mirror as mirror_sql
from sinks.statements import quoted
from sinks.statements.holds import DECIDE_HELD_AGAIN
from sinks.warehouse import Transaction
from tillstream.envelope import ChangeEvent, DeclaredChange, DeclaredColumn, Stamp, TableVersion
from tillstream.errors import RefusedError

_RENAMES = re.compile(r"\b(CHANGE|RENAME\s+COLUMN)\b", re.IGNORECASE)
_RENAMES_TABLE = re.compile(r"^\s*(RENAME\s+TABLE|ALTER\s+TABLE\s.*\bRENAME\s+(TO\b|AS\b|`|(?!COLUMN|INDEX|KEY)\w))",
                            re.IGNORECASE | re.DOTALL)  # fmt: skip
_VERSIONED = re.compile(r"\b(WITH|ADD)\s+SYSTEM\s+VERSIONING\b", re.IGNORECASE)  # MariaDB's
_UNVERSIONED = re.compile(r"\bDROP\s+SYSTEM\s+VERSIONING\b", re.IGNORECASE)


class SchemaChanges:
    """Applies control events to a copy of the lane; the caller keeps the copy once the transaction stands."""

    def __init__(self, catalog: Catalog, ledger: Ledger, shapes: Shapes) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._shapes = shapes

    def apply(
        self, tx: Transaction, lane: Lane, event: ChangeEvent, stamp: Stamp, *, schema_only: bool = False
    ) -> None:
        """`schema_only`: the snapshot that is running brings no rows, so there are none for it to miss."""
        # one statement may tell of several tables, at one position: the others of it may come in a later batch
        if stamp < lane.stamp or (event.op == "t" and stamp == lane.stamp):
            return
        if event.op == "t":
            assert event.source is not None
            codec = lane.codecs.get((event.source.db, event.source.table or ""))
            if codec is not None:
                withdraw_below(tx, self._ledger, lane.store, codec, stamp)
            return
        if event.is_snapshot:
            lane.begins_anew = schema_only
        for change in event.table_changes or ():
            self._apply_change(tx, lane, event, change, stamp, schema_only)

    def finish_snapshot(self, tx: Transaction, lane: Lane) -> None:
        """All of it was read: what the store no longer has is withdrawn. One without rows tells nothing of them."""
        if lane.begins_anew:
            if not requests.store_has_begun(tx, lane.store, lane.stamp):
                requests.add(tx, lane.store, "its capture began anew of itself, without its rows")
            lane.begins_anew = False
            lane.snapshot_tables.clear()  # of a snapshot that was given up for this
            lane.snapshot_done = True  # its rows are those of the resync
            return
        for table, stamp in lane.snapshot_tables.items():
            withdraw_below(tx, self._ledger, lane.store, lane.codecs[table], stamp, guarded=False)
        lane.snapshot_tables.clear()
        lane.snapshot_done = True

    def _apply_change(
        self, tx: Transaction, lane: Lane, event: ChangeEvent, change: DeclaredChange, stamp: Stamp, schema_only: bool
    ) -> None:
        table = _table_id(change.id)
        before = lane.codecs.get(table)
        if before is not None and before.version.since == stamp and not event.is_snapshot:
            return  # delivered again
        if change.table is None:
            # DROP. A snapshot announces each table with one; in the stream the store's rows are gone. Nothing of
            # ours is dropped: the rows are withdrawn and stay.
            if before is not None and not event.is_snapshot:
                withdraw_below(tx, self._ledger, lane.store, before, stamp)
                self._ledger.keep_drop(tx, before, stamp)
                del lane.codecs[table]
            return
        if _VERSIONED.search(event.ddl or "") and not _UNVERSIONED.search(event.ddl or ""):
            raise RefusedError(
                f"store {lane.store}: {table[1]} is a system-versioned table, whose log brings its history as rows; "
                "leave it out with `tables: {exclude: [...]}` in tillstream.yaml"
            )
        version = TableVersion(
            store=lane.store,
            database=table[0],
            table=table[1],
            since=stamp,
            columns=self._shapes.columns(table[1], change.table.columns),
            primary_key=tuple(change.table.primary_key_column_names),
        )
        after = self._shapes.of(version)
        if event.is_snapshot:
            if not schema_only:
                lane.snapshot_tables[table] = Stamp(stamp.epoch, stamp.file, stamp.pos)
        elif before is None and change.type == "ALTER" and _RENAMES_TABLE.search(event.ddl or ""):
            raise RefusedError(
                f"store {lane.store}: a table was renamed to {table[1]} ({_shown(event)}): its rows are known "
                f"under the old name; {RESYNC.format(store=lane.store)}"
            )
        elif before is not None and change.type == "ALTER":
            _require_followable(tx, before, after, event)
        self._catalog.ensure(tx, after)
        self._ledger.keep_version(tx, after)
        if before is not None and schema_only and after.policy is not None and set(after.names) != set(before.names):
            self._mark_store_dirty(tx, lane.store, after.table)
        elif before is not None and not event.is_snapshot:
            ddl = event.ddl or ""
            added = [
                column for column in after.version.columns if column.name not in before.names or _drops(ddl, column)
            ]
            touched = backfill(tx, after, added, stamp, ddl)
            if after.policy is not None and set(after.names) != set(before.names):
                self._mark_store_dirty(tx, lane.store, after.table)
            else:
                mark_dirty(tx, {(after.table, key) for key in touched}, _columns_of(lane.store))
        lane.codecs[table] = after

    def _mark_store_dirty(self, tx: Transaction, store: str, table: str) -> None:
        """A column came or went: whether the store takes part in deciding it has changed for each of its keys."""
        statement = sql.SQL(
            "INSERT INTO tillstream.dirty_keys (table_name, key) SELECT DISTINCT {name}, _key FROM stores.{table}"
            " WHERE _store = %s AND _key IS NOT NULL ON CONFLICT DO NOTHING"
        )
        because(tx, _columns_of(store))
        tx.execute(statement.format(name=sql.Literal(table), table=quoted(table)), [store])
        tx.execute(DECIDE_HELD_AGAIN, [table, store])


def _columns_of(store: str) -> str:
    return f"the columns of store {store}"


def withdraw_below(
    tx: Transaction, ledger: Ledger, store: str, codec: RowCodec, stamp: Stamp, *, guarded: bool = True
) -> int:
    """Raise the table's floor for this store: rows below it do not live, whenever they arrive. How many lived.

    Not `guarded` where the rows that the store has are still to come.
    """
    if guarded:
        before_withdrawal(tx, codec, store, stamp)
    ledger.raise_floor(tx, store, codec.table, stamp)
    rows = tx.rows(
        mirror_sql.WITHDRAW_BELOW.format(table=quoted(codec.table)),
        {"store": store, "epoch": stamp.epoch, "file": stamp.file, "pos": stamp.pos, "row": stamp.row,
         "ord": stamp.order},
    )  # fmt: skip
    mark_dirty(tx, {(codec.table, key) for (key,) in rows if key is not None}, f"rows of store {store} were withdrawn")
    return len(rows)


def _table_id(text: str) -> TableId:
    """`"pos"."members"` → ("pos", "members"); quotes inside a name are doubled."""
    database, table = re.findall(r'"((?:[^"]|"")*)"', text)[-2:]
    return database.replace('""', '"'), table.replace('""', '"')


def _shown(event: ChangeEvent) -> str:
    return " ".join((event.ddl or "").split())[:200]


def _drops(ddl: str, column: DeclaredColumn) -> bool:
    """A column may be dropped and added by one statement: it is another one then."""
    name = re.escape(column.name)
    return re.search(rf"\bDROP\s+(COLUMN\s+)?(`{name}`|{name}\b)", ddl, re.IGNORECASE) is not None


def _require_followable(tx: Transaction, before: RowCodec, after: RowCodec, event: ChangeEvent) -> None:
    """Refuse what would leave stored rows unlike the store's: those changes reach no event."""
    store, table = after.version.store, after.version.table
    remedy = RESYNC.format(store=store)
    if before.version.primary_key != after.version.primary_key:
        raise RefusedError(f"store {store}: the primary key of {table} changed ({_shown(event)}); {remedy}")
    added = [column for column in after.version.columns if column.name not in before.names]
    if after.keyless and any(not column.optional or column.default_value_expression for column in added):
        raise RefusedError(
            f"store {store}: {table} has no primary key, and a column with a value for old rows was added "
            f"({_shown(event)}): rows are known by their content, which has changed; {remedy}"
        )
    gone = set(before.names) - set(after.names)
    if gone and _RENAMES.search(event.ddl or ""):
        raise RefusedError(
            f"store {store}: a column of {table} was renamed ({_shown(event)}): the rows written so far hold it "
            f"under the old name; {remedy}"
        )
    old = {column.name: column for column in before.version.columns}
    for column in after.version.columns:
        was = old.get(column.name)
        if was is None:
            continue
        if nothing_holds_both(was, column):
            remedy = (
                "the warehouse has no type that holds both: leave the column out with tables.exclude_columns, start "
                f"`run` again and {remedy}"
            )
        elif keeps_values(was, column) and not _holds(tx, before, was, rewritten(was, column)):
            continue
        raise RefusedError(
            f"store {store}: {table}.{column.name} changed from {was.type_name} to {column.type_name} "
            f"({_shown(event)}), which rewrites stored values without an event; {remedy}"
        )


def _holds(tx: Transaction, codec: RowCodec, column: DeclaredColumn, conditions: Iterable[str]) -> bool:
    """Whether a live row of the store is as one of these says."""
    found = [condition.format(c="{column}") for condition in conditions]
    if not found:
        return False
    any_of = " OR ".join(found)
    statement = f"SELECT 1 FROM stores.{{table}} WHERE _store = %s AND NOT _deleted AND ({any_of}) LIMIT 1"
    place = {"table": quoted(codec.table), "column": quoted(identifier(column.name))}
    return bool(tx.rows(sql.SQL(statement).format(**place), [codec.version.store]))
