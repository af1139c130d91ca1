"""`make bench-peers`: Tillstream's sink beside Debezium's JDBC sink, Pathway, Quix Streams and bare psycopg.

The same topics and the same PostgreSQL for all, filled before a clock starts. A run counts only if row counts and
checksums of all tables are then as they should be. Finished runs are kept, and a second call goes on.
"""

import argparse
import fcntl
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from tillstream import processes
from tillstream.errors import RefusedError, TillstreamError
from tillstream.rehearsal import bench_peers_report as report
from tillstream.rehearsal.bench_peers_day import Load, Sum, load
from tillstream.rehearsal.bench_peers_jdbc import Jdbc, Settings, SinkConnect, search
from tillstream.rehearsal.bench_peers_plan import PARTS, SHORT, STORES, Kept, Step, plan
from tillstream.rehearsal.bench_peers_python import peers_python
from tillstream.rehearsal.bench_peers_run import Contender, Measured, Place, Postgres, SpoiltError, measure, pilot
from tillstream.rehearsal.bench_peers_sinks import Ceiling, Script, Tillstream
from tillstream.rehearsal.bench_peers_topics import drop, fill, topics
from tillstream.rehearsal.kafka import Broker
from tillstream.rehearsal.kafka_jars import kafka_jars

log = logging.getLogger("tillstream.rehearsal")

PILOT_SECONDS, PILOT_WARM_SECONDS = 15.0, 5.0
WARM_PART = 0.2  # of the records of a lane, which are not counted
BEST = "jdbc-settings.json"


