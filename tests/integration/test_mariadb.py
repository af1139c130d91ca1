"""What is MariaDB's own: what cannot be captured is refused with the remedy, and a new log file is no lag."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from harness import Chain

from connectors import examination, preflight
from connectors.debezium import OffsetStore, engine_options
from tillstream.config import Config
from tillstream.config_file import Tables
from tillstream.errors import RefusedError
from tillstream.rehearsal.mysql import MySQLServer

KEPT = OffsetStore(jdbc_url="", user="", password="")


@pytest.fixture(scope="module")
def chain(make_chain: Callable[..., Chain], mariadb1011: MySQLServer) -> Chain:
    chain = make_chain({"m": mariadb1011}, database="own")
    chain.on("m", "CREATE TABLE sale (id INT PRIMARY KEY, v INT)", "INSERT INTO sale VALUES (1, 1)")
    return chain


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ("INET6", "gate.v: Debezium cannot read the type INET6"),
        ("INET4", "gate.v: Debezium cannot read the type INET4"),
        ("VARCHAR(20) COMPRESSED", "gate.v: Debezium cannot read COMPRESSED columns"),
    ],
)
def test_a_column_that_debezium_cannot_read_is_refused_by_name(chain: Chain, declared: str, reason: str) -> None:
    """Before an engine starts; with the table left out nothing is in the way."""
    (store,) = chain.config.stores
    chain.on("m", f"CREATE OR REPLACE TABLE gate (id INT PRIMARY KEY, v {declared})")
    try:
        facts = preflight.examine(store)
        with pytest.raises(RefusedError) as refused:
            engine_options(chain.config, store, KEPT, facts)
        assert reason in str(refused.value)
        assert "exclude: [" in str(refused.value)
        assert engine_options(_without(chain.config, "gate"), store, KEPT, facts)["name"] == "m"
    finally:
        chain.on("m", "DROP TABLE gate")


def test_a_compressed_binlog_is_refused(chain: Chain, mariadb1011: MySQLServer) -> None:
    """log_bin_compress writes events that no reader but MariaDB knows."""
    (store,) = chain.config.stores
    mariadb1011.execute("SET GLOBAL log_bin_compress = ON")
    try:
        with pytest.raises(RefusedError, match="log_bin_compress = OFF"):
            preflight.examine(store)
    finally:
        mariadb1011.execute("SET GLOBAL log_bin_compress = OFF")


def test_a_new_log_file_begins_where_every_engine_does(chain: Chain, mariadb1011: MySQLServer) -> None:
    """MariaDB writes hundreds of bytes of its own into a new file; they are nothing that an engine is behind of."""
    (store,) = chain.config.stores
    mariadb1011.execute("FLUSH LOGS")
    file, _ = preflight.read_head(store)
    assert preflight.read_head(store) == (file, examination.LOG_BEGIN)
    chain.on("m", "INSERT INTO sale VALUES (2, 2)")
    assert preflight.read_head(store) > (file, examination.MARIADB_HEADER_BYTES)


def test_a_server_that_restarts_is_followed(chain: Chain, mariadb1011: MySQLServer) -> None:
    """The engine finds its place again by file and position; a server says who it is by its server_uid."""
    (store,) = chain.config.stores
    assert preflight.examine(store).server_uuid
    chain.start()
    chain.on("m", "INSERT INTO sale VALUES (3, 3)")
    chain.settle()
    mariadb1011.stop()
    mariadb1011.start()
    chain.on("m", "INSERT INTO sale VALUES (4, 4)", "UPDATE sale SET v = 9 WHERE id = 1")
    chain.settle()
    assert sorted(chain.rows("SELECT id, v FROM stores.sale")) == [(1, 9), (2, 2), (3, 3), (4, 4)]


def test_a_system_versioned_table_stops_the_lane(chain: Chain) -> None:
    """Its log has old versions as rows under the same key: refused, with the table's name and the remedy."""
    chain.on("m", "CREATE TABLE price (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING")
    _, reason = chain.wait_for_state("m", "refused")
    assert "price is a system-versioned table" in reason
    assert "exclude: [" in reason


def _without(config: Config, table: str) -> Config:
    return replace(config, tables=Tables(exclude=(table,)))
