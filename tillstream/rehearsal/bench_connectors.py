"""`make bench-connectors`: what a store costs: memory and idle CPU of one Connect worker with ever more connectors.

All stores are databases of one MySQL server. What 1,000 would need is read from the straight line through the points.
"""

import argparse
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from connectors.connect import Connect, cause
from connectors.connector_options import HISTORY_TOPIC, Tag, connector_options
from connectors.kafka_names import names_of
from connectors.preflight import examine
from connectors.topics import Topics
from tillstream import processes
from tillstream.config import Config, load_config
from tillstream.errors import RefusedError
from tillstream.rehearsal.kafka import Broker, ConnectWorker
from tillstream.rehearsal.kafka_jars import kafka_jars
from tillstream.rehearsal.mysql import MySQLServer, find_install

log = logging.getLogger("tillstream.rehearsal")

PASSWORD = "bench"
START_SECONDS, LOOK_SECONDS = 600.0, 1.0
CALM_SECONDS = 20.0  # the last snapshot's garbage and compilations
STORES_OF_A_CHAIN = 1_000
_TABLE = "CREATE TABLE t%d (id INT PRIMARY KEY, name VARCHAR(40), price DECIMAL(10,2), note TEXT) ENGINE=MyISAM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one Connect worker that has so many connectors and nothing to do."""

    connectors: int
    resident_megabytes: float
    heap_megabytes: float | None  # after a full collection; none where the Java is no JDK
    threads: int
    idle_millicores: float
    start_seconds: float  # from the connectors before to all of these reading their logs


@dataclass(frozen=True, slots=True)
class Line:
    """The straight line nearest to all points."""

    base: float
    each: float

    def at(self, count: int) -> float:
        return self.base + self.each * count


