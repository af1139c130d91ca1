"""A table read anew by plain SELECTs: what the log did not tell is mended, and what it tells later still wins."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from harness import Chain, assert_no_difference, read_anew, unseen

from sinks.engine_offsets import EngineOffsets
from sinks.resync import requests
from sinks.store_session import StoreSession
from tillstream.rehearsal.mysql import MySQLServer

STORES = ("old", "new", "maria")  # MySQL 5.6 and 9.7, MariaDB 10.11
POLICIES = """\
version: 1
tables:
  member: {scope: shared, key: {phone: exact}, columns: {points: {rule: sum}, "*": {rule: latest}}}
"""
TABLES = (
    "CREATE TABLE member (id INT PRIMARY KEY, phone VARCHAR(20), name VARCHAR(40) CHARACTER SET gbk, points INT)",
    "CREATE TABLE price (shop CHAR(4), sku VARCHAR(20), at DATE, price DECIMAL(10,2), PRIMARY KEY (shop, sku, at))",
    "CREATE TABLE drawer (opened DATETIME, who VARCHAR(20), amount DECIMAL(8,2))",
    "CREATE TABLE mood (kind ENUM('z', 'a', 'm') PRIMARY KEY, n INT)",
    "CREATE TABLE photo (id VARBINARY(8) PRIMARY KEY, body BLOB)",
)
ROWS = (
    "INSERT INTO member VALUES (1, '138', '张', 10), (2, '139', '李', 20), (3, '137', '王', 30)",
    "INSERT INTO price VALUES ('a', 'TEA', '2026-1-1', 1.50), ('a', 'tea2', '2026-1-1', 2), ('b', 'T', '2026-1-2', 3)",
    "INSERT INTO drawer VALUES ('2026-01-01 10:00:00', 'x', 1), ('2026-01-01 10:00:00', 'x', 1), (NULL, 'y', 2)",
    "INSERT INTO mood VALUES ('z', 1), ('a', 2), ('m', 3)",
    "INSERT INTO photo VALUES (X'00FF', X'0001'), (X'27', X'')",
)


@pytest.fixture(scope="module")
def chain(
    make_chain: Callable[..., Chain], mysql56: MySQLServer, mysql97: MySQLServer, mariadb1011: MySQLServer
) -> Chain:
    chain = make_chain({"old": mysql56, "new": mysql97, "maria": mariadb1011}, database="resync", policies=POLICIES)
    chain.on_all(*TABLES, *ROWS)
    chain.start()
    chain.settle()
    return chain


def test_what_the_log_did_not_tell_is_mended(chain: Chain) -> None:
    """Rows inserted, changed and deleted unseen: each is found, by tables of every kind of key, and nothing else is."""
    for store in STORES:
        with unseen(chain, store) as write:
            write("UPDATE member SET points = 11, name = '章' WHERE id = 1")
            write("DELETE FROM member WHERE id = 2")
            write("INSERT INTO member VALUES (4, '136', NULL, 40)")
            write("UPDATE price SET price = 9 WHERE sku = 'tea2'")
            write("INSERT INTO price VALUES ('A2', 'é', '2026-02-01', 4)")
            write("DELETE FROM drawer WHERE who = 'x' LIMIT 1")
            write("INSERT INTO drawer VALUES (NULL, 'y', 2), (NULL, 'z', 3)")
            write("UPDATE mood SET n = 20 WHERE kind = 'a'")
            write("DELETE FROM photo WHERE id = X'27'")
    mended = {
        "member": (3, 2, 1), "price": (4, 2, 0), "drawer": (4, 2, 1), "mood": (3, 1, 0), "photo": (1, 0, 1),
    }  # fmt: skip
    wanted = {(store, table): counts for store in STORES for table, counts in mended.items()}
    assert chain.read_anew(wanted) == wanted
    chain.settle()
    assert_no_difference(chain)


def test_the_same_again_changes_nothing(chain: Chain) -> None:
    """A row that is there already keeps its time, its operation and its columns' stamps."""
    chain.on("old", "INSERT INTO member VALUES (9, '100', 'n', 1)", "UPDATE member SET points = 2 WHERE id = 9")
    chain.settle()
    rows = "SELECT _pk, _event_at, _seen_at, _op, _stamps FROM stores.member WHERE _store = 'old' ORDER BY 1"
    before = chain.rows(rows)
    assert [mended for _, mended, _ in read_anew(chain, "old", "member").values()] == [0]
    assert chain.rows(rows) == before


