"""What a person gets wrong: a message that names the store and the remedy, the right exit code, no traceback."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from invocation import PASSWORD, write_config

from tillstream.free_ports import free_port
from tillstream.rehearsal.mysql import MySQLServer


def _with_sales(server: MySQLServer) -> MySQLServer:
    server.execute("CREATE TABLE pos.sales (id INT PRIMARY KEY, note VARCHAR(60))")
    server.execute("INSERT INTO pos.sales VALUES (1, 'before')")
    return server


def _wait_for(condition: Callable[[], bool], what: str, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.3)


def _reason(url: str, store: str) -> tuple[str, str]:
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
        query = "SELECT state, reason FROM tillstream.store_states WHERE store = %s"
        return connection.execute(query, [store]).fetchone() or ("", "")


def _rows(url: str, store: str) -> int:
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
        if connection.execute("SELECT to_regclass('stores.sales')").fetchone() == (None,):
            return 0
        query = "SELECT count(*) FROM stores.sales WHERE _store = %s AND NOT _deleted"
        return int((connection.execute(query, [store]).fetchone() or (0,))[0])


def _no_traceback(text: str) -> None:
    assert "Traceback" not in text
    assert PASSWORD not in text


@pytest.mark.timeout(150)
def test_a_store_that_cannot_be_captured_says_why_and_holds_up_no_other(
    open_shop: Callable[..., MySQLServer],
    fresh_database: str,
    tmp_path: Path,
    tillstream: Callable[..., Any],
    started: Callable[..., Any],
) -> None:
    """A wrong password, a store without a row binlog, one that is off, one server under two ids: each is named with
    its remedy and retried; the healthy store is captured meanwhile, and each bad one once it is put right."""
    good, locked = _with_sales(open_shop(1)), _with_sales(open_shop(2))
    statement = _with_sales(open_shop(3, options={"binlog-format": "STATEMENT"}))
    dark_port = free_port()
    locked.execute("SET PASSWORD FOR 'tillstream'@'%' = PASSWORD('changed')")
    ports = {"good": good.port, "locked": locked.port, "statement": statement.port, "dark": dark_port}
    write_config(tmp_path, fresh_database, ports)
    config = tmp_path / "tillstream.yaml"
    config.write_text(config.read_text() + f"  - {{id: twin, host: localhost, port: {good.port}}}\n"
                      "retry: {first_seconds: 1, most_seconds: 3}\n")  # fmt: skip
    assert tillstream("migrate", directory=tmp_path).returncode == 0
    process = started(tmp_path)
    owners = ("good", "twin")

    _wait_for(lambda: any(_rows(fresh_database, store) for store in owners), "the healthy server's row")
    _wait_for(lambda: "check the password" in _reason(fresh_database, "locked")[1], "a wrong password is told")
    _wait_for(lambda: "binlog_format = ROW" in _reason(fresh_database, "statement")[1], "STATEMENT is told")
    _wait_for(lambda: _reason(fresh_database, "dark")[0] == "unreachable", "an absent store is told")
    _wait_for(lambda: any("is the same server as store" in _reason(fresh_database, s)[1] for s in owners), "a twin")
    status = json.loads(tillstream("status", "--output", "json", directory=tmp_path).stdout)
    states = {store["id"]: store for store in status["stores"]}
    assert states["locked"]["state"] == "refused"
    assert "store locked at 127.0.0.1" in states["locked"]["reason"]
    assert states["dark"]["state"] == "unreachable"
    assert sorted(states[store]["state"] == "refused" for store in owners) == [False, True]

    locked.execute("SET PASSWORD FOR 'tillstream'@'%%' = PASSWORD(%s)", PASSWORD)
    statement.execute("SET GLOBAL binlog_format = 'ROW'")
    _wait_for(lambda: _rows(fresh_database, "locked") == 1, "the password put right")
    _wait_for(lambda: _rows(fresh_database, "statement") == 1, "the binlog put right")

    again = tillstream("run", directory=tmp_path)
    assert again.returncode == 1
    assert "another `tillstream run` is at work on this warehouse" in again.stderr
    process.terminate()
    assert process.wait(30) == 0
    _no_traceback((tmp_path / "run.log").read_text() + again.stderr)


def test_a_warehouse_that_is_down_is_named_and_nothing_is_judged(
    tmp_path: Path, tillstream: Callable[..., Any]
) -> None:
    """Every verb that needs the warehouse exits 3 and names its address and the remedy."""
    port = free_port()
    write_config(tmp_path, f"postgresql+psycopg://tillstream:hidden@127.0.0.1:{port}/tillstream", {"s1": 3306})
    for verb in (["run"], ["status"], ["verify"], ["migrate"], ["dead-letters", "list"]):
        answer = tillstream(*verb, directory=tmp_path)
        assert answer.returncode == 3, (verb, answer.stderr)
        assert f"127.0.0.1:{port}" in answer.stderr
        assert "tillstream.yaml" in answer.stderr
        assert "hidden" not in answer.stderr + answer.stdout
        _no_traceback(answer.stderr)


def test_a_warehouse_that_was_not_migrated_is_refused_with_the_command(
    fresh_database: str, tmp_path: Path, tillstream: Callable[..., Any]
) -> None:
    """A shared PostgreSQL is not changed by `run`; it says which command does."""
    write_config(tmp_path, fresh_database, {"s1": 3306})
    answer = tillstream("run", directory=tmp_path)
    assert answer.returncode == 1
    assert "tillstream migrate" in answer.stderr
    _no_traceback(answer.stderr)


def test_five_faults_of_a_configuration_come_at_once(tmp_path: Path, tillstream: Callable[..., Any]) -> None:
    """Two stores with one id among them; each with file and line, exit code 1, before anything starts."""
    (tmp_path / "tillstream.yaml").write_text(
        "defaults: {user: tillstream, password: {env: POS_PASSWORD}, database: pos}\n"
        "warehous: embedded\n"
        "policies: policies.yaml\n"
        "stores:\n"
        "  - {id: s1, host: 10.0.0.1, port: 99999}\n"
        "  - {id: s1, host: 10.0.0.2}\n"
        "  - {id: S-3, host: 10.0.0.3, password: hunter2}\n"
    )
    (tmp_path / "policies.yaml").write_text(
        "version: 1\ntables:\n  members:\n    scope: shared\n    key: [phone]\n    columns: {points: {rule: summ}}\n"
    )
    for verb in (["run"], ["config", "validate"], ["status"]):
        answer = tillstream(*verb, directory=tmp_path)
        assert answer.returncode == 1
        faults = [line for line in answer.stderr.splitlines() if ".yaml:" in line]
        assert len(faults) >= 6, answer.stderr
        assert any(":2: warehous: " in line and 'did you mean "warehouse"' in line for line in faults), faults
        assert any("policies.yaml:6:" in line and 'did you mean "sum"' in line for line in faults), faults
        assert any("s1" in line and ":6:" in line for line in faults), faults
        assert "hunter2" not in answer.stderr
        _no_traceback(answer.stderr)
