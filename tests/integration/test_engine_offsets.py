"""At every start the engine's offset is compared with the ledger: it may be behind, never ahead."""

import json
from collections.abc import Callable, Iterator

import pytest
from harness import Chain
from psycopg import sql

from sinks.engine_offsets import Beginning, EngineOffsets
from sinks.warehouse import Warehouse
from tillstream.rehearsal.mysql import MySQLServer


@pytest.fixture
def offsets(fresh_database: str) -> "Iterator[_Offsets]":
    warehouse = Warehouse(fresh_database)
    warehouse.migrate()
    yield _Offsets(warehouse)
    warehouse.dispose()


class _Offsets:
    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self.engine = EngineOffsets(warehouse)
        self.engine.prepare("s1")

    def stand(
        self,
        offset: dict[str, object],
        ledger: tuple[int, int],
        *,
        snapshot_done: bool = True,
        oldest_file: int = 0,
    ) -> Beginning:
        """How an engine begins when its offset and the ledger stand there."""
        with self.warehouse.transaction() as tx:
            tx.execute("DELETE FROM tillstream.resyncs")
            tx.execute("DELETE FROM debezium.offset_s1")
            tx.execute("INSERT INTO debezium.offset_s1 VALUES ('1', 'k', %s, now(), 1)", [json.dumps(offset)])
            tx.execute("INSERT INTO debezium.history_s1 VALUES ('1', 'ddl', 1, now(), 1)")
            tx.execute("UPDATE tillstream.ledger SET file = %s, pos = %s, snapshot_done = %s", [*ledger, snapshot_done])
        return self.engine.prepare("s1", oldest_file=oldest_file)

    def kept(self, table: str) -> int:
        with self.warehouse.transaction() as tx:
            return int(tx.value(sql.SQL("SELECT count(*) FROM debezium.{}").format(sql.Identifier(table))))


GOES_ON = Beginning(epoch=1)


def test_an_offset_at_or_behind_the_ledger_is_kept(offsets: _Offsets) -> None:
    """What is read again is recognised and dropped."""
    assert offsets.stand({"file": "mysql-bin.000002", "pos": 500}, (2, 500)) == GOES_ON
    assert offsets.stand({"file": "mysql-bin.000001", "pos": 900}, (2, 4)) == GOES_ON
    assert offsets.kept("offset_s1") == 1


def test_an_offset_ahead_of_the_ledger_is_thrown_away_with_its_history(offsets: _Offsets) -> None:
    """It would skip what a restored warehouse no longer has: the store begins at its log's end and is read anew."""
    beginning = offsets.stand({"file": "mysql-bin.000002", "pos": 501}, (2, 500))
    assert beginning.schema_only
    assert "ahead of the warehouse" in beginning.reason
    assert (offsets.kept("offset_s1"), offsets.kept("history_s1")) == (0, 0)


def test_an_offset_in_a_file_that_was_purged_is_thrown_away(offsets: _Offsets) -> None:
    """What lay between is lost to the log, and not to the store."""
    at = {"file": "mysql-bin.000002", "pos": 500}
    assert offsets.stand(at, (2, 500), oldest_file=2) == GOES_ON
    beginning = offsets.stand(at, (2, 500), oldest_file=3)
    assert beginning.schema_only
    assert "purged before it was read" in beginning.reason


def test_a_beginning_without_rows_that_broke_off_begins_again(offsets: _Offsets) -> None:
    """Until the engine has told where it stands, what it skipped is not known."""
    offsets.stand({"file": "mysql-bin.000002", "pos": 501}, (2, 500))
    again = offsets.engine.prepare("s1")
    assert again.schema_only
    assert offsets.engine.prepare("s1") == again  # for the reason it had, and no further one
    with offsets.warehouse.transaction() as tx:
        tx.execute(
            "INSERT INTO debezium.offset_s1 VALUES ('1', 'k', %s, now(), 1)",
            [json.dumps({"file": "mysql-bin.000002", "pos": 500})],
        )
    assert offsets.engine.prepare("s1") == GOES_ON


def test_a_snapshot_that_the_warehouse_has_not_finished_is_not_believed(offsets: _Offsets) -> None:
    """Though no position is ahead: rows of it never arrived. It is read from its beginning."""
    at = {"file": "mysql-bin.000002", "pos": 500}
    assert offsets.stand(at, (2, 500), snapshot_done=False) == GOES_ON
    assert offsets.kept("offset_s1") == 0
    assert offsets.stand({**at, "snapshot": "INITIAL"}, (0, 0), snapshot_done=False) == GOES_ON
    assert offsets.kept("offset_s1") == 1


def test_a_store_stopped_right_after_its_first_snapshot_is_gone_on_from(
    mysql56: MySQLServer, make_chain: Callable[..., Chain]
) -> None:
    """Its last batch is in, so Debezium flushes where it ended, and nothing is read anew."""
    chain = make_chain({"s1": mysql56}, database="stopped_early")
    chain.on("s1", "CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    chain.start()
    chain.stop()
    chain.on("s1", "INSERT INTO t VALUES (2)")
    chain.start()
    chain.settle()
    assert chain.rows("SELECT id FROM stores.t WHERE NOT _deleted ORDER BY 1") == [(1,), (2,)]
    assert chain.rows("SELECT reason FROM tillstream.resyncs") == []
