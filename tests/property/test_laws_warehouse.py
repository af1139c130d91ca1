"""The laws on a real PostgreSQL, through the real worker: whatever way the logs come, the warehouse ends the same."""

import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec
import psycopg
import pytest
from harness import fresh_warehouse
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lanes import DATABASE, FakeStore, FakeTable, Log, RecordedLanes, Row, column
from psycopg import sql
from psycopg.rows import dict_row

from conflict.clock import Look
from conflict.identity import business_key
from conflict.policy import ColumnRule, Deletes, KeyPart, Normaliser, Policy, RuleName, TablePolicy
from conflict.resolution import CHANGED
from conflict.resolve import resolve
from sinks import batch as batch_module
from sinks import central, key_change
from sinks import worker as worker_module
from sinks.central import key_columns
from sinks.clock_looks import ClockLooks
from sinks.clocks import KnownClocks
from sinks.policy_switch import switch_policy
from sinks.policy_trial import PolicyTrial
from sinks.policy_versions import version_in_force
from sinks.quarantines import Quarantines
from sinks.retrying import retry_letter
from sinks.row_codec import Shapes
from sinks.warehouse import Transaction, Warehouse
from sinks.worker import Worker
from tillstream.errors import LeaseLostError, RefusedError, TransientError

STORES = ("s1", "s2", "s3")
MOST_TURNS = 3_000  # a worker that has not finished a recorded log by then never will
WAIT_SECONDS = 30.0
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
LONG_ENOUGH_SECONDS = 0.5  # for a worker that nothing holds up to have written its batch several times over
MEMBERS = TablePolicy(
    table="members",
    key=(KeyPart(column="phone", normaliser=Normaliser.TRIM),),
    columns=MappingProxyType(
        {
            "points": ColumnRule(rule=RuleName.SUM),
            "wallet": ColumnRule(rule=RuleName.SUM),
            "level": ColumnRule(rule=RuleName.MAX),
            "address": ColumnRule(rule=RuleName.PRIORITY, ranks=(("s2",),)),
            "email": ColumnRule(rule=RuleName.EARLIEST),
        }
    ),
)


CHOSEN = MappingProxyType(  # each by one store's row: most keys are decided from a few of their rows
    {
        "points": ColumnRule(rule=RuleName.MAX),
        "wallet": ColumnRule(rule=RuleName.HIGHEST, order=("0", "1")),
        "level": ColumnRule(rule=RuleName.FIRST_NON_NULL, ranks=(("s2",),)),
        "address": ColumnRule(rule=RuleName.PRIORITY, ranks=(("s2", "s3"),)),
        "email": ColumnRule(rule=RuleName.EARLIEST),
    }
)


def policy_with(deletes: Deletes = Deletes.LATEST, columns: Mapping[str, ColumnRule] = MEMBERS.columns) -> Policy:
    members = TablePolicy(table="members", key=MEMBERS.key, columns=columns, deletes=deletes)
    return Policy(version=1, tables=MappingProxyType({"members": members}), fingerprint="one")


POLICY = policy_with()


def new_tables(policy: Policy = POLICY) -> list[FakeTable]:
    text = {"length": 40, "charset_name": "utf8mb4"}
    members = [
        column("id", "INT", optional=False),
        column("phone", "VARCHAR", **text),
        column("name", "VARCHAR", **text),
        column("address", "VARCHAR", **text),
        column("email", "VARCHAR", **text),
        column("points", "INT"),
        column("wallet", "DECIMAL", length=40, scale=20),
        column("level", "INT"),
    ]
    sales = [
        column("till", "INT", optional=False),
        column("number", "INT", optional=False),
        column("total", "DECIMAL", length=12, scale=2),
        column("note", "VARCHAR", **text),
    ]
    notes = [column("text", "VARCHAR", **text), column("amount", "INT")]
    return [
        FakeTable("members", members, ("id",), policy.tables["members"]),
        FakeTable("sales", sales, ("till", "number")),
        FakeTable("notes", notes, ()),
    ]


# --- what happens in the stores ---------------------------------------------------------------------------

Act = tuple[str, int, int, int]  # (what, which row, which value, seconds the store's clock moves first)
EVENTS = ["insert", "update", "update", "update", "delete", "move", "rekey", "sale", "resale", "unsale",
          "note", "renote", "unnote", "batch"]  # fmt: skip
CONTROL = ["truncate", "truncate_sales", "add", "add_null", "drop", "widen", "snapshot", "gap", "rotate", "heartbeat"]
acts = st.tuples(
    st.sampled_from([*EVENTS, *EVENTS, *CONTROL]),
    st.integers(0, 5),
    st.integers(0, 3),
    st.sampled_from([0, 0, 1, 2, -3]),
)
histories = st.lists(acts, min_size=4, max_size=22)
WORDS = ("", "a", "b", None)


def lived(name: str, history: Sequence[Act], *, compressed: bool = False, policy: Policy = POLICY) -> FakeStore:
    """A store after that history; its first snapshot was interrupted once."""
    store = FakeStore(name, new_tables(policy), compressed=compressed)
    store.insert("members", *(member(number, number) for number in range(2)))
    store.insert("notes", *({"text": "twice", "amount": 1} for _ in range(2)))
    store.snapshot(stop_after=1)
    act(store, ("update", 0, 2, 1))
    store.snapshot()
    for number in range(0, len(history), 3):
        plain = [each for each in history[number : number + 3] if each[0] in EVENTS]
        store.transaction(*(lambda each=each: act(store, each) for each in plain))
        for each in history[number : number + 3]:
            if each[0] not in EVENTS:
                act(store, each)
    return store


def member(number: int, value: int) -> Row:
    return {
        "id": number,
        "phone": f" p{value} ",
        "name": f"n{value}",
        "address": WORDS[value],
        "email": WORDS[3 - value],
        "points": value,
        "wallet": f"{value}.{value:020d}",
        "level": None if value == 3 else value,
    }


