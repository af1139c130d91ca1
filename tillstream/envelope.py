"""What every stage speaks: one change of one store's log, and the shape its table had there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec


class Stamp(NamedTuple):
    """Where in a store's log something stands. Compared as a tuple; never by time, never across stores.

    `file` is the binlog file's number; `row` the index inside the row event; `order` the transaction's running
    number, which alone tells events apart inside a compressed transaction (there all share file and position).
    """

    epoch: int
    file: int
    pos: int
    row: int = -1
    order: int = -1

    def __str__(self) -> str:
        return f"{self.epoch}/{self.file:06d}:{self.pos}.{self.row}"


ORIGIN = Stamp(0, 0, 0, -1, -1)


def file_number(file: str) -> int:
    """`mysql-bin.000012` → 12."""
    return int(file.rpartition(".")[2])


class Source(msgspec.Struct, gc=False):
    """The part of Debezium's `source` block that decides anything."""

    file: str
    pos: int
    ts_us: int
    row: int = 0
    db: str = ""
    table: str | None = None
    snapshot: str | None = None


class TransactionOrder(msgspec.Struct, gc=False):
    total_order: int


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """Events once seen in a store's log: asked for again, the same log shows the same."""

    file: str
    pos: int
    events: tuple[str, ...]  # their digests, in order


class DeclaredColumn(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A column as the store declared it (Debezium's tableChanges)."""

    name: str
    type_name: str
    position: int
    length: int | None = None
    scale: int | None = None
    charset_name: str | None = None
    optional: bool = True
    default_value_expression: str | None = None
    enum_values: list[str] | None = None
    real_charset: str | None = None  # not the store's word but tillstream.yaml's: what a latin1 column really holds


class DeclaredTable(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    primary_key_column_names: list[str]
    columns: list[DeclaredColumn]


class DeclaredChange(msgspec.Struct, frozen=True, kw_only=True):
    type: str  # CREATE | ALTER | DROP
    id: str  # "\"pos\".\"members\""
    table: DeclaredTable | None = None


class ChangeEvent(msgspec.Struct, gc=False, rename={"table_changes": "tableChanges"}):
    """One record of a lane: a row change, a TRUNCATE, a schema change or (with no source) a heartbeat.

    `newkey` marks the `d` half of a primary-key change, which is no delete, and `oldkey` its `c` half.
    """

    source: Source | None = None
    op: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    transaction: TransactionOrder | None = None
    newkey: dict[str, Any] | None = None
    oldkey: dict[str, Any] | None = None
    ddl: str | None = None
    table_changes: list[DeclaredChange] | None = None
    ordinal: int = 0  # of a snapshot row: its running number in its table, given on arrival

    @property
    def is_snapshot(self) -> bool:
        snapshot = self.source.snapshot if self.source else None
        return snapshot is not None and snapshot != "false"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableVersion:
    """One table of one store as it was declared from `since` on."""

    store: str
    database: str
    table: str
    since: Stamp
    columns: tuple[DeclaredColumn, ...]
    primary_key: tuple[str, ...]  # empty: keyless

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


@dataclass(slots=True, kw_only=True)
class LaneBatch:
    """A run of one lane's events, in the store's log order, with the position that follows it.

    `resume` is the engine's own position after the run, absent while more of the same hand-over is still to come, and
    in a lane that is a topic wherever it is not known. There `lane_offset` is that of the record that comes after it,
    absent under the same condition, and `generation` that of the connector (see connectors/connector_options.py).
    `odd_text` is False where no text among them holds NUL, U+FFFD or an escaped comma. `schema_only` says that the
    engine's snapshot reads how the tables are declared, and no rows.
    """

    store: str
    epoch: int
    events: list[ChangeEvent]
    resume: "Resume | None"
    odd_text: bool = True
    schema_only: bool = False
    lane_offset: int | None = None
    generation: int = 0
    handle: Any = field(default=None, repr=False)  # the lane's own; given back on commit

    @property
    def ends(self) -> bool:
        """Whether nothing of the same hand-over is still to come."""
        return self.resume is not None or self.lane_offset is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOpened:
    """A topic that is this worker's to read from now on, and the offsets it holds: from `low`, before `high`.

    Nothing comes of it until `begin` is called with the offset of the first record that is wanted, and the least
    generation of a connector whose records are.
    """

    store: str
    topic_id: str
    low: int
    high: int
    begin: Callable[[int, int], None] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneClosed:
    """A topic that is another worker's from now on."""

    store: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """From where the capture engine would go on."""

    file: str
    pos: int
    in_snapshot: bool
    raw: Mapping[str, Any]
