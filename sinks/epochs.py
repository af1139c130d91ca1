"""Which history of a store's log the warehouse follows, and how its tables stood there by the store's own catalog."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from sinks.resync import requests
from sinks.warehouse import Transaction, Warehouse
from tillstream.envelope import Witness
from tillstream.errors import RefusedError

_KNOWN = """\
SELECT l.epoch, l.file, l.pos, coalesce(e.server_uuid, ''), e.witness
FROM tillstream.ledger l LEFT JOIN tillstream.epochs e ON e.store = l.store AND e.epoch = l.epoch
WHERE l.store = %s"""
_REMEMBER = """\
INSERT INTO tillstream.epochs AS e (store, epoch, server_uuid, witness, reason)
SELECT store, epoch, %(uuid)s, %(witness)s, 'first seen' FROM tillstream.ledger WHERE store = %(store)s
ON CONFLICT (store, epoch) DO UPDATE SET
  server_uuid = EXCLUDED.server_uuid, witness = coalesce(EXCLUDED.witness, e.witness), broken = NULL"""
_BREAK = """\
UPDATE tillstream.epochs e SET broken = %s FROM tillstream.ledger l
WHERE l.store = %s AND e.store = l.store AND e.epoch = l.epoch"""
# The lease too: what a worker still has of the old history must not move the new one's position.
_BEGIN = """\
UPDATE tillstream.ledger SET epoch = epoch + 1, file = 0, pos = 0, row = -1, ord = -1,
  lease_generation = lease_generation + 1
WHERE store = %s RETURNING epoch"""
_FINGERPRINTS = """\
SELECT f.table_name, f.fingerprint, EXISTS (
  SELECT FROM tillstream.schema_versions v
  WHERE v.store = f.store AND v.table_name = f.table_name AND (v.epoch, v.file, v.pos) > (f.epoch, f.file, f.pos))
FROM tillstream.fingerprints f WHERE f.store = %s"""
_KEEP_FINGERPRINTS = """\
INSERT INTO tillstream.fingerprints (store, table_name, fingerprint, epoch, file, pos)
SELECT l.store, n.table_name, n.fingerprint, l.epoch, %s, %s
FROM tillstream.ledger l, unnest(%s::text[], %s::text[]) AS n(table_name, fingerprint)
WHERE l.store = %s AND EXISTS (
  SELECT FROM tillstream.schema_versions v WHERE v.store = l.store AND v.table_name = n.table_name)
ON CONFLICT (store, table_name) DO UPDATE SET
  fingerprint = EXCLUDED.fingerprint, epoch = EXCLUDED.epoch, file = EXCLUDED.file, pos = EXCLUDED.pos"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the warehouse knows of the log it follows. `position` is (file number, position)."""

    epoch: int
    position: tuple[int, int]
    server_uuid: str
    witness: Witness | None


class Epochs:
    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def known(self, store: str) -> Known | None:
        with self._warehouse.transaction() as tx:
            found = tx.rows(_KNOWN, [store])
        if not found:
            return None
        epoch, file, pos, server_uuid, witness = found[0]
        return Known(
            epoch=epoch,
            position=(file, pos),
            server_uuid=server_uuid,
            witness=None if witness is None else msgspec.convert(witness, Witness),
        )

    def remember(self, store: str, server_uuid: str, witness: Witness | None) -> None:
        document = None if witness is None else msgspec.json.encode(witness).decode()
        with self._warehouse.transaction() as tx:
            tx.execute(_REMEMBER, {"store": store, "uuid": server_uuid, "witness": document})

    def begin(self, store: str, reason: str) -> None:
        """Follow the log as a new one; the store's tables are read anew, and what it no longer has is withdrawn."""
        with self._warehouse.transaction() as tx:
            begin_epoch(tx, store, reason)

    def note_break(self, store: str, reason: str) -> None:
        with self._warehouse.transaction() as tx:
            tx.execute(_BREAK, [reason, store])

    def accept(self, store: str) -> str:
        """A person says that the log which is there now is the store's. Returns why that had to be asked."""
        with self._warehouse.transaction() as tx:
            broken = tx.value(
                "SELECT e.broken FROM tillstream.epochs e JOIN tillstream.ledger l USING (store, epoch)"
                " WHERE store = %s",
                [store],
            )
            if broken is None:
                raise RefusedError(f"store {store}: its log is the one that has been read; there is nothing to accept")
            begin_epoch(tx, store, f"accepted by hand: {broken}")
        return str(broken)

    def changed_unseen(self, store: str, fingerprints: Mapping[str, str]) -> list[str]:
        """Tables whose columns are others than when last looked at, though the log that is in tells no change.

        Only to be asked while the warehouse has all of the store's log.
        """
        with self._warehouse.transaction() as tx:
            kept = {table: (fingerprint, told) for table, fingerprint, told in tx.rows(_FINGERPRINTS, [store])}
        return [
            table
            for table, fingerprint in fingerprints.items()
            if table in kept and kept[table][0] != fingerprint and not kept[table][1]
        ]

    def keep_fingerprints(self, store: str, at: tuple[int, int], fingerprints: Mapping[str, str]) -> None:
        """`at`: an end of the log, as (file number, position), from before they were read. Tables that are not captured
        are left out: of their changes the log tells nothing here."""
        with self._warehouse.transaction() as tx:
            tx.execute(_KEEP_FINGERPRINTS, [*at, list(fingerprints), list(fingerprints.values()), store])


def begin_epoch(tx: Transaction, store: str, reason: str) -> None:
    epoch = tx.value(_BEGIN, [store])
    tx.execute("INSERT INTO tillstream.epochs (store, epoch, reason) VALUES (%s, %s, %s)", [store, epoch, reason])
    tx.execute("DELETE FROM tillstream.fingerprints WHERE store = %s", [store])
    requests.add(tx, store, reason)
