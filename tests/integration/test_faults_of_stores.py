"""What real stores do to their log: each is noticed, named and mended, and how soon is told.

None of it is an error to Debezium, which goes on by the name of a file and a number in it.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import PASSWORD, Chain, assert_no_difference, read_anew
from places import directory_for_servers

from sinks.epochs import Epochs
from sinks.resync import requests
from sinks.store_states import StoreStates
from tillstream.rehearsal.mysql import MySQLServer, find_install

POLICIES = """\
version: 1
tables:
  member: {scope: shared, key: {phone: exact}, columns: {points: {rule: sum}, "*": {rule: latest}}}
"""
VERSIONS = {"old": "5.6", "new": "9.7"}
STORES = tuple(VERSIONS)
Told = Callable[[str, float], None]


@pytest.fixture(scope="module")
def chain(make_chain: Callable[..., Chain]) -> Iterator[Chain]:
    """Two stores on servers of their own: their logs are reset and their disks put back."""
    with directory_for_servers() as base:
        yield from _chain(make_chain, base)


def _chain(make_chain: Callable[..., Chain], base: Path) -> Iterator[Chain]:
    servers = {
        store: MySQLServer(find_install(version), base / store, server_id=number)
        for number, (store, version) in enumerate(VERSIONS.items(), 71)
    }
    try:
        for server in servers.values():
            server.start()
        chain = make_chain(servers, database="faults", policies=POLICIES, probe_seconds=0.3)
        chain.on_all(
            "CREATE TABLE member (id INT PRIMARY KEY, phone VARCHAR(20), name VARCHAR(40), points INT)",
            "CREATE TABLE sale (id INT PRIMARY KEY, total DECIMAL(8,2))",
            "CREATE TABLE drawer (who VARCHAR(20), amount INT)",
            "INSERT INTO member VALUES (1, '138', 'a', 10), (2, '139', 'b', 20)",
            "INSERT INTO sale VALUES (1, 1), (2, 2), (3, 3)",
            "INSERT INTO drawer VALUES ('x', 1), ('x', 1)",
        )
        chain.start()
        chain.settle()
        yield chain
    finally:
        chain.stop()
        for server in servers.values():
            server.stop()


@pytest.fixture
def told(record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> Told:
    """Says how long it took to notice, in the test's report and on the terminal."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")

    def tell(what: str, began: float) -> None:
        seconds = time.monotonic() - began
        record_property(what, seconds)
        terminal.write_line(f"\n{what}: noticed after {seconds:.1f} s (looked at every 2 s here, every 30 s otherwise)")

    return tell


