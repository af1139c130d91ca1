"""The dashboards over a chain that runs: Prometheus scrapes `tillstream run`, and is asked as Grafana asks it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from harness import fresh_warehouse
from invocation import PASSWORD, TILLSTREAM, environment
from panels import committed, panels, unanswered
from panels_report import report
from places import directory_for_servers

from sinks.store_orders import StoreOrders
from sinks.warehouse import Warehouse
from tillstream.free_ports import free_port
from tillstream.rehearsal.mysql import MySQLServer
from tillstream.rehearsal.prometheus import Monitoring, Tools

REPORT = Path(__file__).with_name("dashboards.md")
OFTEN = Path(__file__).parents[1] / "looking_often.py"
KAFKA_ROW = "Kafka Connect: empty where capture is embedded"  # asked by tests/integration/test_jvm_metrics.py
DATABASE = "pos_of_dashboards"
LIVE_SECONDS = ARRIVE_SECONDS = 60.0
ANSWER_SECONDS = 60.0  # on a machine that has much else to do
STORE = "s002"  # that the Store dashboard is of
NAMES = {"s001": "中山路店", "s002": "人民广场店", "s003": "南京路店", "s004": "外滩店"}

POLICIES = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    columns:
      points: {rule: sum}
      name: {rule: review, then: latest}
      level: {rule: max, when: "note > 1", then: latest}   # no note is a number: a key that has one is parked
    guards: {deletes: 30%, at_least: 3, within: 10m}
  products:
    scope: shared
    key: [sku]
    columns: {price: {rule: priority, stores: [s001], then: latest}, "*": {rule: latest}}
    contest: {within: 10m}
    guards: {flip_flops: 3, within: 10m}
"""
BUSINESS = """\
business:
  every: 1s
  stock: {table: stock, sku: sku, quantity: qty, low: 5}
  sale_lines: {table: sale_lines, sku: sku, quantity: qty, sale: sale_id}
  price: {table: products, sku: sku, price: price}
  points: {table: members, balance: points, ledger: {table: point_log, row: member_id, change: delta}}
  sales: {table: sales, at: sold_at, amount: total}
"""
TABLES = (
    "CREATE TABLE members (id INT PRIMARY KEY, phone VARCHAR(20), name VARCHAR(20), note VARCHAR(20), level INT,"
    " points DECIMAL(8,2))",
    "CREATE TABLE point_log (id INT PRIMARY KEY, member_id INT, delta DECIMAL(8,2))",
    "CREATE TABLE products (sku VARCHAR(20) PRIMARY KEY, title VARCHAR(20), price DECIMAL(8,2))",
    "CREATE TABLE stock (sku VARCHAR(20), location VARCHAR(20), qty DECIMAL(12,3), PRIMARY KEY (sku, location))",
    "CREATE TABLE sales (id INT PRIMARY KEY, sold_at DATETIME, total DECIMAL(8,2))",
    "CREATE TABLE sale_lines (sale_id INT, line INT, sku VARCHAR(20), qty INT, PRIMARY KEY (sale_id, line))",
    "CREATE TABLE holidays (day DATE PRIMARY KEY, name VARCHAR(20))",
    "CREATE TABLE arrived (number INT PRIMARY KEY)",
    "INSERT INTO members (id, phone, name, level, points) VALUES (1, '13800000001', '王静', 1, 10),"
    " (2, '13800000002', '李伟', 1, 10), (3, '13800000003', '张芳', 1, 10), (4, '13800000004', '刘磊', 1, 10),"
    " (5, '13800000005', '陈娜', 1, 10), (6, '13800000006', '杨强', 1, 10)",
    "INSERT INTO point_log SELECT id, id, 10 FROM members",
    "INSERT INTO products VALUES ('TEA-1', '乌龙奶茶', 18), ('MUG', '保温杯', 30)",
)
OF_EACH = {
    "s001": (
        "UPDATE point_log SET delta = 9 WHERE id = 1",
        "INSERT INTO stock VALUES ('TEA-1', 'front', 4), ('MUG', 'front', 8)",
        "INSERT INTO sales VALUES (1, UTC_TIMESTAMP(), 36)",
        "INSERT INTO sale_lines VALUES (1, 1, 'TEA-1', 2)",
    ),
    "s002": (
        "ALTER TABLE members ADD COLUMN source VARCHAR(20)",
        "INSERT INTO stock VALUES ('TEA-1', 'front', 60), ('MUG', 'front', -3), ('MUG', 'storage', 12)",
    ),
}
A_SECOND = 1.1  # what MySQL 5.6 tells apart
TO_AND_FRO = [
    (store, f"UPDATE products SET title = '保温杯 {number}' WHERE sku = 'MUG'")
    for number, store in enumerate(("s002", "s001", "s002", "s001"))
]
DAY = (  # what happens while `run` follows them, one after the other
    ("s001", "UPDATE products SET price = 19 WHERE sku = 'TEA-1'"),
    ("s002", "UPDATE products SET price = 21 WHERE sku = 'TEA-1'"),
    ("s002", "UPDATE members SET name = '王静之' WHERE id = 1"),
    ("s002", "UPDATE members SET note = 'x' WHERE id = 2"),
    ("s002", "SET sql_mode = ''; INSERT INTO holidays VALUES ('0000-00-00', '?')"),
    *TO_AND_FRO,
    ("s002", "DELETE FROM members WHERE id > 2"),
)
# The same hours of three weeks before: what is usual is known.
TRAFFIC = """\
INSERT INTO tillstream.traffic (store, hour, events, watched_seconds)
SELECT store, date_trunc('hour', now()) - week * interval '7 days' - back * interval '1 hour', 120, 3600
FROM unnest(%s::text[]) AS store, generate_series(1, 3) AS week, generate_series(-1, 2) AS back"""
# It was all in two days ago, since yesterday nobody has reached it, and it keeps its log for another day.
DARK = """\
INSERT INTO tillstream.ledger (store, file, pos, snapshot_done, last_event_at, moved_at)
VALUES ('s004', 3, 4711, true, now() - interval '50 h', now() - interval '49 h');
INSERT INTO tillstream.store_states
  (store, state, state_since, caught_up_at, complete_at, retention_seconds, clock_offset_seconds)
VALUES ('s004', 'unreachable', now() - interval '49 h', now() - interval '49 h', now() - interval '49 h', 262800, 2)"""


