"""Every MySQL type at its boundaries, from MySQL 5.6 and 9.7, as snapshot and as stream: equal to the store's own."""

import datetime as dt
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from harness import Chain

from sinks.nul_escape import unescape_nul
from sinks.verification.run import Patience
from tillstream.rehearsal.mysql import MySQLServer
from tillstream.verifying import verification_for

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
        "mediumtext": Case(declared="mediumtext character set utf8mb4", values=(*odd, emoji, "repeat('珍', 25000)")),
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
        "mediumblob": Case(declared="mediumblob", values=(*odd, "repeat(x'00ff', 35000)")),
        "longblob": Case(declared="longblob", values=odd),
    }


def _times() -> dict[str, Case]:
    dates = ("1000-01-01", "9999-12-31", "0001-01-01", "0099-12-31", "1582-10-04", "1582-10-25", "1969-12-31",
             "1970-01-01", "2000-02-29", "2024-02-29", "2038-01-20")  # fmt: skip
    clocks = ("00:00:00", "23:59:59")
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
        # each day with the other clock in every second column: the longest list of values makes the number of rows
        plain = [f"'{date} {clocks[(at + digits) % 2]}{tail}'" for at, date in enumerate(dates)]
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
LOOSE = [name for name, case in CASES.items() if not any("repeat" in value for value in case.values)]
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


def _insert_loose() -> str:
    """The same rows without a key, and without the long texts."""
    rows = [[value for name, value in zip(CASES, row[1:], strict=True) if name in LOOSE] for row in _rows(0, 0)]
    return "INSERT INTO loose VALUES " + ", ".join(f"({', '.join(row)})" for row in rows)


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
    "CREATE TABLE untold_latin1 (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET latin1)",
    "CREATE TABLE untold_datetime (id INT PRIMARY KEY, v DATETIME)",
    "CREATE TABLE later (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET latin1)",
    "CREATE TABLE nul_text (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET utf8mb4)",
    "CREATE TABLE nul_gbk (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET gbk)",
    "CREATE TABLE nul_key (k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY,"
    " v VARCHAR(9) CHARACTER SET latin1)",
    "CREATE TABLE real_key (k VARCHAR(20) CHARACTER SET latin1 PRIMARY KEY, v VARCHAR(9) CHARACTER SET latin1)",
    "CREATE TABLE nul_keyless (v VARCHAR(20) CHARACTER SET utf8mb4)",
    *(
        f"CREATE TABLE zero_{name} (id INT PRIMARY KEY, v {declared})"
        for name, declared in {
            "date": "DATE NULL",
            "date_required": "DATE NOT NULL DEFAULT '2000-01-01'",
            "datetime": "DATETIME NOT NULL",
            "datetime_micro": "DATETIME(6) NOT NULL DEFAULT '2000-01-01 00:00:00'",
            "timestamp": "TIMESTAMP NOT NULL DEFAULT '2000-01-01 00:00:00'",
            "timestamp_micro": "TIMESTAMP(6) NOT NULL DEFAULT '2000-01-01 00:00:00'",
            "timestamp_now": "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP",
        }.items()
    ),
    "CREATE TABLE zero_key (v DATE PRIMARY KEY, n INT)",
)
ZERO_TABLES = ("date", "date_required", "datetime", "datetime_micro", "timestamp", "timestamp_micro", "timestamp_now")
UNDEFINED_IN_LATIN1 = ("81", "8d", "8f", "90", "9d")


def _refused(first: int) -> list[str]:
    """The same in the snapshot and in the stream: a good row beside each bad one."""
    return [
        f"INSERT INTO nul_text VALUES ({first}, 'a\\0b'), ({first + 1}, '␀0'), ({first + 2}, '␀\\0␀')",
        f"INSERT INTO nul_gbk VALUES ({first}, '珍\\0珠'), ({first + 1}, '珍珠')",
        f"INSERT INTO nul_key VALUES ('{first}\\0', x'8131'), ('{first}', '2'), ('{first}␀0', x'8133')",
        f"INSERT INTO real_key VALUES (_latin1 x'{f'会员{first}'.encode('gbk').hex()}', x'8131')",
        "INSERT INTO nul_keyless VALUES ('a\\0b'), ('ab'), ('␀')",
        "DELETE FROM nul_keyless WHERE v = 'ab' LIMIT 1",
        *(
            f"INSERT INTO untold_latin1 VALUES ({first + at}, _latin1 x'41{code}42')"
            for at, code in enumerate(UNDEFINED_IN_LATIN1)
        ),
        f"INSERT INTO untold_datetime VALUES ({first}, '1582-10-10 12:00:00'), ({first + 1}, '1582-10-04 23:59:59')",
        *(
            f"INSERT INTO zero_{name} VALUES ({first}, 0), ({first + 1}, '1970-01-02'), ({first + 2}, '2000-01-01')"
            for name in ZERO_TABLES
        ),
        *(
            f"INSERT INTO zero_{name} VALUES ({first + 3}, '1970-01-01'), ({first + 4}, '2024-00-15')"
            for name in ZERO_TABLES
            if "timestamp" not in name
        ),
    ]


