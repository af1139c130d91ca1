"""`make bench`: how fast the sink is, beside what bare psycopg reaches with the same rows, in one run.

The sink alone works on recorded lanes: the JSON that an engine hands over, made before the clock starts. The ceiling
is COPY of ready tuples into a stage and one unguarded upsert, the same rows in batches of the same size. Everything
counts only if the warehouse then holds exactly the expected rows.
"""

import argparse
import gc
import json
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest
from rich.console import Console
from rich.table import Table

from conflict.policy import EMPTY_POLICY
from connectors.embedded import EmbeddedLanes
from sinks.batch import Committed
from sinks.embedded_warehouse import EmbeddedWarehouse
from sinks.row_codec import Shapes
from sinks.warehouse import Warehouse
from sinks.watching.looks import LOOKS
from sinks.watching.watch import Watch
from sinks.worker import Worker
from tillstream import metrics
from tillstream.rehearsal import bench_capture, bench_central
from tillstream.rehearsal.recorded_engines import RecordedEngines
from tillstream.rehearsal.recording import COLUMNS, DDL, Recording, record

BATCH_EVENTS = 8_192  # what an engine hands over at most
SCRAPE_SECONDS = 1.0  # whoever scrapes does so every 15: it would show in no run of a few seconds
_STAGE = f"CREATE TEMP TABLE ceiling_stage ({DDL}) ON COMMIT DELETE ROWS"
_TARGET = f"CREATE TABLE ceiling ({DDL}, PRIMARY KEY (_store, _pk))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of one contender over one workload."""

    workload: str
    contender: str
    events: int
    seconds: float
    cpu_seconds: float  # of this process: outside PostgreSQL
    rows: int

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_seconds_per_million(self) -> float:
        return self.cpu_seconds / self.events * 1_000_000


def run_sink(warehouse: Warehouse, recording: Recording) -> Measured:
    """The real worker over the recorded lanes, watched as in `run` and scraped far more often."""
    with _watched(warehouse):
        return _run_worker(warehouse, recording, Worker, "tillstream")


def run_untold(warehouse: Warehouse, recording: Recording) -> Measured:
    """The same without a metric."""
    return _run_worker(warehouse, recording, _UntoldWorker, "no metrics")


class _UntoldWorker(Worker):
    def _tell(self, committed: Committed, seconds: float) -> None:
        pass


@contextmanager
def _watched(warehouse: Warehouse) -> Iterator[None]:
    watch, over = Watch(warehouse, LOOKS), threading.Event()

    def scrape() -> None:
        while not over.wait(SCRAPE_SECONDS):
            generate_latest(metrics.REGISTRY)

    scraping = threading.Thread(target=scrape)
    watch.start()
    scraping.start()
    try:
        yield
    finally:
        over.set()
        watch.stop()
        watch.join()
        scraping.join()


def _run_worker(warehouse: Warehouse, recording: Recording, kind: type[Worker], contender: str) -> Measured:
    lanes = EmbeddedLanes()
    engines = RecordedEngines(lanes, recording.batches)
    worker = kind(warehouse, lanes, Shapes(EMPTY_POLICY))
    started, cpu = time.perf_counter(), time.process_time()
    engines.start()
    while not engines.exhausted:
        worker.run_once(0.01)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    with warehouse.transaction() as tx:
        rows = tx.value("SELECT count(*) FROM stores.sale_lines WHERE NOT _deleted")
        total = tx.value("SELECT sum(qty) FROM stores.sale_lines WHERE NOT _deleted")
    recording.require(rows, total)
    return Measured(
        workload=recording.name, contender=contender, events=recording.events, seconds=seconds,
        cpu_seconds=cpu_seconds, rows=rows,
    )  # fmt: skip


def run_ceiling(warehouse: Warehouse, recording: Recording) -> Measured:
    """Bare psycopg: the rows that reach the table, ready as tuples, one COPY and one upsert a batch."""
    assignments = ", ".join(f"{name} = EXCLUDED.{name}" for name in COLUMNS if name not in ("_store", "_pk"))
    upsert = f"INSERT INTO ceiling SELECT * FROM ceiling_stage ON CONFLICT (_store, _pk) DO UPDATE SET {assignments}"
    batches = [list(batch) for batch in recording.ready]
    with warehouse.transaction() as tx:
        tx.execute("DROP TABLE IF EXISTS ceiling")
        tx.execute(_TARGET)
    started, cpu = time.perf_counter(), time.process_time()
    rows = 0
    for batch in batches:
        with warehouse.transaction() as tx:
            tx.execute(_STAGE.replace("CREATE TEMP TABLE", "CREATE TEMP TABLE IF NOT EXISTS"))
            tx.copy("COPY ceiling_stage FROM STDIN", batch)
            tx.execute(upsert)
            rows += len(batch)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    return Measured(
        workload=recording.name, contender="ceiling", events=recording.events, seconds=seconds,
        cpu_seconds=cpu_seconds, rows=rows,
    )  # fmt: skip


def measure(workload: str, events: int, repetitions: int) -> Iterator[Measured]:
    """Contenders in rotated order, each in a fresh database; the first round warms up and is not counted."""
    recording = record(workload, events, batch_events=BATCH_EVENTS, seed=11)
    for repetition in range(repetitions + 1):
        contenders = [run_ceiling, run_sink, run_untold]
        contenders = contenders[::-1] if repetition % 2 else contenders
        for contender in contenders:
            with fresh_warehouse() as warehouse:
                gc.collect()
                measured = contender(warehouse, recording)
            if repetition:
                yield measured


