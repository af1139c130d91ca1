"""Stores come, rest and close while `run` runs."""

import time
from collections.abc import Callable

import pytest
from harness import PASSWORD, Chain

from sinks.store_orders import StoreOrders
from tillstream.more_stores import with_store
from tillstream.rehearsal.mysql import MySQLServer
from tillstream.verifying import verification_for

POLICIES = """\
version: 1
tables:
  member: {scope: shared, key: {phone: exact}, columns: {points: {rule: sum}}}
"""
SCHEMA = "CREATE TABLE member (id INT PRIMARY KEY, phone VARCHAR(20), points INT)"


@pytest.fixture(scope="module")
def chain(make_chain: Callable[..., Chain], mysql56: MySQLServer) -> Chain:
    chain = make_chain({"old": mysql56}, database="fleet", policies=POLICIES)
    chain.on_all(SCHEMA, "INSERT INTO member VALUES (1, '138', 10)")
    chain.start()
    return chain


@pytest.fixture(scope="module")
def new(chain: Chain, mysql97: MySQLServer) -> Chain:
    """A second store, written into the file while the first is followed."""
    mysql97.create_capture_user(password=PASSWORD)
    for statement in ("DROP DATABASE IF EXISTS fleet", "CREATE DATABASE fleet"):
        mysql97.execute(statement)
    chain.stores = {**chain.stores, "new": mysql97}
    chain.on("new", SCHEMA, "CREATE TABLE zz_marker (n INT PRIMARY KEY)", "INSERT INTO member VALUES (7, '138', 5)")
    file = chain.config.directory / "tillstream.yaml"
    with_store(file, {"id": "new", "host": mysql97.host, "port": mysql97.port})
    chain.wait_for_state("new", "live")
    return chain


def points(chain: Chain) -> object:
    return chain.rows("SELECT points FROM central.member WHERE _key = '138'")[0][0]


def test_a_store_written_into_the_file_is_taken_up(new: Chain) -> None:
    """Without a restart, and what it has counts at once."""
    new.settle()
    assert points(new) == 15


def test_a_faulty_file_changes_nothing(new: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """It is told, with its fault, and the stores go on."""
    file = new.config.directory / "tillstream.yaml"
    good = file.read_text()
    file.write_text(good.replace("host: ", "hots: ", 1))
    deadline = time.monotonic() + 20
    while "is not taken up" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    file.write_text(good)
    assert "hots" in caplog.text
    new.on("old", "INSERT INTO member VALUES (2, '139', 1)")
    new.settle()


def test_a_paused_store_goes_on_where_it_stopped(new: Chain) -> None:
    """Its log waits for it."""
    orders = StoreOrders(new.warehouse)
    orders.pause("new")
    new.wait_for_state("new", "paused")
    new.on("new", "UPDATE member SET points = 6 WHERE id = 7")
    new.on("old", "UPDATE member SET points = 11 WHERE id = 1")
    new.settle(without=("new",))
    assert points(new) == 16
    orders.resume("new")
    new.wait_for_state("new", "live")
    new.settle()
    assert points(new) == 17


def test_a_retired_store_decides_nothing_and_keeps_its_rows(new: Chain) -> None:
    """Resumed, it counts again; `verify` asks a closed store nothing and agrees in between."""
    orders = StoreOrders(new.warehouse)
    orders.retire("new")
    new.wait_for_state("new", "retired")
    new.settle(without=("new",))
    assert points(new) == 11
    assert new.rows("SELECT points, _deleted FROM stores.member WHERE _store = 'new'") == [(6, False)]
    result = verification_for(new.config, new.policy, new.warehouse).run()
    assert (result.differences, result.unreachable) == (0, ())
    orders.resume("new")
    new.wait_for_state("new", "live")
    new.settle()
    assert points(new) == 17


def test_a_store_taken_out_of_the_file_is_followed_no_more(new: Chain) -> None:
    """Its rows stay."""
    file = new.config.directory / "tillstream.yaml"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if "id: new" not in line))
    new.wait_for_state("new", "stopped")
    assert new.rows("SELECT store FROM tillstream.watermarks") == [("old",)], "it holds up nobody"
    new.on("old", "INSERT INTO member VALUES (3, '137', 1)")
    new.settle(without=("new",))
    assert new.rows("SELECT count(*) FROM stores.member WHERE _store = 'new' AND NOT _deleted") == [(1,)]