@pytest.fixture(scope="module")
def chain(
    make_chain: Callable[..., Chain], mysql56: MySQLServer, mysql97: MySQLServer, mariadb1011: MySQLServer
) -> Chain:
    """All servers with every value: read in the snapshot, inserted later, and reached by an UPDATE."""
    chain = make_chain({"old": mysql56, "new": mysql97, "maria": mariadb1011}, database="types", settings=REAL_SETTINGS)
    declared = {name: f"v_{name} {case.declared}" for name, case in CASES.items()}
    utc = "SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES'"
    chain.on_all(
        utc,
        f"CREATE TABLE wide (id INT PRIMARY KEY, {', '.join(declared.values())}) ROW_FORMAT=DYNAMIC",
        f"CREATE TABLE loose ({', '.join(declared[name] for name in LOOSE)}) ROW_FORMAT=DYNAMIC",
        _insert_loose(),
        _insert(_rows(SNAPSHOT, 0)),
        _insert(_rows(TURNED, 1)),
        *(
            f"CREATE TABLE glyphs_{charset} (id INT PRIMARY KEY, v TEXT CHARACTER SET {charset})"
            for charset in CHARSETS
        ),
        *_insert_glyphs(SNAPSHOT),
        *REFUSED_TABLES,
        *(f"CREATE TABLE real_{name} (id INT PRIMARY KEY, v VARCHAR(60) CHARACTER SET latin1)" for name in REAL),
        "CREATE TABLE real_keyless (v VARCHAR(60) CHARACTER SET latin1)",
        *_real(SNAPSHOT),
        f"INSERT INTO later VALUES ({SNAPSHOT}, _latin1 x'41ff'), ({SNAPSHOT + 1}, 'ab')",
        "SET sql_mode = ''",
        *_refused(SNAPSHOT),
    )
    for store in STORES:
        chain.on(store, *_special_tables(store), *_special(store, SNAPSHOT))
    chain.on("maria", "CREATE TABLE uuid_key (k UUID PRIMARY KEY, v VARCHAR(9) CHARACTER SET latin1)")
    chain.start()
    chain.on_all(
        utc,
        _insert(_rows(STREAMED, 0)),
        _insert(_rows(UPDATED, 1)),
        *_update(_rows(TURNED, 0)),
        *_update(_rows(UPDATED, 0)),
        _insert_loose(),
        f"DELETE FROM loose LIMIT {MOST_VALUES + 3}",
        *_insert_glyphs(STREAMED),
        *_real(STREAMED),
        f"UPDATE later SET v = 'good' WHERE id = {SNAPSHOT}",
        f"UPDATE later SET v = _latin1 x'ff41' WHERE id = {SNAPSHOT + 1}",
        f"DELETE FROM untold_latin1 WHERE id = {SNAPSHOT}",
        "SET sql_mode = ''",
        *_refused(STREAMED),
        "INSERT INTO zero_key VALUES ('0000-00-00', 1), ('2026-01-01', 2)",
    )
    for store in STORES:
        chain.on(store, *_special(store, STREAMED))
    chain.on("maria", *(f"INSERT INTO uuid_key VALUES ('{each}', _latin1 x'8131')" for each in UUIDS))
    chain.settle()
    return chain


Values = dict[str, dict[int, Any]]  # case → id → value


@pytest.fixture(scope="module")
def wide(chain: Chain) -> dict[str, tuple[Values, Values]]:
    """By store: what it shows itself, as psycopg would have it, and what the warehouse has. Each is asked once."""
    ask = ", ".join(case.ask.format(c=f"v_{name}") for name, case in CASES.items())
    read = ", ".join(case.read.format(c=f"v_{name}") for name, case in CASES.items())
    found = {}
    for store in STORES:
        held = chain.asked(store, f"SELECT id, {ask} FROM wide")
        there = chain.rows(f"SELECT id, {read} FROM stores.wide WHERE _store = %s", [store])
        found[store] = (_by_case(held), _by_case(there))
    return found


