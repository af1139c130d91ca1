"""What happens to a chain, seen by a real Prometheus with docker's rules and a real Alertmanager with docker's file.

An hour of the rules is three minutes here: scrapes, `for:`, ranges and waits are twenty times shorter, `run` looks ten
times as often, and thresholds in tillstream.yaml are seconds in the place of minutes.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from alarm import MOST_SECONDS, Alarm
from harness import fresh_warehouse
from hurried_shops import STORES, Shops
from invocation import TILLSTREAM, environment
from places import directory_for_servers

from tillstream.free_ports import free_port
from tillstream.rehearsal.kafka import KafkaServers
from tillstream.rehearsal.prometheus import Monitoring, Tools

FASTER = 20  # more, and a machine that has other work to do raises alerts of its own
SALES_SECONDS, NIGHT_SECONDS = 300 / FASTER, 540 / FASTER
SLOWER = 4  # a minute is fifteen seconds: `run`, which is away for one or two, does not start twenty times faster
Told = Callable[[str], None]


@pytest.fixture(scope="module")
def address() -> str:
    """Where `run` is going to tell of itself."""
    return f"127.0.0.1:{free_port()}"


@contextmanager
def monitored(address: str, tools: Tools, faster: float) -> Iterator[Monitoring]:
    with directory_for_servers() as directory:
        monitoring = Monitoring(directory / "monitoring", tools, faster=faster)
        monitoring.scrape({"run": [address]})
        with monitoring:
            yield monitoring


@pytest.fixture(scope="module")
def monitoring(address: str, prometheus_tools: Tools) -> Iterator[Monitoring]:
    with monitored(address, prometheus_tools, FASTER) as monitoring:
        yield monitoring


@pytest.fixture(scope="module")
def slower(address: str, prometheus_tools: Tools) -> Iterator[Monitoring]:
    with monitored(address, prometheus_tools, SLOWER) as monitoring:
        yield monitoring


@pytest.fixture(scope="module")
def shops(warehouse_url: str, address: str, monitoring: Monitoring, slower: Monitoring) -> Iterator[Shops]:
    """Opened last: Prometheus scrapes nobody for five seconds, however much faster its rules are."""
    with (
        directory_for_servers() as directory,
        closing(Shops(directory, fresh_warehouse(warehouse_url, "alerts"), address)) as all_,
    ):
        all_.open()
        yield all_


@contextmanager
def alarm_of(monitoring: Monitoring) -> Iterator[Alarm]:
    """From when `run` is scraped and nothing is wrong."""
    with Alarm(monitoring) as alarm:
        alarm.wait_for(lambda: bool(monitoring.query('up{job="run"} == 1')) and not alarm.now, "it is scraped")
        alarm.forget()
        yield alarm
        assert monitoring.rule_failures() == []


@pytest.fixture(scope="module")
def alarm(monitoring: Monitoring) -> Iterator[Alarm]:
    with alarm_of(monitoring) as alarm:
        yield alarm


@pytest.fixture
def told(record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]) -> Told:
    """Says it in the test's report and on the terminal."""

    def tell(what: str) -> None:
        record_property("alert", what)
        with capsys.disabled():
            print(f"\n{what}")

    return tell


@pytest.fixture
def play(alarm: Alarm, told: Told) -> Callable[..., None]:
    """A fault raises this alert and no other, and it is over once it is mended."""

    def one(
        what: str, fault: Callable[[], object], mend: Callable[[], object], alert: str, store: str = "",
        over_within: float = MOST_SECONDS,
    ) -> None:  # fmt: skip
        alarm.wait_for(lambda: not alarm.now, "nothing is wrong before")
        alarm.forget()
        fired, over = alarm.raised_by(fault, alert, store), alarm.over_by(mend, over_within)
        assert alarm.ever.keys() == {(alert, store)}
        told(f"{what}: {alert} after {fired:.1f} s, over {over:.1f} s after it was mended")

    return one


def test_a_restart_a_quiet_time_and_a_night_raise_none(
    shops: Shops, slower: Monitoring, request: pytest.FixtureRequest
) -> None:
    """`run` is restarted under one alarm; then, by the rules' time, five minutes of sales and nine in which nobody
    writes. Whole hours and nights are in tests/integration/test_alert_rules.py."""
    with alarm_of(slower) as slow:
        shops.stop()
        shops.start()
        alarm: Alarm = request.getfixturevalue("alarm")  # a restart is not twenty times faster
        until = time.monotonic() + SALES_SECONDS
        while time.monotonic() < until:
            for store in STORES:
                shops.sell(store)
            time.sleep(0.5)
        time.sleep(NIGHT_SECONDS)
        assert alarm.ever == {}
        assert len(alarm.monitoring.query('tillstream_store_state{state="live"}')) == len(STORES)
        assert slow.ever == {}


