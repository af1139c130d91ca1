"""Columns that tables.exclude_columns holds back: the rest of their tables is captured as if they were not there."""

from collections.abc import Callable
from typing import Any

from harness import Chain

from tillstream.rehearsal.mysql import MySQLServer
from tillstream.verifying import verification_for

LEFT_OUT = "tables: {exclude_columns: {members: [password, home, note]}}\n"


def test_left_out_columns_hold_up_nothing(mysql56: MySQLServer, make_chain: Callable[..., Chain]) -> None:
    """A secret, a place and a charset that nobody decodes: all else goes on, and nothing of them is stored."""
    chain = make_chain({"s1": mysql56}, database="left_out", settings=LEFT_OUT)
    chain.on(
        "s1",
        "CREATE TABLE members (id INT PRIMARY KEY, phone VARCHAR(20), password VARCHAR(20), home POINT,"
        " note VARCHAR(9) CHARACTER SET cp1256)",
        "INSERT INTO members VALUES (1, 'snapshot', 'secret', POINT(1, 2), 'a')",
    )
    chain.start()
    chain.on(
        "s1",
        "INSERT INTO members VALUES (2, 'stream', 'secret', POINT(3, 4), 'b')",
        "ALTER TABLE members ADD COLUMN level INT NOT NULL DEFAULT 3",
        "UPDATE members SET password = 'other', phone = 'changed' WHERE id = 1",
    )
    chain.settle()
    assert chain.letters("s1", "members") == {}
    rows = chain.rows("SELECT to_jsonb(m) FROM stores.members m ORDER BY id")
    assert [_plain(row) for (row,) in rows] == [
        {"id": 1, "phone": "changed", "level": 3}, {"id": 2, "phone": "stream", "level": 3},
    ]  # fmt: skip
    result = verification_for(chain.config, chain.policy, chain.warehouse).run(stores=None, tables=None)
    assert not result.differences, result


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("_")}
