"""What the lanes of `make bench-peers` hold, and what a warehouse must make of it: the same whoever brings it there."""

import bisect
import itertools
import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import md5
from typing import Any, NamedTuple

from psycopg import sql

Row = dict[str, Any]
TABLES: dict[str, dict[str, str]] = {  # of which `row_id` is the primary key
    "sale_lines": {
        "row_id": "BIGINT", "line": "INT", "sku": "VARCHAR", "name": "VARCHAR", "category": "VARCHAR",
        "qty": "DECIMAL", "price": "DECIMAL", "discount": "DECIMAL", "total": "DECIMAL", "note": "VARCHAR",
        "clerk": "VARCHAR", "sold_at": "DATETIME", "flags": "INT", "version": "INT",
    },
    "stock": {
        "row_id": "BIGINT", "sku": "VARCHAR", "name": "VARCHAR", "on_hand": "DECIMAL", "reserved": "INT",
        "updated_at": "DATETIME", "version": "INT",
    },
    "members": {
        "row_id": "BIGINT", "phone": "VARCHAR", "name": "VARCHAR", "points": "INT", "level": "VARCHAR",
        "updated_at": "DATETIME", "version": "INT",
    },
    "marks": {"row_id": "BIGINT", "lane": "VARCHAR", "records": "INT"},
}  # fmt: skip
POSTGRES = {"BIGINT": "bigint", "INT": "int", "VARCHAR": "text", "DECIMAL": "numeric", "DATETIME": "timestamp"}
# One table for all stores, and a lane of several tables: who tells neither apart needs keys that differ.
KEYS_OF_A_STORE = 100_000_000
FIRST_KEY = {"sale_lines": 0, "stock": 80_000_000, "members": 81_000_000, "marks": 90_000_000}
COUNTERS, ZIPF = 2_000, 1.1
STEADY_KEYS = 2_000  # stock items, and members, of a store in a mixed day
RECENT_LINES = 2_000  # refunds and corrections are of the last ones
REPEATED, RUN = 0.05, 20  # so many come a second time, in runs, as after a restart of a connector
MARKS_A_LANE, LEAST_BETWEEN_MARKS = 60, 250
_NAMES = ("珍珠奶茶", "四季春茶", "乌龙拿铁", "Mango Slush", "葡萄冰茶", "Oat Latte", "黑糖鹿丸", "柠檬绿茶")
_LEVELS = ("普通", "银卡", "金卡")
_BEGAN_US = 1_790_000_000_000_000


