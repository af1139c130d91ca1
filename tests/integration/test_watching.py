"""What is told of stores in figures: watermarks, traffic, shapes, and the metrics that `run` fills."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from harness import Chain
from msgspec.structs import replace
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sinks.store_states import StoreStates
from sinks.warehouse import Warehouse
from sinks.watching.decisions import tell_waiting
from sinks.watching.looks import LOOKS
from sinks.watching.shapes import tell_shapes
from sinks.watching.stores import tell_stores
from sinks.watching.traffic import tell_traffic
from sinks.watching.watch import Look, Watch
from tillstream import metrics
from tillstream.envelope import DeclaredColumn
from tillstream.rehearsal.mysql import MySQLServer
from tillstream.states import StoreReport, StoreState

POLICIES = """\
version: 1
tables:
  members: {scope: shared, key: {phone: phone_cn}, columns: {name: {rule: review, then: latest}, "*": {rule: latest}}}
"""
WATERMARKS = 8  # of each store, one after the other
MOST_SECONDS = 60.0


@pytest.fixture(scope="module")
def chain(make_chain: Any, mysql56: MySQLServer, mysql97: MySQLServer) -> Chain:
    stores = {"old": mysql56, "new": mysql97}
    chain: Chain = make_chain(
        stores, database="watched", policies=POLICIES, probe_seconds=0.3,
        settings="retry: {first_seconds: 0.2, most_seconds: 1}\n",
    )  # fmt: skip
    chain.on_all(
        "CREATE TABLE members (id INT PRIMARY KEY, phone VARCHAR(20), name VARCHAR(20))",
        "CREATE TABLE sale (n INT PRIMARY KEY, committed_at DOUBLE)",
        "INSERT INTO members VALUES (1, '13800138000', 'Li')",
    )
    chain.start()
    return chain


def told(name: str) -> dict[tuple[str, ...], float]:
    """By the labels' values, in the order of the labels' names; as Prometheus reads it."""
    text = generate_latest(metrics.REGISTRY).decode()
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def complete_at(chain: Chain, store: str) -> float:
    query = "SELECT extract(epoch FROM complete_at)::float8 FROM tillstream.watermarks WHERE store = %s"
    return float(chain.rows(query, [store])[0][0] or 0)


def test_what_was_committed_before_a_watermark_is_in_the_warehouse(chain: Chain) -> None:
    """At every moment, under traffic; and the watermark goes on with the store's log."""
    query = (
        "SELECT w.store, extract(epoch FROM w.complete_at)::float8,"
        " (SELECT coalesce(max(n), 0) FROM stores.sale WHERE _store = w.store) FROM tillstream.watermarks w"
    )
    committed: dict[str, list[float]] = {"old": [], "new": []}
    seen: dict[str, set[float]] = {"old": set(), "new": set()}
    deadline = time.monotonic() + MOST_SECONDS
    while min(len(each) for each in seen.values()) < WATERMARKS:
        assert time.monotonic() < deadline, seen
        for store, times in committed.items():
            chain.on(store, f"INSERT INTO sale VALUES ({len(times) + 1}, {time.time()})")
            times.append(time.time())  # later than its commit
        for store, at, newest in chain.rows(query):
            if at is not None:
                before = sum(time_ < at for time_ in committed[store])
                assert newest >= before, f"{store}: complete as of {at}, but sale {before} is missing"
                seen[store].add(at)
    chain.settle()
    chain.wait_until(lambda: min(complete_at(chain, store) for store in committed) > max(committed["new"]))


def test_a_dark_store_holds_up_the_chain_and_no_other(chain: Chain) -> None:
    """Its watermark stands still at the last moment when all was in; the chain's is that of the store it waits for."""
    chain.settle()
    chain.stores["old"].kill()  # a clean end takes ten seconds
    try:
        chain.wait_for_state("old", "unreachable")
        stood, other = complete_at(chain, "old"), complete_at(chain, "new")
        chain.wait_until(lambda: complete_at(chain, "new") > other + 1)
        assert complete_at(chain, "old") == pytest.approx(stood, abs=0.5)
        query = "SELECT extract(epoch FROM complete_at)::float8, waits_for, state FROM tillstream.chain_watermark"
        assert chain.rows(query) == [(pytest.approx(stood, abs=0.5), "old", "unreachable")]
    finally:
        chain.stores["old"].start()
    chain.wait_until(lambda: complete_at(chain, "old") > stood + 1)