def line(points: Sequence[tuple[float, float]]) -> Line:
    count = len(points)
    mean_x, mean_y = (sum(values) / count for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    each = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    return Line(mean_y - each * mean_x, each)


def lines(costs: Sequence[Cost]) -> dict[str, dict[str, float]]:
    """What a worker costs, each connector on it, and so many as a chain of 1,000 stores has."""
    found = {}
    for what in ("resident_megabytes", "heap_megabytes", "threads", "idle_millicores"):
        points = [(cost.connectors, value) for cost in costs if (value := getattr(cost, what)) is not None]
        if points:
            drawn = line(points)
            found[what] = {
                "worker": round(drawn.base, 1),
                "each": round(drawn.each, 3),
                f"at_{STORES_OF_A_CHAIN}": round(drawn.at(STORES_OF_A_CHAIN)),
            }
    return found


def measure(
    directory: Path, counts: Sequence[int], tables: int, heap_megabytes: int, idle_seconds: float
) -> list[Cost]:
    jars = kafka_jars()
    with ExitStack() as stack:
        broker = Broker(jars, directory / "broker")
        stack.callback(broker.stop)
        broker.start()
        worker = ConnectWorker(jars, directory / "connect", broker, heap_megabytes=heap_megabytes)
        stack.callback(worker.stop)
        worker.start()
        options = {"max_connections": "2000", "open_files_limit": "20000"}
        server = stack.enter_context(MySQLServer(find_install("5.6"), directory / "mysql", options=options))
        _make_stores(server, max(counts), tables)
        config = _config(directory, broker, worker, server, max(counts))
        costs: list[Cost] = []
        for count in counts:
            began = time.monotonic()
            _start(config, costs[-1].connectors if costs else 0, count, tables)
            costs.append(_cost(worker, count, time.monotonic() - began, idle_seconds))
            log.info("%s", costs[-1])
        return costs


def _make_stores(server: MySQLServer, count: int, tables: int) -> None:
    server.create_capture_user(password=PASSWORD)
    for number in range(count):
        server.execute(f"CREATE DATABASE pos_{number} CHARACTER SET utf8mb4")
        connection = server.connect(f"pos_{number}")
        with connection.cursor() as cursor:
            for table in range(tables):
                cursor.execute(_TABLE % table)
        connection.close()


def _config(directory: Path, broker: Broker, worker: ConnectWorker, server: MySQLServer, count: int) -> Config:
    secrets = directory / "secrets"
    processes.make_directory(secrets)
    (secrets / "password").write_text(PASSWORD)
    stores = "".join(f"  - {{id: s{number:04d}, host: 127.0.0.1, database: pos_{number}}}\n" for number in range(count))
    (directory / "tillstream.yaml").write_text(
        f"capture: {{kafka: '{broker.address}', connect: '{worker.url}'}}\n"
        f"defaults: {{port: {server.port}, user: tillstream, password: {{file: secrets/password}}}}\n"
        f"stores:\n{stores}"
    )
    return load_config(directory / "tillstream.yaml")


def _start(config: Config, first: int, count: int, tables: int) -> None:
    """Connectors as `run` makes them; return when each has read how its tables were made, and goes on with the log."""
    assert config.capture is not None
    names, connect, topics = names_of(config.capture), Connect(config.capture.connect), Topics(config.capture)
    facts = examine(config.stores[0])  # they are all one server's
    tag = Tag(epoch=1, generation=0, schema_only=False)
    new = {
        names.connector(store.id, 0): connector_options(config, store, facts, tag)
        for store in config.stores[first:count]
    }
    lanes = [names.lane(store.id) for store in config.stores[first:count]]
    topics.ensure([*lanes, *(options[HISTORY_TOPIC] for options in new.values())])
    for name, options in new.items():
        connect.configure(name, options)
    deadline = time.monotonic() + START_SECONDS
    while True:
        seen = connect.connectors()
        failed = [cause(each.trace) for each in seen.values() if each.has_failed]
        if failed:
            raise RefusedError(f"{len(failed)} connectors failed: {failed[0]}")
        running = sum(each.task_state == "RUNNING" for each in seen.values())
        read = sum(end >= tables for end in topics.ends(lanes).values())
        if running >= count and read == len(lanes):
            return
        if time.monotonic() > deadline:
            raise RefusedError(f"after {START_SECONDS:.0f} s {running} of {count} connectors run, {read} have read")
        time.sleep(LOOK_SECONDS)


def _cost(worker: ConnectWorker, count: int, start_seconds: float, idle_seconds: float) -> Cost:
    assert worker.process is not None
    time.sleep(CALM_SECONDS)
    process = psutil.Process(worker.process.pid)
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(idle_seconds)
    after, ended = process.cpu_times(), time.monotonic()
    used = after.user + after.system - before.user - before.system
    return Cost(
        connectors=count,
        resident_megabytes=round(process.memory_info().rss / 2**20, 1),
        heap_megabytes=_heap_megabytes(worker, process.pid),
        threads=process.num_threads(),
        idle_millicores=round(used / (ended - began) * 1000, 1),
        start_seconds=round(start_seconds, 1),
    )


def _heap_megabytes(worker: ConnectWorker, pid: int) -> float | None:
    jcmd = shutil.which("jcmd")
    if jcmd is None:
        return None
    processes.run([jcmd, str(pid), "GC.run"], directory=worker.directory)
    said = processes.run([jcmd, str(pid), "GC.heap_info"], directory=worker.directory).stdout
    used = [
        int(kilobytes) for kilobytes in re.findall(r"^ *(?:PSYoungGen|ParOldGen) .*used (\d+)K", said, re.MULTILINE)
    ]
    return round(sum(used) / 1024, 1) if used else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="10,50,100,200")
    parser.add_argument("--tables", type=int, default=40, help="of each store")
    parser.add_argument("--heap", type=int, default=2048, help="megabytes, of Kafka Connect")
    parser.add_argument("--idle-seconds", type=float, default=30.0)
    parser.add_argument("--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("connectors").setLevel(logging.WARNING)
    counts = sorted(int(count) for count in options.counts.split(","))
    with tempfile.TemporaryDirectory(prefix="tillstream-bench-") as name:
        os.chmod(name, 0o711)
        costs = measure(Path(name), counts, options.tables, options.heap, options.idle_seconds)
    result = {
        "schema": 1, "cores": os.cpu_count(), "heap_limit_megabytes": options.heap, "tables": options.tables,
        "costs": [asdict(cost) for cost in costs], "lines": lines(costs),
    }  # fmt: skip
    print(json.dumps(result) if options.output == "json" else _text(result))


def _text(result: dict[str, Any]) -> str:
    told = [
        f"{cost['connectors']:5} connectors: {cost['resident_megabytes']:,.0f} MB resident, heap "
        f"{cost['heap_megabytes'] or '?'} MB, {cost['threads']} threads, "
        f"{cost['idle_millicores']:.0f} millicores idle, started in {cost['start_seconds']:.0f} s"
        for cost in result["costs"]
    ]
    told += [
        f"{what}: {drawn['worker']} for the worker, {drawn['each']} a connector, "
        f"{drawn[f'at_{STORES_OF_A_CHAIN}']:,} for {STORES_OF_A_CHAIN:,}"
        for what, drawn in result["lines"].items()
    ]
    return "\n".join(told)


if __name__ == "__main__":
    main()
