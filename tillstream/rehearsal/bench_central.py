"""What agreed rows cost: the sink with a tenth of its events on a shared table beside the same without central.*, and
a price list that is copied from store to store."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import msgspec

from conflict.policy import EMPTY_POLICY, ColumnRule, KeyPart, Normaliser, Policy, RuleName, TablePolicy, policy_of
from connectors.embedded import EmbeddedLanes
from sinks.policy_switch import switch_policy
from sinks.row_codec import Shapes
from sinks.warehouse import Warehouse
from sinks.worker import Worker
from tillstream.rehearsal.recorded_engines import RecordedEngines
from tillstream.rehearsal.recording import declaration, event

FreshWarehouse = Callable[[], AbstractContextManager[Warehouse]]
STORES, BATCH_EVENTS, SHARED_PART = 4, 4_096, 0.1
MEMBERS_PER_STORE = 5_000
COPIES = (10, 100, 1_000)

_LATEST = ColumnRule(rule=RuleName.LATEST)
_SALES = {"id": "BIGINT", "sku": "VARCHAR", "name": "VARCHAR", "qty": "DECIMAL", "price": "DECIMAL", "note": "VARCHAR"}
_MEMBERS = {"id": "BIGINT", "phone": "VARCHAR", "name": "VARCHAR", "address": "VARCHAR", "points": "INT"}
_PRODUCTS = {"id": "BIGINT", "sku": "VARCHAR", "name": "VARCHAR", "price": "DECIMAL"}
SHARED = policy_of(
    1,
    {
        "members": TablePolicy(
            table="members",
            key=(KeyPart(column="phone", normaliser=Normaliser.TRIM),),
            columns=MappingProxyType({"points": ColumnRule(rule=RuleName.SUM)}),
        ),
        "products": TablePolicy(
            table="products",
            key=(KeyPart(column="sku", normaliser=Normaliser.UPPER),),
            columns=MappingProxyType({"price": ColumnRule(rule=RuleName.PRIORITY, ranks=(("s0000",),), then=_LATEST)}),
        ),
    },
)


def run(fresh: FreshWarehouse, *, events: int, products: int, repetitions: int) -> dict[str, Any]:
    return {"a_tenth_shared": shared_part(fresh, events, repetitions), "price_list": price_list(fresh, products)}


def shared_part(fresh: FreshWarehouse, events: int, repetitions: int) -> dict[str, Any]:
    """The same events, with members shared and with every table each store's own, in turns; medians."""
    days = {f"s{number:04d}": list(_day(f"s{number:04d}", events // STORES)) for number in range(STORES)}
    rates: dict[str, list[float]] = {"shared": [], "isolated": []}
    for repetition in range(repetitions + 1):
        for name, policy in (("shared", SHARED), ("isolated", EMPTY_POLICY)):
            seconds = _seconds(fresh, policy, days)
            if repetition:  # the first warms up
                rates[name].append(events / seconds)
    shared, isolated = (statistics.median(rates[name]) for name in ("shared", "isolated"))
    return {
        "events": events, "events_per_second": round(shared), "without_central_per_second": round(isolated),
        "of_it": round(shared / isolated, 3), "goal": 0.8,
    }  # fmt: skip


def price_list(fresh: FreshWarehouse, products: int) -> list[dict[str, Any]]:
    """Every store has the list, one store after another; what an event of the next ones costs as stores become more."""
    found = []
    with fresh() as warehouse:
        lanes, worker = _sink(warehouse, SHARED)
        for before, stores in pairwise((0, *COPIES)):
            seconds = sum(
                _take_in(lanes, worker, {f"s{number:04d}": list(_prices(number, products))})
                for number in range(before, stores)
            )
            events = (stores - before) * products
            found.append({"stores": stores, "events": events, "us_per_event": round(seconds / events * 1e6, 1)})
    return found


def _seconds(fresh: FreshWarehouse, policy: Policy, batches: Mapping[str, list[bytes]]) -> float:
    with fresh() as warehouse:
        gc.collect()
        return _take_in(*_sink(warehouse, policy), batches)


def _sink(warehouse: Warehouse, policy: Policy) -> tuple[EmbeddedLanes, Worker]:
    lanes = EmbeddedLanes()
    return lanes, Worker(warehouse, lanes, Shapes(policy, switch_policy(warehouse, Shapes(policy))))


def _take_in(lanes: EmbeddedLanes, worker: Worker, batches: Mapping[str, list[bytes]]) -> float:
    """Seconds until all of it is in; the stores go on side by side."""
    engines = RecordedEngines(lanes, batches)
    started = time.perf_counter()
    engines.start()
    while not engines.exhausted:
        worker.run_once(0.01)
    return time.perf_counter() - started


def _day(store: str, events: int) -> Iterator[bytes]:
    """Sales, and changes of members of whom a third has rows in several stores."""
    lines = [declaration("sales", _SALES), declaration("members", _MEMBERS)]
    members: dict[int, dict[str, Any]] = {}
    for at in range(1, events + 1):
        if at % round(1 / SHARED_PART):
            after = {"id": at, "sku": f"SKU{at % 400}", "name": "奶茶", "qty": "1.00", "price": "18.00", "note": None}
            lines.append(event("sales", "c", None, after, at * 300))
        else:
            member = at // 10 % MEMBERS_PER_STORE
            before = members.get(member)
            phone = f"{'all' if member % 3 == 0 else store}-{member}"
            after = {"id": member, "phone": phone, "name": "王维", "address": f"{at} 南京西路", "points": at}
            members[member] = after
            lines.append(event("members", "u" if before else "c", before, after, at * 300))
        if at % BATCH_EVENTS == 0 or at == events:
            yield b"\n".join(map(msgspec.json.encode, lines))
            lines = []


def _prices(number: int, products: int) -> Iterator[bytes]:
    lines = [declaration("products", _PRODUCTS)]
    for at in range(1, products + 1):
        after = {"id": at, "sku": f"SKU-{at:05d}", "name": f"tea {at}", "price": "18.00"}
        lines.append(event("products", "c", None, after, 100_000_000 * (number + 1) + at * 300))
        if at % BATCH_EVENTS == 0 or at == products:
            yield b"\n".join(map(msgspec.json.encode, lines))
            lines = []
