"""The whole way, measured: a real MySQL 5.6 through the embedded Debezium into a real PostgreSQL."""

import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from conflict.policy import EMPTY_POLICY
from sinks.batch import Committed
from sinks.embedded_warehouse import EmbeddedWarehouse
from sinks.store_states import StoreStates
from sinks.warehouse import Warehouse
from tillstream import metrics
from tillstream.config import load_config
from tillstream.pipeline import Pipeline
from tillstream.rehearsal.mysql import MySQLServer, find_install

PASSWORD = "bench"
ROWS_PER_STATEMENT = 500
ARRIVAL_SECONDS = 120.0
_TABLE = """\
CREATE TABLE sale_lines (
  sale_id BIGINT PRIMARY KEY, line INT, sku VARCHAR(20), name VARCHAR(40), category VARCHAR(20), qty DECIMAL(8,2),
  price DECIMAL(8,2), discount DECIMAL(8,2), total DECIMAL(10,2), note VARCHAR(60), clerk VARCHAR(20),
  sold_at DATETIME(6), flags INT, version INT)"""


class _Meter:
    """When row changes were committed, and how many."""

    def __init__(self) -> None:
        self.commits: list[tuple[float, int]] = []

    def note(self, committed: Committed) -> None:
        rows = sum(committed.events.values())
        if rows:
            self.commits.append((time.perf_counter(), rows))

    @property
    def rows(self) -> int:
        return sum(rows for _, rows in self.commits)

    def rate(self) -> int:
        """Rows a second from the first commit to the last; the first one's own rows came before the clock."""
        (first, first_rows), (last, _) = self.commits[0], self.commits[-1]
        return round((self.rows - first_rows) / (last - first)) if last > first else 0


def run(rows: int) -> dict[str, Any]:
    """Rows a second in the snapshot, and while catching up with as many rows in the log."""
    with tempfile.TemporaryDirectory(prefix="tillstream-bench-") as name:
        os.chmod(name, 0o711)
        with MySQLServer(find_install("5.6"), Path(name) / "store") as server:
            _seed(server, rows)
            with EmbeddedWarehouse(Path(name) / "warehouse", die_with_parent=True) as embedded:
                warehouse = Warehouse(embedded.url)
                warehouse.migrate()
                try:
                    return _measure(Path(name), server, warehouse, rows)
                finally:
                    warehouse.dispose()


def _measure(directory: Path, server: MySQLServer, warehouse: Warehouse, rows: int) -> dict[str, Any]:
    snapshot = _follow(directory, server, warehouse, rows)
    _insert(server, rows, rows)  # into the log, while nobody reads it
    stream = _follow(directory, server, warehouse, rows)
    with warehouse.transaction() as tx:
        found = tx.value("SELECT count(*) FROM stores.sale_lines WHERE NOT _deleted")
    if found != 2 * rows:
        raise AssertionError(f"{found} rows arrived of {2 * rows}")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "snapshot": {"rows": rows, "rows_per_second": snapshot[0], "seconds_with_start": snapshot[1]},
        "stream": {"rows": rows, "rows_per_second": stream[0], "seconds_with_start": stream[1]},
        "hand_over_cpu_us_per_event": round(
            _counted("hand_over_cpu_seconds") / _counted("handed_over_events") * 1e6, 2
        ),
        "peak_resident_mb": round(usage.ru_maxrss / 1024),
    }


def _counted(name: str) -> float:
    return metrics.REGISTRY.get_sample_value(f"tillstream_{name}_total") or 0.0


def _follow(directory: Path, server: MySQLServer, warehouse: Warehouse, rows: int) -> tuple[int, float]:
    """(rows a second between commits, seconds from the start of capture to the last row)."""
    (directory / "password").write_text(PASSWORD)
    (directory / "tillstream.yaml").write_text(
        "defaults: {user: tillstream, password: {file: password}, database: pos}\n"
        f"stores: [{{id: bench, host: 127.0.0.1, port: {server.port}}}]\n"
    )
    meter = _Meter()
    config = load_config(directory / "tillstream.yaml")
    pipeline = Pipeline(config, EMPTY_POLICY, warehouse, on_commit=meter.note, probe_seconds=1.0)
    started = time.perf_counter()
    pipeline.start()
    try:
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while time.monotonic() < deadline and pipeline.failure is None:
            if meter.rows >= rows and StoreStates(warehouse).reached("bench")[0]:
                break  # a snapshot that is not known to be complete would be read again
            time.sleep(0.05)
    finally:
        pipeline.stop()
    if meter.rows < rows:
        raise AssertionError(
            f"only {meter.rows} of {rows} rows came within {ARRIVAL_SECONDS:.0f} s: {pipeline.failure}"
        )
    return meter.rate(), round(meter.commits[-1][0] - started, 1)


def _seed(server: MySQLServer, rows: int) -> None:
    server.create_capture_user(password=PASSWORD)
    server.execute("CREATE DATABASE pos CHARACTER SET utf8mb4")
    connection = server.connect("pos")
    with connection.cursor() as cursor:
        cursor.execute(_TABLE)
    connection.close()
    _insert(server, 0, rows)


def _insert(server: MySQLServer, first: int, rows: int) -> None:
    connection = server.connect("pos", autocommit=False)
    values = "(%s, 1, 'SKU-00001', '珍珠奶茶', '饮品', 1.00, 18.00, 0.00, 18.00, '少冰 半糖', '王', NOW(6), 0, 1)"
    with connection.cursor() as cursor:
        for start in range(first, first + rows, ROWS_PER_STATEMENT):
            keys = range(start, min(start + ROWS_PER_STATEMENT, first + rows))
            cursor.execute("INSERT INTO sale_lines VALUES " + ", ".join(values % key for key in keys))
            connection.commit()
    connection.close()
