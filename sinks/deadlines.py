"""The thread that ends what people decided until a moment, once that has come."""

import logging
import threading

from sinks.ledger import mark_dirty
from sinks.warehouse import Warehouse
from tillstream.errors import TillstreamError

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0

# A decision counts until its end is recorded, whatever the time: what central.* is made of never depends on a clock.
_END_WHAT_IS_DUE = """\
UPDATE tillstream.decisions SET ended_at = clock_timestamp()
WHERE ended_at IS NULL AND until <= clock_timestamp() RETURNING table_name, key, column_name, author"""


class Deadlines(threading.Thread):
    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(name="deadlines", daemon=True)
        self._warehouse = warehouse
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                end_what_is_due(self._warehouse)
            except TillstreamError as error:  # the warehouse is away: the worker says so, and waits
                log.debug("deadlines: %s", error)
            except Exception:
                log.exception("deadlines: unexpected")


def end_what_is_due(warehouse: Warehouse) -> None:
    """Its keys are decided again by the worker, and reviews of what the stores still differ about are open again."""
    with warehouse.transaction() as tx:
        for table, key, column, author in tx.rows(_END_WHAT_IS_DUE):
            mark_dirty(tx, {(table, key)}, f"the time of what {author} decided about {column} is over")
