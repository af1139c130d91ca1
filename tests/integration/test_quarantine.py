"""A store goes mad: its changes of the last hour are taken out of what the chain agrees on, and put back."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from harness import Chain, assert_no_difference
from invocation import PASSWORD, TILLSTREAM, environment, write_config

from tillstream.rehearsal.mysql import MySQLServer

POLICIES = """\
version: 1
tables:
  member: {scope: shared, key: {phone: exact}, columns: {points: {rule: sum}, "*": {rule: latest}}}
"""
CENTRAL = "SELECT phone, name, points FROM central.member ORDER BY 1"


@pytest.fixture(scope="module")
def chain(make_chain: Callable[..., Chain], mysql56: MySQLServer, mysql97: MySQLServer) -> Chain:
    chain = make_chain({"good": mysql56, "mad": mysql97}, database="quarantine", policies=POLICIES)
    chain.on_all("CREATE TABLE member (id INT PRIMARY KEY, phone VARCHAR(20), name VARCHAR(40), points INT)")
    chain.start()
    return chain


def test_what_a_mad_store_did_is_taken_out_and_put_back(chain: Chain, tmp_path: Path) -> None:
    """A mass delete, a rewritten name and an invented member are out of central.* while the quarantine lasts; its
    rows stay as the store has them, `verify` agrees before and after, and lifting it leaves no trace."""
    call = _command(chain, tmp_path)
    chain.on("good", "INSERT INTO member VALUES (1, '138', '张', 10), (2, '139', '李', 20)")
    chain.settle()
    chain.on("mad", "INSERT INTO member VALUES (7, '138', '张', 1), (8, '137', '王', 3)")
    chain.settle()
    agreed = chain.rows(CENTRAL)
    assert agreed == [("137", "王", 3), ("138", "张", 11), ("139", "李", 20)]
    since = _next_second(chain)
    chain.on(
        "mad",
        "UPDATE member SET name = 'XXX' WHERE id = 7",
        "DELETE FROM member WHERE id = 8",
        "INSERT INTO member VALUES (9, '139', 'YYY', 900)",
    )
    chain.settle()
    mad = chain.rows(CENTRAL)
    assert mad == [("138", "XXX", 11), ("139", "YYY", 920)]

    shown = call("add", "mad", "--since", since, code=1)
    assert "member: of 3 keys 0 rows go, 1 come back; values that change: name 2, points 2" in shown.stderr
    assert chain.rows("SELECT count(*) FROM tillstream.quarantines") == [(0,)]  # nobody has agreed

    added = json.loads(call("add", "mad", "--since", since, "--yes", "--output", "json").stdout)
    chain.settle()
    # the points of a row that the store touched since then are not known to be from before
    assert chain.rows(CENTRAL) == [("137", "王", 3), ("138", "张", 10), ("139", "李", 20)]
    assert_no_difference(chain)
    assert "store mad, all shared tables" in call("list").stdout
    assert "store mad changed since its quarantine counts as absent" in call("member", "138", verb="explain").stdout

    call("lift", str(added["id"]))
    chain.settle()
    assert chain.rows(CENTRAL) == mad
    assert_no_difference(chain)
    assert call("list").stdout == "no store is in quarantine\n"


def test_what_is_asked_wrongly_says_what_would_be_right(chain: Chain, tmp_path: Path) -> None:
    """An unknown store, table, time or number: named, with what there is, and nothing is changed."""
    call = _command(chain, tmp_path)
    assert (
        "no store is known as nobody; there are: good, mad"
        in call("add", "nobody", "--since", "2026-01-01", code=1).stderr
    )
    wrong_table = call("add", "mad", "sales", "--since", "2026-01-01", code=1)
    assert "no shared table is known as sales; there are: member" in wrong_table.stderr
    assert "write it as 2026-11-27T14:00" in call("add", "mad", "--since", "yesterday", code=2).stderr
    assert "no open quarantine 5" in call("lift", "5", code=1).stderr


def _next_second(chain: Chain) -> str:
    """The mad store's present time; MySQL 5.6 stamps a change with the whole second in which it began."""
    chain.asked("mad", "SELECT SLEEP(1.1)")
    ((now,),) = chain.asked("mad", "SELECT UTC_TIMESTAMP()")
    assert isinstance(now, datetime)
    return now.replace(tzinfo=UTC).isoformat()


def _command(chain: Chain, directory: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    url = chain.warehouse.url.render_as_string(hide_password=False)
    write_config(directory, url, {store: server.port for store, server in chain.stores.items()}, policies=POLICIES)

    def call(*arguments: Any, code: int = 0, verb: str = "quarantine") -> "subprocess.CompletedProcess[str]":
        answer = subprocess.run(
            [TILLSTREAM, verb, *arguments], cwd=directory, env=environment(), capture_output=True, text=True,
            timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert answer.returncode == code, answer.stderr
        assert PASSWORD not in answer.stderr + answer.stdout
        assert "Traceback" not in answer.stderr
        return answer

    return call
