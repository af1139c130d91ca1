"""What stores changed since an opening, and a decision whose time is over, on real servers while `run` runs."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from harness import Chain

from sinks import deadlines
from tillstream.rehearsal.mysql import MySQLServer
from tillstream.verifying import verification_for

POLICIES = """\
version: 1
tables:
  member:
    scope: shared
    key: {phone: exact}
    columns:
      name: {rule: review}
      "*": {rule: sum_of_changes, opening: 2020-01-01, copied_by_pos: false}
"""
MEMBER = "SELECT name, wallet, points, rate, _contested FROM central.member WHERE _key = '138'"


def test_changes_add_up_and_a_decision_ends(
    make_chain: Callable[..., Chain], mysql56: MySQLServer, mysql97: MySQLServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every type of number, from a snapshot on, exactly. What a person decided ends at its time, by itself."""
    monkeypatch.setattr(deadlines, "LOOK_SECONDS", 0.05)
    chain = make_chain({"old": mysql56, "new": mysql97}, database="openings", policies=POLICIES)
    chain.on_all(
        "CREATE TABLE member (id INT PRIMARY KEY, phone VARCHAR(20), name VARCHAR(20), wallet DECIMAL(30,10),"
        " points BIGINT UNSIGNED, rate DOUBLE)",
        "INSERT INTO member VALUES (1, '138', 'Wang', 12345678901234567890.1, 18446744073709551615, 0.1)",
    )
    chain.start()
    chain.on("old", "UPDATE member SET wallet = wallet - 0.0000000001, points = points - 5, rate = 0.4")
    chain.on("new", "UPDATE member SET wallet = wallet + 100", "UPDATE member SET wallet = wallet - 1, name = 'Wnag'")
    chain.settle()
    expected = (Decimal("12345678901234567989.0999999999"), Decimal(18446744073709551610), 0.4, ["name"])
    assert chain.rows(MEMBER)[0][1:] == expected
    with chain.warehouse.transaction() as tx:
        tx.execute(
            "INSERT INTO tillstream.decisions (table_name, key, column_name, value, author, reason, until)"
            " VALUES ('member', '138', 'name', 'Wang Wei', 'a test', '', now())"
        )
        tx.execute("INSERT INTO tillstream.dirty_keys VALUES ('member', '138') ON CONFLICT DO NOTHING")
    chain.wait_until(lambda: chain.rows("SELECT 1 FROM tillstream.decisions WHERE ended_at IS NOT NULL") != [])
    chain.settle()
    assert chain.rows(MEMBER)[0][1:] == expected
    assert len(chain.rows("SELECT 1 FROM tillstream.reviews WHERE closed_at IS NULL")) == 1
    result = verification_for(chain.config, chain.policy, chain.warehouse).run()
    assert (result.differences, result.unreachable) == (0, ())
