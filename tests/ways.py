"""The ways for stores' logs to reach a real warehouse by the real worker, and what it must hold at the end."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import psycopg
from fake_store import FakeStore, Log
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from lanes import RecordedLanes
from lived import NUMBERS, POLICY, STORES
from own_rules import asked_here
from psycopg import sql
from psycopg.rows import dict_row

from conflict.identity import business_key
from conflict.policy import Policy
from conflict.resolution import CHANGED
from conflict.resolve import resolve
from sinks.central import key_columns
from sinks.epochs import Epochs
from sinks.policy_switch import switch_policy
from sinks.policy_versions import version_in_force
from sinks.row_codec import Shapes
from sinks.warehouse import Warehouse
from sinks.worker import Worker

MOST_SECONDS = 60.0  # a worker that has not finished a recorded log by then never will
few = settings(  # to shrink one that fails takes minutes, and threads do not fail the same way twice
    max_examples=30, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """One way for the stores' logs to reach the warehouse."""

    sizes: Sequence[Sequence[int]] = ((),) * 3  # of the batches, store by store
    backs: Sequence[Sequence[int]] = ((),) * 3  # how many events each batch is followed by once more
    turns: Sequence[frozenset[str]] = ()  # which stores are heard, poll by poll
    workers: int = 1
    crash_after: int | None = None  # polls, after which the worker is gone and another begins
    late: frozenset[str] = frozenset()  # stores that come once all others' first logs are in and decided


ways = st.builds(
    Way,
    sizes=st.tuples(*[st.lists(st.integers(1, 9), max_size=12)] * 3),
    backs=st.tuples(*[st.lists(st.sampled_from([0, 0, 0, 1, 3, 50]), max_size=8)] * 3),
    turns=st.lists(st.frozensets(st.sampled_from(STORES)), max_size=10),
    workers=st.sampled_from([1, 2, 3, 3]),
    crash_after=st.sampled_from([None, None, 1, 2, 4, 6]),
    late=st.frozensets(st.sampled_from(STORES), max_size=2),
)


def _number(value: Any) -> Any:
    """A column that another policy had widened stays so, and what it holds is the same."""
    return Decimal(value) if type(value) is int else value


