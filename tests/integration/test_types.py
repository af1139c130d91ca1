"""Every MySQL type at its boundaries, from MySQL 5.6 and 9.7, as snapshot and as stream: equal to the store's own."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from harness import Chain

from tillstream.rehearsal.mysql import MySQLServer

STORES = ("old", "new", "maria")  # MySQL 5.6 and 9.7, MariaDB 10.11
SNAPSHOT, TURNED, STREAMED, UPDATED = 1000, 2000, 3000, 4000  # first ids of each way a row can come


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A column of the wide table: its declaration and SQL literals of the values that it must carry."""

    declared: str
    values: tuple[str, ...]
    ask: str = "{c}"  # how the store is asked, where its plain answer rounds
    read: str = "{c}"  # and the warehouse
    meant: Callable[[Any], Any] = lambda value: value  # pymysql's value as psycopg has it


def _integers() -> dict[str, Case]:
    cases = {}
    for name, bits in (("tinyint", 8), ("smallint", 16), ("mediumint", 24), ("int", 32), ("bigint", 64)):
        half = 2 ** (bits - 1)
        cases[name] = Case(declared=name, values=(str(-half), str(half - 1), "0", "-1", "1"))
        unsigned = (str(2**bits - 1), str(half), str(half - 1), "0", "1")
        cases[f"{name}_unsigned"] = Case(declared=f"{name} unsigned", values=unsigned)
    cases["zerofill"] = Case(declared="int(6) zerofill", values=("42", "4294967295", "0"))
    cases["boolean"] = Case(declared="boolean", values=("true", "false", "2", "-1", "127"))
    return cases


def _decimals() -> dict[str, Case]:
    nines = "9" * 35 + "." + "9" * 30
    return {
        "decimal_10_2": Case(declared="decimal(10,2)", values=("12345678.90", "-99999999.99", "0", "0.01", "-0.01")),
        "decimal_24_6": Case(declared="decimal(24,6)", values=("999999999999999999.999999", "0.000001", "1.5", "0")),
        "decimal_65_0": Case(declared="decimal(65,0)", values=("9" * 65, "-" + "9" * 65, "0", "1" + "0" * 64)),
        "decimal_65_30": Case(declared="decimal(65,30)", values=(nines, "-" + nines, "0", "0." + "0" * 29 + "1")),
        "decimal_30_30": Case(declared="decimal(30,30)", values=("0." + "9" * 30, "0", "-0." + "1" * 30)),
        "numeric_unsigned": Case(declared="numeric(8,3) unsigned", values=("99999.999", "0", "0.001")),
    }


def _floats() -> dict[str, Case]:
    # MySQL prints a FLOAT with six digits; as part of a DOUBLE expression it shows all of it
    float_reads = {"ask": "{c} + 0e0", "read": "{c}::float8"}
    values = ("0", "1.1", "-1.1", "3.4028234e38", "-3.4028234e38", "1.17549435e-38", "16777217", "0.1")
    doubles = ("0", "0.1", "-2.2250738585072014e-308", "1.7976931348623157e308", "123456789.123456789", "1e15", "1e-7")
    return {
        "float": Case(declared="float", values=values, **float_reads),
        "float_7_3": Case(declared="float(7,3)", values=("1234.567", "-0.001", "0"), **float_reads),
        "float_53": Case(declared="float(53)", values=doubles),
        "double": Case(declared="double", values=doubles),
        "double_10_2": Case(declared="double(10,2)", values=("12.34", "-99999999.99", "0")),
        "real": Case(declared="real", values=("1.5", "0.1", "-0")),
    }


