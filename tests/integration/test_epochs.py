"""How a table's columns stood by its store's own catalog, kept in the warehouse and compared at each look."""

from collections.abc import Iterator

import pytest

from sinks.epochs import Epochs
from sinks.warehouse import Warehouse

STORE = "s1"
_DECLARED = """\
INSERT INTO tillstream.schema_versions (store, database, table_name, epoch, file, pos, row, ord, columns, primary_key)
VALUES (%s, 'pos', %s, 1, %s, %s, 0, 0, '[]', '[]')"""


@pytest.fixture
def warehouse(fresh_database: str) -> Iterator[Warehouse]:
    warehouse = Warehouse(fresh_database)
    warehouse.migrate()
    with warehouse.transaction() as tx:
        tx.execute("INSERT INTO tillstream.ledger (store, file, pos) VALUES (%s, 2, 500)", [STORE])
    yield warehouse
    warehouse.dispose()


def declare(warehouse: Warehouse, table: str, file: int, pos: int) -> None:
    with warehouse.transaction() as tx:
        tx.execute(_DECLARED, [STORE, table, file, pos])


def test_a_change_that_no_event_told_is_found(warehouse: Warehouse) -> None:
    """And one that the log tells behind the last look is none."""
    epochs = Epochs(warehouse)
    declare(warehouse, "member", 1, 4)
    epochs.keep_fingerprints(STORE, (2, 400), {"member": "a"})
    assert epochs.changed_unseen(STORE, {"member": "a"}) == []
    assert epochs.changed_unseen(STORE, {"member": "b"}) == ["member"]
    declare(warehouse, "member", 2, 450)
    assert epochs.changed_unseen(STORE, {"member": "b"}) == []


def test_a_change_that_came_in_while_the_store_was_looked_at_is_told(warehouse: Warehouse) -> None:
    """The columns were read before it; by the time that they are kept the warehouse is past it."""
    epochs = Epochs(warehouse)
    declare(warehouse, "member", 1, 4)
    declare(warehouse, "member", 2, 450)
    epochs.keep_fingerprints(STORE, (2, 400), {"member": "as it was"})
    assert epochs.changed_unseen(STORE, {"member": "as it is"}) == []


def test_of_a_table_that_is_not_captured_nothing_is_kept(warehouse: Warehouse) -> None:
    """The log never tells of its changes: each would have the store read anew."""
    epochs = Epochs(warehouse)
    epochs.keep_fingerprints(STORE, (2, 400), {"left_out": "a"})
    assert epochs.changed_unseen(STORE, {"left_out": "b"}) == []