def act(store: FakeStore, one: Act) -> None:
    what, number, value, seconds = one
    store.tick(seconds)
    members = sorted(store.tables["members"].rows)
    key = members[number % len(members)] if members else None
    if what == "insert" and (number,) not in members:
        store.insert("members", member(number, value))
    elif what == "batch":
        rows = [member(each, value) for each in range(number, 6) if (each,) not in members]
        if rows:
            store.insert("members", *rows)
    elif what == "truncate":
        store.truncate("members")
    elif what == "truncate_sales":
        store.truncate("sales")
    elif what == "widen":
        store.widen_column("members", ("points", "level")[value % 2], "BIGINT")
    elif what in ("add", "add_null", "drop"):
        alter(store, what, value)
    elif what == "snapshot":
        store.snapshot()
    elif what == "gap":
        store.stop_listening()
        act(store, ("update", number, value, 1))
        act(store, ("delete", number + 1, value, 1))
        store.snapshot()
    elif what == "rotate":
        store.rotate()
    elif what == "heartbeat":
        store.heartbeat()
    elif what in ("sale", "resale", "unsale", "note", "renote", "unnote"):
        act_elsewhere(store, what, number, value)
    elif key is not None and what in ("update", "delete", "move", "rekey"):
        change(store, what, key, number, value)


def change(store: FakeStore, what: str, key: Any, number: int, value: int) -> None:
    if what == "delete":
        store.delete("members", key)
    elif what == "move":
        store.update("members", key, id=10 + number, points=value)
    elif what == "rekey":
        store.update("members", key, phone=None if value == 3 else f"p{value}")
    else:
        wanted = member(0, value)
        names = [("name",), ("points", "address"), ("wallet",), ("email", "name"), ("level",), ("address",)][number]
        store.update("members", key, **{name: wanted[name] for name in names})


def alter(store: FakeStore, what: str, value: int) -> None:
    name = "extra" if value % 2 else "bonus"
    present = store.tables["members"].names
    if what == "drop" and name in present:
        store.drop_column("members", name)
    elif what == "add" and name not in present:
        store.add_column("members", column(name, "INT", default_value_expression=str(value)))
    elif what == "add_null" and name not in present:
        store.add_column("members", column(name, "INT"))


def act_elsewhere(store: FakeStore, what: str, number: int, value: int) -> None:
    sales, notes = store.tables["sales"].rows, store.tables["notes"].rows
    if what == "sale" and (number, value) not in sales:
        store.insert("sales", {"till": number, "number": value, "total": f"{value}.10", "note": WORDS[value]})
    elif what == "note":
        store.insert("notes", {"text": WORDS[value], "amount": value})
    elif what in ("resale", "unsale") and sales:
        key = sorted(sales)[number % len(sales)]
        if what == "unsale":
            store.delete("sales", key)
        else:
            store.update("sales", key, note=WORDS[value], till=key[0] + 20 * (number == 5))
    elif what in ("renote", "unnote") and notes:
        key = sorted(notes)[number % len(notes)]
        if what == "unnote":
            store.delete("notes", key)
        else:
            store.update("notes", key, amount=value)


# --- how the logs come ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One way for the stores' logs to reach the warehouse."""

    sizes: Sequence[Sequence[int]] = ((),) * 3  # of the batches, store by store
    backs: Sequence[Sequence[int]] = ((),) * 3  # how many events each batch is followed by once more
    turns: Sequence[frozenset[str]] = ()  # which stores are heard, poll by poll
    workers: int = 1
    crash_after: int | None = None  # polls, after which the worker is gone and another begins


ways = st.builds(
    Way,
    sizes=st.tuples(*[st.lists(st.integers(1, 9), max_size=12)] * 3),
    backs=st.tuples(*[st.lists(st.sampled_from([0, 0, 0, 1, 3, 50]), max_size=8)] * 3),
    turns=st.lists(st.frozensets(st.sampled_from(STORES)), max_size=10),
    workers=st.integers(1, 3),
    crash_after=st.none() | st.integers(0, 6),
)


class Place:
    """One warehouse, emptied before each run."""

    def __init__(self, url: str) -> None:
        self.warehouse = Warehouse(url)
        self.warehouse.migrate()
        self.policies: dict[str, Policy] = {}  # by fingerprint
        central.MANY_STORES = 1  # every key that can be decided from a few of its rows is
        plain = self.warehouse.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.connection = psycopg.connect(plain, autocommit=True, row_factory=dict_row, prepare_threshold=None)

    def close(self) -> None:
        self.connection.close()
        self.warehouse.dispose()

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        return self.connection.execute(statement, values).fetchall()  # type: ignore[arg-type]

    def empty(self, *, clocks: bool = True) -> None:
        """`clocks=False`: what is known of them stays."""
        for row in self.rows("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('stores', 'central')"):
            name = sql.Identifier(row["schemaname"], row["tablename"])
            self.connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(name))  # its views
        self.connection.execute(
            "TRUNCATE tillstream.ledger, tillstream.schema_versions, tillstream.presence, tillstream.floors,"
            " tillstream.keys, tillstream.dirty_keys, tillstream.dead_letters, tillstream.conflicts,"
            " tillstream.policies, tillstream.redecisions, tillstream.epochs, tillstream.history, tillstream.rules,"
            " tillstream.key_changes, tillstream.stale_keys RESTART IDENTITY"
        )
        if clocks:
            self.connection.execute("TRUNCATE tillstream.clock_corrections")

    @property
    def settled(self) -> bool:
        return not self.rows("SELECT FROM tillstream.dirty_keys UNION ALL SELECT FROM tillstream.redecisions LIMIT 1")

    def take_in(self, stores: Sequence[FakeStore], way: Way, policy: Policy = POLICY) -> None:
        """All logs to their ends, that way."""
        logs = [store.log for store in stores]
        if way.crash_after is not None:
            lanes = self._recorded(logs, range(len(logs)), way)
            worker = self.worker(lanes, policy)
            for _ in range(way.crash_after):
                worker.run_once(0.0)
        hands = [[n for n in range(len(logs)) if n % way.workers == hand] for hand in range(way.workers)]
        self.run_all([self._recorded(logs, hand, way) for hand in hands if hand], policy)

    def _recorded(self, logs: Sequence[Log], hand: Iterable[int], way: Way) -> RecordedLanes:
        lanes = RecordedLanes(way.turns)
        for number in hand:
            log = logs[number]
            lanes.record(log.batches(way.sizes[number], way.backs[number], start=self._restart(log)))
        return lanes

    def _restart(self, log: Log) -> int:
        """Where the engine goes on after a crash: its offset is never ahead of the ledger, and here often behind."""
        found = self.rows("SELECT file, pos FROM tillstream.ledger WHERE store = %s", log.store)
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
        working = [0] * len(all_lanes)

        def work(number: int) -> None:
            turns = itertools.count()
            lanes = all_lanes[number]

            def done() -> bool:
                working[number] = int(lanes.busy)
                if next(turns) > MOST_TURNS or failures:
                    raise AssertionError(f"not finished after {MOST_TURNS} turns: {lanes.refused}")
                return not any(working) and self.settled_for(number)

            try:
                self.worker(lanes, policy, warehouse).run(done)
            except BaseException as error:
                failures.append(error)

        working = [1] * len(all_lanes)
        self._looking = threading.Lock()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(all_lanes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
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
                repr(sorted((k, v) for k, v in each.items() if k not in unlike)) for each in rows
            )
        for table in ("floors", "presence", "dead_letters"):
            names = "store, table_name, epoch, file, pos, row, ord" if table == "floors" else "store, table_name"
            kept[table] = [*map(repr, self.rows(f"SELECT {names} FROM tillstream.{table} ORDER BY {names}"))]
        return kept