def _bits() -> dict[str, Case]:
    def number(value: bytes | None) -> int | None:
        return None if value is None else int.from_bytes(value, "big")

    cases = {
        f"bit_{bits}": Case(
            declared=f"bit({bits})",
            values=(f"b'{'1' * bits}'", "b'0'", f"b'1{'0' * (bits - 1)}'", "b'1'"),
            meant=number,
        )
        for bits in (2, 8, 9, 33, 63, 64)
    }
    switch = Case(declared="bit(1)", values=("b'0'", "b'1'"), meant=lambda v: None if v is None else v == b"\x01")
    return {**cases, "bit_1": switch, "bit_plain": Case(declared="bit", values=switch.values, meant=switch.meant)}


def _texts() -> dict[str, Case]:
    odd = ("''", "' lead'", "'''quoted'' \\\\ \\n\\t\"'", "'NULL'", "'\\\\N'", "'null'", "'0'", "'%s {} %%'")
    thai, emoji, chinese = "'สวัสดี'", "'🧋👨‍👩‍👧'", "'珍珠奶茶（大）'"
    return {
        "char_latin1": Case(declared="char(30) character set latin1", values=(*odd, "'café ÿ'", "'€ŒŸ'")),
        "varchar_latin1": Case(declared="varchar(30) character set latin1", values=(*odd, "'ÀÖØöøÿ'", "'€…–'")),
        "text_latin1": Case(declared="text character set latin1", values=(*odd, "'ñandú'", "repeat('é', 65535)")),
        "char_gbk": Case(declared="char(30) character set gbk", values=(*odd, "'珍珠奶茶'", "'丂齄'")),
        "varchar_gbk": Case(declared="varchar(30) character set gbk", values=(*odd, chinese, "'繁體龍'")),
        "text_gbk": Case(declared="text character set gbk", values=(*odd, chinese, "repeat('啊', 3000)")),
        "varchar_gb2312": Case(declared="varchar(30) character set gb2312", values=(*odd, "'会员积分'")),
        "varchar_big5": Case(declared="varchar(30) character set big5", values=(*odd, "'會員積分'")),
        # not sjis with a backslash: MySQL files it under a character that Java reads as ＼
        "varchar_sjis": Case(declared="varchar(30) character set sjis", values=("''", "' lead'", "'日本語ｶﾅ'")),
        "varchar_tis620": Case(declared="varchar(30) character set tis620", values=(*odd, thai)),
        "varchar_utf8": Case(declared="varchar(30) character set utf8", values=(*odd, chinese, thai)),
        "varchar_ucs2": Case(declared="varchar(30) character set ucs2", values=(*odd, chinese, thai)),
        "varchar_utf8mb4": Case(declared="varchar(30) character set utf8mb4", values=(*odd, chinese, thai, emoji)),
        "varchar_bin": Case(declared="varchar(30) character set utf8mb4 collate utf8mb4_bin", values=("'a '", emoji)),
        "char_utf8mb4": Case(declared="char(30) character set utf8mb4", values=(*odd, chinese, emoji)),
        "tinytext": Case(declared="tinytext character set utf8mb4", values=(*odd, emoji, "repeat('x', 255)")),
        "text": Case(declared="text character set utf8mb4", values=(*odd, emoji, "repeat('🧋', 16383)")),
        "mediumtext": Case(declared="mediumtext character set utf8mb4", values=(*odd, emoji, "repeat('珍', 100000)")),
        "longtext": Case(declared="longtext character set utf8mb4", values=(*odd, emoji, chinese)),
        "replacement": Case(declared="varchar(9) character set utf8mb4", values=("'\ufffd'", "'a\ufffdb'")),
        "enum": Case(
            declared="enum('small', 'a,b', '大杯', 'ü,x', '', 'it''s', '\\\\,') character set utf8mb4",
            values=("'small'", "'a,b'", "'大杯'", "'ü,x'", "''", "'it''s'", "'\\\\,'"),
        ),
        "enum_gbk": Case(declared="enum('大', '中,小', 'x') character set gbk", values=("'大'", "'中,小'", "'x'")),
        "set": Case(
            declared="set('r', 'w', '热', 'ü') character set utf8mb4",
            values=("''", "'r'", "'w,r'", "'热,ü,r,w'", "'ü'"),
        ),
    }