def test_every_store_is_told_of_and_none_that_was_taken_out(chain: Chain) -> None:
    """States, lags, positions and watermarks as the warehouse has them; a review that waits and a contested value."""
    chain.on("old", "UPDATE members SET name = 'Wang' WHERE id = 1")
    chain.settle()
    chain.wait_until(lambda: all(complete_at(chain, store) for store in ("old", "new")))  # told only once it is live
    Watch(chain.warehouse, LOOKS).look()
    assert told("tillstream_store_state") == {("live", "old"): 1, ("live", "new"): 1}
    assert told("tillstream_store_info") == {("old", "old"): 1, ("new", "new"): 1}
    assert told("tillstream_open_reviews") == {("members",): 1}
    assert told("tillstream_contested_values") == {("members",): 1}
    assert time.time() - told("tillstream_oldest_review_timestamp_seconds")[()] < 60
    now = time.time()
    for name in ("complete_timestamp_seconds", "last_heartbeat_timestamp_seconds"):
        assert all(now - 30 < at <= now + 1 for at in told(f"tillstream_store_{name}").values()), name
    assert told("tillstream_chain_complete_timestamp_seconds")[()] <= min(
        told("tillstream_store_complete_timestamp_seconds").values()
    )
    for name in ("lag_seconds", "capture_lag_seconds", "held_tables", "tables_read_anew", "tables_not_read_anew"):
        assert set(told(f"tillstream_store_{name}")) == {("old",), ("new",)}, name
    assert set(told("tillstream_store_epoch").values()) == {1}
    assert min(told("tillstream_store_position_bytes").values()) > 0
    assert told("tillstream_warehouse_bytes")[()] > 1_000_000
    assert told("tillstream_conflicts_total")["review", "members"] >= 1
    assert told("tillstream_commit_latency_seconds_count")[()] > 0

    StoreStates(chain.warehouse).list_only(["new"])
    Watch(chain.warehouse, LOOKS).look()
    assert set(told("tillstream_store_lag_seconds")) == {("new",)}
    assert chain.rows("SELECT waits_for FROM tillstream.chain_watermark") == [("new",)]


@pytest.fixture
def empty(fresh_database: str) -> Iterator[Warehouse]:
    warehouse = Warehouse(fresh_database)
    warehouse.migrate()
    yield warehouse
    warehouse.dispose()


def a_live_store(warehouse: Warehouse, store: str, events: int) -> None:
    with warehouse.transaction() as tx:
        tx.execute("INSERT INTO tillstream.store_states (store, state) VALUES (%s, 'live')", [store])
        tx.execute(
            "INSERT INTO tillstream.ledger (store, snapshot_done, events) VALUES (%s, true, %s)", [store, events]
        )


def test_a_table_that_is_read_anew_stops_the_watermark(empty: Warehouse) -> None:
    """What is lost was lost some time before that is noticed; until the table is read nobody knows what is complete."""
    states = StoreStates(empty)

    def reported(seconds_ago: float) -> float:
        report = StoreReport(store="s1", name="s1", state=StoreState.LIVE, complete_at=time.monotonic() - seconds_ago)
        states.report(report)
        with empty.transaction() as tx:
            return float(tx.value("SELECT extract(epoch FROM complete_at) FROM tillstream.watermarks"))

    first = reported(30)
    second = reported(20)
    assert second > first + 9
    assert reported(60) == second, "it never goes back"
    with empty.transaction() as tx:
        tx.execute("INSERT INTO tillstream.resyncs (store, database, table_name, reason) VALUES ('s1', 'd', 't', '')")
    assert reported(0) == second
    with empty.transaction() as tx:
        tx.execute("UPDATE tillstream.resyncs SET state = 'failed'")
        assert tx.value("SELECT reading_anew FROM tillstream.watermarks") == 1
    assert reported(0) == second, "what could not be read is missing all the same"
    with empty.transaction() as tx:
        tx.execute("UPDATE tillstream.resyncs SET state = 'done'")
    assert reported(0) > second + 19


