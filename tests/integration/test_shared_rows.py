"""What the worker does to shared rows beside other writers, and in tables that are large."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from decided import DecidedChain, agreed_right
from tea_shops import AGREED, KEY, later, member, policy

from sinks.warehouse import Statement, Transaction
from tillstream import metrics

WAIT_SECONDS = 30.0
MANY = 20_000
FIND = ("SELECT t.* FROM (", 'INSERT INTO stores."members"', "WITH whole AS", "SELECT w.key", "SELECT _key, _winners")
MISSED = "SELECT c, (_stamps->c->>6)::int FROM stores.members, unnest(ARRAY['name', 'points']) AS c"
# As a reader of the table might have left it: below all that the log brings.
BY_ANOTHER = """\
INSERT INTO stores.members
  (_store, _pk, _epoch, _file, _pos, _row, _order, _op, _deleted, _key, _stamps, id, phone, name)
VALUES ('s1', '1', 1, 0, 0, -1, 0, 'r', false, %s, '{}', 1, '13800138000', 'before')"""
WAITS = """\
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO stores.%%'"""


@pytest.fixture
def chain(tmp_path: Path, fresh_database: str) -> Iterator[DecidedChain]:
    with closing(DecidedChain(tmp_path, fresh_database, policy())) as made:
        for store in made.stores.values():
            store.snapshot()
        made.take_in()
        yield made


def test_a_row_that_another_inserts_in_the_same_moment(chain: DecidedChain) -> None:
    """A row that was not there when its batch's statement began, and is when that inserts it, is compared with what it
    holds: what differs without a change in the log is marked as missed, as if the row had been there all along."""
    store, before = chain.stores["s1"], metrics.RETRIES._value.get()
    with store.unlogged():
        store.insert("members", member(1, "Wang"))
    later(chain)
    store.update("members", (1,), points=7)
    url = chain.warehouse.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as watching:
        other.execute(BY_ANOTHER, [KEY])
        working = threading.Thread(target=chain.take_in)
        working.start()
        while watching.execute(WAITS).fetchone() != (1,):
            assert working.is_alive()
        other.commit()
        working.join(WAIT_SECONDS)
    assert metrics.RETRIES._value.get() == before + 1
    assert chain.rows(AGREED) == [("Wang", 7, 1)]
    assert chain.rows(MISSED) == [("name", 1), ("points", 0)]
    agreed_right(chain)


def test_a_batch_touches_no_more_of_a_large_table_than_its_own_rows(
    chain: DecidedChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows, their keys and what other stores contribute to these are found by index, whatever is known of the
    table: none of the worker's statements reads it whole."""
    for store in chain.stores.values():
        store.insert("members", *(member(id_, "Wang", phone=f"138{id_:08}") for id_ in range(MANY)))
    chain.take_in()
    with chain.warehouse.transaction() as tx:
        tx.execute("ANALYZE stores.members, central.members")
    plans: dict[str, str] = {}
    run = Transaction.rows

    def explained(tx: Transaction, statement: Statement, parameters: Sequence[Any] | None = None) -> Any:
        text = str(statement)
        if text.startswith(FIND):
            plans[text[:20]] = "\n".join(line[:100] for (line,) in run(tx, f"EXPLAIN {text}", parameters))
        return run(tx, statement, parameters)

    monkeypatch.setattr(Transaction, "rows", explained)
    for store in chain.stores.values():
        for id_ in range(0, MANY, 20):
            store.update("members", (id_,), points=1)
    chain.take_in()
    assert len(plans) == len(FIND)
    for text, plan in plans.items():
        assert "Seq Scan on members" not in plan, f"{text}\n{plan}"


def test_a_number_that_was_decided_becomes_part_of_the_key_and_is_decided_again(chain: DecidedChain) -> None:
    """In central.* it is what its part of the key is, a text, and then a number again; a key of a single row, too."""
    store, agreed = chain.stores["s1"], "SELECT name, level FROM central.members ORDER BY 1"
    store.insert("members", member(1, "Wang", level=2))
    chain.take_in()
    chain.apply(policy().replace("key: {phone: phone_cn}", "key: {phone: phone_cn, level: exact}"))
    store.insert("members", member(2, "Li", level=3, phone="13800138001"))
    chain.take_in()
    assert chain.rows(agreed) == [("Li", "3"), ("Wang", "2")]
    agreed_right(chain)
    chain.apply(policy())
    store.insert("members", member(3, "Zhao", level=4, phone="13800138002"))
    chain.take_in()
    assert chain.rows(agreed) == [("Li", 3), ("Wang", 2), ("Zhao", 4)]
    agreed_right(chain)