def _bytes() -> dict[str, Case]:
    odd = ("''", "x'00'", "x'deadbeef'", "x'27225c00'", "x'ff'", "x'0001'")
    return {
        "binary_6": Case(declared="binary(6)", values=(*odd, "x'ffffffffffff'", "x'610000000000'")),
        "varbinary": Case(declared="varbinary(30)", values=(*odd, "x'80818d8f'")),
        "varchar_binary": Case(declared="varchar(30) character set binary", values=odd),
        "tinyblob": Case(declared="tinyblob", values=(*odd, "repeat(x'00', 255)")),
        "blob": Case(declared="blob", values=(*odd, "repeat(x'ff', 65535)")),
        "mediumblob": Case(declared="mediumblob", values=(*odd, "repeat(x'00ff', 100000)")),
        "longblob": Case(declared="longblob", values=odd),
    }


def _times() -> dict[str, Case]:
    dates = ("1000-01-01", "9999-12-31", "0001-01-01", "0099-12-31", "1582-10-04", "1582-10-25", "1969-12-31",
             "1970-01-01", "2000-02-29", "2024-02-29", "2038-01-20")  # fmt: skip
    clocks = ("00:00:00", "23:59:59", "12:34:56")
    cases = {
        "date": Case(declared="date", values=tuple(f"'{date}'" for date in (*dates, "1582-10-10", "1582-10-15"))),
        "year": Case(declared="year", values=("1901", "2155", "2024", "1970", "2000", "0")),
    }
    # the gap and the doubled hour of New York, where this tier's JVM believes to be, and of Shanghai's last summer time
    local = ("2024-03-10 02:30:00", "2024-11-03 01:30:00", "1991-04-14 02:30:00", "1986-05-04 02:30:00",
             "1900-01-01 00:05:43", "1883-11-18 12:01:00")  # fmt: skip
    for digits in range(7):
        tail = "." + "9" * digits if digits else ""
        half = "." + "5".rjust(digits, "0") if digits else ""
        plain = [f"'{date} {clock}{tail}'" for date in dates for clock in clocks[:2]]
        plain += [f"'{moment}{half}'" for moment in local]
        cases[f"datetime_{digits}"] = Case(declared=f"datetime({digits})", values=tuple(plain))
        stamps = ("1970-01-01 00:00:01", f"2038-01-19 03:14:07{tail if digits else ''}", f"2024-02-29 23:59:59{tail}",
                  f"2024-03-10 07:00:00{half}", f"2024-11-03 05:30:00{half}", f"2024-11-03 06:30:00{half}")  # fmt: skip
        cases[f"timestamp_{digits}"] = Case(
            declared=f"timestamp({digits}) null",
            values=tuple(f"'{moment}'" for moment in stamps),
            meant=lambda value: None if value is None else value.replace(tzinfo=dt.UTC),
        )
        spans = ("838:59:59", "-838:59:59", "00:00:00", f"-00:00:00{half}", f"-00:00:01{half}", f"23:59:59{tail}",
                 f"24:00:00{half}", f"-10:00:00{half}", f"837:59:59{tail}", f"-837:59:59{tail}")  # fmt: skip
        cases[f"time_{digits}"] = Case(declared=f"time({digits})", values=tuple(f"'{span}'" for span in spans))
    return cases


CASES = {**_integers(), **_decimals(), **_floats(), **_bits(), **_texts(), **_bytes(), **_times()}
MOST_VALUES = max(len(case.values) for case in CASES.values())


def _rows(first: int, shift: int) -> list[tuple[str, ...]]:
    """Rows in which every column takes every one of its values; the last row is NULL all over."""
    rows = [
        (str(first + number), *(case.values[(number + shift) % len(case.values)] for case in CASES.values()))
        for number in range(MOST_VALUES)
    ]
    return [*rows, (str(first + MOST_VALUES), *["NULL"] * len(CASES))]