def test_only_the_rows_of_a_condition(chain: Chain) -> None:
    """--where reads just these rows anew and withdraws nothing."""
    with unseen(chain, "old") as write:
        write("UPDATE member SET points = points + 100")
        write("DELETE FROM member WHERE id = 3")
    assert read_anew(chain, "old", "member", "id % 2 = 1") == {"member": (2, 2, 0)}
    held = dict(chain.rows("SELECT _pk, points FROM stores.member WHERE _store = 'old' AND NOT _deleted"))
    assert (held["1"], held["3"]) == (111, 30)
    assert held["4"] == 40
    read_anew(chain, "old", "member")
    chain.settle()
    assert_no_difference(chain)


def test_a_condition_that_is_no_sql_fails_with_what_mysql_says(chain: Chain) -> None:
    """And the requests after it are still served."""
    with pytest.raises(AssertionError, match="1064"):
        read_anew(chain, "old", "member", "id %% 'x")
    assert read_anew(chain, "old", "mood") == {"mood": (3, 0, 0)}


def test_rows_without_a_key_are_not_counted_beside_an_open_transaction(chain: Chain) -> None:
    """What it has written would be in the count or not by chance. It is waited for, and no other table waits too."""
    with ExitStack() as sessions:
        cursors = [sessions.enter_context(chain.session(store)) for store in STORES]
        for cursor in cursors:
            cursor.execute("BEGIN")
            cursor.execute("INSERT INTO drawer VALUES (NULL, 'open', 1)")
        with chain.warehouse.transaction() as tx:
            waiting, beside = (
                [requests.add(tx, store, "a test", database=chain.database, table=table) for store in STORES]
                for table in ("drawer", "mood")
            )
        assert [state_of(chain, number, "done") for number in beside] == ["done"] * len(STORES)
        assert [state_of(chain, number, "done", seconds=1) for number in waiting] == ["waiting"] * len(STORES)
        for cursor in cursors:
            cursor.execute("COMMIT")
    assert [state_of(chain, number, "done") for number in waiting] == ["done"] * len(STORES)
    chain.settle()
    assert_no_difference(chain)


def state_of(chain: Chain, number: int | None, wanted: str, *, seconds: float = 60) -> str:
    """The request's state, once that is the wanted one, or after so long."""
    assert number is not None
    deadline = time.monotonic() + seconds
    while True:
        with chain.warehouse.transaction() as tx:
            (found,) = requests.found(tx, [number])
        if found.state == wanted or time.monotonic() > deadline:
            return found.state
        time.sleep(0.05)