def _by_case(rows: list[tuple[Any, ...]]) -> Values:
    return {name: {row[0]: row[at] for row in rows} for at, name in enumerate(CASES, 1)}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", CASES)
def test_a_value_arrives_as_the_store_has_it(wide: dict[str, tuple[Values, Values]], store: str, name: str) -> None:
    """Each boundary value, by snapshot, by INSERT and by UPDATE, is in the warehouse what the store itself shows."""
    held, there = (values[name] for values in wide[store])
    meant = {number: CASES[name].meant(value) for number, value in held.items()}
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
@pytest.mark.parametrize("table", ["nul_text", "nul_gbk", "nul_key", "nul_keyless"])
def test_a_nul_in_a_text_is_escaped(chain: Chain, store: str, table: str) -> None:
    """PostgreSQL has no NUL in a text: ␀0 stands for it, ␀␀ for a ␀ of the store's, in keys and without a key too."""
    column = "k" if table == "nul_key" else "v"
    held = sorted(text for (text,) in chain.asked(store, f"SELECT {column} FROM {table}"))
    there = chain.rows(f"SELECT {column} FROM stores.{table} WHERE _store = %s AND NOT _deleted", [store])
    assert any("\x00" in text for text in held)
    assert sorted(unescape_nul(text) for (text,) in there) == held
    assert chain.letters(store, table) == {}


@pytest.mark.parametrize("store", STORES)
def test_bytes_that_latin1_does_not_define_are_asked_for(chain: Chain, store: str) -> None:
    """81 8D 8F 90 9D: the stream has lost them and says so; the store still has them, as MySQL shows them."""
    held = dict(chain.asked(store, "SELECT id, v FROM untold_latin1"))
    assert {text[1] for text in held.values()} == {chr(int(code, 16)) for code in UNDEFINED_IN_LATIN1}
    assert (
        dict(chain.rows("SELECT id, v FROM stores.untold_latin1 WHERE _store = %s AND NOT _deleted", [store])) == held
    )
    assert chain.letters(store, "untold_latin1") == {}


@pytest.mark.parametrize("store", STORES)
def test_a_day_that_the_calendar_left_out_is_exact(chain: Chain, store: str) -> None:
    """MySQL has the ten days before 1582-10-15, Java has not: the stream is right, of a snapshot the store is asked."""
    held = dict(chain.asked(store, "SELECT id, v FROM untold_datetime"))
    assert dict(chain.rows("SELECT id, v FROM stores.untold_datetime WHERE _store = %s", [store])) == held
    assert chain.letters(store, "untold_datetime") == {}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("table", ZERO_TABLES)
def test_a_zero_date_is_null_and_nothing_else_is(chain: Chain, store: str, table: str) -> None:
    """'0000-00-00' and '2024-00-15' have no place in PostgreSQL. Debezium gives 1970-01-01 or the default for them
    where NULL is not allowed: the store is asked which rows really hold those."""
    text = f"SELECT id, CAST(v AS CHAR) FROM zero_{table}"
    held = {number: None if "-00" in shown else shown[:10] for number, shown in chain.asked(store, text)}
    assert sorted(map(str, held.values()))[-1] == "None"
    assert {"1970-01-02", "2000-01-01"} <= set(held.values())
    chain_text = f"SELECT id, left((v AT TIME ZONE 'UTC')::text, 10) FROM stores.zero_{table} WHERE _store = %s"
    plain_text = f"SELECT id, left(v::text, 10) FROM stores.zero_{table} WHERE _store = %s"
    assert dict(chain.rows(chain_text if "timestamp" in table else plain_text, [store])) == held
    assert chain.letters(store, f"zero_{table}") == {}


@pytest.mark.parametrize("store", STORES)
def test_a_zero_date_in_a_key_is_set_aside(chain: Chain, store: str) -> None:
    """A row is known by its key, and NULL is none."""
    assert len(chain.letters(store, "zero_key")) == 1
    assert chain.rows("SELECT v::text, n FROM stores.zero_key WHERE _store = %s", [store]) == [("2026-01-01", 2)]