def test_traffic_is_counted_from_when_it_is_watched(empty: Warehouse) -> None:
    """What came before the first look, or in a gap of many looks, is no traffic of this hour."""
    a_live_store(empty, "s1", 5_000)
    with empty.transaction() as tx:
        tell_traffic(tx)
    with empty.transaction() as tx:
        tx.execute("UPDATE tillstream.ledger SET events = 5_070")
        tell_traffic(tx)
    with empty.transaction() as tx:
        assert tx.value("SELECT sum(events) FROM tillstream.traffic") == 70
        tx.execute("UPDATE tillstream.ledger SET events = 9_000")
        tx.execute("UPDATE tillstream.traffic_counted SET counted_at = counted_at - interval '1 hour'")
        tell_traffic(tx)
        assert tx.value("SELECT sum(events) FROM tillstream.traffic") == 70


@pytest.mark.parametrize(("weeks", "is_told"), [(2, False), (3, True), (8, True)])
def test_what_is_usual_is_the_median_of_the_same_hours_of_earlier_weeks(
    empty: Warehouse, weeks: int, is_told: bool
) -> None:
    """One week that was out of the ordinary changes nothing, an hour that was not watched tells nothing, and before
    three weeks are known nothing is usual."""
    a_live_store(empty, "s1", 0)
    with empty.transaction() as tx:
        # of this transaction, in which it is looked at, too: no hour begins in it
        hour = tx.value("SELECT date_trunc('hour', now(), 'UTC')")
        for week in range(1, weeks + 1):
            for back in (0, 1):
                at = hour - timedelta(weeks=week, hours=back)
                events, watched = (9_999, 3_600) if week == 2 else (100, 3_600)
                tx.execute("INSERT INTO tillstream.traffic VALUES ('s1', %s, %s, %s)", [at, events, watched])
        for back in (0, 1):
            at = hour - timedelta(weeks=weeks + 1, hours=back)
            tx.execute("INSERT INTO tillstream.traffic VALUES ('s1', %s, 0, 60)", [at])
        tell_traffic(tx)
    assert told("tillstream_store_usual_hourly_events") == ({("s1",): pytest.approx(100)} if is_told else {})


def test_a_table_that_differs_from_the_fleets_is_told(empty: Warehouse) -> None:
    """The store whose columns fewer stores have; where as many have either nobody is the odd one."""
    insert = "INSERT INTO tillstream.schema_versions VALUES (%s, 'pos', %s, 1, %s, 4, 0, 0, %s, '[\"id\"]')"
    with empty.transaction() as tx:
        for store in ("s1", "s2", "s3"):
            tx.execute("INSERT INTO tillstream.store_states (store, state) VALUES (%s, 'live')", [store])
            tx.execute(insert, [store, "members", 1, '[{"name": "id"}]'])
            tx.execute(insert, [store, "odd_in_two", 1, f'[{{"name": "{min(store, "s2")}"}}]'])
        tell_shapes(tx)
        assert told("tillstream_store_schema_drift_tables") == {("s1",): 1, ("s2",): 0, ("s3",): 0}
        tx.execute(insert, ["s2", "members", 2, '[{"name": "id"}, {"name": "source"}]'])
        tx.execute(insert, ["s1", "odd_in_two", 2, "[]"])  # dropped
        tx.execute(insert, ["s3", "odd_in_two", 2, '[{"name": "s3"}]'])
        tell_shapes(tx)
    assert told("tillstream_store_schema_drift_tables") == {("s1",): 0, ("s2",): 1, ("s3",): 0}
    assert told("tillstream_store_schema_versions") == {("s1",): 3, ("s2",): 3, ("s3",): 3}


def test_what_versions_of_mysql_write_differently_is_no_drift(empty: Warehouse) -> None:
    """The width that integers are displayed with, the name of utf8, defaults, places; another length is, and another
    type, and what may be NULL."""
    old = [
        DeclaredColumn(name="id", type_name="INT UNSIGNED", position=1, length=10, optional=False),
        DeclaredColumn(name="name", type_name="VARCHAR", position=2, length=50, charset_name="utf8"),
        DeclaredColumn(name="points", type_name="INTEGER", position=3, length=11, default_value_expression="0"),
    ]
    new = [
        DeclaredColumn(name="id", type_name="INT UNSIGNED", position=1, optional=False),
        DeclaredColumn(name="points", type_name="INT", position=2, default_value_expression="'0'"),
        DeclaredColumn(name="name", type_name="VARCHAR", position=3, length=50, charset_name="utf8mb3"),
    ]
    longer = [*new[:2], replace(new[2], length=60)]
    signed = [replace(new[0], type_name="INT"), *new[1:]]
    never_null = [*new[:2], replace(new[2], optional=False)]
    shapes = [old, old, new, longer, signed, never_null]
    with empty.transaction() as tx:
        for number, columns in enumerate(shapes, start=1):
            store = f"s{number}"
            tx.execute("INSERT INTO tillstream.store_states (store, state) VALUES (%s, 'live')", [store])
            tx.execute(
                """INSERT INTO tillstream.schema_versions VALUES (%s, 'pos', 'members', 1, 1, 4, 0, 0, %s, '["id"]')""",
                [store, msgspec.json.encode(columns).decode()],
            )
        tell_shapes(tx)
    assert told("tillstream_store_schema_drift_tables") == {
        ("s1",): 0, ("s2",): 0, ("s3",): 0, ("s4",): 1, ("s5",): 1, ("s6",): 1
    }  # fmt: skip