def _insert(rows: list[tuple[str, ...]]) -> str:
    return "INSERT INTO wide VALUES " + ", ".join(f"({', '.join(row)})" for row in rows)


def _update(rows: list[tuple[str, ...]]) -> list[str]:
    return [
        f"UPDATE wide SET {', '.join(f'{name} = {value}' for name, value in zip(_names(), row[1:], strict=True))}"
        f" WHERE id = {row[0]}"
        for row in rows
    ]


def _names() -> list[str]:
    return [f"v_{name}" for name in CASES]


# --- every character of a character set -----------------------------------------------------------------------

CHARSETS = {"latin1": "cp1252", "gbk": "gbk", "gb2312": "gb2312"}  # MySQL's name → Python's


def _glyphs(codec: str) -> list[bytes]:
    """A text per lead byte that holds all its characters; NUL is not among them."""
    singles = bytes(number for number in range(1, 128 if codec.startswith("gb") else 256) if _is_defined(number, codec))
    leads = range(0x81, 0xFF) if codec.startswith("gb") else range(0)
    doubles = (
        b"".join(bytes([lead, trail]) for trail in range(0x40, 0xFF) if _is_defined((lead, trail), codec))
        for lead in leads
    )
    return [singles, *(text for text in doubles if text)]


def _is_defined(code: int | tuple[int, int], codec: str) -> bool:
    try:
        return len(bytes([code] if isinstance(code, int) else code).decode(codec)) == 1
    except UnicodeDecodeError:
        return False


def _insert_glyphs(first: int) -> list[str]:
    return [
        f"INSERT INTO glyphs_{charset} VALUES "
        + ", ".join(f"({first + at}, _{charset} x'{text.hex()}')" for at, text in enumerate(_glyphs(codec)))
        for charset, codec in CHARSETS.items()
    ]


# --- what cannot be kept --------------------------------------------------------------------------------------

REFUSED_TABLES = (
    "CREATE TABLE refused_text (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET utf8mb4)",
    "CREATE TABLE refused_gbk (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET gbk)",
    "CREATE TABLE refused_key (k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, v INT)",
    "CREATE TABLE refused_keyless (v VARCHAR(20) CHARACTER SET utf8mb4)",
    "CREATE TABLE refused_latin1 (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET latin1)",
    "CREATE TABLE refused_datetime (id INT PRIMARY KEY, v DATETIME)",
    "CREATE TABLE zero_date (id INT PRIMARY KEY, v DATE NULL)",
    "CREATE TABLE zero_datetime (id INT PRIMARY KEY, v DATETIME NOT NULL)",
    "CREATE TABLE zero_timestamp (id INT PRIMARY KEY, v TIMESTAMP NOT NULL DEFAULT '2000-01-01 00:00:00')",
)
UNDEFINED_IN_LATIN1 = ("81", "8d", "8f", "90", "9d")


def _refused(first: int) -> list[str]:
    """The same in the snapshot and in the stream: a good row beside each bad one."""
    return [
        f"INSERT INTO refused_text VALUES ({first}, 'a\\0b'), ({first + 1}, 'ab')",
        f"INSERT INTO refused_gbk VALUES ({first}, '珍\\0珠'), ({first + 1}, '珍珠')",
        f"INSERT INTO refused_key VALUES ('{first}\\0', 1), ('{first}', 2)",
        "INSERT INTO refused_keyless VALUES ('a\\0b'), ('ab')",
        *(
            f"INSERT INTO refused_latin1 VALUES ({first + at}, _latin1 x'41{code}42')"
            for at, code in enumerate(UNDEFINED_IN_LATIN1)
        ),
        f"INSERT INTO refused_datetime VALUES ({first}, '1582-10-10 12:00:00'), ({first + 1}, '1582-10-04 23:59:59')",
        f"INSERT INTO zero_date VALUES ({first}, '0000-00-00'), ({first + 1}, '2024-00-15')",
        f"INSERT INTO zero_datetime VALUES ({first}, '0000-00-00 00:00:00')",
        f"INSERT INTO zero_timestamp VALUES ({first}, '0000-00-00 00:00:00')",
    ]


