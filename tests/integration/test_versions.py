"""MySQL 5.6, 9.7 and MariaDB 10.11 as sources: the same statements give the same warehouse, which is what they hold."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest
from harness import MARKER, Chain
from psycopg import sql
from pymysql.constants import FIELD_TYPE

from sinks.names import META_COLUMNS, identifier
from sinks.statements import quoted
from tillstream.rehearsal.mysql import MySQLServer
from tillstream.verifying import verification_for

LONG = "会员积分与储值卡余额变动明细对账流水记录表"  # 63 bytes are 21 such characters
LONG_TABLE = LONG + "备份"
LONG_COLUMNS = ("c" * 63 + "1", "c" * 63 + "2")  # one name once cut
LOADED = 5000

POLICIES = f"""
version: 1
tables:
  party:
    scope: shared
    key: {{phone: phone_cn}}
    columns: {{advance_in: {{rule: sum}}, "*": {{rule: latest}}}}
  gift_card:
    scope: shared
    key: [number]
  "会员 卡":
    scope: shared
    key: ["卡 号"]
  {LONG_TABLE}:
    scope: shared
    key: [{LONG_COLUMNS[0]}]
"""

# A clock of its own, so that both servers' defaults are the same moment.
CLOCK = "SET timestamp = 1700000000, time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES'"

TABLES = (
    # a till with composite keys
    "CREATE TABLE person (person_id INT AUTO_INCREMENT PRIMARY KEY, first VARCHAR(40) NOT NULL, last VARCHAR(40),"
    " phone VARCHAR(20), email VARCHAR(80)) CHARACTER SET utf8",
    "CREATE TABLE customer (person_id INT PRIMARY KEY, account_number VARCHAR(20) NULL UNIQUE, points INT NULL,"
    " discount DECIMAL(15,2) NOT NULL DEFAULT 0, deleted TINYINT(1) NOT NULL DEFAULT 0)",
    "CREATE TABLE item_quantity (item_id INT, location_id INT, quantity DECIMAL(15,3) NOT NULL DEFAULT 0,"
    " PRIMARY KEY (item_id, location_id))",
    "CREATE TABLE inventory (trans_id INT AUTO_INCREMENT PRIMARY KEY, item_id INT NOT NULL,"
    " trans_date TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, delta DECIMAL(15,3) NOT NULL DEFAULT 0)",
    "CREATE TABLE sale_item_tax (sale_id INT, item_id INT, line INT, name VARCHAR(100) CHARACTER SET utf8,"
    " percent DECIMAL(15,3), amount DECIMAL(15,4) DEFAULT 0, PRIMARY KEY (sale_id, item_id, line, name, percent))",
    "CREATE TABLE points_earned (sale_id INT PRIMARY KEY, earned FLOAT, used DOUBLE)",
    "CREATE TABLE gift_card (card_id INT AUTO_INCREMENT PRIMARY KEY, number VARCHAR(30) UNIQUE,"
    " value DECIMAL(15,2) NOT NULL, person_id INT NULL)",
    "CREATE TABLE session (id VARCHAR(40) NOT NULL, data MEDIUMBLOB, at DATETIME(3))",
    "CREATE TABLE attribute_link (a INT NULL, b INT NULL, c INT NULL, d INT NULL, e INT NULL, UNIQUE (a, b, c, d, e))",
    # one document table
    "CREATE TABLE party (id BIGINT AUTO_INCREMENT PRIMARY KEY COMMENT '主键', name VARCHAR(100) COMMENT '名称',"
    " phone VARCHAR(30), type VARCHAR(20) DEFAULT '客户', enabled BIT(1) NOT NULL DEFAULT b'1',"
    " advance_in DECIMAL(24,6) DEFAULT '0.000000', delete_flag VARCHAR(1) DEFAULT '0')"
    " CHARACTER SET utf8 COMMENT='往来单位'",
    "CREATE TABLE bill_item (id BIGINT AUTO_INCREMENT PRIMARY KEY, bill_id BIGINT NOT NULL, qty DECIMAL(24,6),"
    " unit_price DECIMAL(24,6), remark VARCHAR(200) CHARACTER SET gbk, enabled BIT(1))",
    "CREATE TABLE sequence (name VARCHAR(50) CHARACTER SET utf8 COLLATE utf8_bin PRIMARY KEY, current_val BIGINT)",
    # rich types, a clock on every row, a shadow kept by triggers, a view
    "CREATE TABLE product (id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, title VARCHAR(128) NOT NULL,"
    " rating ENUM('G', 'PG-13', '成人') DEFAULT 'G', features SET('trailer', 'deleted scenes'), release_year YEAR,"
    " last_update TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)",
    "CREATE TABLE product_text (id SMALLINT UNSIGNED PRIMARY KEY, title VARCHAR(255))",
    "CREATE TRIGGER product_added AFTER INSERT ON product FOR EACH ROW"
    " INSERT INTO product_text VALUES (NEW.id, NEW.title)",
    "CREATE TRIGGER product_changed AFTER UPDATE ON product FOR EACH ROW"
    " UPDATE product_text SET title = NEW.title, id = NEW.id WHERE id = OLD.id",
    "CREATE VIEW product_list AS SELECT id, title FROM product",
    # names
    "CREATE TABLE `order` (`key` INT, `select` VARCHAR(9), `from` INT, `user` INT, PRIMARY KEY (`key`, `from`))",
    "CREATE TABLE `MixedCase` (`Id` INT PRIMARY KEY, `FirstName` VARCHAR(20), `_store` INT, `_pk` VARCHAR(9))",
    'CREATE TABLE `会员 卡` (`编号` INT PRIMARY KEY, `卡 号` VARCHAR(20), `折扣%` DECIMAL(5,2), `a"b` INT, `%s` INT,'
    " `x.y` INT, `{z}` INT)",
    "CREATE TABLE `会员-卡` (`编号` INT PRIMARY KEY)",  # to Debezium's topics the same as the one before
    f"CREATE TABLE `{LONG_TABLE}` (id INT PRIMARY KEY, {LONG_COLUMNS[0]} VARCHAR(9), {LONG_COLUMNS[1]} VARCHAR(9))",
    "CREATE TABLE emptied (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE dropped (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE reborn (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE grown (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE loaded (id INT PRIMARY KEY, a VARCHAR(40), b DECIMAL(10,2))",
)

BEFORE_START = (
    "INSERT INTO person (first, last, phone) VALUES ('Ann', 'Ü', '1'), ('张', '三', NULL), ('', NULL, '')",
    "INSERT INTO customer VALUES (1, 'A1', 10, 0.5, 0), (2, NULL, NULL, 0, 1), (3, NULL, -5, 99.99, 0)",
    "INSERT INTO item_quantity VALUES (1, 1, 5), (1, 2, -0.001), (2, 1, 0)",
    "INSERT INTO inventory (item_id, delta) VALUES (1, 5), (1, -1.5)",
    "INSERT INTO sale_item_tax VALUES (1, 1, 1, 'VAT', 19, 1.5), (1, 1, 1, '增值税', 13.000, 2),"
    " (1, 1, 2, 'VAT', 7, 0)",
    "INSERT INTO points_earned VALUES (1, 1.1, 0.1), (2, 12345.5, -1e10), (3, NULL, NULL)",
    "INSERT INTO gift_card (number, value, person_id) VALUES ('G1', 50, 1), ('G2', 0, NULL), (NULL, 1, NULL)",
    "INSERT INTO session VALUES ('s1', x'00ff', '2024-01-01'), ('s1', x'00ff', '2024-01-01'), ('s2', NULL, NULL)",
    "INSERT INTO attribute_link VALUES (1, NULL, 3, 4, 5), (1, NULL, 3, 4, 5), (1, 2, 3, 4, 5)",
    "INSERT INTO party (name, phone, type, enabled, advance_in) VALUES ('王五', '138 0013 8000', '会员', b'1', 100),"
    " ('李四', '13900139000', '会员', b'0', 0.000001), ('供应商甲', NULL, '供应商', b'1', 0)",
    "INSERT INTO bill_item (bill_id, qty, unit_price, remark, enabled) VALUES (1, 2, 9.99, '珍珠奶茶', b'0'),"
    " (1, -1, 0.000001, '', NULL)",
    "INSERT INTO sequence VALUES ('depot_number_seq', 1), ('DEPOT_NUMBER_SEQ', 9)",
    "INSERT INTO product (title, rating, features, release_year)"
    " VALUES ('Alien', '成人', 'trailer', 1979), ('X', NULL, '', NULL)",
    "INSERT INTO `order` VALUES (1, 'a', 1, 1), (1, 'b', 2, NULL)",
    "INSERT INTO `MixedCase` VALUES (1, 'One', 7, 'x')",
    "INSERT INTO `会员 卡` VALUES (1, 'K 1', 8.50, 1, 2, 3, 4), (2, 'K 2', NULL, NULL, NULL, NULL, NULL)",
    "INSERT INTO `会员-卡` VALUES (7)",
    f"INSERT INTO `{LONG_TABLE}` VALUES (1, 'a', 'b'), (2, 'c', NULL)",
    "INSERT INTO emptied VALUES (1, 1), (2, 2)",
    "INSERT INTO dropped VALUES (1, 1)",
    "INSERT INTO reborn VALUES (1, 1), (2, 2)",
    "INSERT INTO grown VALUES (1, 1), (2, 2), (3, 3)",
)

WHILE_STREAMING = (
    "INSERT INTO person (first) VALUES ('n1'), ('n2'), ('n3'), ('n4')",
    "UPDATE person SET last = CONCAT(first, '!'), phone = NULL WHERE person_id > 1",
    "UPDATE customer SET points = COALESCE(points, 0) + 1, account_number = NULL",
    # a primary key moves; two swap; a whole column of them shifts
    "UPDATE customer SET person_id = 30 WHERE person_id = 3",
    "UPDATE item_quantity SET location_id = 9 WHERE item_id = 1 AND location_id = 1",
    "UPDATE item_quantity SET location_id = 1 WHERE item_id = 1 AND location_id = 2",
    "UPDATE item_quantity SET location_id = 2 WHERE item_id = 1 AND location_id = 9",
    "UPDATE sale_item_tax SET line = line + 10 ORDER BY line DESC",
    "UPDATE party SET id = 99 WHERE id = 1",
    "UPDATE party SET id = 1 WHERE id = 2",
    "UPDATE party SET id = 2 WHERE id = 99",
    "REPLACE INTO points_earned VALUES (1, 2.5, 7), (4, 4.5, 4)",
    "REPLACE INTO gift_card (card_id, number, value) VALUES (2, 'G1', 77)",  # takes two rows' place
    "INSERT INTO gift_card (number, value) VALUES ('G1', 5), ('G3', 6) ON DUPLICATE KEY UPDATE value = value + 100",
    "INSERT INTO sequence VALUES ('depot_number_seq', 1) ON DUPLICATE KEY UPDATE current_val = current_val + 1",
    "UPDATE session SET data = x'01' WHERE id = 's1' LIMIT 1",
    "DELETE FROM session WHERE id = 's2'",
    "INSERT INTO session VALUES ('s1', x'00ff', '2024-01-01')",
    "DELETE FROM session WHERE data = x'00ff' LIMIT 1",
    "UPDATE attribute_link SET e = 6 WHERE b IS NULL",
    "DELETE FROM attribute_link LIMIT 1",
    "INSERT INTO inventory (item_id, delta) SELECT item_id, quantity FROM item_quantity",
    "UPDATE party SET enabled = b'0', advance_in = advance_in - 12.345678 WHERE phone IS NOT NULL",
    "INSERT INTO party (id, name, phone) VALUES (200, '同一人', '+86 139-0013-9000')",
    "UPDATE bill_item SET remark = '退货', enabled = b'1'",
    "INSERT INTO product (title) VALUES ('New')",
    "UPDATE product SET title = CONCAT(title, ' 2'), rating = 'PG-13', features = 'trailer,deleted scenes'"
    " WHERE id < 3",
    "DELETE FROM `order` WHERE `from` = 1",
    "INSERT INTO `order` VALUES (2, 'c', 1, 5)",
    "UPDATE `MixedCase` SET `FirstName` = NULL, `_store` = 8",
    "UPDATE `会员 卡` SET `折扣%` = 7.25, `%s` = `编号`",
    "DELETE FROM `会员 卡` WHERE `编号` = 2",
    f"UPDATE `{LONG_TABLE}` SET {LONG_COLUMNS[1]} = 'z' WHERE id = 2",
    "TRUNCATE TABLE emptied",
    "INSERT INTO emptied VALUES (2, 22), (3, 33)",
    "DROP TABLE dropped",
    "DROP TABLE reborn",
    "CREATE TABLE reborn (name VARCHAR(9) PRIMARY KEY, v INT)",
    "INSERT INTO reborn VALUES ('1', 5)",
    "START TRANSACTION",
    "UPDATE grown SET v = 100",
    "ROLLBACK",
    # the rows that are there get the default without any event
    "ALTER TABLE grown ADD COLUMN a INT NOT NULL DEFAULT 5, ADD COLUMN b DECIMAL(10,3) DEFAULT 1.50,"
    " ADD COLUMN c VARCHAR(20) NOT NULL DEFAULT 'it''s %s', ADD COLUMN d VARCHAR(9) NULL,"
    " ADD COLUMN e VARCHAR(9) NOT NULL",
    "ALTER TABLE grown ADD COLUMN f DATETIME(3) NOT NULL DEFAULT '2020-01-02 03:04:05.678',"
    " ADD COLUMN g BIT(1) NOT NULL DEFAULT b'1', ADD COLUMN h BIT(9) DEFAULT b'100000001',"
    " ADD COLUMN i ENUM('small', 'big') NOT NULL, ADD COLUMN j ENUM('x', '大') DEFAULT '大',"
    " ADD COLUMN k DATE DEFAULT '2024-02-29'",
    "ALTER TABLE grown ADD COLUMN l TIME(2) NOT NULL DEFAULT '-10:00:00.25', ADD COLUMN m TINYINT(1) DEFAULT TRUE,"
    " ADD COLUMN n BIGINT UNSIGNED NOT NULL DEFAULT 18446744073709551615, ADD COLUMN o VARBINARY(9) NOT NULL,"
    " ADD COLUMN p YEAR DEFAULT 1999, ADD COLUMN q VARCHAR(9) DEFAULT '', ADD COLUMN r INT DEFAULT NULL FIRST,"
    " ADD COLUMN s TIMESTAMP NULL, ADD COLUMN t SET('p', 'q') NOT NULL DEFAULT 'p,q',"
    " ADD COLUMN u DOUBLE NOT NULL DEFAULT 1.5, ADD COLUMN w VARCHAR(9) NOT NULL DEFAULT 'NULL',"
    " ADD COLUMN x VARBINARY(9) NOT NULL DEFAULT 'ab', ADD COLUMN y TIME NOT NULL, ADD COLUMN z BIT(1) NOT NULL",
    "ALTER TABLE grown ADD COLUMN aa DECIMAL(65,30) DEFAULT 0.1, ADD COLUMN ab DECIMAL(10,2) DEFAULT 7,"
    " ADD COLUMN ac VARCHAR(9) DEFAULT 'a\\\\b\\'c', ADD COLUMN ad BINARY(3) NOT NULL DEFAULT 'a',"
    " ADD COLUMN ae BINARY(3) NOT NULL,"
    " ADD COLUMN af CHAR(9) CHARACTER SET latin1 DEFAULT 'é', ADD COLUMN ag INT ZEROFILL DEFAULT 7,"
    " ADD COLUMN ah BOOLEAN DEFAULT FALSE, ADD COLUMN ai SET('a', 'b') DEFAULT 'b,a',"
    " ADD COLUMN aj CHAR(5) DEFAULT 'x  ',"
    " ADD COLUMN ak TEXT NOT NULL, ADD COLUMN al INT DEFAULT -3 COMMENT '0x10 AS (x)',"
    " ADD COLUMN am ENUM('A', 'b') DEFAULT 'a'",
    # a column that comes again is another one
    "ALTER TABLE grown DROP COLUMN d, DROP v",
    "ALTER TABLE grown ADD COLUMN d VARCHAR(9) NULL DEFAULT 'anew'",
    "ALTER TABLE grown ADD COLUMN v INT NULL, ADD COLUMN `p% %s` INT DEFAULT 3",
    "ALTER TABLE grown DROP COLUMN b, ADD COLUMN b DECIMAL(10,3) DEFAULT 2",
    "UPDATE grown SET a = 6 WHERE id = 2",
    "INSERT INTO grown (id, e, i, o, y, z, ae, ak) VALUES (4, '', 'big', x'00', '1:0:0', b'1', 'q', '')",
    "START TRANSACTION",
    "INSERT INTO loaded VALUES "
    + ", ".join(f"({number}, 'row {number}', {number % 9999}.{number % 100:02})" for number in range(LOADED)),
    "UPDATE loaded SET b = b + 1 WHERE id % 7 = 0",
    "DELETE FROM loaded WHERE id % 11 = 0",
    "UPDATE loaded SET id = id + 100000 WHERE id % 13 = 0",
    "COMMIT",
)

COMPRESSED = (
    "START TRANSACTION",
    "INSERT INTO loaded VALUES (900001, 'compressed', 1)",
    "UPDATE loaded SET a = 'again', b = 2 WHERE id = 900001",
    "DELETE FROM loaded WHERE id = 900001",
    "INSERT INTO loaded VALUES (900001, 'last', 3), (900002, 'second', 4)",
    "UPDATE loaded SET id = 900003 WHERE id = 900002",
    "UPDATE party SET name = '压缩' WHERE id = 1",
    "UPDATE party SET name = '压缩了' WHERE id = 1",
    "INSERT INTO session VALUES ('z', x'02', NULL), ('z', x'02', NULL)",
    "DELETE FROM session WHERE id = 'z' LIMIT 1",
    "COMMIT",
)

VERSIONS = ("5.6", "9.7", "10.11")


@pytest.fixture(scope="module")
def twins(
    make_chain: Callable[..., Chain], mysql56: MySQLServer, mysql97: MySQLServer, mariadb1011: MySQLServer
) -> dict[str, Chain]:
    """One chain per version, which was told the same."""
    chains = {}
    for version, server in zip(VERSIONS, (mysql56, mysql97, mariadb1011), strict=True):
        chain = chains[version] = make_chain({"s1": server}, database="twin", policies=POLICIES)
        chain.on("s1", CLOCK, *TABLES, *BEFORE_START)
        chain.start()
        chain.on("s1", CLOCK, *WHILE_STREAMING)
        compression = ["SET SESSION binlog_transaction_compression = ON"] if version == "9.7" else []
        chain.on("s1", CLOCK, *compression, *COMPRESSED)
        chain.settle()
        chain.stop()  # one store id at a time: within one JVM Debezium's metrics bear its name
    return chains


@pytest.mark.parametrize("version", VERSIONS)
def test_the_warehouse_holds_what_the_store_holds(twins: dict[str, Chain], version: str) -> None:
    """Every live row of stores.* is a row of the store with the same values, and the other way round."""
    chain = twins[version]
    tables = tables_of(chain, "s1")
    assert len(tables) > 20
    for table in tables:
        assert there(chain, "s1", table) == held(chain, "s1", table), table


@pytest.mark.parametrize("version", VERSIONS)
def test_verify_finds_nothing(twins: dict[str, Chain], version: str) -> None:
    """`verify` agrees: no row differs, none is set aside, none was left out."""
    chain = twins[version]
    result = verification_for(chain.config, chain.policy, chain.warehouse).run()
    assert (result.differences, result.set_aside, result.in_flux, result.unreachable) == (0, 0, 0, ())
    assert result.tables == len(tables_of(chain, "s1"))
    assert result.rows > LOADED / 2
    assert result.central_keys > 5


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_every_version_gives_the_same_stores(twins: dict[str, Chain], version: str) -> None:
    """stores.* differs from 5.6's in positions and times only: also the rows that are gone, and how they went."""
    old, new = twins["5.6"], twins[version]
    tables = [table for (table,) in old.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'stores'")]
    assert "dropped" in tables
    for table in tables:
        assert mirrored(new, table) == mirrored(old, table), table


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_every_version_gives_the_same_central_rows(twins: dict[str, Chain], version: str) -> None:
    """central.* is 5.6's, and so are the contests."""
    old, new = twins["5.6"], twins[version]
    for table in ("party", "gift_card", "会员 卡", identifier(LONG_TABLE)):
        rows = central(old, table)
        assert rows, table
        assert central(new, table) == rows, table
    contests = (
        "SELECT table_name, key, column_name, rule, winner, value, reason FROM tillstream.conflicts ORDER BY 1, 2, 3"
    )
    assert new.rows(contests) == old.rows(contests)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_dropped_or_truncated_table_lives_on_as_withdrawn_rows(twins: dict[str, Chain], version: str) -> None:
    """TRUNCATE and DROP withdraw the store's rows; nothing of the warehouse is dropped."""
    chain = twins[version]
    assert chain.rows("SELECT id, v, _deleted, _op FROM stores.dropped") == [(1, 1, True, "t")]
    emptied = chain.rows("SELECT id, v, _deleted FROM stores.emptied ORDER BY id")
    assert emptied == [(1, 1, True), (2, 22, False), (3, 33, False)]


@pytest.fixture(scope="module")
def mixed(make_chain: Callable[..., Chain], mysql56: MySQLServer, mysql97: MySQLServer) -> Chain:
    """Both versions in one chain, each with its own idea of one table."""
    chain = make_chain({"old": mysql56, "new": mysql97}, database="mixed", policies=MIXED_POLICIES)
    chain.on(
        "old",
        CLOCK,
        "CREATE TABLE member (id INT PRIMARY KEY, phone VARCHAR(20), points INT, name VARCHAR(20) CHARACTER SET gbk)",
        "CREATE TABLE sale (id INT PRIMARY KEY, total INT, qty SMALLINT, note TEXT)",
        "INSERT INTO member VALUES (1, '13800138000', -5, '张三'), (2, '13900139000', 1, '李四')",
        "INSERT INTO sale VALUES (1, -2147483648, -1, 'old')",
    )
    chain.on(
        "new",
        CLOCK,
        "CREATE TABLE member (points BIGINT UNSIGNED, phone VARCHAR(30), wechat VARCHAR(20), id BIGINT PRIMARY KEY,"
        " name VARCHAR(50))",
        "CREATE TABLE sale (id INT PRIMARY KEY, total BIGINT UNSIGNED, qty DECIMAL(10,3),"
        " channel VARCHAR(9) DEFAULT 'app')",
        "INSERT INTO member VALUES (18446744073709551615, '138 0013 8000', 'wx1', 7, '张三 🧋')",
        "INSERT INTO sale VALUES (1, 18446744073709551615, 1.125, 'web')",
    )
    chain.start()
    chain.on(
        "old", CLOCK, "UPDATE member SET points = 2147483647 WHERE id = 2", "INSERT INTO sale VALUES (2, 5, 5, '')"
    )
    chain.on(
        "new", CLOCK, "INSERT INTO member VALUES (1, '13900139000', 'wx2', 8, NULL)", "UPDATE sale SET qty = 0.001"
    )
    chain.on(
        "old", "ALTER TABLE sale MODIFY total BIGINT", "INSERT INTO sale VALUES (3, -9223372036854775808, 1, NULL)"
    )
    chain.settle()
    return chain


MIXED_POLICIES = """
version: 1
tables:
  member:
    scope: shared
    key: {phone: phone_cn}
    columns: {points: {rule: sum}, "*": {rule: latest}}
"""


@pytest.mark.parametrize("store", ["old", "new"])
def test_stores_may_declare_a_table_differently(mixed: Chain, store: str) -> None:
    """The warehouse's table is the union: each store's rows are exact in it, and empty where it has no such column."""
    for table in ("member", "sale"):
        assert there(mixed, store, table) == held(mixed, store, table), table
    strangers = {"old": ("sale", "channel"), "new": ("sale", "note")}[store]
    assert {value for (value,) in mixed.rows(f"SELECT {strangers[1]} FROM stores.sale WHERE _store = %s", [store])} == {
        None
    }


def test_a_sum_over_different_integers_is_exact(mixed: Chain) -> None:
    """INT and BIGINT UNSIGNED add up beyond 64 bits; a column that only one store has is decided by that store."""
    rows = mixed.rows('SELECT _key, points, wechat, _stores FROM central.member ORDER BY _key COLLATE "C"')
    assert rows == [
        ("+8613800138000", Decimal(2**64 - 1 - 5), "wx1", ["new", "old"]),
        ("+8613900139000", Decimal(2**31), "wx2", ["new", "old"]),
    ]


def test_verify_finds_nothing_in_a_mixed_chain(mixed: Chain) -> None:
    """Different declarations are no difference."""
    result = verification_for(mixed.config, mixed.policy, mixed.warehouse).run()
    assert (result.differences, result.set_aside, result.in_flux, result.unreachable) == (0, 0, 0, ())
    assert result.tables == 6


def test_a_default_that_no_event_tells_stops_the_lane_and_no_other(mixed: Chain) -> None:
    """What CURRENT_TIMESTAMP was when the column came, only the store knows: there is no guess, but a remedy."""
    mixed.on("old", "ALTER TABLE sale ADD COLUMN seen TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP")
    mixed.on("new", "INSERT INTO sale (id, total) VALUES (4, 4)")
    mixed.settle(without=("old",))
    _, reason = mixed.wait_for_state("old", "refused")
    assert "sale.seen was added" in reason
    assert "tillstream resync old" in reason
    assert there(mixed, "new", "sale") == held(mixed, "new", "sale")
    assert "seen" not in _columns(mixed, "stores", "sale")


# --- reading both sides ---------------------------------------------------------------------------------------


def tables_of(chain: Chain, store: str) -> list[str]:
    return [table for table, _ in chain.asked(store, "SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")]


def held(chain: Chain, store: str, table: str) -> Counter[tuple[Any, ...]]:
    """The store's rows as it answers a plain SELECT, with its columns under the warehouse's names."""
    with chain.session(store) as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute(f"SELECT * FROM `{table}`")
        kinds = [(identifier(column[0]), column[1]) for column in cursor.description]
        return Counter(
            _row((name, int.from_bytes(value, "big") if kind == FIELD_TYPE.BIT and value is not None else value)
                 for (name, kind), value in zip(kinds, row, strict=True))
            for row in cursor.fetchall()
        )  # fmt: skip


def there(chain: Chain, store: str, table: str) -> Counter[tuple[Any, ...]]:
    """The store's live rows in the warehouse, in the columns that the store has."""
    with chain.session(store) as cursor:
        cursor.execute(f"SELECT * FROM `{table}` LIMIT 0")
        columns = [identifier(column[0]) for column in cursor.description]
    statement = sql.SQL("SELECT {} FROM stores.{} WHERE _store = %s AND NOT _deleted").format(
        sql.SQL(", ").join(sql.SQL("t.{}").format(quoted(column)) for column in columns),
        sql.SQL("{} t").format(quoted(identifier(table))),
    )
    return Counter(_row(zip(columns, row, strict=True)) for row in chain.rows(statement, [store]))


def _row(values: Iterable[tuple[str, Any]]) -> tuple[Any, ...]:
    return tuple(sorted((name, _plain(value)) for name, value in values))


def _plain(value: Any) -> str:
    match value:
        case bool() | int() | Decimal():
            return f"number {Decimal(value).normalize()}"
        case dt.datetime(tzinfo=zone) if zone is not None:
            return repr(value.astimezone(dt.UTC).replace(tzinfo=None))
    return repr(value)


def mirrored(chain: Chain, table: str) -> Counter[tuple[Any, ...]]:
    """All of stores.<table> but positions and times; the running half of a keyless row's identity is a position."""
    if table == MARKER:
        return Counter()
    columns = _columns(chain, "stores", table)
    keyless = table in ("session", "attribute_link")
    pk = "split_part(t._pk, ':', 1)" if keyless else "t._pk"
    statement = sql.SQL("SELECT {}, t._op, t._deleted, t._key, {} FROM stores.{} t").format(
        sql.SQL(pk),
        sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(column)) for column in columns),
        sql.Identifier(table),
    )
    return Counter(tuple(map(_plain, row)) for row in chain.rows(statement))


def central(chain: Chain, table: str) -> Counter[tuple[Any, ...]]:
    columns = [*_columns(chain, "central", table), "_key", "_stores", "_winners", "_contested", "_uncertain"]
    statement = sql.SQL("SELECT {} FROM central.{}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table)
    )
    return Counter(tuple(map(_plain, row)) for row in chain.rows(statement))


def _columns(chain: Chain, schema: str, table: str) -> list[str]:
    found = chain.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
        [schema, table],
    )
    return sorted(column for (column,) in found if column not in META_COLUMNS)