class Change(NamedTuple):
    table: str
    op: str
    before: Row | None
    after: Row | None
    pos: int

    @property
    def key(self) -> int:
        image: Row = self.after or self.before or {}
        return int(next(iter(image.values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One workload: how many records each store's lane holds, and of which kind."""

    name: str
    kind: str  # inserts | hot | day
    records: tuple[int, ...]

    @property
    def stores(self) -> list[str]:
        return [f"s{number:04d}" for number in range(1, len(self.records) + 1)]

    @property
    def events(self) -> int:
        return sum(self.records)


def load(kind: str, events: int, *, name: str = "") -> Load:
    """inserts, hot and day in four stores; stores-N: the day in N; flood: half of it in one store of a hundred."""
    name = name or kind
    if kind.startswith("stores-"):
        count = int(kind.removeprefix("stores-"))
        return Load(name=name, kind="day", records=(max(events // count, 2),) * count)
    if kind == "flood":
        return Load(name=name, kind="day", records=(events // 2, *(max(events // 2 // 99, 2),) * 99))
    return Load(name=name, kind=kind, records=(events // 4,) * 4)


def lane(of: Load, number: int, seed: int = 11) -> Iterator[Change]:
    """The records of the store with this index, the same each time; the last one is a mark."""
    store, count = of.stores[number], of.records[number]
    dice = random.Random(seed * 100_003 + number)
    between = max(count // MARKS_A_LANE, LEAST_BETWEEN_MARKS)
    positions = itertools.count(1_000, 300)
    own = _records(of.kind, (number + 1) * KEYS_OF_A_STORE, dice, positions)
    since = 0
    for at in range(1, count + 1):
        since += 1
        if at % between == 0 or at == count:
            mark = {"row_id": (number + 1) * KEYS_OF_A_STORE + FIRST_KEY["marks"] + at, "lane": store, "records": since}
            yield Change("marks", "c", None, mark, next(positions))
            since = 0
        else:
            yield next(own)


def _records(kind: str, base: int, dice: random.Random, positions: Iterator[int]) -> Iterator[Change]:
    return {"inserts": _inserts, "hot": _hot, "day": _day}[kind](base, dice, positions)


def _inserts(base: int, dice: random.Random, positions: Iterator[int]) -> Iterator[Change]:
    for number in itertools.count(1):
        yield Change("sale_lines", "c", None, _line(base + number, dice), next(positions))


def _hot(base: int, dice: random.Random, positions: Iterator[int]) -> Iterator[Change]:
    counters = _Steady("stock", base, COUNTERS, dice, positions)
    weights = list(itertools.accumulate(1 / rank**ZIPF for rank in range(1, COUNTERS + 1)))
    while True:
        yield counters.touch(bisect.bisect(weights, dice.random() * weights[-1]))


def _day(base: int, dice: random.Random, positions: Iterator[int]) -> Iterator[Change]:
    """60 % sale lines, 30 % stock and points, 5 % deletes, 5 % that come a second time, where they stood."""
    stock = _Steady("stock", base, STEADY_KEYS, dice, positions)
    members = _Steady("members", base, STEADY_KEYS, dice, positions)
    recent: list[Row] = []
    past: deque[Change] = deque(maxlen=RUN)
    for number in itertools.count(1):
        roll = dice.random()
        if roll < 0.6316 or not recent:  # of what does not come again: 60 of 95
            after = _line(base + number, dice)
            change = Change("sale_lines", "c", None, after, next(positions))
            recent.append(after)
            if len(recent) > RECENT_LINES:
                recent.pop(dice.randrange(len(recent)))
        elif roll < 0.7895:
            change = stock.touch(dice.randrange(STEADY_KEYS))
        elif roll < 0.9474:
            change = members.touch(dice.randrange(STEADY_KEYS))
        else:
            change = Change("sale_lines", "d", recent.pop(dice.randrange(len(recent))), None, next(positions))
        past.append(change)
        yield change
        if number % (RUN * 19) == 0:
            yield from list(past)


class _Steady:
    """Rows that are there all the time, and change."""

    def __init__(self, table: str, base: int, count: int, dice: random.Random, positions: Iterator[int]) -> None:
        self._table, self._base, self._dice, self._positions = table, base, dice, positions
        self._rows: list[Row | None] = [None] * count

    def touch(self, index: int) -> Change:
        before = self._rows[index]
        version = before["version"] + 1 if before else 1
        after = self._row(index, version)
        self._rows[index] = after
        return Change(self._table, "u" if before else "c", before, after, next(self._positions))

    def _row(self, index: int, version: int) -> Row:
        key, dice = self._base + FIRST_KEY[self._table] + index, self._dice
        updated_at = _BEGAN_US + dice.randrange(86_400) * 1_000_000
        if self._table == "stock":
            return {
                "row_id": key, "sku": f"SKU-{index:05d}", "name": _NAMES[index % 8], "on_hand": _amount(dice),
                "reserved": dice.randrange(9), "updated_at": updated_at, "version": version,
            }  # fmt: skip
        return {
            "row_id": key, "phone": f"138{index:08d}", "name": "王小明", "points": dice.randrange(100_000),
            "level": _LEVELS[index % 3], "updated_at": updated_at, "version": version,
        }  # fmt: skip


def _line(key: int, dice: random.Random) -> Row:
    return {
        "row_id": key, "line": 1 + key % 8, "sku": f"SKU-{dice.randrange(400):05d}", "name": _NAMES[key % 8],
        "category": "饮品", "qty": _amount(dice), "price": "18.00", "discount": "0.00", "total": _amount(dice),
        "note": None if key % 2 else "少冰 半糖", "clerk": "王", "sold_at": _BEGAN_US + key % 86_400 * 1_000_000,
        "flags": key % 256, "version": 1,
    }  # fmt: skip


_AMOUNTS = tuple(f"{cents // 100}.{cents % 100:02d}" for cents in range(10_000))
_BARE = {text: format(Decimal(text).normalize(), "f") for text in (*_AMOUNTS, "18.00", "0.00")}


def _amount(dice: random.Random) -> str:
    return _AMOUNTS[int(dice.random() * 10_000)]


# --- what must be there in the end ------------------------------------------------------------------------


class Sum(NamedTuple):
    """Of a table: its rows, and the sum of their digests, in whatever order."""

    rows: int
    digest: int


@dataclass(slots=True)
class Expected:
    """The state that follows from the records, kept as one digest a row."""

    _digests: dict[str, dict[int, int]] = field(default_factory=lambda: {table: {} for table in TABLES})

    def take(self, change: Change) -> None:
        digests = self._digests[change.table]
        if change.after is None:
            digests.pop(change.key, None)
        else:
            digests[change.key] = row_digest(change.table, change.after)

    def sums(self) -> dict[str, Sum]:
        return {table: Sum(len(each), sum(each.values())) for table, each in self._digests.items()}


def added(parts: Iterable[Mapping[str, Sum]]) -> dict[str, Sum]:
    """Of lanes that share no key."""
    parts = list(parts)
    return {
        table: Sum(sum(part[table].rows for part in parts), sum(part[table].digest for part in parts))
        for table in TABLES
    }


def row_digest(table: str, row: Mapping[str, Any]) -> int:
    """As `sum_query` has PostgreSQL do it."""
    values = (
        "" if value is None else _BARE.get(value, value) if kind == "DECIMAL" else str(value)
        for kind, value in zip(TABLES[table].values(), row.values(), strict=True)
    )
    return int(md5("|".join(values).encode(), usedforsecurity=False).hexdigest()[:15], 16)


def sum_query(table: str, relation: sql.Composable, condition: sql.Composable) -> sql.Composed:
    texts = sql.SQL(", ").join(_text(column, kind) for column, kind in TABLES[table].items())
    return sql.SQL(
        "SELECT count(*), coalesce(sum(('x' || left(md5(concat_ws('|', {texts})), 15))::bit(60)::bigint), 0)"
        " FROM {relation} WHERE {condition}"
    ).format(texts=texts, relation=relation, condition=condition)


def _text(column: str, kind: str) -> sql.Composed:
    name = sql.Identifier(column)
    match kind:
        case "DECIMAL":
            text = sql.SQL("trim_scale({}::numeric)::text").format(name)
        case "DATETIME":
            text = sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint::text").format(name)
        case _:
            text = sql.SQL("{}::text").format(name)
    return sql.SQL("coalesce({}, '')").format(text)