def test_a_look_that_fails_is_told_once_until_it_does_not(empty: Warehouse, caplog: pytest.LogCaptureFixture) -> None:
    """With its name and the reason: the runbook of LookFails sends people to the log of `run`."""
    answers = iter(["nothing", "nothing", "1", "nothing"])
    watch = Watch(empty, [Look(name="odd", every_seconds=0, tell=lambda tx: tx.value(f"SELECT {next(answers)}"))])
    for times in (1, 1, 1, 2):
        watch.look()
        warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
        assert len(warnings) == times
        assert all('looking at odd: the warehouse refuses (42703): column "nothing"' in each for each in warnings)


def test_a_look_that_fails_is_counted_and_stops_no_other(empty: Warehouse) -> None:
    """Nor is anything of it half told."""
    looked = []
    failing = Look(name="failing", every_seconds=60, tell=lambda tx: tx.value("SELECT nothing FROM nowhere"))
    fine = Look(name="fine", every_seconds=60, tell=lambda tx: looked.append(tx.value("SELECT 1")))
    watch = Watch(empty, [failing, fine])
    assert told("tillstream_look_failures_total")["failing",] == 0  # what begins with 1 is no increase to Prometheus
    watch.look()
    watch.look()  # neither is due
    assert looked == [1]
    assert told("tillstream_look_failures_total")[("failing",)] == 1
    assert watch.seconds_since_answer < 60
    (answered_at,) = told("tillstream_warehouse_answer_timestamp_seconds").values()
    assert time.time() - answered_at < 60


def test_a_warehouse_that_does_not_answer_is_told_by_the_time_of_its_last_answer(empty: Warehouse) -> None:
    """Which stands still, and is told by nobody who never had one."""
    metrics.WAREHOUSE_ANSWER_TIMESTAMP_SECONDS.replace({})
    Watch(empty, [Look(name="lost", every_seconds=60, tell=lambda tx: tx.value("SELECT nothing FROM nowhere"))]).look()
    assert told("tillstream_warehouse_answer_timestamp_seconds") == {}


def test_how_long_a_log_is_kept_counts_from_when_all_of_it_was_in(empty: Warehouse) -> None:
    """Not from when it was first seen ahead; in a first snapshot from its begin; of a retired store nothing is told."""
    insert = (
        "INSERT INTO tillstream.store_states (store, state, state_since, caught_up_at, clock_offset_seconds,"
        " retention_seconds) VALUES (%s, %s, now() - interval '2 hours', %s, 0, 86400)"
    )
    with empty.transaction() as tx:
        hours_ago = tx.value("SELECT now() - interval '20 hours'")
        for store, state, at in (("s1", "live", hours_ago), ("s2", "snapshot", None), ("s3", "retired", hours_ago)):
            tx.execute(insert, [store, state, at])
    StoreStates(empty).report(StoreReport(store="s1", name="s1", state=StoreState.LIVE, lag_seconds=0.0))
    with empty.transaction() as tx:
        tell_stores(tx)
    left = told("tillstream_store_binlog_seconds_left")
    assert left == {("s1",): pytest.approx(4 * 3600, abs=60), ("s2",): pytest.approx(22 * 3600, abs=60)}


def test_a_verify_of_one_store_says_nothing_of_the_chain(empty: Warehouse) -> None:
    """What the last one of all found stays told, however many of less come after it."""
    with empty.transaction() as tx:
        for differences, is_whole in ((12, True), (0, False)):
            result = f'{{"differences": {differences}}}'
            tx.execute(
                "INSERT INTO tillstream.verification_runs (started_at, result, is_whole) VALUES (now(), %s, %s)",
                [result, is_whole],
            )
        tell_waiting(tx)
    assert told("tillstream_verification_differences") == {(): 12}