def agreed(stores: Sequence[FakeStore], policy: Policy) -> dict[str, dict[str, Any]]:
    """central.members as a function of the stores' own histories."""
    table = policy.tables["members"]
    found: dict[str, list[Any]] = {}
    for store in stores:
        for key, given_ in store.contributions("members", lambda row: business_key(table.key, row)).items():
            found.setdefault(key, []).extend(given_)
    columns = sorted({name for store in stores for name in store.tables["members"].names} - {"id", *key_columns(table)})
    resolutions = {key: resolve(table, columns, given_) for key, given_ in found.items()}
    return {
        key: {
            **{name: resolution.values.get(name) for name in columns},
            "_stores": list(resolution.stores),
            "_winners": dict(resolution.winners),
            "_contested": sorted(contest.column for contest in resolution.contests),
            "_uncertain": list(resolution.uncertain),
        }
        for key, resolution in resolutions.items()
        if resolution.exists
    }


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


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults pass at once here, and there is always time to look for keys left by others."""
    monkeypatch.setattr(worker_module, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(worker_module, "MOST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(batch_module, "DIRTY_SECONDS", 0.0)
    monkeypatch.setattr(key_change, "ROWS_AT_ONCE", 2)  # many steps, and the workers between them
    monkeypatch.setattr(key_change, "FEW_ROWS", 1)


@pytest.fixture(scope="module")
def only_place(warehouse_url: str) -> Iterator[Place]:
    """One database for all of them: making one takes longer than most of these tests."""
    made = Place(fresh_warehouse(warehouse_url, f"laws_{os.getpid()}"))
    yield made
    made.close()


@pytest.fixture
def place(only_place: Place) -> Place:
    only_place.empty()
    return only_place


few = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


# --- convergence ------------------------------------------------------------------------------------------


@given(
    history=st.tuples(histories, histories, histories),
    way=ways,
    compressed=st.booleans(),
    policy=st.builds(policy_with, st.sampled_from(list(Deletes)), st.sampled_from([MEMBERS.columns, CHOSEN])),
)
@settings(few, max_examples=30)
def test_every_way_leads_to_the_same_warehouse(
    place: Place, history: tuple[list[Act], ...], way: Way, compressed: bool, policy: Policy
) -> None:
    """Cut, interleaved, redelivered, crashed, by one worker or three: rows, stamps, floors and agreed rows are one."""
    stores = [
        lived(name, each, compressed=compressed, policy=policy) for name, each in zip(STORES, history, strict=True)
    ]
    place.empty()
    place.take_in(stores, Way(), policy)
    assert_truth(place, stores, policy)
    straight = place.everything()
    place.empty()
    place.take_in(stores, way, policy)
    assert_truth(place, stores, policy)
    assert place.everything() == straight


OTHER = Policy(
    version=2,
    tables=MappingProxyType(
        {
            "members": TablePolicy(
                table="members",
                key=(KeyPart(column="phone", normaliser=Normaliser.DIGITS),),
                columns=MappingProxyType(
                    {
                        "points": ColumnRule(rule=RuleName.SUM),
                        "wallet": ColumnRule(rule=RuleName.MIN),
                        "level": ColumnRule(rule=RuleName.MIN),
                        "name": ColumnRule(rule=RuleName.PRIORITY, ranks=(("s1",),)),
                        "email": ColumnRule(rule=RuleName.EARLIEST),
                    }
                ),
                deletes=Deletes.ALL,
            )
        }
    ),
    fingerprint="other",
)


@given(history=st.tuples(histories, histories, histories), way=ways, switches=st.integers(1, 4), data=st.data())
@settings(few, max_examples=15, phases=[Phase.generate])
def test_policies_switched_and_stores_doubted_beside_the_workers_leave_no_trace(
    place: Place, history: tuple[list[Act], ...], way: Way, switches: int, data: st.DataObject
) -> None:
    """Other rules, another key, a quarantine and back, at any moment, while three workers write: at the end all is as
    if there had been only the last."""
    last, other = data.draw(st.permutations([POLICY, OTHER]))
    stores = [lived(name, each, policy=last) for name, each in zip(STORES, history, strict=True)]
    place.empty()
    place.take_in(stores, Way(), last)
    assert_truth(place, stores, last)
    straight = place.everything()

    place.empty()
    place.switch(last)
    place.switch(other)
    pauses = data.draw(st.lists(st.sampled_from([0.0, 0.002, 0.01]), min_size=switches, max_size=switches))
    hands = [place._recorded([store.log for store in stores], [n], way) for n in range(len(stores))]
    done = threading.Thread(target=place.run_all, args=(hands, other))
    done.start()
    for pause in pauses:
        time.sleep(pause)
        quarantines = Quarantines(place.warehouse)
        number = quarantines.add("s2", None, LONG_AGO, reason="tried", author="law")
        place.switch(last)
        time.sleep(pause)
        quarantines.lift(number)
        place.switch(other)
    place.switch(last)
    done.join(60)
    place.run_all([RecordedLanes()], last)
    assert_truth(place, stores, last)
    assert place.everything() == straight


looks = st.lists(
    st.tuples(
        st.sampled_from(STORES),
        st.integers(0, 2000),  # how far in its log, in positions
        st.sampled_from([0, 3, -8, 60, 3 * 3600]),  # seconds that its clock is found to be off
        st.sampled_from([0.0, 0.002, 0.01]),  # how long after the look before
    ),
    min_size=1,
    max_size=6,
)


@given(history=st.tuples(histories, histories, histories), way=ways, looks=looks,
       deletes=st.sampled_from(list(Deletes)))  # fmt: skip
@settings(few, max_examples=12, phases=[Phase.generate])
def test_clocks_found_wrong_beside_the_workers_are_as_if_that_had_been_known_before(
    place: Place, history: tuple[list[Act], ...], way: Way, looks: list[tuple[str, int, int, float]], deletes: Deletes
) -> None:
    """Corrections that reach back behind what is decided already, at any moment: at the end everything is as a replay
    makes it that knows them from the beginning."""
    policy = policy_with(deletes)
    stores = [lived(name, each, policy=policy) for name, each in zip(STORES, history, strict=True)]
    place.empty()
    place.switch(policy)
    for name in STORES:
        place.rows("INSERT INTO tillstream.epochs (store, epoch, reason) VALUES (%s, 1, 'law') RETURNING 1", name)
    hands = [place._recorded([store.log for store in stores], [n], way) for n in range(len(stores))]
    done = threading.Thread(target=place.run_all, args=(hands, policy))
    done.start()
    clocks = ClockLooks(place.warehouse)
    for number, (store, pos, off_seconds, pause) in enumerate(sorted(looks, key=lambda each: each[1])):
        time.sleep(pause)
        if number == len(looks) // 2:
            done.join(60)  # what is found from now on finds everything decided
        at_us = (1_700_000_000 + pos) * 1_000_000
        clocks.look(store, Look(place=(1, 1, pos), began_us=at_us, ended_us=at_us + 1000,
                                offset_us=off_seconds * 1_000_000, uncertainty_us=500))  # fmt: skip
    place.run_all([RecordedLanes()], policy)
    with place.warehouse.transaction() as tx:
        known = KnownClocks().read(tx)
    for store in stores:
        store.clock = known[store.name]
    assert_truth(place, stores, policy)
    found = place.everything()
    place.empty(clocks=False)
    place.take_in(stores, Way(), policy)
    assert place.everything() == found


def changes_key(store: FakeStore) -> None:
    store.update("members", (0,), phone="p3", name="elsewhere")


def changes_both_keys(store: FakeStore) -> None:
    """The old row is withdrawn, not deleted: what other stores have under its key stays."""
    store.tick(50)
    store.update("members", (0,), id=20, phone="p3")


def has_a_clock_that_runs_backwards(store: FakeStore) -> None:
    store.tick(100)
    store.update("members", (0,), name="late")
    store.tick(-60)
    store.update("members", (0,), address="early, and last")


def moves_a_row_it_has_changed(store: FakeStore) -> None:
    store.update("members", (0,), name="first")
    store.tick(5)
    store.update("members", (0,), id=20, address="with the move")
    store.tick(5)
    store.update("members", (20,), level=9)


def changes_a_row_unseen(store: FakeStore) -> None:
    store.stop_listening()
    store.update("members", (0,), name="unseen")
    store.tick(5)
    store.snapshot()
    store.update("members", (0,), address="seen")


def deletes_a_row_and_has_it_again(store: FakeStore) -> None:
    store.tick(50)
    store.delete("members", (0,))
    store.tick(-20)
    store.insert("members", {**member(0, 0), "id": 7})


def empties_a_table(store: FakeStore) -> None:
    store.truncate("members")
    store.insert("members", member(1, 1))


@pytest.mark.parametrize("size", [1, 1000], ids=["event by event", "at once"])
@pytest.mark.parametrize(
    "what",
    [changes_key, changes_both_keys, has_a_clock_that_runs_backwards, moves_a_row_it_has_changed,
     changes_a_row_unseen, deletes_a_row_and_has_it_again, empties_a_table],
)  # fmt: skip
def test_a_store_that(place: Place, what: Callable[[FakeStore], None], size: int) -> None:
    """What the random histories rarely bring about, one by one, beside a store that has the same members."""
    stores = [lived("s1", []), lived("s2", [])]
    stores[1].tick(20)
    stores[1].update("members", (0,), name="of the other store")
    what(stores[0])
    for store in reversed(stores):  # one by one: the other's events would have keys decided that these forgot
        place.take_in([store], Way(sizes=((size,),), backs=((),)))
    assert_truth(place, stores)


def test_a_column_that_another_worker_added_is_decided_by_this_one(place: Place) -> None:
    """A worker's idea of a table may be old; a key it decides has all of the table's columns all the same."""
    one, other = lived("s1", []), lived("s2", [])
    lanes = {store.name: RecordedLanes() for store in (one, other)}
    workers = {name: place.worker(each) for name, each in lanes.items()}

    def take_in(store: FakeStore, start: int) -> None:
        lanes[store.name].record([store.log.batch(start, len(store.log))])
        while lanes[store.name].busy:
            workers[store.name].run_once(0.0)

    take_in(one, 0)
    take_in(other, 0)
    at = len(one.log)
    one.add_column("members", column("extra", "INT", default_value_expression="7"))
    take_in(one, at)
    at = len(other.log)
    other.update("members", (0,), name="new")
    take_in(other, at)
    assert_truth(place, [one, other])


def test_a_snapshot_has_ended_once_the_log_goes_on(place: Place) -> None:
    """Read anew and changed in one batch: the change of a keyless row takes the row that was read, not its ghost."""
    store = lived("s1", [])
    store.snapshot()
    store.update("notes", min(store.tables["notes"].rows), amount=2)
    store.add_column("members", column("extra", "INT"))
    store.delete("members", (0,))
    place.take_in([store], Way())
    assert_truth(place, [store])


def test_a_column_dropped_and_added_again_is_a_new_one(place: Place) -> None:
    """Its old values and the times of their changes are gone; a row has the new default, or NULL."""
    for default, expected in (("5", 5), (None, None)):
        place.empty()
        store = lived("s1", [])
        store.add_column("members", column("extra", "INT"))
        store.update("members", (0,), extra=3)
        store.drop_column("members", "extra")
        store.add_column("members", column("extra", "INT", default_value_expression=default))
        place.take_in([store], Way())
        assert {row["extra"] for row in place.live("members", store).values()} == {expected}
        assert_truth(place, [store])


@pytest.mark.parametrize("size", [1, 1000], ids=["event by event", "at once"])
def test_tables_dropped_by_one_statement_are_all_gone(place: Place, size: int) -> None:
    """Each is an event of its own at the same position, and they may come in several batches."""
    store = lived("s1", [])
    place.empty()
    place.take_in([store], Way())
    at = len(store.log)
    store.drop(*store.tables)
    lanes = RecordedLanes()
    worker = place.worker(lanes)
    lanes.record(store.log.batches([size] * 3, start=at))
    while lanes.busy:
        worker.run_once(0.0)
        worker.settle()
    assert not lanes.refused
    assert {table: len(place.live(table, store)) for table in store.tables} == dict.fromkeys(store.tables, 0)


def test_a_column_that_another_worker_widened_stops_nobody(place: Place) -> None:
    """INT becomes BIGINT while this one reads the table all the time: no plan of its is too old for it."""
    one, other = lived("s1", []), lived("s2", [])
    warehouse = Warehouse(place.warehouse.url.render_as_string(hide_password=False))
    lanes = {store.name: RecordedLanes() for store in (one, other)}
    workers = {"s1": place.worker(lanes["s1"]), "s2": place.worker(lanes["s2"], warehouse=warehouse)}

    def take_in(store: FakeStore, start: int, size: int) -> None:
        lanes[store.name].record(store.log.batches([size], start=start))
        while lanes[store.name].busy:
            workers[store.name].run_once(0.0)
            workers[store.name].settle()

    for number in range(12):
        other.update("members", (0,), points=number)
    take_in(one, 0, 100)
    take_in(other, 0, 1)
    at = [len(store.log) for store in (one, other)]
    one.widen_column("members", "points", "BIGINT")
    one.update("members", (0,), points=2**40)
    other.truncate("sales")
    other.update("members", (0,), points=100)
    take_in(one, at[0], 100)
    take_in(other, at[1], 100)
    warehouse.dispose()
    assert not lanes["s2"].refused
    assert_truth(place, [one, other])


class HeldWarehouse(Warehouse):
    """Whose next transaction, once armed, does all of its work and then waits before its COMMIT."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.armed = False
        self.reached, self.may_commit = threading.Event(), threading.Event()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with super().transaction() as tx:
            yield tx
            if self.armed:
                self.armed = False
                self.reached.set()
                self.may_commit.wait(WAIT_SECONDS)


