"""stores.<table>: what each store contributes, exactly as the store has it, never older than what is there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sinks.dead_letters import DeadLetters
from sinks.evolution import Catalog
from sinks.fold import MOVED, Change, DeadLetter, Fold, KeylessChange, SharedChange, decoded, stamps_json
from sinks.row_codec import RowCodec
from sinks.statements.mirror import MirrorStatements, mirror_statements
from sinks.warehouse import Transaction
from tillstream.envelope import Stamp
from tillstream.errors import PoisonError

Keys = set[tuple[str, str]]  # (table, business key)
_statements = lru_cache(maxsize=4096)(mirror_statements)


@dataclass(slots=True)
class Applied:
    """What one batch did: the business keys to decide again, and the row changes that were no news."""

    touched: Keys = field(default_factory=set)
    stale: int = 0


class Mirror:
    """Writes folded changes; a change never overwrites a later one of the same store's row."""

    def __init__(self, catalog: Catalog, dead_letters: DeadLetters, *, late: bool = False) -> None:
        self._catalog = catalog
        self._dead_letters = dead_letters
        self._late = late  # what comes is not in its lane's order: floors may lie above it

    def apply(self, tx: Transaction, folded: Fold) -> Applied:
        applied = Applied()
        for letter in folded.dead_letters:
            self._dead_letters.set_aside(tx, letter)
        # sorted: two workers that touch the same tables lock them in one order
        for shape in sorted(folded.rows, key=str):
            self._apply_shape(tx, folded.rows[shape], applied, odd_text=folded.odd_text)
        self._apply_keyless(tx, folded.keyless)
        return applied

    def _apply_shape(
        self, tx: Transaction, rows: dict[tuple[str, str], Change], applied: Applied, *, odd_text: bool
    ) -> None:
        codec = next(iter(rows.values())).codec
        statements = self._stage(tx, codec, self._staged_rows(rows, odd_text))
        if self._late:
            tx.execute(statements.sink_below_floor)
        if codec.policy is None:
            written = tx.execute(statements.upsert)
            applied.stale += len(rows) - max(written, 0)
        else:
            self._upsert_shared(tx, codec, statements, rows, applied)
        self._dead_letters.supersede(tx, codec.table, statements.stage)

    def _upsert_shared(
        self,
        tx: Transaction,
        codec: RowCodec,
        statements: MirrorStatements,
        rows: dict[tuple[str, str], Change],
        applied: Applied,
    ) -> None:
        old_keys = [key for (key,) in tx.rows(statements.lock_rows)]
        if any(isinstance(each, SharedChange) and each.moved_from is not None for each in rows.values()):
            tx.execute(statements.inherit)
        written = tx.rows(statements.upsert)
        if any(inserted for _, inserted in written):
            tx.execute(statements.drop_first)
        applied.stale += len(rows) - len(written)
        if written:
            new_keys = [key for key, _ in written]
            applied.touched.update((codec.table, key) for key in (*old_keys, *new_keys) if key is not None)

    def _stage(self, tx: Transaction, codec: RowCodec, rows: Iterable[tuple[Any, ...]]) -> MirrorStatements:
        statements = self.statements(codec)
        tx.execute(statements.create_stage)
        tx.copy(statements.copy, rows)
        return statements

    def statements(self, codec: RowCodec) -> MirrorStatements:
        """Rendered once for all stores whose table has this shape."""
        return _statements(
            codec.table,
            codec.columns,
            self._catalog.types(codec.table, codec.columns),
            shared=codec.policy is not None,
            stamped=tuple(column for _, column in codec.stamped),
        )

    def _staged_rows(self, rows: dict[tuple[str, str], Change], odd_text: bool) -> Iterator[tuple[Any, ...]]:
        refused: list[DeadLetter] = []
        for (store, pk), change in rows.items():
            try:
                yield _staged(store, pk, change, odd_text)
            except PoisonError as error:
                refused.append(DeadLetter(store, change.codec, pk, change.stamp, change.event, error.reason))
        for letter in refused:  # after the COPY: the connection is busy until then
            self._dead_letters.later(letter)

    def _apply_keyless(self, tx: Transaction, changes: list[tuple[str, KeylessChange]]) -> None:
        """In log order. Inserts gather in the stage until an update or delete has to see them."""
        waiting: dict[tuple[Any, ...], dict[tuple[str, str], Change]] = {}
        for store, change in changes:
            event, codec = change.event, change.codec
            try:
                if event.before is not None:
                    self._flush(tx, waiting)
                    self._take_keyless(tx, store, change)
                if event.after is not None:
                    pk = _keyless_pk(codec, change)
                    waiting.setdefault(codec.shape, {})[store, pk] = change
            except PoisonError as error:
                self._dead_letters.later(DeadLetter(store, codec, str(change.stamp), change.stamp, event, error.reason))
        self._flush(tx, waiting)

    def _flush(self, tx: Transaction, waiting: dict[tuple[Any, ...], dict[tuple[str, str], Change]]) -> None:
        for rows in waiting.values():
            self._apply_shape(tx, rows, Applied(), odd_text=True)
        waiting.clear()

    def _take_keyless(self, tx: Transaction, store: str, change: KeylessChange) -> None:
        """An update or delete of a keyless table takes the oldest live row that equals its `before`."""
        codec, stamp = change.codec, change.stamp
        content = codec.content_pk(_values(codec, change.event.before or {}, store, stamp))
        taken = tx.execute(
            self.statements(codec).take_keyless,
            {
                "op": "d" if change.event.after is None else MOVED,
                "store": store,
                "content": content,
                "epoch": stamp.epoch,
                "file": stamp.file,
                "pos": stamp.pos,
                "row": stamp.row,
                "order": stamp.order,
            },
        )
        if not taken:
            raise PoisonError(
                "no live row of this keyless table equals the row that was changed: an earlier event was missed; "
                "resync the table",
                store=store,
                table=codec.version.table,
                position=str(stamp),
            )


def _staged(store: str, pk: str, change: Change, odd_text: bool) -> tuple[Any, ...]:
    codec, event, stamp = change.codec, change.event, change.stamp
    assert event.source is not None
    values = decoded(change, store, odd_text=odd_text)
    deleted = event.op == "d"
    op = MOVED if deleted and event.newkey is not None else event.op
    meta = (store, pk, *stamp, event.source.ts_us, op, deleted)
    if codec.policy is None:
        return (*values, *meta)
    assert isinstance(change, SharedChange)
    changed_us = change.effective_us or None
    key = codec.key_of(values)
    return (*values, *meta, key, changed_us, stamps_json(change), change.moved_from)


def _values(codec: RowCodec, row: dict[str, Any], store: str, stamp: Stamp) -> list[Any]:
    try:
        return codec.values(row)
    except (ValueError, KeyError) as error:
        raise PoisonError(str(error), store=store, table=codec.version.table, position=str(stamp)) from None


def _keyless_pk(codec: RowCodec, change: KeylessChange) -> str:
    """Content first, so that an equal row is found by index; then the stamp of its insert, which makes it one.

    Rows of one snapshot share a stamp, and so may be equal in both: there the running number tells them apart.
    """
    values = decoded(change, "")
    stamp = ".".join(str(part) for part in change.stamp)
    suffix = f".{change.ordinal}" if change.event.op == "r" else ""
    return f"{codec.content_pk(values)}:{stamp}{suffix}"
