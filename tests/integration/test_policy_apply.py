"""Policies switched and gone back from while stores sell and `run` is at work, by a person's commands."""

import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Chain, assert_no_difference
from invocation import PASSWORD, TILLSTREAM, environment, write_config

from tillstream.rehearsal.mysql import MySQLServer

FIRST = """\
version: 1
tables:
  member: {scope: shared, key: {phone: exact}, columns: {points: {rule: sum}, "*": {rule: latest}}}
"""
SECOND = """\
version: 2
tables:
  member:
    scope: shared
    key: {phone: digits}
    columns: {points: {rule: max}, "*": {rule: priority, stores: [s1], then: latest}}
  goods: {scope: shared, key: {code: upper}}
"""
CENTRAL = "SELECT phone, name, points FROM central.member WHERE phone LIKE '138%' ORDER BY 1"
MEMBERS = 400


@pytest.fixture(scope="module")
def chain(make_chain: Callable[..., Chain], mysql56: MySQLServer, mysql97: MySQLServer) -> Chain:
    chain = make_chain({"s1": mysql56, "s2": mysql97}, database="switched", policies=FIRST)
    chain.on_all(
        "CREATE TABLE member (id INT PRIMARY KEY, phone VARCHAR(20), name VARCHAR(40), points INT)",
        "CREATE TABLE goods (code VARCHAR(20) PRIMARY KEY, price DECIMAL(9,2))",
    )
    chain.start()
    return chain


Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def call(chain: Chain, tmp_path: Path) -> Call:
    url = chain.warehouse.url.render_as_string(hide_password=False)
    write_config(tmp_path, url, {store: server.port for store, server in chain.stores.items()}, policies=FIRST)

    def call(*arguments: Any, code: int = 0) -> "subprocess.CompletedProcess[str]":
        answer = subprocess.run(
            [TILLSTREAM, "policy", *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True,
            timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert answer.returncode == code, answer.stderr
        assert PASSWORD not in answer.stderr + answer.stdout
        assert "Traceback" not in answer.stderr
        return answer

    return call


def test_a_policy_is_applied_and_rolled_back_under_traffic(chain: Chain, call: Call, tmp_path: Path) -> None:
    """Another key, other rules and a table newly shared, while both stores write: nothing is lost, every central row
    is what the policy in force makes, and going back leaves it as it was. A restart of `run` keeps to that; a file that
    was changed since is taken up."""
    chain.on("s1", "INSERT INTO member VALUES (1, '138-1', 'one', 30)", "INSERT INTO goods VALUES ('a', 1)")
    chain.settle()
    chain.on("s2", "INSERT INTO member VALUES (7, '1381', 'two', 12)", "INSERT INTO goods VALUES ('A', 2)")
    chain.settle()
    before = chain.rows(CENTRAL)
    assert before == [("138-1", "one", 30), ("1381", "two", 12)]
    (tmp_path / "policies.yaml").write_text(SECOND)

    asked = call("apply", code=1)
    assert "member: another key" in asked.stderr
    assert "Nothing was changed" in asked.stderr
    assert "policies.yaml says something else" in call("history").stdout

    with Traffic(chain):
        assert "policy 2 (version 2) is in force" in call("apply", "--yes", "--reason", "one member, one phone").stdout
    chain.settle()
    assert chain.rows(CENTRAL) == [("1381", "one", 30)]
    assert chain.rows("SELECT code, price FROM central.goods") == [("A", 2)]
    assert_no_difference(chain)

    with Traffic(chain, first=1_000):
        assert "policy 3 (version 1) is in force" in call("rollback", "--yes").stdout
    chain.settle()
    assert chain.rows(CENTRAL) == before
    assert chain.rows("SELECT count(*) FROM central.goods") == [(0,)]
    assert_no_difference(chain)

    history = json.loads(call("history", "--output", "json").stdout)
    told = [(each["version"], each["origin"], each["reason"]) for each in history["policies"]]
    assert told == [(1, "file", ""), (2, "file", "one member, one phone"), (1, "rollback", "back to 1")]
    assert history["policies"][1]["source"] == SECOND
    assert history["being_decided"] == {}

    chain.stop()
    (chain.config.directory / "policies.yaml").write_text(SECOND)
    chain.take_up_file()
    chain.start()
    chain.settle()
    assert chain.rows(CENTRAL) == before, "what was gone back from is not taken up by a restart"
    chain.stop()
    (chain.config.directory / "policies.yaml").write_text(SECOND.replace("max", "min"))
    chain.take_up_file()
    chain.start()
    chain.settle()
    assert chain.rows(CENTRAL) == [("1381", "one", 12)]
    assert_no_difference(chain)


def test_what_cannot_be_done_says_why(call: Call, tmp_path: Path) -> None:
    """A number that never was, and rules that a store's columns cannot bear: nothing is switched."""
    assert "there was never a policy 99" in call("rollback", "99", "--yes", code=1).stderr
    (tmp_path / "policies.yaml").write_text(FIRST.replace("{rule: latest}", "{rule: sum}"))
    refused = call("apply", "--yes", code=1).stderr
    assert "store s1: member.name is declared as text, which has no sum" in refused


class Traffic:
    """Members that both stores make and change, as fast as they can, until the block is left."""

    def __init__(self, chain: Chain, first: int = 100) -> None:
        self._chain, self._first = chain, first
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(store,)) for store in chain.stores]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, store: str) -> None:
        with self._chain.session(store, autocommit=True) as cursor:
            for number in range(self._first, self._first + MEMBERS):
                cursor.execute("INSERT INTO member VALUES (%s, %s, %s, 1)", (number, f"9-{number}", store))
                cursor.execute("UPDATE member SET points = points + 1 WHERE id = %s", (number - number % 7,))
                if self._stop.is_set():
                    return