@pytest.mark.parametrize("phone", ["p0", "p3"], ids=["a known key", "a new key"])
def test_two_workers_at_one_key_see_each_other(place: Place, phone: str) -> None:
    """While one has decided a key and not committed, another brings its store's part: neither part is lost."""
    stores = [lived("s1", []), lived("s2", [])]
    held = HeldWarehouse(place.warehouse.url.render_as_string(hide_password=False))
    all_lanes = [RecordedLanes(), RecordedLanes()]
    workers = [place.worker(all_lanes[0], warehouse=held), place.worker(all_lanes[1])]

    def take_in(number: int, start: int) -> None:
        all_lanes[number].record([stores[number].log.batch(start, len(stores[number].log))])
        while all_lanes[number].busy:
            workers[number].run_once(0.0)
            workers[number].settle()

    for number in (0, 1):
        take_in(number, 0)
    at = [len(store.log) for store in stores]
    stores[0].update("members", (0,), phone=phone, points=1)
    stores[1].update("members", (0,), phone=phone, points=10)
    held.armed = True
    first = threading.Thread(target=take_in, args=(0, at[0]))
    first.start()
    assert held.reached.wait(WAIT_SECONDS)
    second = threading.Thread(target=take_in, args=(1, at[1]))
    second.start()
    second.join(LONG_ENOUGH_SECONDS)
    assert second.is_alive()
    held.may_commit.set()
    first.join(WAIT_SECONDS)
    second.join(WAIT_SECONDS)
    held.dispose()
    assert place.central()[phone]["points"] == 11
    assert_truth(place, stores)


