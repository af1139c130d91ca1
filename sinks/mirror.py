"""stores.<table>: what each store contributes, exactly as the store has it, never older than what is there."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from sinks.dead_letters import DeadLetters
from sinks.evolution import Catalog
from sinks.fold import MOVED, Change, DeadLetter, Fold, KeylessChange, decoded
from sinks.guards import Guard
from sinks.resync.asking import ask_for_rows
from sinks.row_codec import RowCodec
from sinks.stage import Stage, render_stage
from sinks.statements.mirror import MirrorStatements, mirror_statements
from sinks.warehouse import Transaction
from tillstream.envelope import Stamp
from tillstream.errors import PoisonError

Key = tuple[str, str]  # (table, business key)
Reasons = Mapping[Key, str]  # why it is decided, for people
Touched = dict[Key, set[str] | None]  # the stores whose rows changed and are there; None: more than that
_statements = lru_cache(maxsize=4096)(mirror_statements)


@dataclass(slots=True)
class Applied:
    """What one batch did: the business keys to decide again, and how many row changes were no news, or were."""

    touched: Touched = field(default_factory=dict)
    changed_by: dict[Key, set[str]] = field(default_factory=lambda: defaultdict(set))
    stale: int = 0
    news: int = 0

    def reasons(self, waiting: Reasons = MappingProxyType({})) -> Reasons:
        """Why each key that it touched is decided, and those that were waiting for it."""
        own = {key: f"store {', '.join(sorted(stores))}" for key, stores in self.changed_by.items()}
        return own | {key: f"{own[key]}; {why}" if key in own else why for key, why in waiting.items()}

    def touch(self, table: str, key: str | None, store: str, *, stays: bool) -> None:
        """`stays`: the store had a row under the key, or none at all, and has it now."""
        if key is None:
            return
        self.changed_by[table, key].add(store)
        present = self.touched.setdefault((table, key), set())
        if not stays:
            self.touched[table, key] = None
        elif present is not None:
            present.add(store)


class Mirror:
    """Writes folded changes; a change never overwrites a later one of the same store's row."""

    def __init__(self, catalog: Catalog, dead_letters: DeadLetters, *, late: bool = False, asked: bool = False) -> None:
        """`late`: what comes is not in its lane's order, floors may lie above it. `asked`: nor are they changes."""
        self._catalog = catalog
        self._dead_letters = dead_letters
        self._late = late or asked
        self._asked = asked
        self._guard = Guard()

    def apply(self, tx: Transaction, folded: Fold, stages: list[Stage]) -> Applied:
        """`stages` are the fold's own, rendered before: while that was done another batch could be written."""
        applied = Applied()
        for letter in folded.dead_letters:
            self._dead_letters.set_aside(tx, letter)
        for stage in stages:
            self._apply_stage(tx, stage, applied)
        self._apply_keyless(tx, folded.keyless)
        return applied

    def _apply_stage(self, tx: Transaction, stage: Stage, applied: Applied, *, again: bool = False) -> None:
        """`again`: the stage may hold rows of an earlier turn in the same transaction."""
        codec = stage.codec
        statements = self.statements(codec)
        tx.execute(statements.create_stage)
        if again:
            tx.execute(statements.clear_stage)
        tx.copy_text(statements.copy, stage.chunks)
        self._dead_letters.supersede(tx, codec.table, statements.stage)
        if self._late:
            tx.execute(statements.sink_below_floor)
        if self._asked:
            tx.rows(statements.lock_rows)
            tx.execute(statements.touch)
        if codec.policy is None:
            written = max(tx.execute(statements.upsert_late if self._late else statements.upsert), 0)
        else:
            written = self._upsert_shared(tx, stage, statements, applied)
        if stage.doubts:
            ask_for_rows(tx, [(doubt.store, doubt.change.codec, doubt.change.event) for doubt in stage.doubts])
        applied.news += written
        applied.stale += stage.rows - written

    def _upsert_shared(self, tx: Transaction, stage: Stage, statements: MirrorStatements, applied: Applied) -> int:
        table = stage.codec.table
        before = {(store, pk): was for store, pk, *was in tx.rows(statements.lock_rows)}
        tx.execute(statements.count_under)
        if stage.moved:
            tx.execute(statements.inherit)
        for key in self._guard.look(tx, stage.codec, statements.changes):
            applied.touched[table, key] = None
        written = tx.rows(statements.upsert)
        for store, pk, key, deleted in written:
            old_key, was_deleted = before.get((store, pk), (key, False))
            stays = key == old_key and not deleted and not was_deleted
            applied.touch(table, old_key, store, stays=stays)
            applied.touch(table, key, store, stays=stays)
        return len(written)

    def statements(self, codec: RowCodec) -> MirrorStatements:
        """Rendered once for all stores whose table has this shape."""
        return _statements(
            codec.table,
            codec.columns,
            self._catalog.types(codec.table, codec.columns),
            shared=codec.policy is not None,
            stamped=tuple(column for _, column in codec.stamped),
            opened=tuple((column, opening_us) for _, column, opening_us, _ in codec.opened),
        )

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
            stage, refused = render_stage(rows, odd_text=True)
            for letter in refused:
                self._dead_letters.later(letter)
            self._apply_stage(tx, stage, Applied(), again=True)
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
    suffix = f".{change.event.ordinal}" if change.event.op == "r" else ""
    return f"{codec.content_pk(values)}:{stamp}{suffix}"