class Shops:
    """Two stores that are followed, one that is dark and one that is closed, `run` on them, and where it tells of
    itself."""

    def __init__(self, directory: Path, warehouse_url: str, servers: Mapping[str, MySQLServer]) -> None:
        self._directory, self._servers = directory, servers
        self.metrics = f"127.0.0.1:{free_port()}"
        self._url = warehouse_url
        url = sqlalchemy.make_url(warehouse_url).set(drivername="postgresql")
        self._warehouse = url.render_as_string(hide_password=False)
        self._arrivals = 0
        ports = {store: servers[store].port if store in servers else free_port() for store in NAMES}
        stores = "".join(
            f"  - {{id: {store}, name: {NAMES[store]}, host: 127.0.0.1, port: {port}}}\n"
            for store, port in ports.items()
        )
        (directory / "policies.yaml").write_text(POLICIES, encoding="utf-8")
        (directory / "tillstream.yaml").write_text(
            f"warehouse: {{url: '{warehouse_url}'}}\npolicies: policies.yaml\n"
            f"metrics: {{port: {self.metrics.rpartition(':')[2]}}}\n"
            f"defaults: {{user: tillstream, password: {{env: POS_PASSWORD}}, database: {DATABASE}}}\n"
            f"capture_options: {{heap_megabytes: 300, heartbeat_seconds: 1}}\n{BUSINESS}stores:\n{stores}",
            encoding="utf-8",
        )

    def open(self) -> None:
        for store, server in self._servers.items():
            server.create_capture_user(password=PASSWORD)
            server.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
            server.execute(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
            for statement in (*TABLES, *OF_EACH[store]):
                self.on(store, statement)
        warehouse = Warehouse(self._url)
        warehouse.migrate()
        StoreOrders(warehouse).retire("s003")
        warehouse.dispose()
        with psycopg.connect(self._warehouse) as connection:
            connection.execute(TRAFFIC, [list(self._servers)])
            connection.execute(DARK)

    def on(self, store: str, statements: str) -> None:
        with self._servers[store].connect(DATABASE) as connection, connection.cursor() as cursor:
            for statement in statements.split("; "):
                cursor.execute(statement)

    def verb(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(TILLSTREAM), *arguments], cwd=self._directory, env=environment(), capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip

    def live_through(self) -> None:
        """Each thing once what came before it is in the warehouse: so it is the same whoever is faster."""
        self._wait("SELECT count(*) FROM tillstream.store_states WHERE state = 'live'", LIVE_SECONDS)
        for store, statements in DAY:
            time.sleep(A_SECOND if (store, statements) in TO_AND_FRO else 0)
            self.on(store, statements)
            self._arrivals += 1
            for each in self._servers:
                self.on(each, f"INSERT INTO arrived VALUES ({self._arrivals})")
            self._wait(f"SELECT count(*) FROM stores.arrived WHERE number = {self._arrivals}", ARRIVE_SECONDS)
        self.verb("verify")

    def _wait(self, query: str, seconds: float) -> None:
        """Until it counts as many as there are stores to be followed."""
        deadline = time.monotonic() + seconds
        with psycopg.connect(self._warehouse, autocommit=True) as connection:
            while True:
                with suppress(psycopg.errors.UndefinedTable):
                    (found,) = connection.execute(query).fetchone() or (0,)
                    if found == len(self._servers):
                        return
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.05)

    def log(self) -> str:
        return (self._directory / "run.log").read_text(encoding="utf-8")[-3000:]

    def start(self) -> "subprocess.Popen[bytes]":
        with (self._directory / "run.log").open("ab") as log:
            command = [sys.executable, str(OFTEN), "run"]
            return subprocess.Popen(command, cwd=self._directory, env=environment(), stdout=log, stderr=log)