def disturbed(place: Place, store: FakeStore, change: Callable[[], object], disturb: Callable[[], object]) -> None:
    """What the store's `change` brings is decided and not committed while `disturb` begins; then both go on."""
    held = HeldWarehouse(place.warehouse.url.render_as_string(hide_password=False))
    lanes = RecordedLanes()
    worker = place.worker(lanes, warehouse=held)

    def take_in(start: int) -> None:
        lanes.record([store.log.batch(start, len(store.log))])
        while lanes.busy or not place.settled:
            worker.run_once(0.0)
            worker.settle()

    take_in(0)
    at = len(store.log)
    change()
    held.armed = True
    working = threading.Thread(target=take_in, args=(at,))
    working.start()
    assert held.reached.wait(WAIT_SECONDS)
    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    disturbing.join(LONG_ENOUGH_SECONDS)
    held.may_commit.set()
    disturbing.join(WAIT_SECONDS)
    working.join(WAIT_SECONDS)
    take_in(len(store.log))
    held.dispose()


def test_a_key_that_is_being_decided_is_not_left_out_of_a_quarantine(place: Place) -> None:
    """A member that its store's worker has decided and not committed is decided again without that store, too."""
    store = lived("s1", [])
    disturbed(
        place,
        store,
        lambda: store.insert("members", member(9, 3)),
        lambda: Quarantines(place.warehouse).add("s1", None, LONG_AGO, reason="tried", author="law"),
    )
    (number,) = (row["id"] for row in place.rows("SELECT id FROM tillstream.quarantines WHERE lifted_at IS NULL"))
    Quarantines(place.warehouse).lift(number)
    assert place.central() == {}


def test_a_key_that_is_being_decided_is_not_left_out_of_a_correction(place: Place) -> None:
    """A member that its store's worker has decided by a clock that is found wrong meanwhile is decided again, too."""
    fast, right = lived("s1", []), lived("s2", [])
    right.insert("members", {**member(9, 3), "name": "later"})
    fast.tick(60)
    place.take_in([right], Way())
    place.rows("INSERT INTO tillstream.epochs (store, epoch, reason) VALUES ('s1', 1, 'law') RETURNING 1")
    look = Look(place=(1, 1, 100_000), began_us=0, ended_us=0, offset_us=100_000_000, uncertainty_us=500)
    disturbed(
        place,
        fast,
        lambda: fast.insert("members", {**member(9, 3), "name": "seems later"}),
        lambda: ClockLooks(place.warehouse).look("s1", look),
    )
    assert place.central()["p3"]["name"] == "later"
    with place.warehouse.transaction() as tx:
        fast.clock = KnownClocks().read(tx)["s1"]
    assert_truth(place, [fast, right])


# --- monotone, floors, absence ----------------------------------------------------------------------------


@given(history=histories, start=st.integers(0, 60), length=st.integers(1, 60))
@few
def test_an_older_event_changes_nothing(place: Place, history: list[Act], start: int, length: int) -> None:
    """Any part of the log's stream that comes again, and all rows of finished snapshots, by a new worker."""
    store = lived("s1", history)
    place.empty()
    place.take_in([store], Way())
    before = place.everything()
    log = store.log
    first = log.restart(len(log), 10_000)
    again = RecordedLanes()
    if not {"add", "add_null", "drop"} & {each[0] for each in history}:  # else they fit the table no more
        again.record([log.rows_of_finished_snapshots("members")])
    if first < len(log):
        begin = first + start % (len(log) - first)
        again.record([log.batch(begin, min(len(log), begin + length))])
    place.run_all([again])
    assert place.everything() == before


