"""Tills for stores on servers that somebody else runs, as docker/compose.yaml has them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.preflight import examine
from tillstream.config import load_config
from tillstream.rehearsal import shop
from tillstream.rehearsal.mysql import MySQLServer

PASSWORD = "a till's § password"


@pytest.fixture
def databases(mysql56: MySQLServer) -> Iterator[tuple[str, str]]:
    """Of two stores on one server; there is nothing in it yet."""
    names = (f"first_{os.getpid()}", f"second_{os.getpid()}")
    yield names
    for name in names:
        mysql56.execute(f"DROP DATABASE IF EXISTS {name}")
        mysql56.execute(f"DROP USER '{name}'@'%'")


@pytest.mark.timeout(120)
def test_tills_open_empty_shops_and_sell_in_those_that_are_there(
    mysql56: MySQLServer, databases: tuple[str, str], tmp_path: Path
) -> None:
    """Capture can read each by the least rights; what was sold is there the next time, and SIGTERM ends it well."""
    (tmp_path / "root").write_text("")
    (tmp_path / "password").write_text(PASSWORD)
    stores = "".join(
        f"  - {{id: s{n}, host: 127.0.0.1, port: {mysql56.port}, database: {name}, user: {name}}}\n"
        for n, name in enumerate(databases)
    )
    config = tmp_path / "tillstream.yaml"
    config.write_text(f"defaults: {{password: {{file: password}}}}\nstores:\n{stores}")

    def sales() -> list[int]:
        return [mysql56.execute(f"SELECT count(*) FROM {name}.sales")[0][0] for name in databases]

    assert "opened" in _sells(tmp_path, lambda: min(sales()) > shop.SALES_BEFORE)
    for store in load_config(config).stores:
        assert {column.table for column in examine(store).columns} == set(shop.TABLES)
    assert _spelled(mysql56, databases[0]) != _spelled(mysql56, databases[1])
    before = sales()
    assert "was open already" in _sells(
        tmp_path, lambda: all(now > then for now, then in zip(sales(), before, strict=True))
    )


def _spelled(server: MySQLServer, database: str) -> str:
    """How the chain's first member stands in this store."""
    first = shop.people(7)[0]
    ((phone,),) = server.execute(
        f"SELECT phone FROM {database}.members WHERE phone IN (%s, %s)",
        shop.spelled(first.phone, 0), shop.spelled(first.phone, 1),
    )  # fmt: skip
    return str(phone)


def _sells(directory: Path, enough: Callable[[], bool]) -> str:
    """What the tills printed while they sold, until it was enough."""
    opened = directory / "opened"
    opened.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tillstream.rehearsal.tills_for", "--root-password", "root", "--rate", "200"]
    with subprocess.Popen(
        [*command, "--opened", opened], cwd=directory, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tills:
        try:
            while not (opened.exists() and enough()):
                assert tills.poll() is None, tills.communicate()
                time.sleep(0.1)
        finally:
            tills.terminate()
        said, complaints = tills.communicate()
    assert (tills.returncode, complaints) == (0, "")
    return said