def test_a_store_that_is_stopped(shops: Shops, play: Callable[..., None]) -> None:
    """It is dark, and not behind, silent and stalled as well."""
    server = shops.servers["s002"]
    play("a store stopped", server.kill, server.start, "StoreDark", "s002")


def test_a_row_that_cannot_be_kept(shops: Shops, play: Callable[..., None]) -> None:
    """A date in a primary key that is none."""

    def discard() -> None:
        letters = json.loads(shops.verb("dead-letters", "list", "--output", "json"))["dead_letters"]
        shops.verb("dead-letters", "discard", *(str(each["id"]) for each in letters))

    def poison() -> None:
        shops.servers["s001"].execute("INSERT INTO pos.holidays VALUES ('0000-00-00', 'none')")

    play("a poison row", poison, discard, "DeadLetters", "s001")


def test_a_clock_three_hours_off(shops: Shops, play: Callable[..., None]) -> None:
    """Whoever logs in from now on lives three hours later."""
    server = shops.servers["s003"]
    ahead = "SET GLOBAL init_connect = 'SET timestamp = UNIX_TIMESTAMP() + 10800'"
    right = "SET GLOBAL init_connect = ''"
    off, on = (lambda: server.execute(ahead)), (lambda: server.execute(right))
    play("a clock three hours off", off, on, "StoreClockOff", "s003")


def test_a_mass_delete(shops: Shops, play: Callable[..., None]) -> None:
    """A guard holds the store until a person has looked."""
    play(
        "a mass delete",
        lambda: shops.servers["s001"].execute("DELETE FROM pos.members WHERE id <= 60"),
        lambda: shops.verb("stores", "release", "s001", "--yes"),
        "StoreHeld", "s001",
    )  # fmt: skip


@pytest.mark.timeout(400)
def test_a_binlog_that_was_purged(shops: Shops, play: Callable[..., None]) -> None:
    """While the store was paused: what was in it is gone, and the store is read anew by itself."""
    server = shops.servers["s002"]

    def purge() -> None:
        shops.verb("stores", "pause", "s002")
        shops.wait_for_state("s002", "paused")  # until then it is followed, and nobody purges a file that is being read
        # so many that they are not read anew before anybody has looked
        server.execute(
            "INSERT INTO pos.sales (total) SELECT 1 FROM pos.members a, pos.members b, pos.members c LIMIT 16000"
        )
        server.execute("FLUSH BINARY LOGS")
        newest = server.execute("SHOW MASTER STATUS")[0][0]
        server.execute("PURGE BINARY LOGS TO %s", newest)
        shops.verb("stores", "resume", "s002")

    # it is read one second in a hundred: how long that takes is the machine's, and far more than the alert's wait
    play("a binlog purged", purge, lambda: None, "StoreReadAnew", "s002", over_within=180)


def test_run_is_killed(shops: Shops, play: Callable[..., None]) -> None:
    """Nothing else is raised for lack of what it tells."""
    play("run killed", shops.kill, shops.start, "RunDown")


def test_a_worker_is_killed(
    shops: Shops, alarm: Alarm, play: Callable[..., None], kafka: KafkaServers, warehouse_url: str
) -> None:
    """One of two; it is over when it is back."""
    directory = shops.directory / "work"
    directory.mkdir()
    (directory / "tillstream.yaml").write_text(
        f"warehouse: {{url: '{fresh_warehouse(warehouse_url, 'alerts_work')}'}}\n"
        f"capture: {{kafka: '{kafka.broker.address}', connect: '{kafka.connect.url}', prefix: alerts}}\n"
        "defaults: {user: tillstream, password: {env: POS_PASSWORD}, database: pos}\n"
        f"stores: [{{id: s009, host: 127.0.0.1, port: {free_port()}}}]\n"
    )
    ports = [free_port(), free_port()]

    def work(port: int) -> "subprocess.Popen[bytes]":
        with (directory / f"{port}.log").open("ab") as log:
            command = [str(TILLSTREAM), "work", "--metrics-port", str(port)]
            return subprocess.Popen(command, cwd=directory, env=environment(), stdout=log, stderr=log)

    subprocess.run([str(TILLSTREAM), "migrate"], cwd=directory, env=environment(), check=True, capture_output=True)
    workers = [work(port) for port in ports]
    try:
        alarm.monitoring.scrape({"work": [f"127.0.0.1:{port}" for port in ports]})
        alarm.wait_for(
            lambda: bool(alarm.monitoring.query("tillstream_workers:up:count == 2")), "both workers are there"
        )
        play("a worker killed", workers[1].kill, lambda: workers.append(work(ports[1])), "WorkerDown")
    finally:
        alarm.monitoring.scrape({"work": []})
        for worker in workers:
            worker.kill()
            worker.wait()