@pytest.fixture(scope="module")
def chain(
    make_chain: Callable[..., Chain], mysql56: MySQLServer, mysql97: MySQLServer, mariadb1011: MySQLServer
) -> Chain:
    """All servers with every value: read in the snapshot, inserted later, and reached by an UPDATE."""
    chain = make_chain({"old": mysql56, "new": mysql97, "maria": mariadb1011}, database="types")
    columns = ", ".join(f"{name} {case.declared}" for name, case in zip(_names(), CASES.values(), strict=True))
    utc = "SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES'"
    chain.on_all(
        utc,
        f"CREATE TABLE wide (id INT PRIMARY KEY, {columns}) ROW_FORMAT=DYNAMIC",
        _insert(_rows(SNAPSHOT, 0)),
        _insert(_rows(TURNED, 1)),
        *(
            f"CREATE TABLE glyphs_{charset} (id INT PRIMARY KEY, v TEXT CHARACTER SET {charset})"
            for charset in CHARSETS
        ),
        *_insert_glyphs(SNAPSHOT),
        *REFUSED_TABLES,
        "SET sql_mode = ''",
        *_refused(SNAPSHOT),
    )
    chain.start()
    chain.on_all(
        utc,
        _insert(_rows(STREAMED, 0)),
        _insert(_rows(UPDATED, 1)),
        *_update(_rows(TURNED, 0)),
        *_update(_rows(UPDATED, 0)),
        *_insert_glyphs(STREAMED),
        "SET sql_mode = ''",
        *_refused(STREAMED),
    )
    chain.settle()
    return chain


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", CASES)
def test_a_value_arrives_as_the_store_has_it(chain: Chain, store: str, name: str) -> None:
    """Each boundary value, by snapshot, by INSERT and by UPDATE, is in the warehouse what the store itself shows."""
    case = CASES[name]
    asked = chain.asked(store, f"SELECT id, {case.ask.format(c=f'v_{name}')} FROM wide")
    meant = {number: case.meant(value) for number, value in asked}
    there = dict(
        chain.rows(f"SELECT id, {case.read.format(c=f'v_{name}')} FROM stores.wide WHERE _store = %s", [store])
    )
    assert len(meant) == 4 * (MOST_VALUES + 1)
    assert {number: value for number, value in there.items() if value != meant[number]} == {}
    assert there.keys() == meant.keys()


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("charset", CHARSETS)
def test_every_character_of_a_charset_arrives(chain: Chain, store: str, charset: str) -> None:
    """What MySQL makes of each character that the set defines is what arrives, in the snapshot and in the stream."""
    held = dict(chain.asked(store, f"SELECT id, v FROM glyphs_{charset}"))
    there = dict(chain.rows(f"SELECT id, v FROM stores.glyphs_{charset} WHERE _store = %s", [store]))
    assert len(held) == 2 * len(_glyphs(CHARSETS[charset]))
    assert "\ufffd" not in "".join(held.values())
    assert {number for number in held if there.get(number) != held[number]} == set()


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("table", ["refused_text", "refused_gbk"])
def test_a_nul_in_a_text_is_set_aside(chain: Chain, store: str, table: str) -> None:
    """PostgreSQL has no NUL in a text: such a row waits in the dead letters with the reason, the others arrive."""
    reasons = chain.letters(store, table)
    assert sorted(reasons) == [str(SNAPSHOT), str(STREAMED)]
    assert set(reasons.values()) == {"column v: the text holds a NUL character, which PostgreSQL cannot keep"}
    assert _ids(chain, store, table) == {SNAPSHOT + 1, STREAMED + 1}


