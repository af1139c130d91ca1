"""A changed `key:`: the rows' new business keys are made beside the old ones, a step at a time while the workers go on,
and take their place in one short transaction.

Each step holds some rows, reads them, and writes the keys into a column of its own. What is written to the table
meanwhile is noted by triggers, whoever writes it, and done again; what is left of that is done in the switch, where
nobody writes. How far it came stands in the warehouse: killed, it is gone on with by the next who wants the same keys.
"""

import json
import logging
import time
from collections.abc import Sequence
from typing import Any

from psycopg import sql

from conflict.identity import business_key
from conflict.policy import TablePolicy
from sinks.evolution import Catalog
from sinks.guards import require_none_held
from sinks.identities import keep_aliases
from sinks.statements import key_change as statements
from sinks.statements.views import OURS
from sinks.warehouse import Transaction, Warehouse
from tillstream.errors import RefusedError, TransientError

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 2_000  # held for about a tenth of a second
PATIENCE = statements.PATIENCE
FEW_ROWS = 200  # that may be left to the switch
MOST_ROUNDS = 20  # where rows are written as fast as they are done again


class KeysAreNotReadyError(TransientError):
    """Somebody made other keys meanwhile."""


class KeyChange:
    """Of one table. `policy` speaks in the warehouse's names; None: its rows have no key any more."""

    def __init__(self, table: str, policy: TablePolicy | None, definition: Any) -> None:
        self.table, self._policy, self._definition = table, policy, definition

    def build(self, warehouse: Warehouse) -> None:
        """Until all rows, but for a few, have their keys."""
        with warehouse.transaction() as tx:
            self._begin(tx)
        if self._policy is None:
            return
        self._index(warehouse)
        while self._step(warehouse, self._next_rows):
            pass
        with warehouse.transaction() as tx:
            tx.execute(statements.ANALYZE.format(table=sql.Identifier(self.table)))
        for _ in range(MOST_ROUNDS):
            with warehouse.transaction() as tx:
                if len(tx.rows(statements.STALE, [self.table, FEW_ROWS + 1])) <= FEW_ROWS:
                    break
            while self._step(warehouse, self._stale_rows):
                pass

    def keep_vacuum_out(self, tx: Transaction) -> None:
        """Until this transaction's end. One that is at work gives way to whoever has waited for a second; the workers,
        who do not mind it, are not to wait with us."""
        tx.execute(statements.NO_VACUUM.format(table=sql.Identifier(self.table)))

    def hold(self, tx: Transaction) -> None:
        """The table, whose keys this transaction is to switch: nobody reads or writes it until its end.

        KeysAreNotReadyError where they are not made.
        """
        tx.execute(statements.HOLD.format(table=sql.Identifier(self.table)))
        require_none_held(tx, self.table, "its key cannot change")
        if not self._is_ours(tx) or not (self._policy is None or tx.rows(statements.PLACE, [self.table])[0][3]):
            raise KeysAreNotReadyError(f"the keys of {self.table} were made by another policy meanwhile; try again")

    def switch(self, tx: Transaction) -> None:
        """The new keys count; `end` has to follow, once no view looks at the old ones."""
        tx.execute(statements.OWN_WRITES)
        keep_aliases(tx, self.table, self._policy)
        if self._policy is not None:
            while self._stale_rows(tx):
                pass
            tx.execute(statements.COUNT_UNDER.format(table=sql.Identifier(self.table), name=sql.Literal(self.table)))
        for statement in statements.swap(self.table):
            tx.execute(statement)
        self._forget(tx)

    def end(self, tx: Transaction) -> None:
        tx.execute(statements.END.format(table=sql.Identifier(self.table)))

    # --- the steps

    def _begin(self, tx: Transaction) -> None:
        if self._is_ours(tx):
            return
        require_none_held(tx, self.table, "its key cannot change")
        foreign = [view for (view,) in tx.rows(statements.FOREIGN_VIEWS, [f'stores."{self.table}"', f"{OURS}%"])]
        if foreign:
            raise RefusedError(
                f"stores.{self.table}._key is looked at by {', '.join(foreign)}, which would go on showing the old "
                "keys: drop what was made there, apply the policy, and make it again"
            )
        tx.execute(statements.PATIENCE)
        for statement in (*statements.abandon(self.table), *statements.begin(self.table)):
            tx.execute(statement)
        self._forget(tx)
        tx.execute(statements.BEGIN, [self.table, json.dumps(self._definition)])

    def _is_ours(self, tx: Transaction) -> bool:
        rows = tx.rows(statements.PLACE, [self.table])
        return bool(rows) and rows[0][0] == self._definition

    def _forget(self, tx: Transaction) -> None:
        tx.execute(statements.NO_STALE, [self.table])
        tx.execute(statements.FORGET, [self.table])

    def _index(self, warehouse: Warehouse) -> None:
        """Empty as yet, but the table is read through for it: nobody is to wait for that."""
        index = sql.Identifier(statements.next_index(self.table))
        with warehouse.transaction() as tx:
            valid = tx.rows(statements.IS_INDEXED, [statements.next_index(self.table)])
            if valid == [(True,)]:
                return
            tx.execute(statements.DROP_INDEX.format(index=index))
        warehouse.outside_a_transaction(statements.INDEX.format(index=index, table=sql.Identifier(self.table)))

    def _step(self, warehouse: Warehouse, take: Any) -> bool:
        """Whether there was something to do. The workers have the next stretch of time to themselves."""
        started = time.monotonic()
        with warehouse.transaction() as tx:
            if not self._is_ours(tx):
                raise KeysAreNotReadyError(f"the keys of {self.table} are made by another policy; try again")
            tx.execute(statements.OWN_WRITES)
            found = bool(take(tx))
        if found:
            time.sleep(time.monotonic() - started)
        return found

    def _next_rows(self, tx: Transaction) -> int:
        *_, store, pk, _ = tx.rows(statements.PLACE, [self.table])[0]
        columns = self._columns(tx)
        rows = tx.rows(statements.next_rows(self.table, columns), [store, pk, ROWS_AT_ONCE])
        self._set_keys(tx, columns, rows)
        store, pk = rows[-1][:2] if rows else (store, pk)
        tx.execute(statements.MOVE, [store, pk, not rows, self.table])
        return len(rows)

    def _stale_rows(self, tx: Transaction) -> int:
        """The rows are held before their notes go: whoever writes one notes it while he holds it."""
        stale = tx.rows(statements.STALE, [self.table, ROWS_AT_ONCE])
        if stale:
            stores, pks = map(list, zip(*stale, strict=True))
            columns = self._columns(tx)
            self._set_keys(tx, columns, tx.rows(statements.these_rows(self.table, columns), [stores, pks]))
            tx.execute(statements.NOT_STALE, [self.table, stores, pks])
        return len(stale)

    def _columns(self, tx: Transaction) -> list[str]:
        catalog = Catalog()
        catalog.load(tx)
        assert self._policy is not None
        return [part.column for part in self._policy.key if part.column in catalog.columns(self.table)]

    def _set_keys(self, tx: Transaction, columns: list[str], rows: Sequence[tuple[Any, ...]]) -> None:
        assert self._policy is not None
        keys = [
            business_key(self._policy.key, dict(zip(columns, values, strict=True)), store) for store, _, *values in rows
        ]
        if rows:
            stores, pks = [row[0] for row in rows], [row[1] for row in rows]
            tx.execute(statements.set_keys(self.table), [stores, pks, keys])


def abandon_keys(tx: Transaction) -> None:
    """What was begun and is wanted no more."""
    for (table,) in tx.rows(statements.BEGUN):
        for statement in statements.abandon(table):
            tx.execute(statement)
        tx.execute(statements.NO_STALE, [table])
        tx.execute(statements.FORGET, [table])