@pytest.mark.parametrize("store", STORES)
def test_a_deleted_row_is_gone_though_its_event_cannot_be_read(chain: Chain, store: str) -> None:
    """The event of a delete carries the row as it was: with bytes lost in it, the store tells that the row is gone."""
    assert chain.rows("SELECT _deleted FROM stores.untold_latin1 WHERE _store = %s AND id = %s", [store, SNAPSHOT]) == [
        (True,)
    ]
    assert chain.letters(store, "untold_latin1") == {}


@pytest.mark.parametrize("store", STORES)
def test_a_later_good_value_settles_what_was_set_aside(chain: Chain, store: str) -> None:
    """An UPDATE brings the whole row: it arrives, its letter is superseded; one to a bad value leaves the old row."""
    assert sorted(chain.letters(store, "later")) == [str(SNAPSHOT + 1)]
    there = dict(chain.rows("SELECT id, v FROM stores.later WHERE _store = %s", [store]))
    assert there == {SNAPSHOT: "good", SNAPSHOT + 1: "ab"}


# --- what a column really holds -------------------------------------------------------------------------------

REAL = {"utf8": "茶🧋é", "gbk": "珍珠奶茶繁體", "tis620": "สวัสดีก", "big5": "會員積分"}
LOST = {"utf8": "こ", "gbk": "丂乗"}  # with 81 and 93 or 81 and 5C: the first is lost in the log
REAL_SETTINGS = (
    "tables: {real_charset: {later: {v: utf8}, real_keyless: {v: gbk}, real_key: {k: gbk}, "
    + ", ".join(f"real_{name}: {{v: {name}}}" for name in REAL)
    + "}}\n"
)


def _real(first: int) -> list[str]:
    return [
        *(
            f"INSERT INTO real_{name} VALUES ({first}, _latin1 x'{text.encode(_codec(name)).hex()}'),"
            f" ({first + 1}, 'plain'), ({first + 2}, NULL), ({first + 3}, _latin1 x'41ff')"
            for name, text in REAL.items()
        ),
        *(
            f"INSERT INTO real_{name} VALUES ({first + 4}, _latin1 x'{text.encode(_codec(name)).hex()}')"
            for name, text in LOST.items()
        ),
        f"INSERT INTO real_keyless VALUES (_latin1 x'{REAL['gbk'].encode('gbk').hex()}')",
    ]


def _codec(name: str) -> str:
    return {"utf8": "utf-8", "tis620": "iso8859_11"}.get(name, name)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", REAL)
def test_a_column_is_read_by_what_it_really_holds(chain: Chain, store: str, name: str) -> None:
    """real_charset: declared latin1, written in another set; what is not of that set is set aside, not bent."""
    there = dict(chain.rows(f"SELECT id, v FROM stores.real_{name} WHERE _store = %s", [store]))
    letters = chain.letters(store, f"real_{name}")
    for first in (SNAPSHOT, STREAMED):
        assert there[first] == REAL[name]
        assert (there[first + 1], there[first + 2]) == ("plain", None)
        assert there.get(first + 4) == LOST.get(name)
        assert letters[str(first + 3)] == f"column v: the text holds bytes that are not {name}, its real_charset"
    assert len(letters) == 2


# --- types that not every server has --------------------------------------------------------------------------

SHAPES = ("POINT(1 -0.5)", "LINESTRING(1 1, 2 2)", "POLYGON((0 0, 0 1, 1 1, 0 0))", "MULTIPOINT(1 1, 2 2)",
          "GEOMETRYCOLLECTION(POINT(1 1), LINESTRING(0 0, 1e300 1e-300))")  # fmt: skip


def _shapes(function: str) -> tuple[str, ...]:
    return (*(f"{function}('{shape}', {3857 * (at % 2)})" for at, shape in enumerate(SHAPES)), "NULL")


JSONS = (
    """'{"b": 1, "a": [1, 2.50, 1e30, -0, 1.0, -1.5e-300, 12345678901234567890, null, true, false]}'""",
    """'"\\\\u00e9 🧋 \\\\" \\\\\\\\ ␀"'""", """'["a\\\\u0000b", "\\\\\\\\u0000"]'""",
    "'0.1'", "'3.4028234e38'", "'{}'", "'null'", "NULL",
    "CAST(-9223372036854775808 AS JSON)", "CAST(18446744073709551615 AS JSON)",
    "JSON_ARRAY(1.50, CAST('123456789012345678901234567890.5' AS DECIMAL(40,5)), 1e-7, 5e15, 1e16, 123456789.0)",
)  # fmt: skip
UUIDS = ("123e4567-e89b-12d3-a456-426655440000", "001e4567-e89b-42d3-a456-426655440001",
         "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
         "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")  # fmt: skip