@pytest.mark.parametrize("store", ["old", "new"])  # of MariaDB it waits until the log goes on: see CONTRIBUTING
def test_rows_without_a_key_that_a_truncate_took_do_not_come_back(
    chain: Chain, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after the table was read, and before its rows are compared with the warehouse's."""
    chain.on(store, "CREATE TABLE emptied (n INT)", "INSERT INTO emptied VALUES (1), (1), (2)")
    chain.settle()
    follow = StoreSession.follow
    statements = ["TRUNCATE emptied"]

    def follow_later(session: StoreSession) -> int | None:
        while statements:
            chain.on(store, statements.pop())
        return follow(session)

    monkeypatch.setattr(StoreSession, "follow", follow_later)
    assert read_anew(chain, store, "emptied") == {"emptied": (0, 0, 0)}
    assert chain.rows("SELECT n FROM stores.emptied WHERE _store = %s AND NOT _deleted", [store]) == []


def test_rows_without_a_key_are_known_again_after_they_were_read(chain: Chain) -> None:
    """A FLOAT, and a date that in the log also stands for none, are told otherwise by the log than by the store."""
    chain.on_all(
        "CREATE TABLE measured (a FLOAT, b DOUBLE, at DATE NOT NULL DEFAULT '2000-01-01', seen DATETIME NOT NULL)",
        "INSERT INTO measured (a, b, seen) VALUES (1.1, 1.1, '1970-01-01'), (-0.0, -0.0, '2026-01-01 10:00:00')",
        "INSERT INTO measured VALUES (16777216, 1e30, '2026-01-01', '2026-01-01'), (NULL, NULL, '1970-01-01', NOW())",
    )
    chain.settle()
    wanted = {(store, "measured"): (4, 0, 0) for store in STORES}
    assert chain.read_anew(wanted) == wanted
    chain.on_all("DELETE FROM measured")
    chain.settle()
    assert [chain.letters(store, "measured") for store in STORES] == [{}] * len(STORES)
    assert chain.rows("SELECT _store, a FROM stores.measured WHERE NOT _deleted") == []


@pytest.mark.parametrize("store", STORES)
def test_under_traffic_no_later_change_is_lost(chain: Chain, store: str) -> None:
    """Tills insert, change, move and delete rows while all tables are read, and afterwards nothing differs."""
    stop = threading.Event()

    def trade() -> None:
        number = 1000
        with chain.session(store) as cursor:
            while not stop.wait(0.02):
                number += 1
                cursor.execute(f"INSERT INTO member VALUES ({number}, '{number}', 'x', 1)")
                cursor.execute(f"UPDATE member SET points = points + 1 WHERE id > {number - 5}")
                cursor.execute(f"UPDATE member SET id = id + 100000 WHERE id = {number - 3}")
                cursor.execute(f"DELETE FROM member WHERE id = {number - 10 + 100000}")
                cursor.execute(f"INSERT INTO drawer VALUES (NOW(), 'y', {number % 3})")
                cursor.execute(f"DELETE FROM drawer WHERE who = 'y' AND amount = {number % 3} LIMIT 1")

    trader = threading.Thread(target=trade)
    trader.start()
    try:
        with unseen(chain, store) as write:
            write("UPDATE mood SET n = n + 1")
        assert read_anew(chain, store)["mood"] == (3, 3, 0)
        chain.read_anew([(store, "member"), (store, "drawer")])
    finally:
        stop.set()
        trader.join()
    chain.settle()
    assert_no_difference(chain)


def test_a_schema_change_that_cannot_be_followed_is_passed(chain: Chain) -> None:
    """The lane stands still at a renamed column; read anew, the store goes on with the new name."""
    chain.on(
        "old",
        "ALTER TABLE price CHANGE price amount DECIMAL(10,2)",
        "INSERT INTO price VALUES ('q', 'q', '2026-03-01', 7)",
    )
    _, reason = chain.wait_for_state("old", "refused")
    assert "tillstream resync old" in reason
    read_anew(chain, "old")
    chain.settle()
    assert_no_difference(chain)
    assert chain.rows("SELECT amount FROM stores.price WHERE _store = 'old' AND _pk LIKE '%%q%%'") == [(7,)]


def test_what_was_purged_before_it_was_read_is_read_anew(chain: Chain) -> None:
    """Told, and mended without a person: rows changed and deleted in the part that is gone are right again.

    So are tables dropped there, with a key or without.
    """
    chain.on("new", "CREATE TABLE spare (n INT)", "CREATE TABLE spare_key (n INT PRIMARY KEY)")
    chain.on("new", "INSERT INTO spare VALUES (1), (1)", "INSERT INTO spare_key VALUES (1)")
    chain.settle()
    chain.stop()
    chain.on("new", "DROP TABLE spare", "DROP TABLE spare_key")
    chain.on("new", "UPDATE member SET name = 'while away' WHERE id = 1", "DELETE FROM member WHERE id = 3")
    chain.on("new", "FLUSH LOGS", "FLUSH LOGS")
    last = chain.asked("new", "SHOW BINARY LOGS")[-1][0]
    chain.on("new", f"PURGE BINARY LOGS TO '{last}'")
    chain.start()
    wait_until_read(chain, "new")
    chain.settle()
    assert_no_difference(chain)
    reasons = {reason for (reason,) in chain.rows("SELECT reason FROM tillstream.resyncs WHERE store = 'new'")}
    assert any("purged before it was read" in reason for reason in reasons)
    for table in ("spare", "spare_key"):
        assert chain.rows(f"SELECT n FROM stores.{table} WHERE NOT _deleted") == []


def test_a_lost_offset_ends_in_reading_anew(chain: Chain) -> None:
    """Debezium's bookkeeping is gone: the store begins at its log's end, and its tables are read."""
    chain.stop()
    chain.on("old", "UPDATE member SET name = 'unheard' WHERE id = 1")
    with chain.warehouse.transaction() as tx:
        tx.execute("DELETE FROM debezium.offset_old")
    chain.start()
    wait_until_read(chain, "old")
    chain.settle()
    assert_no_difference(chain)
    chain.stop()  # which flushes where it stands
    assert EngineOffsets(chain.warehouse).prepare("old").reason == ""


def test_a_lost_schema_history_is_named_and_passed(chain: Chain) -> None:
    """Without it Debezium's offset is of no use: what the tables looked like there is not known any more."""
    chain.stop()
    chain.on("new", "UPDATE member SET name = 'unheard too' WHERE id = 1")
    with chain.warehouse.transaction() as tx:
        tx.execute("DELETE FROM debezium.history_new")
    chain.start()
    _, reason = chain.wait_for_state("new", "refused")
    assert "`tillstream resync new`" in reason
    read_anew(chain, "new")
    chain.settle()
    assert_no_difference(chain)


def wait_until_read(chain: Chain, store: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        with chain.warehouse.transaction() as tx:
            done = tx.value("SELECT count(*) FROM tillstream.resyncs WHERE store = %s AND table_name IS NULL", [store])
            left = requests.open_requests(tx, store)
        if done and not left:
            return
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
