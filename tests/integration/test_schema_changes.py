"""What a store's DDL does to its lane: followed where no value can be wrong; else that lane alone stops and names the
way past it. The changes are those of real chains: a POS's upgrade, a technician's ALTER, tools that swap a table.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest
from harness import Chain, assert_no_difference, read_anew

from sinks.verification.run import VerificationResult
from tillstream.rehearsal.mysql import MySQLServer
from tillstream.verifying import verification_for

POLICIES = """\
version: 1
tables:
  member: {scope: shared, key: {phone: exact}, columns: {points: {rule: sum}, "*": {rule: latest}}}
"""
TABLES = {
    "member": "(id INT PRIMARY KEY, phone VARCHAR(20), name VARCHAR(20), points INT)",
    "sale": "(id INT PRIMARY KEY, total DECIMAL(8,2), note VARCHAR(40), qty INT)",
    "shelf": "(id INT PRIMARY KEY, sku VARCHAR(20))",
    "parent": "(id INT PRIMARY KEY, v INT) ENGINE = InnoDB",
    "child": "(id INT PRIMARY KEY, parent INT, v INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE)",
    "nullable": "(id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE SET NULL)",
}
ROWS = (
    "INSERT INTO member VALUES (1, '138', 'a', 10), (2, '139', 'b', 20)",
    "INSERT INTO sale VALUES (1, 1.25, '张', -1), (2, 2.50, 'x', 2), (3, 3, NULL, 3)",
    "INSERT INTO shelf VALUES (1, 'tea'), (2, 'milk')",
    "INSERT INTO parent VALUES (1, 1), (2, 2), (3, 3)",
    "INSERT INTO child VALUES (1, 1, 1), (2, 1, 2), (3, 2, 3), (4, 3, 4)",
    "INSERT INTO nullable VALUES (1, 1), (2, 2)",
)
LENIENT = "SET sql_mode = ''"  # as old servers are by default: what does not fit is made to fit


@pytest.fixture(scope="module")
def chain(make_chain: Callable[..., Chain], mysql56: MySQLServer, mysql97: MySQLServer) -> Chain:
    chain = make_chain({"old": mysql56, "new": mysql97}, database="shapes", policies=POLICIES)
    chain.on_all(*(f"CREATE TABLE {name} {columns}" for name, columns in TABLES.items()), *ROWS)
    chain.start()
    chain.settle()
    return chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """What one store is told, and words of the reason why its lane stops."""

    statements: tuple[str, ...]
    reason: str


GHOST = (
    "CREATE TABLE _shelf_gho LIKE shelf",
    "ALTER TABLE _shelf_gho ADD COLUMN place INT NOT NULL DEFAULT 7",
    "INSERT INTO _shelf_gho (id, sku) SELECT id, sku FROM shelf",
    "RENAME TABLE shelf TO _shelf_del, _shelf_gho TO shelf",
)
PT_OSC = (
    "CREATE TABLE _shelf_new LIKE shelf",
    "ALTER TABLE _shelf_new ADD COLUMN place INT NOT NULL DEFAULT 7",
    "CREATE TRIGGER pt_ins AFTER INSERT ON shelf FOR EACH ROW"
    " REPLACE INTO _shelf_new (id, sku) VALUES (NEW.id, NEW.sku)",
    "INSERT IGNORE INTO _shelf_new (id, sku) SELECT id, sku FROM shelf",
    "INSERT INTO shelf VALUES (3, 'while it was copied')",
    "RENAME TABLE shelf TO _shelf_old, _shelf_new TO shelf",
    "DROP TABLE _shelf_old",
)
NOTHING_HOLDS_BOTH = (
    "CREATE TABLE moved (id INT PRIMARY KEY, v INT)",
    "ALTER TABLE moved MODIFY v VARCHAR(9)",
    "DROP TABLE moved",
)
STOPS = (
    # of each pair one for the old store, one for the new; what follows the statement that stops it is passed with it
    (
        Stop(statements=(LENIENT, "ALTER TABLE sale CONVERT TO CHARACTER SET latin1"), reason="sale.note changed from"),
        Stop(
            statements=("SET binlog_row_image = 'NOBLOB'", "ALTER TABLE member ADD COLUMN photo BLOB",
                        "UPDATE member SET points = 9 WHERE id = 1", "ALTER TABLE sale MODIFY total DECIMAL(8,1)"),
            reason="the table's shape differs",
        ),
    ),
    (
        Stop(
            statements=(LENIENT, "ALTER TABLE member MODIFY name VARCHAR(20) NOT NULL",
                        "ALTER TABLE sale MODIFY qty INT UNSIGNED"),
            reason="member.name changed",
        ),
        Stop(statements=("ALTER TABLE sale DROP PRIMARY KEY, ADD PRIMARY KEY (id, qty)",), reason="the primary key of"),
    ),
    (
        Stop(statements=GHOST, reason="a table was renamed to _shelf_del"),
        Stop(statements=(*NOTHING_HOLDS_BOTH, *PT_OSC), reason="leave the column out with tables.exclude_columns"),
    ),
    (
        Stop(
            statements=("SET sql_mode = 'ANSI_QUOTES'", 'ALTER TABLE "member" ADD COLUMN "from" INT'),
            reason="ALTER TABLE 'member' ADD COLUMN 'from' INT",  # as Debezium quotes it
        ),
        Stop(
            statements=("CREATE LIBRARY lib LANGUAGE JAVASCRIPT AS $$ export function f(n) { return n } $$",),
            reason="CREATE LIBRARY",
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize("pair", STOPS, ids=["charset, half a row", "null, key", "swapped, another type", "unreadable"])
def test_what_cannot_be_followed_stops_its_store_alone(chain: Chain, pair: tuple[Stop, Stop]) -> None:
    """The reason names statement and remedy, the other store goes on; read anew, the stopped one differs in nothing."""
    chain.on("old", "UPDATE member SET name = NULL WHERE id = 2", *pair[0].statements, "DELETE FROM shelf WHERE id = 2")
    _, reason = chain.wait_for_state("old", "refused")
    assert pair[0].reason in reason
    assert "`tillstream resync old`" in reason
    chain.settle(without=("old",))
    chain.on("new", *pair[1].statements, "INSERT INTO sale (id, qty) SELECT MAX(id) + 1, 1 FROM sale")
    _, reason = chain.wait_for_state("new", "refused")
    assert pair[1].reason in reason
    assert "`tillstream resync new`" in reason
    with ThreadPoolExecutor() as pool:
        list(pool.map(partial(read_anew, chain), chain.stores))
    chain.settle()
    assert_no_difference(chain)


def test_what_the_log_does_not_tell_is_found_and_mended(chain: Chain) -> None:
    """ON DELETE CASCADE and SET NULL: MySQL 5.6 logs the parent's row alone. XA: 9.7 logs the rows at PREPARE, and a
    ROLLBACK takes nothing back. PARTIAL_JSON in a session: the UPDATE is in no event, and Debezium says nothing."""
    chain.on("new", "CREATE TABLE paper (id INT PRIMARY KEY, j JSON)", """INSERT INTO paper VALUES (1, '{"a": 1}')""")
    chain.on_all("DELETE FROM parent WHERE id = 1")
    for number, end in enumerate(("COMMIT", "ROLLBACK")):
        insert = f"INSERT INTO parent VALUES (8{number}, 0)"
        chain.on_all(f"XA START '{end}'", insert, f"XA END '{end}'", f"XA PREPARE '{end}'", f"XA {end} '{end}'")
    chain.on(
        "new",
        "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'",
        "UPDATE paper SET j = JSON_SET(j, '$.a', 2)",
    )
    chain.settle()
    assert {(s.store, s.table, s.key) for s in verify(chain).samples} == {
        ("old", "child", "1"), ("old", "child", "2"), ("old", "nullable", "1"),
        ("new", "parent", "81"), ("new", "paper", "1"),
    }  # fmt: skip
    tables = (("old", "child"), ("old", "nullable"), ("new", "parent"), ("new", "paper"))
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda each: read_anew(chain, *each), tables))
    assert {name: counts for each in done for name, counts in each.items()} == {
        "child": (2, 0, 2), "nullable": (2, 1, 0), "parent": (3, 0, 1), "paper": (1, 1, 0),
    }  # fmt: skip
    chain.settle()
    assert_no_difference(chain)


FOLLOWED = (
    "CREATE TABLE `Shelf` (id INT PRIMARY KEY, sku VARCHAR(20))",  # another table, by case alone
    "INSERT INTO `Shelf` VALUES (1, 'TEA')",
    "CREATE TABLE copied (PRIMARY KEY (id)) SELECT id, sku FROM shelf",
    "CREATE TABLE model (id INT PRIMARY KEY, total DECIMAL(8,2), note VARCHAR(40), qty INT)",
    "INSERT INTO model VALUES (1, 1.25, '张', -1), (2, 2.50, 'x', 2), (3, 3, NULL, 3)",
    "CREATE TABLE alike LIKE model",
    "INSERT INTO alike SELECT * FROM model",
    "ALTER TABLE alike ADD COLUMN paid TINYINT NOT NULL DEFAULT 1 AFTER id, ADD COLUMN `where` VARCHAR(9)",
    "ALTER TABLE alike MODIFY qty INT AFTER id, MODIFY note VARCHAR(40) FIRST",
    "INSERT INTO alike (id, total, note, qty, paid) VALUES (4, 4.25, 'after the move', 4, 0)",
    "ALTER TABLE alike MODIFY total DECIMAL(12,2), MODIFY note TEXT, MODIFY qty BIGINT",
    "ALTER TABLE alike CONVERT TO CHARACTER SET utf8mb4",
    "INSERT INTO alike (id, note, qty) VALUES (5, '🧋', 9223372036854775807)",
    "ALTER TABLE alike DROP COLUMN total, ADD INDEX (paid), COMMENT = 'note'",
    "UPDATE alike SET note = NULL WHERE id = 2",
    "CREATE TABLE again (id INT PRIMARY KEY, v INT)",
    "INSERT INTO again VALUES (1, 1)",
    "DROP TABLE again",
    "CREATE TABLE again (code VARCHAR(9) PRIMARY KEY, v DECIMAL(20,0), w INT)",
    "INSERT INTO again VALUES ('1', 18446744073709551615, 1)",
    "CREATE TABLE one (id INT PRIMARY KEY)",
    "CREATE TABLE two (id INT PRIMARY KEY)",
    "INSERT INTO one VALUES (1)",
    "INSERT INTO two VALUES (1)",
    "DROP TABLE one, two",
    "ALTER TABLE shelf PARTITION BY HASH (id) PARTITIONS 2",
    "CREATE TABLE plain (id INT PRIMARY KEY, v INT) ENGINE = MyISAM",
    "CREATE VIEW seen AS SELECT id FROM sale",
)
COMPUTED = (  # MySQL 5.7 and later
    "CREATE TABLE computed (a INT PRIMARY KEY, twice INT AS (a * 2) STORED, thrice INT AS (a * 3) VIRTUAL)",
    "INSERT INTO computed (a) VALUES (1), (2)",
    "UPDATE computed SET a = 3 WHERE a = 2",
    "ALTER TABLE computed ADD COLUMN unseen INT INVISIBLE DEFAULT 4",
    "INSERT INTO computed (a, unseen) VALUES (7, 8)",
)


def test_what_bends_no_value_is_followed(chain: Chain) -> None:
    """Added with a default, widened, moved, to utf8mb4, dropped, dropped and made anew; by both versions of MySQL, a
    new table too, and one whose name differs from another's in case only."""
    chain.on_all(*FOLLOWED)
    chain.on("new", *COMPUTED)
    # MyISAM keeps what a ROLLBACK takes back elsewhere, and so does its log
    chain.on("old", "START TRANSACTION", "INSERT INTO plain VALUES (1, 1)", "UPDATE sale SET qty = 77", "ROLLBACK")
    chain.settle()
    assert_no_difference(chain)
    shelves = chain.rows("SELECT sku FROM stores.\"Shelf\" WHERE _store = 'old'")
    assert shelves == [("TEA",)]
    assert chain.rows("SELECT paid FROM stores.alike WHERE _store = 'new' AND id = 1") == [(1,)]
    assert chain.rows("SELECT v FROM stores.plain") == [(1,)]
    gone = chain.rows("SELECT count(*) FROM stores.one a, stores.two b WHERE a._deleted AND b._deleted")
    assert gone == [(4,)]


def verify(chain: Chain) -> VerificationResult:
    return verification_for(chain.config, chain.policy, chain.warehouse).run()
