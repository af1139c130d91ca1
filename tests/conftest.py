"""Real servers for the tiers that need them; a tier that asks for none starts none."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from places import directory_for_servers

from sinks.embedded_warehouse import EmbeddedWarehouse
from tillstream.errors import TillstreamError
from tillstream.rehearsal.kafka import KafkaServers
from tillstream.rehearsal.kafka_jars import kafka_jars
from tillstream.rehearsal.mysql import MySQLServer, find_install
from tillstream.rehearsal.prometheus import Tools, find_tools


@contextmanager
def left_out_without(server: str) -> Iterator[None]:
    """Who cannot have it leaves its tests out, and is told why; in CI that is an error."""
    try:
        yield
    except TillstreamError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no {server} here: {error}")


@pytest.fixture
def server_directory() -> Iterator[Path]:
    with directory_for_servers() as directory:
        yield directory


@pytest.fixture(scope="session")
def mysql56() -> Iterator[MySQLServer]:
    with (
        directory_for_servers() as directory,
        MySQLServer(find_install("5.6"), directory / "mysql56") as server,
    ):
        yield server


@pytest.fixture(scope="session")
def mysql97() -> Iterator[MySQLServer]:
    with (
        directory_for_servers() as directory,
        MySQLServer(find_install("9.7"), directory / "mysql97") as server,
    ):
        yield server


@pytest.fixture(scope="session")
def mariadb1011() -> Iterator[MySQLServer]:
    with (
        directory_for_servers() as directory,
        MySQLServer(find_install("mariadb-10.11"), directory / "mariadb1011") as server,
    ):
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServers]:
    """A broker and Kafka Connect for the whole session. Without Maven or Java its tests are left out, but not in CI."""
    with left_out_without("Kafka"):
        jars = kafka_jars()
    with directory_for_servers() as directory, KafkaServers(directory, jars) as servers:
        yield servers


@pytest.fixture(scope="session")
def prometheus_tools() -> Tools:
    """Prometheus, Alertmanager and their tools, to be started by `Monitoring` or called. Where Debian's cannot be
    fetched the tests are left out, but not in CI."""
    with left_out_without("Prometheus"):
        return find_tools()


@pytest.fixture(scope="session")
def warehouse_url() -> Iterator[str]:
    """The URL of a PostgreSQL for the whole session; a test that writes takes `fresh_database`."""
    with directory_for_servers() as directory:
        # no fsync: this one's data is never needed after its process; deadlocks are taken apart at once
        options = {"fsync": "off", "full_page_writes": "off", "deadlock_timeout": "50ms"}
        warehouse = EmbeddedWarehouse(directory / "warehouse", die_with_parent=True, options=options)
        with warehouse:
            yield warehouse.url


@pytest.fixture
def fresh_database(warehouse_url: str) -> Iterator[str]:
    """The URL of an empty database of the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    url = sqlalchemy.make_url(warehouse_url)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield url.set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store_database() -> Iterator[Callable[[MySQLServer], str]]:
    """Makes a database of the test's own on the given server and returns its name."""
    made: list[tuple[MySQLServer, str]] = []

    def make(server: MySQLServer) -> str:
        name = f"store_{os.getpid()}_{uuid.uuid4().hex[:8]}"
        server.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        made.append((server, name))
        return name

    yield make
    for server, name in made:
        if server.running:
            server.execute(f"DROP DATABASE IF EXISTS {name}")