def wait_for(reached: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def epoch(chain: Chain, store: str) -> int:
    return int(chain.rows("SELECT epoch FROM tillstream.ledger WHERE store = %s", [store])[0][0])


def reasons(chain: Chain, store: str) -> list[str]:
    return [r for (r,) in chain.rows("SELECT reason FROM tillstream.resyncs WHERE store = %s ORDER BY id", [store])]


def wait_until_read(chain: Chain, store: str) -> None:
    def is_read() -> bool:
        with chain.warehouse.transaction() as tx:
            return not requests.open_requests(tx, store)

    wait_for(is_read, f"{store} is not read anew")


def wait_until_witnessed(chain: Chain, store: str) -> None:
    """A probe has seen the log as it is now."""
    chain.on(store, "INSERT INTO drawer VALUES ('seen', 0)")
    before = chain.rows("SELECT witness FROM tillstream.epochs WHERE store = %s ORDER BY epoch DESC LIMIT 1", [store])
    wait_for(
        lambda: (
            chain.rows(
                "SELECT witness FROM tillstream.epochs WHERE store = %s AND witness IS NOT NULL"
                " ORDER BY epoch DESC LIMIT 1",
                [store],
            )
            not in ([], before)
        ),
        "no probe has looked",
    )


@pytest.mark.parametrize("store", STORES)
def test_a_log_that_was_reset_begins_a_new_epoch(chain: Chain, store: str, told: Told) -> None:
    """RESET MASTER and nine writes before anybody looks: the file has its old name, the position is one that exists."""
    wait_until_witnessed(chain, store)
    before = epoch(chain, store)
    reset = "RESET MASTER" if store == "old" else "RESET BINARY LOGS AND GTIDS"
    began = time.monotonic()
    chain.on(
        store,
        "INSERT INTO sale VALUES (100, 1)",
        reset,
        *(f"INSERT INTO sale VALUES ({number}, 1)" for number in range(101, 108)),
        "DELETE FROM sale WHERE id = 1",
        "UPDATE member SET points = points + 1 WHERE id = 1",
    )
    wait_for(lambda: epoch(chain, store) == before + 1, "no new epoch has begun")
    told(f"{store}: log reset", began)
    wait_until_read(chain, store)
    chain.settle()
    assert_no_difference(chain)
    assert any("reset" in reason for reason in reasons(chain, store))


@pytest.mark.parametrize("store", STORES)
def test_a_disk_put_back_takes_the_store_back_in_time(chain: Chain, store: str, told: Told) -> None:
    """A restored backup: rows written since it was made are gone in the store, and here too."""
    server = chain.stores[store]
    server.stop()
    shutil.copytree(server.data, server.directory / "backup")
    server.start()
    chain.settle()
    chain.on(store, "INSERT INTO sale VALUES (200, 1)", "UPDATE member SET name = 'after' WHERE id = 2", "FLUSH LOGS")
    chain.on(store, "INSERT INTO sale VALUES (201, 1)")
    chain.settle()
    before = epoch(chain, store)
    server.stop()
    shutil.rmtree(server.data)
    (server.directory / "backup").rename(server.data)
    began = time.monotonic()
    server.start()
    wait_for(lambda: epoch(chain, store) == before + 1, "no new epoch has begun")
    told(f"{store}: disk put back", began)
    wait_until_read(chain, store)
    chain.settle()
    assert_no_difference(chain)
    assert chain.rows("SELECT count(*) FROM stores.sale WHERE _store = %s AND id >= 200 AND NOT _deleted", [store]) == [
        (0,)
    ]


def test_another_server_waits_for_a_person(chain: Chain, told: Told) -> None:
    """A PC that was re-imaged answers with another server_uuid: nothing is taken from it until somebody says so."""
    store = "old"
    server = chain.stores[store]
    wait_until_witnessed(chain, store)
    before = epoch(chain, store)
    server.stop()
    (server.data / "auto.cnf").unlink()
    began = time.monotonic()
    server.start()
    _, reason = chain.wait_for_state(store, "refused")
    told(f"{store}: another server", began)
    assert "server_uuid" in reason
    assert "tillstream stores accept-epoch old" in reason
    assert epoch(chain, store) == before
    assert "server_uuid" in Epochs(chain.warehouse).accept(store)
    wait_until_read(chain, store)
    chain.settle()
    assert_no_difference(chain)


@pytest.mark.parametrize("store", STORES)
def test_a_changed_password_is_named(chain: Chain, store: str, told: Told) -> None:
    """The open connection goes on for hours; the next one would not: a fresh login tells within seconds."""
    server = chain.stores[store]
    with unlogged(server) as run:
        run(_set_password(store, "another"))
    began = time.monotonic()
    _, reason = chain.wait_for_state(store, "refused")
    told(f"{store}: password changed", began)
    assert "refuses user tillstream" in reason
    with unlogged(server) as run:
        run(_set_password(store, PASSWORD))
    chain.wait_for_state(store, "live")
    chain.settle()
    assert_no_difference(chain)


@pytest.mark.parametrize("store", STORES)
def test_a_right_that_was_taken_away_is_named(chain: Chain, store: str, told: Told) -> None:
    """Without SELECT an engine runs on, and its next start would capture nothing."""
    server = chain.stores[store]
    with unlogged(server) as run:
        run("REVOKE SELECT ON *.* FROM 'tillstream'@'%'")
    began = time.monotonic()
    _, reason = chain.wait_for_state(store, "refused")
    told(f"{store}: SELECT revoked", began)
    assert "SELECT" in reason
    chain.on(store, "INSERT INTO sale VALUES (300, 1)")
    with unlogged(server) as run:
        run("GRANT SELECT ON *.* TO 'tillstream'@'%'")
    chain.wait_for_state(store, "live")
    chain.settle()
    assert_no_difference(chain)


def test_a_session_that_writes_statements_is_read_after(chain: Chain, told: Told) -> None:
    """Its rows are not in the log; Debezium drops them with one line of warning, and the table is read anew."""
    store = "old"
    chain.settle()
    before = len(reasons(chain, store))
    began = time.monotonic()
    chain.on(
        store,
        "SET SESSION binlog_format = 'STATEMENT'",
        "INSERT INTO sale VALUES (400, 4)",
        "UPDATE sale SET total = total + 1 WHERE id = 2",
        "DELETE FROM sale WHERE id = 3",
    )
    wait_for(lambda: len(reasons(chain, store)) > before, "nobody has noticed")
    told(f"{store}: a session in STATEMENT format", began)
    wait_until_read(chain, store)
    chain.settle()
    assert_no_difference(chain)
    tables = chain.rows(
        "SELECT DISTINCT table_name FROM tillstream.resyncs WHERE store = %s AND reason LIKE '%%statements%%'", [store]
    )
    assert tables == [("sale",)]


@pytest.mark.parametrize("store", STORES)
def test_a_statement_behind_a_comment_is_read_after(chain: Chain, store: str, told: Told) -> None:
    """Many drivers put their name in front of a statement: Debezium then takes it for DDL, and does not warn."""
    chain.settle()
    before = len(reasons(chain, store))
    began = time.monotonic()
    chain.on(store, "SET SESSION binlog_format = 'STATEMENT'", "/* till 3 */ INSERT INTO sale VALUES (401, 4)")
    wait_for(lambda: len(reasons(chain, store)) > before, "nobody has noticed")
    told(f"{store}: a statement behind a comment", began)
    wait_until_read(chain, store)
    chain.settle()
    assert_no_difference(chain)


@pytest.mark.parametrize("store", STORES)
def test_a_table_altered_without_its_log_is_noticed(chain: Chain, store: str, told: Told) -> None:
    """Under sql_log_bin=0 two columns change places in type: their values would be read one for the other."""
    chain.on(store, "CREATE TABLE hidden (id INT PRIMARY KEY, a INT, b INT)", "INSERT INTO hidden VALUES (1, 1, 2)")
    chain.settle()
    wait_for(
        lambda: chain.rows("SELECT 1 FROM tillstream.fingerprints WHERE store = %s AND table_name = 'hidden'", [store]),
        "its columns have not been looked at",
    )
    began = time.monotonic()
    with unlogged(chain.stores[store], chain.database) as run:
        run("ALTER TABLE hidden CHANGE a b INT, CHANGE b a INT")
    wait_for(lambda: any("hidden" in reason for reason in reasons(chain, store)), "nobody has noticed")
    told(f"{store}: a hidden ALTER", began)
    chain.on(store, "INSERT INTO hidden VALUES (2, 3, 4)")
    wait_until_read(chain, store)
    chain.settle()
    assert_no_difference(chain)
    assert chain.rows("SELECT id, a, b FROM stores.hidden WHERE _store = %s ORDER BY id", [store]) == [
        (1, 2, 1),
        (2, 4, 3),
    ]


@pytest.mark.parametrize(
    ("store", "alter", "row", "mend"),
    [
        ("old", "ADD COLUMN c INT", "(2, 3, 'x', 4)", "DELETE FROM bare WHERE id = 1"),
        # what is a text now has no common column with the number before it
        ("new", "MODIFY a VARCHAR(9), MODIFY b INT", "(2, 'x', 3)", "DROP TABLE bare"),
    ],
    ids=["one column more", "types exchanged"],
)
def test_a_shape_that_its_log_did_not_tell_stops_the_store(
    chain: Chain, store: str, alter: str, row: str, mend: str
) -> None:
    """Rows that come before anybody has looked do not fit the old shape: nothing is guessed, the reason names the way
    past it, and the other store goes on."""
    chain.on(
        store, "CREATE TABLE bare (id INT PRIMARY KEY, a INT, b VARCHAR(9))", "INSERT INTO bare VALUES (1, 1, '2')"
    )
    chain.settle()
    with unlogged(chain.stores[store], chain.database) as run:
        run(f"ALTER TABLE bare {alter}")
    chain.on(store, f"INSERT INTO bare VALUES {row}")
    _, reason = chain.wait_for_state(store, "refused")
    assert "the table's shape differs from the one recorded" in reason
    assert f"`tillstream resync {store}`" in reason
    chain.settle(without=(store,))
    chain.on(store, mend)
    read_anew(chain, store)
    chain.settle()
    assert_no_difference(chain)


def test_a_server_that_is_killed_is_followed_again(chain: Chain, told: Told) -> None:
    """Its power fails while it is followed; back again, what it committed before and after arrives."""
    chain.on_all("INSERT INTO sale VALUES (500, 5)", "UPDATE member SET points = 500 WHERE id = 1")
    for store, server in chain.stores.items():
        server.kill()
        chain.wait_for_state(store, "unreachable")
    for server in chain.stores.values():
        server.start()
    began = time.monotonic()
    chain.on_all("INSERT INTO sale VALUES (501, 5)")
    chain.settle()
    told("killed and started again: what it wrote then", began)
    assert_no_difference(chain)
    for store in STORES:
        chain.wait_for_state(store, "live")


@contextmanager
def unlogged(server: MySQLServer, database: str | None = None) -> Iterator[Callable[[str], object]]:
    connection = server.connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET sql_log_bin = 0")
            yield cursor.execute
    finally:
        connection.close()


def _set_password(store: str, password: str) -> str:
    text = password.replace("%", "%%")
    if VERSIONS[store] == "5.6":
        return f"SET PASSWORD FOR 'tillstream'@'%%' = PASSWORD('{text}')".replace("%%", "%")
    return f"ALTER USER 'tillstream'@'%' IDENTIFIED BY '{password}'"


@pytest.mark.parametrize(("store", "setting"), [("old", "expire_logs_days"), ("new", "binlog_expire_logs_seconds")])
def test_how_long_the_log_is_kept_is_told_before_it_is_purged(chain: Chain, store: str, setting: str) -> None:
    """From the store's retention and from when the warehouse last had all of it; for ever is no number."""
    day = 1 if setting.endswith("days") else 86_400

    def left() -> float | None:
        found = {row["store"]: row["binlog_seconds_left"] for row in StoreStates(chain.warehouse).read()}[store]
        return None if found is None else float(found)

    with unlogged(chain.stores[store]) as run:
        run(f"SET GLOBAL {setting} = {day}")
    wait_for(lambda: 86_400 - 600 < (left() or 0) <= 86_400, "the retention is not told")
    chain.stop()
    before = left()
    time.sleep(0.2)
    assert (left() or 0) < (before or 0)  # it runs down while nobody is at work, too
    chain.start()
