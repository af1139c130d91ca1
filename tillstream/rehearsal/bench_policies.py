"""`make bench-policies`: how long a policy takes to try on what many stores hold, and for how long the switch to it
and all that is decided anew after it hold up the rows of the stores."""

import argparse
import itertools
import json
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import msgspec

from conflict.policy import ColumnRule, KeyPart, Normaliser, Policy, RuleName, TablePolicy, policy_of
from connectors.embedded import EmbeddedLanes, hand_over
from sinks.policy_switch import build_keys, switch_policy
from sinks.policy_trial import PolicyTrial
from sinks.policy_versions import version_in_force
from sinks.row_codec import Shapes
from sinks.warehouse import Warehouse
from sinks.worker import Worker
from tillstream.envelope import Resume
from tillstream.rehearsal.bench import fresh_warehouse
from tillstream.rehearsal.recording import declaration, event

_MEMBERS = {"id": "BIGINT", "phone": "VARCHAR", "name": "VARCHAR", "address": "VARCHAR", "points": "INT"}
RESUME = Resume(file="mysql-bin.000001", pos=1, in_snapshot=False, raw={})

# Each store has all members, or the first `keys` of them; what is stored is what its log would have left.
_FILL = """\
INSERT INTO stores.members
  (_store, _pk, _epoch, _file, _pos, _row, _order, _event_at, _op, _deleted, _key, _stamps,
   id, phone, name, address, points)
SELECT s.store, n::text, 1, 1, 1000 + n, 0, 0, now(), 'c', false, 'p' || n,
       jsonb_build_object(
         'name', jsonb_build_array(1, 1, 1000 + n, 0, 0, 1790000000000000 + hash.h, 0),
         'address', jsonb_build_array(1, 1, 1000 + n, 0, 0, 1790000000000000 + hash.h, 0),
         '   ', jsonb_build_array(1, 1, 1000 + n, 0, 0, 1790000000000000 + hash.h, 0)),
       n, 'p' || n, 'name of ' || s.store, 'address of ' || s.store, n %% 100
FROM (SELECT DISTINCT store FROM tillstream.schema_versions) s, generate_series(2, %s) AS n,
     LATERAL (SELECT 3600000000 * (abs(hashtext(s.store || n)) %% 1000)::bigint AS h) hash"""
_WAITING = "SELECT FROM tillstream.dirty_keys UNION ALL SELECT FROM tillstream.redecisions LIMIT 1"


def _policy(version: int, name: ColumnRule, normaliser: Normaliser = Normaliser.TRIM) -> Policy:
    columns = {"points": ColumnRule(rule=RuleName.SUM), "name": name}
    key = (KeyPart(column="phone", normaliser=normaliser),)
    return policy_of(version, {"members": TablePolicy(table="members", key=key, columns=MappingProxyType(columns))})


OLD = _policy(1, ColumnRule(rule=RuleName.LATEST))
NEW = _policy(2, ColumnRule(rule=RuleName.PRIORITY, ranks=(("s0003",), ("s0001",))))
OTHER_KEY = _policy(3, ColumnRule(rule=RuleName.LATEST), Normaliser.UPPER)  # every key is another one


def run(warehouse: Warehouse, stores: int, contributions: int) -> dict[str, Any]:
    """Seconds, megabytes of this process, and what was found."""
    keys = contributions // stores
    lanes = EmbeddedLanes()
    policies = {policy.fingerprint: policy for policy in (OLD, NEW, OTHER_KEY)}
    worker = Worker(
        warehouse,
        lanes,
        Shapes(OLD, switch_policy(warehouse, Shapes(OLD))),
        in_force=lambda: _in_force(warehouse, policies),
    )
    for number in range(stores):
        _bring(worker, lanes, f"s{number:04d}", declaration("members", _MEMBERS), _member(1, 0))
    with warehouse.transaction() as tx:
        filled = tx.execute(_FILL, [keys])
        tx.execute("INSERT INTO tillstream.redecisions (table_name) VALUES ('members') ON CONFLICT DO NOTHING")
    with warehouse.transaction() as tx:
        tx.execute("ANALYZE stores.members")
    _beside(worker, lanes, warehouse)  # central.* as OLD makes it

    started, before = time.perf_counter(), _peak_mb()
    with warehouse.transaction() as tx:
        (found,) = PolicyTrial(tx, Shapes(OLD), Shapes(NEW), samples=3, most_keys=None).run()
    tried = time.perf_counter() - started
    peak = _peak_mb()

    started = time.perf_counter()
    switch_policy(warehouse, Shapes(NEW))
    switched = time.perf_counter() - started
    started = time.perf_counter()
    waits = _beside(worker, lanes, warehouse)
    with warehouse.transaction() as tx:
        (left,) = PolicyTrial(tx, Shapes(NEW), Shapes(OLD), samples=0, most_keys=None).run()
    return {
        "schema": 1,
        "cores": os.cpu_count(),
        "stores": stores,
        "contributions": filled + stores,
        "diff": {"seconds": round(tried, 1), "values": found.values, "peak_resident_mb": peak, "before_mb": before},
        "switch_seconds": round(switched, 3),
        "redecide": {
            "seconds": round(time.perf_counter() - started, 1),
            "longest_wait_of_a_change_seconds": round(max(waits), 3),
            "changes_meanwhile": len(waits),
        },
        "values_changed_back": left.values,
        "other_key": _other_key(worker, lanes, warehouse),
        "goals": {"diff_seconds": 120, "peak_resident_mb": 1024, "longest_wait_seconds": 1.0},
    }