@given(history=histories)
@few
def test_a_change_never_overwrites_a_later_one(place: Place, history: list[Act]) -> None:
    """Even where no position protects them: with the ledger set back, each older row image is refused by its stamp."""
    store = lived("s1", [each for each in history if each[0] in EVENTS and "note" not in each[0]])
    place.empty()
    place.take_in([store], Way())
    before = place.everything()
    place.rows("UPDATE tillstream.ledger SET file = 0, pos = 0, row = -1, ord = -1 RETURNING store")
    log = store.log
    lanes = RecordedLanes()
    first = log.restart(len(log), 10_000)
    lanes.record([log.batch(index, index + 1) for index in range(first, len(log))])
    place.run_all([lanes])
    after = place.everything()
    assert after["stores.members"] == before["stores.members"]
    assert after["stores.sales"] == before["stores.sales"]
    assert after["central.members"] == before["central.members"]


def test_a_row_below_its_floor_does_not_live_whenever_it_comes(place: Place) -> None:
    """An event that was set aside before a TRUNCATE and is retried after it brings nothing back."""
    store = lived("s1", [])
    store.insert("members", member(4, 1))
    event = store.log.entries[-1].event
    store.truncate("members")
    place.take_in([store], Way())
    place.rows("DELETE FROM stores.members WHERE _pk = '4' RETURNING _pk")
    assert event.source is not None
    (letter,) = place.rows(
        "INSERT INTO tillstream.dead_letters"
        " (store, database, table_name, pk, epoch, file, pos, row, ord, op, reason, event)"
        " VALUES ('s1', %s, 'members', '4', 1, 1, %s, 0, 0, 'c', 'set aside', %s) RETURNING id",
        *(DATABASE, event.source.pos, msgspec.json.encode(event)),
    )
    policy_id = switch_policy(place.warehouse, Shapes(POLICY))
    retry_letter(place.warehouse, Shapes(POLICY, policy_id), letter["id"])
    assert place.live("members", store) == {}
    assert place.central() == {}


def test_a_truncate_right_where_the_snapshot_stood_leaves_nothing(place: Place) -> None:
    """Without GTIDs it begins at the very position that the snapshot's rows carry, and yet is later than they are."""
    store = lived("s1", [])
    store.snapshot()
    store.truncate("members", moves_log=False)
    place.take_in([store], Way())
    assert place.live("members", store) == {}
    assert_truth(place, [store])


def test_an_unfinished_snapshot_sweeps_nothing(place: Place) -> None:
    """Rows it had not come to yet stay until one is finished that does not find them."""
    store = lived("s1", [("insert", 3, 3, 0)])
    place.take_in([store], Way())
    before = place.live("members", store)
    store.stop_listening()
    store.delete("members", (0,))
    store.snapshot(stop_after=1)
    place.take_in([store], Way())
    assert place.live("members", store).keys() == before.keys()
    store.snapshot()
    place.take_in([store], Way())
    assert_truth(place, [store])


def test_a_store_that_begins_anew_before_its_first_snapshot_ended_is_followed(place: Place) -> None:
    """The resync that brings its rows waits for a store whose snapshot is done: nothing else would ever say so."""
    store = FakeStore("s1", new_tables())
    store.insert("members", member(0, 0))
    store.snapshot(stop_after=1)
    place.take_in([store], Way())
    assert place.rows("SELECT snapshot_done FROM tillstream.ledger") == [{"snapshot_done": False}]
    start = len(store.log)
    store.snapshot()
    whole = store.log.batch(start, len(store.log))
    lanes = RecordedLanes()
    lanes.record([replace(whole, events=[each for each in whole.events if each.op is None], schema_only=True)])
    place.run_all([lanes])
    assert place.rows("SELECT snapshot_done FROM tillstream.ledger") == [{"snapshot_done": True}]


def test_absent_is_not_null(place: Place) -> None:
    """A store without the column takes no part in deciding it; one with NULL in it does."""
    one, other = lived("s1", []), lived("s2", [])
    other.tick(100)
    one.add_column("members", column("extra", "INT"))
    one.update("members", (0,), extra=3)
    other.update("members", (0,), name="later")
    place.take_in([one, other], Way())
    assert place.central()["p0"]["extra"] == 3
    other.add_column("members", column("extra", "INT"))
    other.tick(100)
    other.update("members", (0,), extra=4)
    other.update("members", (0,), extra=None)
    place.take_in([one, other], Way())
    assert place.central()["p0"]["extra"] is None
    other.drop_column("members", "extra")
    place.take_in([one, other], Way())
    assert place.central()["p0"]["extra"] == 3
    assert_truth(place, [one, other])


# --- faults of the warehouse ------------------------------------------------------------------------------


class FaultyWarehouse(Warehouse):
    """Whose transactions fail, by number, after their COMMIT (its answer is lost) or before it."""

    def __init__(self, url: str, *, lost_answers: Iterable[int] = (), faults: Iterable[int] = ()) -> None:
        super().__init__(url)
        self._lost_answers, self._faults = frozenset(lost_answers), frozenset(faults)
        self.transactions = 0

    def lose_answer_of(self, transaction: int) -> None:
        self._lost_answers = frozenset({transaction})

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        number, self.transactions = self.transactions, self.transactions + 1
        with super().transaction() as tx:
            yield tx
            if number in self._faults:
                raise TransientError("the connection broke before COMMIT")
        if number in self._lost_answers:
            raise TransientError("the connection broke while COMMIT was answered")


@given(history=histories, way=ways, numbers=st.sets(st.integers(0, 6), min_size=1, max_size=4), lost=st.booleans())
@few
def test_a_fault_before_or_after_commit_changes_nothing(
    place: Place, history: list[Act], way: Way, numbers: set[int], lost: bool
) -> None:
    """The batch is simply tried again, and nothing is in twice: rows without a key neither."""
    store = lived("s1", history)
    place.empty()
    lanes = RecordedLanes()
    lanes.record(store.log.batches(way.sizes[0], way.backs[0]))
    warehouse = FaultyWarehouse(
        place.warehouse.url.render_as_string(hide_password=False),
        **{"lost_answers" if lost else "faults": {1, *numbers}},
    )
    try:
        place.run_all([lanes], warehouse=warehouse)
    finally:
        warehouse.dispose()
    assert not lanes.refused
    assert_truth(place, [store])
    moved = place.rows("SELECT events FROM tillstream.ledger")
    before = place.everything()
    place.empty()
    place.take_in([store], Way(sizes=way.sizes, backs=way.backs))
    assert place.everything() == before
    assert place.rows("SELECT events FROM tillstream.ledger") == moved


