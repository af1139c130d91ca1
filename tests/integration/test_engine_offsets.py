"""At every start the engine's offset is compared with the ledger: it may be behind, never ahead."""

import json
from collections.abc import Iterator

import pytest
from psycopg import sql

from sinks.engine_offsets import EngineOffsets
from sinks.warehouse import Warehouse


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

    def stand(self, offset: dict[str, object], ledger: tuple[int, int], *, snapshot_done: bool = True) -> str | None:
        """Why the offset is not trusted when the ledger stands there; None if it is."""
        with self.warehouse.transaction() as tx:
            tx.execute("DELETE FROM debezium.offset_s1")
            tx.execute("INSERT INTO debezium.offset_s1 VALUES ('1', 'k', %s, now(), 1)", [json.dumps(offset)])
            tx.execute("INSERT INTO debezium.history_s1 VALUES ('1', 'ddl', 1, now(), 1)")
            tx.execute("UPDATE tillstream.ledger SET file = %s, pos = %s, snapshot_done = %s", [*ledger, snapshot_done])
        return self.engine.prepare("s1")[1]

    def kept(self, table: str) -> int:
        with self.warehouse.transaction() as tx:
            return int(tx.value(sql.SQL("SELECT count(*) FROM debezium.{}").format(sql.Identifier(table))))


def test_an_offset_at_or_behind_the_ledger_is_kept(offsets: _Offsets) -> None:
    """What is read again is recognised and dropped."""
    assert offsets.stand({"file": "mysql-bin.000002", "pos": 500}, (2, 500)) is None
    assert offsets.stand({"file": "mysql-bin.000001", "pos": 900}, (2, 4)) is None
    assert offsets.kept("offset_s1") == 1


def test_an_offset_ahead_of_the_ledger_is_thrown_away_with_its_history(offsets: _Offsets) -> None:
    """It would skip what a restored warehouse no longer has: the store is read anew instead."""
    reason = offsets.stand({"file": "mysql-bin.000002", "pos": 501}, (2, 500))
    assert reason is not None
    assert "ahead of the warehouse" in reason
    assert (offsets.kept("offset_s1"), offsets.kept("history_s1")) == (0, 0)


def test_a_snapshot_that_the_warehouse_has_not_finished_is_not_believed(offsets: _Offsets) -> None:
    """Though no position is ahead: rows of it never arrived."""
    at = {"file": "mysql-bin.000002", "pos": 500}
    assert offsets.stand(at, (2, 500), snapshot_done=False) is not None
    assert offsets.stand({**at, "snapshot": "INITIAL"}, (0, 0), snapshot_done=False) is None