ODD_UUID = "00ff0000-0000-0000-0000-0000000000ff"  # not of RFC 9562: may be another one turned around


# What the stream tells otherwise than the snapshot: Debezium writes them in its own way.
MOMENTS = (
    "JSON_OBJECT('at', CAST('2024-01-02 03:04:05.670' AS DATETIME(3)), 'on', CAST('2024-01-02' AS DATE))",
    "JSON_ARRAY(CAST('-01:02:03' AS TIME))", "JSON_ARRAY(CAST(x'00ff' AS BINARY))",
)  # fmt: skip
SPECIAL = {  # store → table → (type, SQL of values)
    "old": {"shapes": ("GEOMETRY", _shapes("GeomFromText"))},
    "new": {
        "shapes": ("GEOMETRY", _shapes("ST_GeomFromText")),
        "documents": ("JSON", JSONS),
        "moments": ("JSON", MOMENTS),
        "vectors": ("VECTOR(3)", ("TO_VECTOR('[1.1, -2, 3e10]')", "TO_VECTOR('[0, 0, 0]')", "NULL")),
    },
    "maria": {
        "shapes": ("GEOMETRY", _shapes("ST_GeomFromText")),
        "uuids": ("UUID", (*(f"'{each}'" for each in UUIDS), f"'{ODD_UUID}'", "NULL")),
    },
}
UNTOLD_WITHOUT_A_KEY = ("moments", f"'{ODD_UUID}'")


def _special_tables(store: str) -> list[str]:
    """Each with a key and without."""
    return [
        statement
        for table, (declared, _) in SPECIAL[store].items()
        for statement in (
            f"CREATE TABLE {table} (id INT PRIMARY KEY, v {declared})",
            f"CREATE TABLE loose_{table} (v {declared})",
        )
    ]


def _special(store: str, first: int) -> list[str]:
    statements = []
    for table, (_, values) in SPECIAL[store].items():
        keyed = ", ".join(f"({first + at}, {value})" for at, value in enumerate(values))
        loose = [f"({value})" for value in values if not {table, value} & set(UNTOLD_WITHOUT_A_KEY)]
        statements.append(f"INSERT INTO {table} VALUES {keyed}")
        if loose:
            statements.append(f"INSERT INTO loose_{table} VALUES {', '.join(loose)}")
            if first != SNAPSHOT:
                statements.append(f"DELETE FROM loose_{table} LIMIT {len(loose) + 1}")
    return statements


@pytest.mark.parametrize(("store", "table"), [*((store, "shapes") for store in STORES), ("new", "vectors")])
def test_a_shape_arrives_as_mysql_keeps_it(chain: Chain, store: str, table: str) -> None:
    """Spatial values are the SRID in four bytes and WKB, vectors 32-bit floats: MySQL's own bytes, by either way."""
    held = dict(chain.asked(store, f"SELECT id, HEX(v) FROM {table}"))
    there = chain.rows(f"SELECT id, upper(encode(v, 'hex')) FROM stores.{table} WHERE _store = %s", [store])
    assert dict(there) == held
    assert len(held) >= 4


def test_json_arrives_by_value(chain: Chain) -> None:
    """A document is the same by snapshot and by stream: numbers to the last digit, strings with NUL and ␀ in them."""
    there = dict(chain.rows("SELECT id, v::text FROM stores.documents WHERE _store = 'new'"))
    held = dict(chain.asked("new", "SELECT id, CAST(v AS CHAR) FROM documents"))
    assert there.keys() == held.keys()
    for number, text in held.items():
        read = None if text is None else json.loads(text, parse_float=Decimal, parse_int=Decimal)
        kept = None if there[number] is None else json.loads(there[number], parse_float=Decimal, parse_int=Decimal)
        assert _unescaped(kept) == read, text
    first = {number + STREAMED - SNAPSHOT: text for number, text in there.items() if number < STREAMED}
    assert first == {number: text for number, text in there.items() if number >= STREAMED}


def _unescaped(value: Any) -> Any:
    match value:
        case dict():
            return {key: _unescaped(each) for key, each in value.items()}
        case list():
            return [_unescaped(each) for each in value]
        case str():
            return unescape_nul(value)
    return value


def test_uuids_arrive_whole(chain: Chain) -> None:
    """MariaDB's log drops zero bytes at the end of a UUID and Debezium puts them in front: they are turned back."""
    held = {number: each and uuid.UUID(each) for number, each in chain.asked("maria", "SELECT id, v FROM uuids")}
    assert dict(chain.rows("SELECT id, v FROM stores.uuids WHERE _store = 'maria'")) == held
    assert len(held) == 2 * (len(UUIDS) + 2)
    assert chain.letters("maria", "uuids") == {}