class fresh_warehouse:  # noqa: N801 - a context manager in a function's clothes
    """An empty warehouse in a server of its own, with default durability."""

    def __enter__(self) -> Warehouse:
        self._directory = tempfile.TemporaryDirectory(prefix="tillstream-bench-")
        os.chmod(self._directory.name, 0o711)
        self._server = EmbeddedWarehouse(Path(self._directory.name) / "warehouse", die_with_parent=True)
        self._warehouse = Warehouse(self._server.start())
        self._warehouse.migrate()
        return self._warehouse

    def __exit__(self, *exc: object) -> None:
        self._warehouse.dispose()
        self._server.stop()
        self._directory.cleanup()


def summary(measured: list[Measured]) -> list[dict[str, Any]]:
    """Medians and their ratio, a line a workload."""
    lines = []
    for workload in dict.fromkeys(each.workload for each in measured):
        ours = [each for each in measured if each.workload == workload and each.contender == "tillstream"]
        bare = [each for each in measured if each.workload == workload and each.contender == "ceiling"]
        untold = [each for each in measured if each.workload == workload and each.contender == "no metrics"]
        rate = statistics.median(each.events_per_second for each in ours)
        silent = statistics.median(each.events_per_second for each in untold)
        ceiling = statistics.median(each.events_per_second for each in bare)
        lines.append(
            {
                "workload": workload,
                "events": ours[0].events,
                "events_per_second": round(rate),
                "events_per_second_range": _range(each.events_per_second for each in ours),
                "ceiling_per_second": round(ceiling),
                "ceiling_per_second_range": _range(each.events_per_second for each in bare),
                "of_ceiling": round(rate / ceiling, 3),
                "without_metrics_per_second": round(silent),
                "metrics_cost": round(1 - rate / silent, 3),
                "cpu_seconds_per_million": round(statistics.median(e.cpu_seconds_per_million for e in ours), 2),
                "ceiling_cpu_seconds_per_million": round(statistics.median(e.cpu_seconds_per_million for e in bare), 2),
            }
        )
    return lines


def _range(values: Iterable[float]) -> list[int]:
    found = sorted(values)
    return [round(found[0]), round(found[-1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000, help="events per run of the sink alone")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--workloads", default="inserts,hot,day")
    parser.add_argument("--capture-rows", type=int, default=100_000, help="rows for the run end to end; 0: none")
    parser.add_argument("--central-events", type=int, default=200_000, help="for what agreed rows cost; 0: none")
    parser.add_argument("--products", type=int, default=200, help="in the price list that a thousand stores copy")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    measured: list[Measured] = []
    for workload in options.workloads.split(","):
        for each in measure(workload, options.events, options.repetitions):
            measured.append(each)
            print(
                f"{each.workload:8} {each.contender:10} {each.events_per_second:9,.0f} events/s "
                f"{each.cpu_seconds_per_million:6.1f} CPU s/million",
                file=sys.stderr,
            )
    result: dict[str, Any] = {
        "schema": 1,
        "cores": os.cpu_count(),
        "repetitions": options.repetitions,
        "sink": summary(measured),
        "goals": {"of_ceiling": 0.6, "cpu_seconds_per_million": 12, "metrics_cost": 0.02},
        "peak_resident_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "runs": [{**asdict(each), "events_per_second": round(each.events_per_second)} for each in measured],
    }
    if options.central_events:
        result["central"] = bench_central.run(
            fresh_warehouse,
            events=options.central_events,
            products=options.products,
            repetitions=options.repetitions,
        )
    if options.capture_rows:
        result["end_to_end"] = bench_capture.run(options.capture_rows)
    if options.output == "json":
        print(json.dumps(result))
    else:
        _print(result)


def _print(result: dict[str, Any]) -> None:
    console = Console()
    table = Table(title="The sink alone, from recorded lanes (medians)")
    for heading in (
        "workload",
        "events/s",
        "ceiling",
        "of ceiling",
        "goal",
        "CPU s/million",
        "goal",
        "metrics cost",
        "goal",
    ):
        table.add_column(heading, justify="left" if heading == "workload" else "right")
    for line in result["sink"]:
        table.add_row(
            line["workload"], f"{line['events_per_second']:,}", f"{line['ceiling_per_second']:,}",
            f"{line['of_ceiling']:.0%}", "60%", str(line["cpu_seconds_per_million"]), "12",
            f"{line['metrics_cost']:.1%}", "2%",
        )  # fmt: skip
    console.print(table)
    if central := result.get("central"):
        part = central["a_tenth_shared"]
        console.print(
            f"a tenth of the events on a shared table: {part['events_per_second']:,}/s, {part['of_it']:.0%} of "
            f"{part['without_central_per_second']:,}/s without central.* (goal {part['goal']:.0%})"
        )
        for line in central["price_list"]:
            console.print(f"a price list, up to the store {line['stores']:,}: {line['us_per_event']} us per event")
    for phase, line in result.get("end_to_end", {}).items():
        console.print(f"end to end, {phase}: {line}")
    console.print(f"peak memory of this process: {result['peak_resident_mb']} MB")


if __name__ == "__main__":
    main()