@pytest.fixture(scope="module")
def prometheus(
    mysql56: MySQLServer, mysql97: MySQLServer, warehouse_url: str, prometheus_tools: Tools
) -> Iterator[Monitoring]:
    """It has scraped the chain's day, and goes on."""
    with ExitStack() as stack:
        directory = stack.enter_context(directory_for_servers())
        for server, setting in ((mysql56, "expire_logs_days = 7"), (mysql97, "binlog_expire_logs_seconds = 1209600")):
            ((before,),) = server.execute(f"SELECT @@GLOBAL.{setting.partition(' ')[0]}")
            server.execute(f"SET GLOBAL {setting}")
            stack.callback(server.execute, f"SET GLOBAL {setting.partition(' ')[0]} = {before}")
        url = fresh_warehouse(warehouse_url, f"dashboards_{os.getpid()}")
        shops = Shops(directory, url, {"s001": mysql56, "s002": mysql97})
        shops.open()
        process = shops.start()
        stack.callback(process.wait)
        stack.callback(process.kill)
        monitoring = stack.enter_context(Monitoring(directory / "monitoring", prometheus_tools, faster=15))
        monitoring.scrape({"run": [shops.metrics]})
        shops.live_through()
        yield monitoring


def test_every_panel_is_answered(prometheus: Monitoring) -> None:
    """Each query of each dashboard has a series with a number in it, and the labels that its legend names; all but the
    row that is about Kafka Connect."""
    shown = [panel for each in committed().values() for panel in panels(each) if panel.row != KAFKA_ROW]
    deadline = time.monotonic() + ANSWER_SECONDS
    while missing := unanswered(shown, STORE, prometheus.query):
        assert time.monotonic() < deadline, "\n".join(missing)
        time.sleep(1)


def test_a_store_is_chosen_by_its_name(prometheus: Monitoring) -> None:
    """The Store dashboard lists all stores with their names, and asks by id."""
    (choice,) = [each for each in committed()["store.json"]["templating"]["list"] if each["name"] == "store"]
    (asked_for,) = re.findall(r"^query_result\((.+)\)$", choice["query"])
    pattern = choice["regex"].strip("/").replace("(?<", "(?P<")
    chosen = {}
    for sample in prometheus.query(asked_for):
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()) if name != "__name__")
        found = re.search(pattern, f"tillstream_store_info{{{labels}}} {sample.value:g} 0")  # as Grafana writes it
        assert found is not None, labels
        chosen[found["text"]] = found["value"]
    assert chosen == {f"{store} {name}": store for store, name in NAMES.items()}


def test_the_report_says_what_they_show(prometheus: Monitoring) -> None:
    """As it did before: what changed is for a person to judge. `ACCEPT=1 make test TESTS=tests/e2e/test_dashboards.py`
    writes it anew."""
    test_every_panel_is_answered(prometheus)
    _await(lambda: len(prometheus.query("tillstream_store_hourly_events > 0")) == 2)
    told = report(committed(), STORE, prometheus.query)
    if os.environ.get("ACCEPT"):
        REPORT.write_text(told, encoding="utf-8")
    assert told == REPORT.read_text(encoding="utf-8")


def _await(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.2)