def _other_key(worker: Worker, lanes: EmbeddedLanes, warehouse: Warehouse) -> dict[str, Any]:
    """Every row's business key becomes another one, while a store goes on."""

    def switch() -> tuple[float, float]:
        started = time.perf_counter()
        build_keys(warehouse, OTHER_KEY)
        built = time.perf_counter()
        switch_policy(warehouse, Shapes(OTHER_KEY))
        return built - started, time.perf_counter() - built

    waits = []
    with ThreadPoolExecutor(1) as aside:
        switching = aside.submit(switch)
        while not switching.done():
            waits.append(_bring(worker, lanes, "s0001", _member(1, next(_points))))
        built, switched = switching.result()
    redecided = _beside(worker, lanes, warehouse)
    return {
        "built_seconds": round(built, 1),
        "switch_seconds": round(switched, 3),
        "longest_wait_of_a_change_seconds": round(max(waits), 3),
        "changes_meanwhile": len(waits),
        "longest_wait_while_decided_anew_seconds": round(max(redecided), 3),
    }


def _in_force(warehouse: Warehouse, policies: dict[str, Policy]) -> Shapes:
    with warehouse.transaction() as tx:
        present = version_in_force(tx)
    assert present is not None
    return Shapes(policies[present.fingerprint], present.id)


def _beside(worker: Worker, lanes: EmbeddedLanes, warehouse: Warehouse) -> list[float]:
    """Until no key waits to be decided: how long each change took that a store made meanwhile."""
    waits: list[float] = []
    is_left = True
    while is_left:
        waits.append(_bring(worker, lanes, "s0001", _member(1, next(_points))))
        with warehouse.transaction() as tx:
            is_left = bool(tx.rows(_WAITING))
    return waits


def _bring(worker: Worker, lanes: EmbeddedLanes, store: str, *documents: dict[str, Any]) -> float:
    """Seconds until it is in the warehouse."""
    handover = hand_over(store, 1, b"\n".join(map(msgspec.json.encode, documents)), RESUME)
    started = time.perf_counter()
    lanes.deliver(handover)
    while not handover.settled.is_set():
        worker.run_once(0.001)
    handover.wait()
    return time.perf_counter() - started


_points = itertools.count(1)
_position = iter(range(100_000_000, 2_000_000_000, 300))  # behind all that was filled in


def _member(number: int, points: int) -> dict[str, Any]:
    after = {"id": number, "phone": f"p{number}", "name": f"name {points}", "address": "here", "points": points}
    return event("members", "u" if points else "c", {**after, "name": ""} if points else None, after, next(_position))


def _peak_mb() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", type=int, default=100)
    parser.add_argument("--contributions", type=int, default=1_000_000)
    parser.add_argument("--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    with fresh_warehouse() as warehouse:
        found = run(warehouse, options.stores, options.contributions)
    if options.output == "json":
        print(json.dumps(found))
        return
    diff, redecide, goals, other_key = found["diff"], found["redecide"], found["goals"], found["other_key"]
    sys.stdout.write(
        f"{found['contributions']:,} rows of {found['stores']} stores under shared keys, {found['cores']} cores\n"
        f"policy diff: {diff['seconds']} s (goal {goals['diff_seconds']}), {diff['values']:,} values would change, "
        f"{diff['peak_resident_mb']} MB resident at most (goal {goals['peak_resident_mb']})\n"
        f"policy apply: the switch itself {found['switch_seconds']} s\n"
        f"decided anew in {redecide['seconds']} s; of {redecide['changes_meanwhile']} changes of a store meanwhile the "
        f"slowest took {redecide['longest_wait_of_a_change_seconds']} s (goal {goals['longest_wait_seconds']})\n"
        f"a key changed: built in {other_key['built_seconds']} s beside the workers, switch in "
        f"{other_key['switch_seconds']} s; of {other_key['changes_meanwhile']} changes of a store meanwhile the "
        f"slowest took {other_key['longest_wait_of_a_change_seconds']} s, of those while it was decided anew "
        f"{other_key['longest_wait_while_decided_anew_seconds']} s (goal {goals['longest_wait_seconds']})\n"
    )


if __name__ == "__main__":
    main()