@pytest.mark.parametrize("led", [False, True], ids=["rows alone", "led by a TRUNCATE"])
def test_a_change_without_a_key_is_not_made_twice(place: Place, led: bool) -> None:
    """Of two equal rows one is deleted, and the answer to that COMMIT is lost: the other one stays."""
    store = lived("s1", [])
    at = len(store.log)
    if led:
        store.truncate("sales")
    store.delete("notes", min(store.tables["notes"].rows))
    place.take_in([store], Way())
    place.empty()
    warehouse = FaultyWarehouse(place.warehouse.url.render_as_string(hide_password=False))
    lanes = RecordedLanes()
    worker = place.worker(lanes, warehouse=warehouse)
    for start, end in ((0, at), (at, len(store.log))):
        warehouse.lose_answer_of(warehouse.transactions if start else -1)
        lanes.record([store.log.batch(start, end)])
        while lanes.busy:
            worker.run_once(0.0)
            worker.settle()
    warehouse.dispose()
    assert_truth(place, [store])


def test_a_worker_that_lost_its_lane_writes_nothing(place: Place) -> None:
    """Its batch is rolled back and its lane refused; its other lanes go on, and the new worker is undisturbed."""
    stores = [lived("s1", []), lived("s2", [])]
    at = [len(store.log) for store in stores]
    old_lanes, new_lanes = RecordedLanes(), RecordedLanes()
    old, new = place.worker(old_lanes), place.worker(new_lanes)
    old_lanes.record([store.log.batch(0, end) for store, end in zip(stores, at, strict=True)])
    while old_lanes.busy:
        old.run_once(0.0)
    for store in stores:
        for name in ("from the old worker", "from it too"):
            store.update("members", (0,), name=name)
    deliveries = [
        delivery
        for index in (0, 1)  # the second is prepared while the first is written
        for delivery in old_lanes.record(
            store.log.batch(start + index, start + index + 1) for store, start in zip(stores, at, strict=True)
        )
    ]
    new_lanes.record([stores[0].log.batch(at[0], at[0])])  # only takes the lane over
    new.run_once(0.0)
    before = place.live("members", stores[0])
    while old_lanes.busy:
        old.run_once(0.0)
    assert [type(each.error) for each in deliveries] == [LeaseLostError, type(None)] * 2
    assert place.live("members", stores[0]) == before
    assert old_lanes.refused.keys() == {"s1"}
    assert place.live("members", stores[1]) == stores[1].rows("members")
    new_lanes.record([stores[0].log.batch(at[0], at[0] + 2)])
    while new_lanes.busy:
        new.run_once(0.0)
    assert_truth(place, stores)


def test_a_fault_while_a_lane_is_claimed_is_waited_out(place: Place) -> None:
    """The first thing done for a lane is no more deadly than any other."""
    store = lived("s1", [])
    lanes = RecordedLanes()
    lanes.record([store.log.batch(0, len(store.log))])
    warehouse = FaultyWarehouse(place.warehouse.url.render_as_string(hide_password=False), faults={0})
    try:
        place.run_all([lanes], warehouse=warehouse)
    finally:
        warehouse.dispose()
    assert_truth(place, [store])


def test_a_lane_that_cannot_be_claimed_stops_alone(place: Place) -> None:
    """The policy's key names a column that this store's table does not have: the other store goes on."""
    stores = [lived("s1", []), lived("s2", [])]
    stores[0].drop_column("members", "email")
    place.take_in(stores, Way(), Policy(version=1, tables=MappingProxyType({}), fingerprint="none"))
    key = (KeyPart(column="email", normaliser=Normaliser.EXACT),)
    policy = Policy(
        version=2, tables=MappingProxyType({"members": TablePolicy(table="members", key=key)}), fingerprint="two"
    )
    at = [len(store.log) for store in stores]
    for store in stores:
        store.insert("sales", {"till": 9, "number": 9})
    lanes = RecordedLanes()
    lanes.record([store.log.batch(start, len(store.log)) for store, start in zip(stores, at, strict=True)])
    place.run_all([lanes], policy)
    assert lanes.refused.keys() == {"s1"}
    assert isinstance(lanes.refused["s1"], RefusedError)
    assert place.live("sales", stores[1]) == stores[1].rows("sales")


# --- one bad row ------------------------------------------------------------------------------------------

BAD = {"bytes of another charset": ("note", "aÿb"), "a text that is no time": ("seen", "not-a-time")}


@pytest.mark.parametrize("bad", BAD)
@given(sizes=st.lists(st.integers(1, 9), max_size=8), at=st.integers(1, 4))
@settings(few, max_examples=6)
def test_one_bad_row_stops_nothing_else(place: Place, bad: str, sizes: list[int], at: int) -> None:
    """It is set aside with its coordinates and all others are in; a later full image of it makes the letter moot."""
    place.empty()
    name, value = BAD[bad]
    stores = [lived(each, []) for each in STORES]
    for store in stores:
        store.add_column("members", column("seen", "TIMESTAMP"))
        store.add_column("members", column("note", "VARCHAR", length=10, charset_name="latin1", real_charset="utf8"))
        for number in range(2, 6):
            store.insert("members", {**member(number, 1), **({name: value} if store.name == "s2" and number == at + 1
                                                             else {})})  # fmt: skip
            store.insert("sales", {"till": 1, "number": number, "total": "1.00"})
    bad_pk = str(at + 1)
    place.take_in(stores, Way(sizes=[sizes] * 3))
    for store in stores:
        expected = dict(store.rows("members"))
        if store.name == "s2":
            assert expected.pop(bad_pk)[name] == value
        assert place.live("members", store) == expected
        assert place.live("sales", store) == store.rows("sales")
    (letter,) = place.rows("SELECT store, table_name, pk, file, pos, op, reason, status FROM tillstream.dead_letters")
    assert (letter["store"], letter["table_name"], letter["pk"]) == ("s2", "members", bad_pk)
    (event,) = [e.event for e in stores[1].log.entries if (e.event.after or {}).get(name) == value]
    assert event.source is not None
    assert (letter["pos"], letter["op"], letter["status"]) == (event.source.pos, "c", "open")
    assert ("not utf8" if name == "note" else "22007") in letter["reason"]
    stores[1].update("members", (at + 1,), **{name: None})
    place.take_in(stores, Way())
    assert place.live("members", stores[1]) == stores[1].rows("members")
    assert [each["status"] for each in place.rows("SELECT status FROM tillstream.dead_letters")] == ["superseded"]