@pytest.mark.parametrize("store", STORES)
def test_a_nul_in_a_key_is_set_aside(chain: Chain, store: str) -> None:
    """The same where the primary key is the text, and where there is no primary key to know the row by."""
    assert {"NUL" in reason for reason in chain.letters(store, "refused_key").values()} == {True}
    keys = chain.rows("SELECT k, v FROM stores.refused_key WHERE _store = %s ORDER BY k", [store])
    assert keys == [(str(SNAPSHOT), 2), (str(STREAMED), 2)]
    assert len(chain.letters(store, "refused_keyless")) == 2
    assert chain.rows("SELECT v FROM stores.refused_keyless WHERE _store = %s", [store]) == [("ab",), ("ab",)]


@pytest.mark.parametrize("store", STORES)
def test_bytes_that_latin1_does_not_define_are_exact_or_set_aside(chain: Chain, store: str) -> None:
    """81 8D 8F 90 9D: a snapshot has them as MySQL shows them, the stream has lost them and says so."""
    held = {
        number: text for number, text in chain.asked(store, "SELECT id, v FROM refused_latin1") if number < STREAMED
    }
    assert [text[1] for text in held.values()] == [chr(int(code, 16)) for code in UNDEFINED_IN_LATIN1]
    assert dict(chain.rows("SELECT id, v FROM stores.refused_latin1 WHERE _store = %s", [store])) == held
    reasons = chain.letters(store, "refused_latin1")
    assert sorted(reasons) == [str(STREAMED + at) for at in range(len(UNDEFINED_IN_LATIN1))]
    assert set(reasons.values()) == {"column v: the text holds bytes that its declared character set does not define"}


@pytest.mark.parametrize("store", STORES)
def test_a_day_that_the_calendar_left_out_is_exact_or_set_aside(chain: Chain, store: str) -> None:
    """MySQL has the ten days before 1582-10-15, Java has not: the stream is right, the snapshot says that it is not."""
    reasons = chain.letters(store, "refused_datetime")
    assert reasons == {
        str(SNAPSHOT): "column v: a DATETIME between 1582-10-05 and 1582-10-24 cannot be told apart in a snapshot"
    }
    held = dict(chain.asked(store, "SELECT id, v FROM refused_datetime"))
    there = dict(chain.rows("SELECT id, v FROM stores.refused_datetime WHERE _store = %s", [store]))
    assert there == {number: moment for number, moment in held.items() if number != SNAPSHOT}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("table", ["zero_date", "zero_datetime", "zero_timestamp"])
@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="Debezium gives NULL, 1970-01-01 or the default, and nothing tells it apart",
)
def test_a_zero_date_is_set_aside(chain: Chain, store: str, table: str) -> None:
    """'0000-00-00' is no date in PostgreSQL: it must not become another one, nor NULL."""
    held = {str(number) for (number,) in chain.asked(store, f"SELECT id FROM {table}")}
    assert chain.letters(store, table).keys() == held


@pytest.mark.parametrize("store", STORES)
def test_a_later_good_value_settles_what_was_set_aside(chain: Chain, store: str) -> None:
    """An UPDATE brings the whole row: it arrives, its letter is superseded; one to a bad value leaves the old row."""
    chain.on(
        store,
        f"UPDATE refused_text SET v = 'good' WHERE id = {SNAPSHOT}",
        f"UPDATE refused_text SET v = 'b\\0d' WHERE id = {SNAPSHOT + 1}",
    )
    chain.settle()
    assert sorted(chain.letters(store, "refused_text")) == [str(SNAPSHOT + 1), str(STREAMED)]
    there = dict(chain.rows("SELECT id, v FROM stores.refused_text WHERE _store = %s", [store]))
    assert there == {SNAPSHOT: "good", SNAPSHOT + 1: "ab", STREAMED + 1: "ab"}


def _ids(chain: Chain, store: str, table: str) -> set[int]:
    return {number for (number,) in chain.rows(f"SELECT id FROM stores.{table} WHERE _store = %s", [store])}
