"""A batch's folded changes as COPY takes them: all of the work on a row that needs no warehouse."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sinks.copy_text import chunks, copy_line, escaped, escaped_fields, plain_fields
from sinks.fold import MOVED, Change, DeadLetter, Fold, SharedChange, decoded, stamps_json
from sinks.row_codec import RowCodec
from tillstream.errors import PoisonError

_KEY = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A row with a value that the log does not tell for certain."""

    store: str
    change: Change


@dataclass(frozen=True, slots=True)
class Stage:
    """Rows of one shape, from any number of stores. `moved`: a primary key changed among them."""

    codec: RowCodec
    rows: int
    moved: bool
    chunks: list[bytes]
    doubts: list[Doubt]


def render(folded: Fold) -> list[Stage]:
    """One stage a shape; a row that cannot be kept joins the fold's dead letters instead."""
    stages = []
    for shape in sorted(folded.rows, key=str):  # two workers that touch the same tables lock them in one order
        if not (rows := folded.rows[shape]):
            continue  # of a keyless table, or no row of it has a key that can be read
        stage, refused = render_stage(rows, odd_text=folded.odd_text)
        folded.dead_letters.extend(refused)
        stages.append(stage)
    return stages


def render_stage(rows: Mapping[tuple[str, str], Change], *, odd_text: bool) -> tuple[Stage, list[DeadLetter]]:
    refused: list[DeadLetter] = []
    doubts: list[Doubt] = []
    lines: list[str] = []
    for (store, pk), change in sorted(rows.items(), key=_KEY):  # as the upsert locks them: see its statement
        try:
            values = decoded(change, store, odd_text=odd_text)
        except PoisonError as error:
            refused.append(
                DeadLetter(store, change.codec, pk, change.stamp, change.event, error.reason, error.ask_store)
            )
            continue
        lines.append(_line(store, pk, change, values, odd_text))
        if change.codec.doubtful and _is_doubtful(change, values):
            doubts.append(Doubt(store, change))
    codec = next(iter(rows.values())).codec
    moved = codec.policy is not None and any(
        isinstance(each, SharedChange) and each.moved_from is not None for each in rows.values()
    )
    return Stage(codec, len(lines), moved, list(chunks(lines)), doubts), refused


def _is_doubtful(change: Change, values: list[Any]) -> bool:
    return change.event.op != "d" and any(values[index] is None for index in change.codec.doubtful)


def _line(store: str, pk: str, change: Change, values: list[Any], odd_text: bool) -> str:
    """One row of the stage. Without odd text in the batch there is nothing to escape in it, but for bytes."""
    codec, event = change.codec, change.event
    deleted = event.op == "d"
    op = MOVED if deleted and event.newkey is not None else event.op
    at_us = event.source.ts_us  # type: ignore[union-attr]  # what is folded has a source
    if odd_text or codec.has_bytes:
        fields, pk = escaped_fields(values), escaped(pk)
    else:
        fields = plain_fields(values)
    row = (*fields, store, pk, *change.stamp, at_us, op, deleted)
    if codec.policy is None:
        return copy_line(row)
    assert isinstance(change, SharedChange)
    shared = (
        codec.key_of(values),
        stamps_json(change, codec.changed_at_us(values)),
        change.moved_from,
    )
    return copy_line((*row, *escaped_fields(shared)))
