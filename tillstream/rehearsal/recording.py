"""Recorded lanes for the benchmark: the JSON of a POS's day as an engine would hand it over."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

STORES = 4
COLUMNS = (
    "sale_id", "line", "sku", "name", "category", "qty", "price", "discount", "total", "note", "clerk",
    "sold_at", "flags", "version",
    "_store", "_pk", "_epoch", "_file", "_pos", "_row", "_order", "_event_us", "_op", "_deleted",
)  # fmt: skip
DDL = (
    "sale_id bigint, line int, sku text, name text, category text, qty numeric, price numeric, discount numeric,"
    ' total numeric, note text, clerk text, sold_at timestamp, flags int, version int, _store text COLLATE "C",'
    ' _pk text COLLATE "C", _epoch int, _file int, _pos bigint, _row int, _order bigint, _event_us bigint, _op text,'
    " _deleted boolean"
)
_TYPES = {
    "sale_id": "BIGINT", "line": "INT", "sku": "VARCHAR", "name": "VARCHAR", "category": "VARCHAR", "qty": "DECIMAL",
    "price": "DECIMAL", "discount": "DECIMAL", "total": "DECIMAL", "note": "VARCHAR", "clerk": "VARCHAR",
    "sold_at": "DATETIME", "flags": "INT", "version": "INT",
}  # fmt: skip
_NAMES = ("珍珠奶茶", "四季春茶", "乌龙拿铁", "Mango Slush", "葡萄冰茶", "Oat Latte", "黑糖鹿丸", "柠檬绿茶")
_EPOCH_US = 1_790_000_000_000_000


@dataclass(slots=True)
class Recording:
    """`batches` are what engines hand over, `ready` the same rows as tuples for the ceiling."""

    name: str
    events: int
    batches: dict[str, list[bytes]]
    ready: list[list[tuple[Any, ...]]]
    live: dict[tuple[str, str], Decimal] = field(default_factory=dict)

    def require(self, rows: int, total: Decimal | None) -> None:
        """A run that lost or bent something is no measurement."""
        expected = sum(self.live.values(), Decimal(0))
        if rows != len(self.live) or (total or Decimal(0)) != expected:
            raise AssertionError(f"{self.name}: {rows} rows, sum {total}; expected {len(self.live)}, {expected}")


def record(workload: str, events: int, *, batch_events: int, seed: int) -> Recording:
    """inserts: sale lines; hot: 2,000 counters a store, by Zipf; day: 60 % inserts, 35 % updates, 5 % deletes."""
    recording = Recording(name=workload, events=events, batches={}, ready=[])
    per_store = events // STORES
    recording.events = per_store * STORES
    for number in range(STORES):
        store = f"s{number + 1:03d}"
        batches, ready = _lane(store, workload, per_store, batch_events, random.Random(seed + number), recording)
        recording.batches[store] = batches
        recording.ready.extend(ready)
    return recording


def _lane(
    store: str, workload: str, events: int, batch_events: int, dice: random.Random, recording: Recording
) -> tuple[list[bytes], list[list[tuple[Any, ...]]]]:
    encode = msgspec.json.encode
    lines, rows = [encode(declaration("sale_lines", _TYPES))], []
    batches: list[bytes] = []
    ready: list[list[tuple[Any, ...]]] = []
    folded: dict[str, tuple[Any, ...]] = {}
    for number, (op, before, after) in enumerate(_changes(workload, events, dice), start=1):
        pos = 1_000 + number * 300
        lines.append(encode(event("sale_lines", op, before, after, pos)))
        image = after or before or {}
        pk = str(image["sale_id"])
        folded[pk] = (
            *image.values(), store, pk, 1, 1, pos, 0, 0, _EPOCH_US + number * 1000, op, op == "d",
        )  # fmt: skip
        if op == "d":
            recording.live.pop((store, pk), None)
        else:
            recording.live[store, pk] = Decimal(image["qty"])
        if number % batch_events == 0 or number == events:
            batches.append(b"\n".join(lines))
            rows = [(*row[:11], _moment(row[11]), *row[12:]) for row in folded.values()]
            ready.append(rows)
            lines, folded = [], {}
    return batches, ready


def _moment(us: int) -> str:
    return f"2026-11-22 {us // 3_600_000_000 % 24:02d}:{us // 60_000_000 % 60:02d}:00.000001"


def _changes(
    workload: str, events: int, dice: random.Random
) -> Iterator[tuple[str, dict[str, Any] | None, dict[str, Any] | None]]:
    rows: list[dict[str, Any]] = []
    counters: dict[int, dict[str, Any]] = {}
    for number in range(events):
        if workload == "hot":
            key = min(int(dice.paretovariate(0.9)), 2_000)
            after = _row(key, dice)
            yield ("u", counters.get(key, after), after)
            counters[key] = after
            continue
        roll = dice.random() if workload == "day" and len(rows) > 100 else 0.0
        if roll < 0.6:
            after = _row(number + 1, dice)
            rows.append(after)
            yield ("c", None, after)
        elif roll < 0.95:
            index = dice.randrange(len(rows))
            before = rows[index]
            rows[index] = {**before, "qty": _amount(dice), "version": before["version"] + 1}
            yield ("u", before, rows[index])
        else:
            index = dice.randrange(len(rows))
            rows[index], rows[-1] = rows[-1], rows[index]
            yield ("d", rows.pop(), None)


def _row(key: int, dice: random.Random) -> dict[str, Any]:
    return {
        "sale_id": key, "line": dice.randrange(1, 9), "sku": f"SKU-{dice.randrange(400):05d}",
        "name": dice.choice(_NAMES), "category": "饮品", "qty": _amount(dice), "price": "18.00",
        "discount": "0.00", "total": _amount(dice), "note": None if dice.random() < 0.5 else "少冰 半糖",
        "clerk": "王", "sold_at": _EPOCH_US + key * 1_000_000, "flags": dice.randrange(256), "version": 1,
    }  # fmt: skip


def _amount(dice: random.Random) -> str:
    return f"{dice.randrange(100)}.{dice.randrange(100):02d}"


def _source(table: str, pos: int, at_us: int) -> dict[str, Any]:
    return {
        "version": "3.6.3.Final", "connector": "mysql", "name": "s", "ts_ms": at_us // 1000, "snapshot": None,
        "db": "pos", "sequence": None, "ts_us": at_us, "ts_ns": at_us * 1000, "table": table,
        "server_id": 56, "gtid": None, "file": "mysql-bin.000001", "pos": pos, "row": 0, "thread": 31,
        "query": None,
    }  # fmt: skip


def event(table: str, op: str, before: Any, after: Any, pos: int) -> dict[str, Any]:
    at_us = _EPOCH_US + pos
    return {
        "before": before, "after": after, "source": _source(table, pos, at_us), "transaction": None, "op": op,
        "ts_ms": at_us // 1000, "ts_us": at_us, "ts_ns": at_us * 1000,
    }  # fmt: skip


def declaration(table: str, types: Mapping[str, str]) -> dict[str, Any]:
    """Of a table whose primary key is its first column."""
    key = next(iter(types))
    columns = [
        {"name": name, "typeName": kind, "position": position, "length": None, "scale": None,
         "charsetName": "utf8mb4" if kind == "VARCHAR" else None, "optional": name != key,
         "defaultValueExpression": None, "enumValues": None}
        for position, (name, kind) in enumerate(types.items(), start=1)
    ]  # fmt: skip
    declared = {"primaryKeyColumnNames": [key], "columns": columns}
    return {
        "source": _source(table, 500, _EPOCH_US), "ddl": f"CREATE TABLE {table} (...)", "databaseName": "pos",
        "tableChanges": [{"type": "CREATE", "id": f'"pos"."{table}"', "table": declared}],
    }  # fmt: skip