class Place:
    """One warehouse, emptied before each run."""

    def __init__(self, url: str) -> None:
        self.warehouse = Warehouse(url)
        self.warehouse.migrate()
        self.policies: dict[str, Policy] = {}  # by fingerprint
        plain = self.warehouse.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.connection = psycopg.connect(plain, autocommit=True, row_factory=dict_row, prepare_threshold=None)

    def close(self) -> None:
        self.connection.close()
        self.warehouse.dispose()

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        return self.connection.execute(statement, values).fetchall()  # type: ignore[arg-type]

    def empty(self, *, clocks: bool = True) -> None:
        """`clocks=False`: what is known of them stays."""
        # A session keeps the stages of all the shapes it has met, and empties each of them at every COMMIT: a hundred
        # drawn policies later that is most of the time.
        self.warehouse.engine.dispose()
        for row in self.rows("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('stores', 'central')"):
            name = sql.Identifier(row["schemaname"], row["tablename"])
            self.connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(name))  # its views
        self.connection.execute(
            "TRUNCATE tillstream.ledger, tillstream.schema_versions, tillstream.presence, tillstream.floors,"
            " tillstream.keys, tillstream.dirty_keys, tillstream.dead_letters, tillstream.conflicts,"
            " tillstream.policies, tillstream.redecisions, tillstream.epochs, tillstream.resyncs,"
            " tillstream.history, tillstream.rules, tillstream.key_changes, tillstream.stale_keys RESTART IDENTITY"
        )
        if clocks:
            self.connection.execute("TRUNCATE tillstream.clock_corrections")

    @property
    def settled(self) -> bool:
        return not self.rows("SELECT FROM tillstream.dirty_keys UNION ALL SELECT FROM tillstream.redecisions LIMIT 1")

    def take_in(self, stores: Sequence[FakeStore], way: Way, policy: Policy = POLICY) -> None:
        """All logs to their ends, that way: of a store whose log began anew one after the other."""
        turns = [[None] * (store.name in way.late) + self._logs_left(store) for store in stores]
        for logs in itertools.zip_longest(*turns):
            present = {number: log for number, log in enumerate(logs) if log is not None}
            for log in present.values():
                if self._epoch(log.store) < log.epoch > 1:
                    Epochs(self.warehouse).begin(log.store, "the log was reset")
            crashed = None
            if way.crash_after is not None:
                crashed = self.worker(self.recorded(present, present, way), policy)
                for _ in range(way.crash_after):
                    crashed.run_once(0.0)
            hands = [[n for n in present if n % way.workers == hand] for hand in range(way.workers)]
            all_lanes = [self.recorded(present, hand, way) for hand in hands if hand]
            self.run_all(all_lanes, policy)
            if crashed is not None:
                crashed._thread.shutdown()  # what it had begun to write may come in meanwhile, and not later
            assert not any(lanes.refused for lanes in all_lanes), [lanes.refused for lanes in all_lanes]

    def _logs_left(self, store: FakeStore) -> list[Log | None]:
        """Those before are not there any more."""
        return [log for log in store.logs if log.epoch >= self._epoch(store.name)]

    def _epoch(self, store: str) -> int:
        found = self.rows("SELECT epoch FROM tillstream.ledger WHERE store = %s", store)
        return found[0]["epoch"] if found else 0

    def recorded(self, logs: Mapping[int, Log] | Sequence[Log], hand: Iterable[int], way: Way) -> RecordedLanes:
        lanes = RecordedLanes(way.turns)
        for number in hand:
            log = logs[number]
            lanes.record(log.batches(way.sizes[number], way.backs[number], start=self._restart(log)))
        return lanes

    def _restart(self, log: Log) -> int:
        """Where the engine goes on after a crash: its offset is never ahead of the ledger, and here often behind."""
        found = self.rows(
            "SELECT file, pos FROM tillstream.ledger WHERE store = %s AND epoch = %s", log.store, log.epoch
        )
        ledger = (found[0]["file"], found[0]["pos"]) if found else (0, 0)
        reached = 0
        for index, entry in enumerate(log.entries):
            source = entry.event.source
            if source is not None and (int(source.file[-6:]), source.pos) < ledger:
                reached = index + 1
        return log.restart(reached, 2)

    def worker(self, lanes: RecordedLanes, policy: Policy = POLICY, warehouse: Warehouse | None = None) -> Worker:
        self.policies[policy.fingerprint] = policy
        policy_id = switch_policy(self.warehouse, Shapes(policy))
        return Worker(warehouse or self.warehouse, lanes, Shapes(policy, policy_id), in_force=self.in_force)

    def switch(self, policy: Policy) -> None:
        self.policies[policy.fingerprint] = policy
        switch_policy(self.warehouse, Shapes(policy))

    def in_force(self) -> Shapes:
        with self.warehouse.transaction() as tx:
            present = version_in_force(tx)
        assert present is not None
        return Shapes(self.policies[present.fingerprint], present.id)

    def run_all(
        self, all_lanes: Sequence[RecordedLanes], policy: Policy = POLICY, warehouse: Warehouse | None = None
    ) -> None:
        """A worker in a thread of its own for each; what one raises is raised here."""
        failures: list[BaseException] = []
        working = [1] * len(all_lanes)
        end = time.monotonic() + MOST_SECONDS

        def work(number: int) -> None:
            lanes = all_lanes[number]

            def done() -> bool:
                working[number] = int(lanes.busy)
                if time.monotonic() > end or failures:
                    raise AssertionError(f"not finished after {MOST_SECONDS} s: {lanes.refused}")
                return not any(working) and self.settled_for(number)

            try:
                self.worker(lanes, policy, warehouse).run(done)
            except BaseException as error:
                failures.append(error)

        self._looking = threading.Lock()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(all_lanes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * MOST_SECONDS)
        if failures:
            raise failures[0]

    def settled_for(self, number: int) -> bool:
        with self._looking:  # one connection for all threads
            return self.settled

    # --- what there is

    def live(self, table: str, store: FakeStore) -> Any:
        it = store.tables[table]
        found = self.rows(f"SELECT * FROM stores.{table} WHERE _store = %s AND NOT _deleted", store.name)
        shown = {row["_pk"]: {name: row[name] for name in it.names} for row in found}
        return shown if it.primary_key else Counter(tuple(row.values()) for row in shown.values())

    def stamps(self, store: FakeStore) -> dict[str, dict[str, list[int]]]:
        names = {*store.tables["members"].names, CHANGED}
        found = self.rows("SELECT _pk, _stamps FROM stores.members WHERE _store = %s", store.name)
        return {row["_pk"]: {n: s for n, s in row["_stamps"].items() if n in names} for row in found}

    def central(self) -> dict[str, dict[str, Any]]:
        return {row["_key"]: row for row in self.rows("SELECT * FROM central.members")}

    def everything(self) -> dict[str, Any]:
        """All that must not depend on the way, tombstones included."""
        kept: dict[str, Any] = {}
        for row in self.rows("SELECT table_schema s, table_name t FROM information_schema.tables"
                             " WHERE table_schema IN ('stores', 'central') ORDER BY 1, 2"):  # fmt: skip
            rows = self.rows(f'SELECT * FROM {row["s"]}.{row["t"]} t ORDER BY t.*::text COLLATE "C"')
            unlike = {"_seen_at", "_decided_at", "_policy"} | ({"_event_at"} if row["t"] == "notes" else set())
            kept[f"{row['s']}.{row['t']}"] = sorted(
                repr(sorted((k, _number(v)) for k, v in each.items() if k not in unlike)) for each in rows
            )
        for table in ("floors", "presence", "dead_letters"):
            names = "store, table_name, epoch, file, pos, row, ord" if table == "floors" else "store, table_name"
            kept[table] = [*map(repr, self.rows(f"SELECT {names} FROM tillstream.{table} ORDER BY {names}"))]
        return kept


