"""Three stores on servers of their own for the alerts' tests, and `run` on them, which looks ten times as often."""

import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from invocation import PASSWORD, TILLSTREAM, environment
from prometheus_client.parser import text_string_to_metric_families

from tillstream.rehearsal.mysql import MySQLServer, find_install

HURRIED = Path(__file__).with_name("hurried_run.py")
STORES = ("s001", "s002", "s003")
ALERTS = (
    "{StoreDark: 4s, StoreLagging: 20s, StoreStalled: 40s, LatencyHigh: 10s, ReviewsWaitLong: 60s, StorePaused: 60s, "
    "StoreClockOff: 60s}"
)
POLICIES = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    columns: {points: {rule: sum}, "*": {rule: latest}}
    guards: {deletes: 30%, at_least: 10}
"""
TABLES = (
    "CREATE DATABASE pos CHARACTER SET utf8mb4",
    "CREATE TABLE pos.members (id INT PRIMARY KEY, phone VARCHAR(20), name VARCHAR(20), points DECIMAL(10,2))",
    "CREATE TABLE pos.sales (id INT PRIMARY KEY AUTO_INCREMENT, total DECIMAL(8,2))",
    "CREATE TABLE pos.holidays (day DATE PRIMARY KEY, name VARCHAR(20))",
)


class Shops:
    """Three stores, `run` on them, and where it tells of itself."""

    def __init__(self, directory: Path, warehouse_url: str, metrics: str) -> None:
        self.directory, self.metrics = directory, metrics
        install = find_install("5.6")
        self.servers = {
            store: MySQLServer(install, directory / store, server_id=number) for number, store in enumerate(STORES, 1)
        }
        self._warehouse_url = warehouse_url
        self.process: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        for server in self.servers.values():
            server.start()
            server.create_capture_user(password=PASSWORD)
            for statement in TABLES:
                server.execute(statement)
            members = ", ".join(f"({n}, '1380000{n:04d}', '会员{n}', 10)" for n in range(1, 101))
            server.execute(f"INSERT INTO pos.members VALUES {members}")
        entries = "".join(f"  - {{id: {s}, host: 127.0.0.1, port: {each.port}}}\n" for s, each in self.servers.items())
        (self.directory / "policies.yaml").write_text(POLICIES, encoding="utf-8")
        (self.directory / "tillstream.yaml").write_text(
            f"warehouse: {{url: '{self._warehouse_url}'}}\npolicies: policies.yaml\n"
            "defaults: {user: tillstream, password: {env: POS_PASSWORD}, database: pos}\n"
            f"metrics: {{port: {self.metrics.rpartition(':')[2]}}}\nalerts: {ALERTS}\n"
            "retry: {first_seconds: 0.2, most_seconds: 1}\ncapture_options: {heartbeat_seconds: 1}\n"
            f"resync: {{load_percent: 1}}\nstores:\n{entries}"
        )
        self.verb("migrate")
        self.start()

    def verb(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(TILLSTREAM), *arguments], cwd=self.directory, env=environment(), capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> None:
        """Return when all are live and told of."""
        with (self.directory / "run.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HURRIED), "run"], cwd=self.directory, env=environment(), stdout=log, stderr=log
            )
        for store in STORES:
            self.wait_for_state(store, "live", within=90)

    def wait_for_state(self, store: str, state: str, within: float = 60) -> None:
        """Until it is told of in /metrics."""
        deadline = time.monotonic() + within
        while self._states().get(store) != state:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def _states(self) -> dict[str, str]:
        """By store; none while it does not answer."""
        url, told = f"http://{self.metrics}/metrics", ""
        with suppress(OSError, HTTPException), urllib.request.urlopen(url, timeout=5) as answer:
            told = answer.read().decode()
        return {
            sample.labels["store"]: sample.labels["state"]
            for family in text_string_to_metric_families(told)
            for sample in family.samples
            if sample.name == "tillstream_store_state" and sample.value
        }

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        self.kill()
        for server in self.servers.values():
            server.kill()

    def sell(self, store: str) -> None:
        self.servers[store].execute("INSERT INTO pos.sales (total) VALUES (18.50)")

    def log(self) -> str:
        return (self.directory / "run.log").read_text()[-3000:]
