"""Events that cannot be applied as they are: set aside with reason and coordinates, never dropped."""

from typing import Any

import msgspec
from psycopg import sql

from sinks.fold import DeadLetter
from sinks.resync.asking import ask_for_rows
from sinks.statements import render
from sinks.warehouse import Transaction

_INSERT = """\
INSERT INTO tillstream.dead_letters
  (store, database, table_name, pk, epoch, file, pos, row, ord, op, reason, event)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING"""

# A later full image of the row makes the letter moot: nothing of it is missing any more.
_SUPERSEDE = sql.SQL("""\
UPDATE tillstream.dead_letters d SET status = 'superseded', settled_at = clock_timestamp()
FROM {stage} s
WHERE d.status = 'open' AND d.table_name = %s AND d.store = s._store AND d.pk = s._pk
  AND (d.epoch, d.file, d.pos, d.row, d.ord) < (s._epoch, s._file, s._pos, s._row, s._order)""")


class DeadLetters:
    """The letters of one worker. `later` gathers those found while a COPY is running; `flush` writes them."""

    def __init__(self) -> None:
        self._later: list[DeadLetter] = []
        self._open_tables: set[str] | None = None

    def set_aside(self, tx: Transaction, letter: DeadLetter) -> None:
        version, stamp = letter.codec.version, letter.stamp
        tx.execute(
            _INSERT,
            [letter.store, version.database, letter.codec.table, letter.pk.replace("\x00", "\\0"), *stamp,
             letter.event.op, letter.reason, msgspec.json.encode(letter.event)],
        )  # fmt: skip
        if letter.ask_store and not letter.codec.keyless:
            ask_for_rows(tx, [(letter.store, letter.codec, letter.event)])
        if self._open_tables is not None:
            self._open_tables.add(letter.codec.table)

    def later(self, letter: DeadLetter) -> None:
        self._later.append(letter)

    def gathered(self) -> list[DeadLetter]:
        return list(self._later)

    def flush(self, tx: Transaction) -> list[DeadLetter]:
        """Write what was gathered; returns it, for the worker to count."""
        letters, self._later = self._later, []
        for letter in letters:
            self.set_aside(tx, letter)
        return letters

    def forget(self) -> None:
        """The transaction was rolled back: what it gathered will be found again."""
        self._later = []
        self._open_tables = None

    def supersede(self, tx: Transaction, table: str, stage: str) -> None:
        if self._open_tables is None:
            found: list[tuple[Any, ...]] = tx.rows(
                "SELECT DISTINCT table_name FROM tillstream.dead_letters WHERE status = 'open'"
            )
            self._open_tables = {name for (name,) in found}
        if table in self._open_tables:
            tx.execute(render(_SUPERSEDE.format(stage=sql.Identifier(stage))), [table])