def agreed(stores: Sequence[FakeStore], policy: Policy) -> dict[str, dict[str, Any]]:
    """central.members as a function of the stores' own histories."""
    table = replace(policy.tables["members"], ask=asked_here)
    found: dict[str, list[Any]] = {}
    for store in stores:
        for key, given_ in store.contributions(
            "members", lambda row, name=store.name: business_key(table.key, row, name)
        ).items():
            found.setdefault(key, []).extend(given_)
    own = {"id", *key_columns(table)}
    columns = sorted(name for name in {name for store in stores for name in store.tables["members"].names} - own
                     if table.decides(name))  # fmt: skip
    resolutions = {key: resolve(table, columns, given_) for key, given_ in found.items()}
    return {
        key: {
            **{name: as_stored(name, resolution.values.get(name)) for name in columns},
            "_stores": list(resolution.stores),
            "_winners": dict(resolution.winners),
            "_contested": sorted(contest.column for contest in resolution.contests),
            "_uncertain": list(resolution.uncertain),
        }
        for key, resolution in resolutions.items()
        if resolution.exists
    }


def as_stored(column: str, value: Any) -> Any:
    """What a policy gives is text, which the warehouse casts."""
    return Decimal(value) if column in NUMBERS and isinstance(value, str) else value


def assert_truth(place: Place, stores: Sequence[FakeStore], policy: Policy = POLICY) -> None:
    """stores.* is what the stores have, with the right times; central.* is what follows from it."""
    assert not place.rows("SELECT reason FROM tillstream.dead_letters")
    for store in stores:
        for table in store.tables:
            assert place.live(table, store) == store.rows(table), (store.name, table)
        assert place.stamps(store) == store.stamps("members"), store.name
    expected = agreed(stores, policy)
    found = {key: {name: row[name] for name in next(iter(expected.values()), ())}
             for key, row in place.central().items()}  # fmt: skip
    assert found == expected
    assert_history(place)


def assert_history(place: Place) -> None:
    """Each change is told once, from what the one before it came to, and the last of each value is what stands."""
    told: dict[str, dict[str, str | None]] = {}
    for row in place.rows("SELECT * FROM tillstream.history WHERE table_name = 'members' ORDER BY at"):
        if row["policy_before"] is None:
            assert row["key"] not in told
            told[row["key"]] = {}
        for name, (before, value, *_) in (row["changes"] or {}).items():
            assert before != value
            assert told[row["key"]].get(name, before) == before
            told[row["key"]][name] = value
        if row["policy"] is None:
            del told[row["key"]]
    stands: dict[str, dict[str, str | None]] = {}
    for row in place.rows("SELECT _key, c.* FROM central.members t, jsonb_each_text(to_jsonb(t)) c"):
        stands.setdefault(row["_key"], {})[row["key"]] = row["value"]
    assert {key: {name: stands[key][name] for name in values} for key, values in told.items()} == told
    assert told.keys() == stands.keys()


# --- what was drawn ---------------------------------------------------------------------------------------

DIMENSIONS = frozenset({
    "key decided from a few rows",  # the fixture `drawn` sees to it
    "batches cut", "events delivered twice", "stores interleaved", "several workers", "a worker that crashed",
    "late store", "new epoch", "floor", "delete", "deleted row that is back", "clock set back", "key of several stores",
    "contested value", "value that clocks cannot tell",
})  # fmt: skip


def dimensions(place: Place, stores: Sequence[FakeStore], way: Way) -> set[str]:
    """Which of them these stores had, on that way to that warehouse."""
    events = [entry.event for store in stores for log in store.logs for entry in log.entries]
    agreed_rows = place.central().values()
    there = {
        "batches cut": any(way.sizes),
        "events delivered twice": any(any(backs) for backs in way.backs),
        "stores interleaved": len(set(way.turns)) > 1,
        "several workers": way.workers > 1,
        "a worker that crashed": bool(way.crash_after),
        "late store": bool(way.late),
        "new epoch": any(len(store.logs) > 1 for store in stores),
        "floor": any(event.op == "t" for event in events),
        "delete": any(event.op == "d" and event.newkey is None for event in events),
        "deleted row that is back": any(map(has_a_row_back, stores)),
        "clock set back": any(map(has_a_clock_set_back, stores)),
        "key of several stores": any(len(row["_stores"]) > 1 for row in agreed_rows),
        "contested value": any(row["_contested"] for row in agreed_rows),
        "value that clocks cannot tell": any(row["_uncertain"] for row in agreed_rows),
    }
    return {dimension for dimension, is_there in there.items() if is_there}


def has_a_row_back(store: FakeStore) -> bool:
    gone: set[Any] = set()
    for event in (entry.event for log in store.logs for entry in log.entries):
        if event.source is not None and event.source.table == "members":
            if event.op == "d":
                gone.add((event.before or {}).get("id"))
            elif event.op == "c" and (event.after or {}).get("id") in gone:
                return True
    return False


def has_a_clock_set_back(store: FakeStore) -> bool:
    sources = [entry.event.source for log in store.logs for entry in log.entries if entry.event.source is not None]
    return any(later.ts_us < earlier.ts_us for earlier, later in itertools.pairwise(sources))