@pytest.mark.parametrize(
    ("store", "table"), [("maria", "uuid_key"), *((s, t) for s in STORES for t in ("nul_key", "real_key"))]
)
def test_a_row_is_asked_for_by_a_key_of_any_kind(chain: Chain, store: str, table: str) -> None:
    """With NUL in it, in another character set than declared, a UUID: its lost bytes are there all the same."""
    held = sorted(value for (value,) in chain.asked(store, f"SELECT v FROM {table}"))
    there = chain.rows(f"SELECT v FROM stores.{table} WHERE _store = %s AND NOT _deleted", [store])
    assert sorted(value for (value,) in there) == held
    assert sum(value[0] == "\x81" for value in held) >= 2
    assert chain.letters(store, table) == {}


# --- all of it again ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(chain: Chain) -> dict[str, list[str]]:
    return {store: [table for (table,) in chain.asked(store, "SHOW TABLES")] for store in STORES}


@pytest.mark.parametrize("store", STORES)
def test_rows_without_a_key_are_found_again(chain: Chain, tables: dict[str, list[str]], store: str) -> None:
    """By their content, whether a snapshot or the stream has brought them: what was deleted is gone, and no more."""
    for table in (each for each in tables[store] if each.startswith("loose")):
        ((held,),) = chain.asked(store, f"SELECT COUNT(*) FROM {table}")
        assert chain.rows(f"SELECT count(*) FROM stores.{table} WHERE _store = %s AND NOT _deleted", [store]) == [
            (held,)
        ], table


def test_a_resync_of_everything_mends_nothing(chain: Chain, tables: dict[str, list[str]]) -> None:
    """Asked by SELECTs, the stores show every value as snapshot and stream had brought it."""
    wanted = [(store, table) for store in STORES for table in tables[store]]
    read = chain.read_anew(wanted)
    assert read.keys() == set(wanted)
    assert {place: found for place, found in read.items() if found[1:] != (0, 0)} == {
        # told otherwise by the stream, as Debezium writes them
        ("new", "moments"): (2 * len(MOMENTS), 3, 0),
        # the row as it was goes; as it is now it is set aside
        **{(store, "later"): (2, 0, 1) for store in STORES},
    }
    assert sum(rows for rows, _, _ in read.values()) > 1000
    assert chain.read_anew([("new", "moments")]) == {("new", "moments"): (2 * len(MOMENTS), 0, 0)}


def test_verify_agrees(chain: Chain, tables: dict[str, list[str]]) -> None:
    """Every value above is the same to `verify`, zero dates too, and what is not there has a letter."""
    patience = Patience(settle_seconds=0.05)
    result = verification_for(chain.config, chain.policy, chain.warehouse, patience=patience).run()
    assert (result.differences, result.in_flux, result.unreachable) == (0, 0, ()), result.samples
    assert result.set_aside == sum(len(chain.letters(store, table)) for store in STORES for table in tables[store])


WRONGS = {  # table → (store, what is made of one value)
    "documents": ("new", "jsonb_set(v, '{a,0}', '2')"),
    "vectors": ("new", "v || '\\x00'"),
    "shapes": ("old", "set_byte(v, 0, 1)"),
    "uuids": ("maria", "'123e4567-e89b-12d3-a456-426655440001'"),
    "nul_text": ("maria", "'a␀␀0b'"),
    "real_gbk": ("old", "v || ' '"),
}


def test_verify_finds_the_least_difference(chain: Chain) -> None:
    """One value of each of these made wrong in the warehouse: each is found and named, and nothing else is."""
    with chain.warehouse.transaction() as tx:
        for table, (store, wrong) in WRONGS.items():
            changed = tx.execute(
                f"UPDATE stores.{table} SET v = {wrong} WHERE _store = %s AND id = %s", [store, SNAPSHOT]
            )
            assert changed == 1, table
    patience = Patience(settle_seconds=0.05)
    result = verification_for(chain.config, chain.policy, chain.warehouse, patience=patience).run(tables=WRONGS)
    assert {(each.store, each.table, each.key, each.column) for each in result.samples} == {
        (store, table, str(SNAPSHOT), "v") for table, (store, _) in WRONGS.items()
    }
    assert result.differences == len(WRONGS)
