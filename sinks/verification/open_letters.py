"""The open dead letters of one table of one store: what is known to be missing in the warehouse."""

from collections.abc import Collection

from sinks.statements import verification as statements
from sinks.verification.differences import Kind
from sinks.warehouse import Transaction


class OpenLetters:
    """A letter that names its row covers that row; one that cannot name it covers any one row of its kind."""

    def __init__(self, tx: Transaction, store: str, table: str, *, keyless: bool) -> None:
        found = tx.rows(statements.LETTERS, [store, table])
        self._pks: frozenset[str] = frozenset(pk for pk, _ in found if pk and not keyless)
        nameless = [op for pk, op in found if keyless or not pk]
        # what an update's letter withholds is the new row, and where there is no key also that the old one is gone
        self._left: dict[Kind, int] = {
            Kind.MISSING: sum(op != "d" for op in nameless),
            Kind.EXTRA: sum(op in ("u", "d") for op in nameless),
        }

    def cover(self, pks: Collection[str], kind: Kind, rows: int) -> int:
        """How many of `rows` rows that differ are known about."""
        if any(pk.replace("\x00", "\\0") in self._pks for pk in pks):
            return rows
        covered = min(rows, self._left.get(kind, 0))
        if covered:
            self._left[kind] -= covered
        return covered