def test_a_key_that_cannot_be_kept_stops_nothing_else(place: Place) -> None:
    """A primary key that cannot be read is set aside, also as the old half of a key change."""
    store = lived("s1", [])
    for table in store.tables.values():
        if table.name == "members":
            table.columns[0] = column("id", "VARCHAR", length=10, charset_name="latin1", real_charset="utf8")
            table.rows = {("a",): {**member(0, 1), "id": "a"}}
            table.kept.clear()
    place.empty()
    store.snapshot()
    store.insert("members", {**member(0, 2), "id": "bÿ"})
    store.update("members", ("bÿ",), id="c")
    lanes = RecordedLanes()
    start = max(i for i, e in enumerate(store.log.entries) if e.in_snapshot and e.restart == i)
    lanes.record([store.log.batch(start, len(store.log))])
    place.run_all([lanes])
    assert place.live("members", store) == store.rows("members")
    assert len(place.rows("SELECT 1 FROM tillstream.dead_letters")) == 2


# --- what another policy would make of it -----------------------------------------------------------------

NUMBERS = ("points", "wallet", "level")
KEYS = (
    (KeyPart(column="phone", normaliser=Normaliser.TRIM),),
    (KeyPart(column="phone", normaliser=Normaliser.TRIM, stop=frozenset({"p1"})),),
    (KeyPart(column="phone", normaliser=Normaliser.DIGITS),),
    (KeyPart(column="name", normaliser=Normaliser.UPPER),),
    (KeyPart(column="phone", normaliser=Normaliser.TRIM), KeyPart(column="level", normaliser=Normaliser.EXACT)),
)
orders = st.permutations(STORES).flatmap(
    lambda all_: st.sampled_from(
        [tuple((each,) for each in all_[:n]) for n in (1, 2, 3)]
        + [((all_[0], all_[1]), (all_[2],)), (tuple(all_[:2]),)]
    )
)


def rules(column: str) -> st.SearchStrategy[ColumnRule]:
    plain = [RuleName.LATEST, RuleName.EARLIEST, RuleName.MAX, RuleName.MIN, RuleName.PER_STORE]
    plain += [RuleName.SUM] if column in NUMBERS else [RuleName.UNION]
    simple = st.builds(ColumnRule, rule=st.sampled_from(plain))
    deciding = simple.filter(lambda rule: rule.rule is not RuleName.PER_STORE)
    then = st.none() | deciding
    return st.one_of(
        simple,
        st.builds(ColumnRule, rule=st.just(RuleName.CONSTANT), value=st.sampled_from(["7", None])),
        st.builds(ColumnRule, rule=st.just(RuleName.FIRST_NON_NULL), ranks=orders),
        st.builds(ColumnRule, rule=st.just(RuleName.PRIORITY), ranks=orders, then=then),
        st.builds(
            ColumnRule,
            rule=st.sampled_from([RuleName.MAJORITY, RuleName.EQUAL_OR_FLAG, RuleName.REVIEW]),
            then=then,
        ),
        st.builds(
            ColumnRule,
            rule=st.sampled_from([RuleName.HIGHEST, RuleName.LOWEST]),
            order=st.just(("1", "n1", "0", "n0")),
            then=then,
        ),
    )


def policies_of(key: tuple[KeyPart, ...]) -> st.SearchStrategy[TablePolicy]:
    named = [name for name in ("name", "address", "email", *NUMBERS) if name not in {part.column for part in key}]
    return st.builds(
        TablePolicy,
        table=st.just("members"),
        key=st.just(key),
        columns=st.fixed_dictionaries({name: rules(name) for name in named}).map(MappingProxyType),
        deletes=st.sampled_from(list(Deletes)),
    )


def policy_of(members: TablePolicy | None) -> Policy:
    tables = {} if members is None else {"members": members}
    return Policy(version=1, tables=MappingProxyType(tables), fingerprint=repr(sorted(tables.items())))


some_policy = (st.none() | st.sampled_from(KEYS).flatmap(policies_of)).map(policy_of)


def central_texts(place: Place) -> dict[str, dict[str, str | None]]:
    """Of central.members, every column as text and the store it came from."""
    if not place.rows("SELECT 1 FROM pg_tables WHERE schemaname = 'central' AND tablename = 'members'"):
        return {}
    found = {}
    for row in place.rows("SELECT to_jsonb(t) - '_key' AS row, t._key, t._winners FROM central.members t"):
        names = [name for name in row["row"] if not name.startswith("_")]
        shown = place.rows(
            "SELECT " + ", ".join(f'"{name}"::text' for name in names) + " FROM central.members WHERE _key = %s",
            row["_key"],
        )[0]
        found[row["_key"]] = {**shown, "_winners": row["_winners"]}
    return found


@given(history=st.tuples(histories, histories, histories), old=some_policy, new=some_policy)
@settings(few, max_examples=25)
def test_what_a_trial_predicts_is_what_the_switch_brings(
    place: Place, history: tuple[list[Act], ...], old: Policy, new: Policy
) -> None:
    """Every value that changes, whose it was and whose it becomes, and every row that comes or goes."""
    place.empty()
    stores = [lived(name, each, policy=POLICY) for name, each in zip(STORES, history, strict=True)]
    switch_policy(place.warehouse, Shapes(old))
    place.take_in(stores, Way(), old)
    before, everything = central_texts(place), place.everything()

    with place.warehouse.transaction() as tx:
        (*predicted,) = PolicyTrial(tx, Shapes(old), Shapes(new), samples=1000, most_keys=None).run()
    assert place.everything() == everything, "a trial writes nothing"

    switch_policy(place.warehouse, Shapes(new))
    for store in stores:
        store.heartbeat()
    place.take_in(stores, Way(), new)
    after = central_texts(place)

    changed = {
        (key, column, row[column], after[key][column], row["_winners"].get(column), after[key]["_winners"].get(column))
        for key, row in before.items()
        if key in after
        for column in row
        if column != "_winners" and row[column] != after[key][column]
    }
    assert {
        (one.key, column, one.old, one.new, one.from_store, one.to_store)
        for each in predicted
        for column, samples in each.samples.items()
        for one in samples
    } == changed
    assert sum(each.values for each in predicted) == len(changed)
    assert sorted(key for each in predicted for key in each.samples_appearing) == sorted(set(after) - set(before))
    assert sorted(key for each in predicted for key in each.samples_disappearing) == sorted(set(before) - set(after))
    assert sum(each.appearing for each in predicted) == len(set(after) - set(before))
    assert sum(each.disappearing for each in predicted) == len(set(before) - set(after))
