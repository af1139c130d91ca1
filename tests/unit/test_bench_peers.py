"""What `make bench-peers` compares is worth nothing unless its lanes, its sums and its plan are right."""

import itertools
from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from tillstream.rehearsal import bench_peers_plan as planning
from tillstream.rehearsal import bench_peers_report as report
from tillstream.rehearsal import bench_peers_topics as topics
from tillstream.rehearsal.bench_peers_day import TABLES, Change, Expected, added, lane, load
from tillstream.rehearsal.bench_peers_jdbc import Settings, search
from tillstream.rehearsal.bench_peers_plan import Kept, Step, plan
from tillstream.rehearsal.bench_peers_run import Measured


def measured(contender: str, rate: float, *, form: str = "schema", spoilt: str | None = None) -> Measured:
    return Measured(
        contender=contender, workload="day", form=form, repetition=1, events=1_000_000, seconds=1_000_000 / rate,
        cpu_seconds=8.0, postgres_cpu_seconds=4.0, wal_bytes=10, peak_megabytes=150, processes=2, start_seconds=1.0,
        spoilt=spoilt,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["inserts", "hot", "day", "stores-10", "flood"])
def test_marks_account_for_every_record(kind: str) -> None:
    """By them the benchmark knows how many records are in: nobody's last record may be something else."""
    what = load(kind, 20_000)
    for number in range(len(what.records)):
        changes = list(lane(what, number))
        assert len(changes) == what.records[number]
        assert changes[-1].table == "marks"
        counted = sum(change.after["records"] for change in changes if change.table == "marks" and change.after)
        assert counted == what.records[number]


def test_a_lane_is_the_same_each_time() -> None:
    """Topics and the ceiling's rows are made apart, by other processes."""
    what = load("day", 8_000)
    assert list(lane(what, 1)) == list(lane(what, 1))
    assert list(lane(what, 1)) != list(lane(what, 2))


def test_the_mixed_day_has_the_shares_it_promises() -> None:
    changes = [change for change in lane(load("day", 80_000), 0) if change.table != "marks"]
    kinds = Counter((change.table, change.op) for change in changes)
    late = sum(change.pos <= before.pos for before, change in itertools.pairwise(changes))
    repeated = len(changes) - len({change.pos for change in changes})
    assert kinds["sale_lines", "c"] / len(changes) == pytest.approx(0.63, abs=0.02)
    assert kinds["sale_lines", "d"] / len(changes) == pytest.approx(0.053, abs=0.01)
    assert repeated / len(changes) == pytest.approx(0.05, abs=0.005)
    assert late > 0


@pytest.mark.parametrize("kind", ["hot", "day"])
def test_the_last_record_of_a_key_wins_in_a_lane_and_in_its_log(kind: str) -> None:
    """A peer that guards nothing takes the last that came, Tillstream the last of the log: both must end alike."""
    by_arrival, by_log = Expected(), Expected()
    changes = list(lane(load(kind, 20_000), 0))
    for change in changes:
        by_arrival.take(change)
    for change in sorted(changes, key=lambda change: change.pos):
        by_log.take(change)
    assert by_arrival.sums() == by_log.sums()


def test_keys_differ_between_tables_and_stores() -> None:
    what = load("day", 20_000)
    owners: dict[int, tuple[str, int]] = {}
    for number in range(len(what.records)):
        for change in lane(what, number):
            assert owners.setdefault(change.key, (change.table, number)) == (change.table, number)


def test_sums_of_lanes_that_share_no_key_add_up() -> None:
    what, together, parts = load("day", 4_000), Expected(), []
    for number in range(len(what.records)):
        own = Expected()
        for change in lane(what, number):
            together.take(change)
            own.take(change)
        parts.append(own.sums())
    assert added(parts) == together.sums()


def test_a_sum_knows_a_row_that_is_missing_and_one_that_differs() -> None:
    row = {"row_id": 1, "lane": "s0001", "records": 5}
    whole, missing, other = Expected(), Expected(), Expected()
    whole.take(Change("marks", "c", None, row, 1))
    other.take(Change("marks", "c", None, {**row, "records": 6}, 1))
    assert len({each.sums()["marks"] for each in (whole, missing, other)}) == 3


def test_a_record_with_its_schema_holds_the_record_without() -> None:
    for change in list(lane(load("day", 4_000), 0))[:300]:
        plain = topics.payload(change)
        full = topics.record_value(change, plain, "schema")
        assert topics.without_schema(full) == plain
        named = {field["field"] for field in msgspec.json.decode(full)["schema"]["fields"]}
        assert named == msgspec.json.decode(plain).keys()
    with pytest.raises(ValueError, match="without a known schema"):
        topics.without_schema(plain)


def test_every_table_is_declared_before_its_first_row() -> None:
    for form in topics.FORMS:
        assert len(list(topics.declarations(form))) == len(TABLES)
    declared = [msgspec.json.decode(topics.without_schema(value)) for _, value in topics.declarations("schema")]
    assert [each["tableChanges"][0]["id"] for each in declared] == [f'"pos"."{table}"' for table in TABLES]


def test_the_search_keeps_the_best_of_each_step() -> None:
    """And what does not work is no candidate for the next one."""

    def rate(settings: Settings) -> float:
        return 0.0 if settings.unnest else 1000.0 * settings.tasks + settings.batch

    best, tried = search(rate)
    assert best == replace(Settings(), tasks=4, batch=5000)
    assert len(tried) == len({settings for settings, _ in tried})


def test_each_repetition_begins_with_another_contender() -> None:
    first = {step.repetition: step.contender for step in reversed(plan(["day"])) if step.form == "schema"}
    assert len(set(first.values())) == planning.REPETITIONS


def test_a_run_that_is_kept_is_not_run_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    kept = Kept(tmp_path_factory.mktemp("kept"))
    step = Step(workload="day", form="plain", contender="tillstream 2", repetition=1)
    assert not kept.has(step)
    kept.keep(step, measured("tillstream 2", 50_000))
    assert kept.has(step)
    assert kept.all() == [measured("tillstream 2", 50_000)]


def test_files_of_all_steps_differ() -> None:
    steps = plan(["day", "inserts", "hot", *planning.STORES])
    assert len({step.file for step in steps}) == len(steps)


def test_what_falls_short_is_told() -> None:
    runs = [measured("tillstream 2", 30_000), *(measured("jdbc", rate) for rate in (15_000, 5_000, 8_000))]
    (goal,) = [each for each in report.goals(report.lines(runs)) if each["what"] == "times the JDBC sink, same bytes"]
    assert goal["found"] == pytest.approx(3.75)
    assert goal["reached"]
    runs.append(measured("pathway", 29_000))
    goals = {each["what"]: each for each in report.goals(report.lines(runs))}
    assert not goals["times Pathway, same bytes"]["reached"]
    assert goals["times Quix Streams, same bytes"]["found"] is None


def test_a_spoilt_run_counts_for_nothing() -> None:
    runs = [measured("jdbc", 9_000), measured("jdbc", 90_000, spoilt="sale_lines has 1 row of 2")]
    (line,) = report.lines(runs)
    assert line["events_per_second"] == 9_000
    assert line["spoilt"] == ["sale_lines has 1 row of 2"]