class Peers:
    """The servers of one call, and what is in their topics."""

    def __init__(self, directory: Path, events: int) -> None:
        self._directory, self._events = directory, events
        self.kept = Kept(directory)
        self._servers = ExitStack()
        self._unfit: dict[Settings, str] = {}  # settings that the JDBC sink fails with
        self._filled: dict[str, tuple[Load, Mapping[str, Sum]]] = {}

    def __enter__(self) -> "Peers":
        self._lock = (self._directory / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(f"another call is at work in {self._directory}, or is ending") from None
        scratch = self._directory / "servers"
        shutil.rmtree(scratch, ignore_errors=True)
        processes.make_directory(scratch)
        self._scratch = scratch
        self._jars = kafka_jars()
        with ExitStack() as servers:
            servers.callback(shutil.rmtree, scratch, ignore_errors=True)
            self.broker = Broker(self._jars, scratch / "broker")
            servers.callback(self.broker.stop)
            self.broker.start()
            self.postgres = servers.enter_context(Postgres(scratch / "postgres"))
            self._servers = servers.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._servers.close()
        self._lock.close()

    def run(self, steps: list[Step]) -> None:
        for step in steps:
            if self.kept.has(step):
                continue
            try:
                self._run(step)
            except TillstreamError as error:
                log.warning("%s: %s", step.file, error)

    def _run(self, step: Step) -> None:
        with self.contender(step) as contender, self.postgres.database() as database:
            what, expected = self._topics(step.workload)
            place = self._place(what, step.form, database)
            warm = max(int(what.events * WARM_PART), 1)
            measured = measure(
                contender, place, self.postgres, warm=warm, expected=expected, repetition=step.repetition
            )
        self.kept.keep(step, measured)
        _tell(measured)

    def _place(self, what: Load, form: str, database: Any) -> Place:
        work = self._scratch / "work"
        processes.make_directory(work)
        return Place(kafka=self.broker.address, load=what, form=form, database=database, directory=work)

    def _topics(self, workload: str) -> tuple[Load, Mapping[str, Sum]]:
        """Those of one workload are there at a time, and of its shorter kind."""
        if workload not in self._filled:
            base = workload.removesuffix(SHORT)
            for other in [name for name in self._filled if name.removesuffix(SHORT) != base]:
                gone, _ = self._filled.pop(other)
                drop(self.broker.address, [topic for form in _forms(other) for topic in topics(gone, form)])
            what = load(base, self._size(workload), name=workload)
            started = time.monotonic()
            self._filled[workload] = what, fill(self.broker.address, what, _forms(workload))
            log.info("%s: %s records filled in %.0f s", workload, f"{what.events:,}", time.monotonic() - started)
        return self._filled[workload]

    def _size(self, workload: str) -> int:
        if workload.endswith(SHORT):
            return int(self._events * min(PARTS.values()))
        return self._events

    @contextmanager
    def contender(self, step: Step) -> Iterator[Contender]:
        match step.contender.split():
            case ["tillstream", count]:
                yield Tillstream(int(count))
            case ["ceiling", count]:
                yield Ceiling(int(count))
            case ["jdbc"]:
                settings = self.best()
                with self._connect(settings.collector) as connect:
                    yield Jdbc(settings, connect)
            case ["pathway"]:
                yield Script("pathway", peers_python(), environment={"PATHWAY_THREADS": "2"})
            case ["quix"]:
                yield Script("quix", peers_python(), count=2)

    @contextmanager
    def _connect(self, collector: str) -> Iterator[SinkConnect]:
        connect = SinkConnect(self._jars, self._scratch / "connect", self.broker, collector)
        try:
            connect.start()
            yield connect
        finally:
            connect.stop()

    def best(self) -> Settings:
        """The JDBC sink's, searched once."""
        kept = self.kept.read(BEST)
        if kept is None:
            best, tried = self._search()
            kept = {
                "best": asdict(best),
                "tried": [
                    {
                        "settings": str(settings),
                        "events_per_second": round(rate),
                        "failed": self._unfit.get(settings),
                    }
                    for settings, rate in tried
                ],
            }
            self.kept.write(BEST, kept)
        return Settings(**kept["best"])

    def _search(self) -> tuple[Settings, list[tuple[Settings, float]]]:
        what, _ = self._topics("day")
        with ExitStack() as stack:
            running: dict[str, SinkConnect] = {}

            def rate(settings: Settings) -> float:
                if settings.collector not in running:
                    for other in running.values():
                        other.stop()
                    running.clear()
                    running[settings.collector] = stack.enter_context(self._connect(settings.collector))
                return self._pilot(settings, running[settings.collector], what)

            return search(rate)

    def _pilot(self, settings: Settings, connect: SinkConnect, what: Load) -> float:
        with self.postgres.database() as database:
            place = self._place(what, "schema", database)
            try:
                found = pilot(Jdbc(settings, connect), place, self.postgres, PILOT_SECONDS, PILOT_WARM_SECONDS)
            except SpoiltError as error:
                log.warning("pilot: %s: %s", settings, error)
                self._unfit[settings] = str(error)
                return 0.0
        log.info("pilot: %s: %s events/s", settings, f"{found:,.0f}")
        return found


def _forms(workload: str) -> tuple[str, ...]:
    return ("schema", "plain") if workload not in STORES or workload in ("stores-1", "stores-1000") else ("plain",)


def _tell(measured: Measured) -> None:
    said = measured.spoilt or (
        f"{measured.events_per_second:,.0f} events/s, {measured.cpu_seconds_per_million:.1f} CPU s/million, "
        f"{measured.peak_megabytes} MB"
    )
    log.info("%s (%s), %s: %s", measured.workload, measured.form, measured.contender, said)


def result(kept: Kept) -> dict[str, Any]:
    lines = report.lines(kept.all())
    settings = kept.read(BEST)
    notes = [] if settings is None else [f"the JDBC sink's best settings: {Settings(**settings['best'])}"]
    return {
        "schema": 1, "cores": os.cpu_count(), "lines": lines, "goals": report.goals(lines), "notes": notes,
        "jdbc": settings,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path("bench-peers"), help="where finished runs are kept")
    parser.add_argument("--events", type=int, default=800_000, help="records a workload, a fifth of them to warm up")
    parser.add_argument("--repetitions", type=int, default=3, help="of the mixed day; the others run once")
    parser.add_argument("--workloads", default=",".join(("day", "inserts", "hot", *STORES)))
    parser.add_argument("--contenders", default="", help="only these, separated by commas")
    parser.add_argument("--output", choices=("text", "json", "markdown"), default="text")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    only = set(filter(None, options.contenders.split(",")))
    planned = plan(options.workloads.split(","), options.repetitions)
    known = {step.contender for step in planned}
    if unknown := sorted(only - known):
        parser.error(f"no contender is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    steps = [step for step in planned if not only or step.contender in only]
    kept = Kept(options.directory.absolute())
    if not all(kept.has(step) for step in steps):
        try:
            with Peers(options.directory.absolute(), options.events) as peers:
                peers.run(steps)
        except RefusedError as error:
            raise SystemExit(str(error)) from None
    found = result(kept)
    if options.output == "json":
        print(json.dumps(found))
    elif options.output == "markdown":
        print(report.markdown(found))
    else:
        report.show(Console(width=None if sys.stdout.isatty() else 120), found)


if __name__ == "__main__":
    main()
