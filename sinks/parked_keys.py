"""Keys that their rules could not decide as they stand: set aside with the reason, their central rows as they were.

They are tried again whenever something of them changes, after every switch of the policy, and when a person says so.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sinks.warehouse import Transaction
from tillstream.errors import UndecidableError

_PARK = """\
INSERT INTO tillstream.parked_keys (table_name, key, column_name, reason)
SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[])
ON CONFLICT (table_name, key) DO UPDATE SET column_name = EXCLUDED.column_name, reason = EXCLUDED.reason
RETURNING xmax = 0"""
_DECIDED = "DELETE FROM tillstream.parked_keys WHERE table_name = %s AND key = ANY(%s)"
_LIST = """\
SELECT table_name, key, column_name, reason, parked_at FROM tillstream.parked_keys
WHERE (%(table)s::text IS NULL OR table_name = %(table)s) AND (%(keys)s::text[] IS NULL OR key = ANY(%(keys)s))
ORDER BY table_name, key"""
_OF_TABLE = "DELETE FROM tillstream.parked_keys WHERE table_name = %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedKey:
    table: str
    key: str
    column: str
    reason: str
    parked_at: datetime


def keep_parked(
    tx: Transaction, table: str, decided: Collection[str], undecided: Mapping[str, UndecidableError]
) -> int:
    """Of keys just looked at: who could not be decided is set aside, all others no longer. How many are new."""
    tx.execute(_DECIDED, [table, list(decided)])
    if not undecided:
        return 0
    columns, reasons = zip(*((each.column, each.reason) for each in undecided.values()), strict=True)
    is_new = tx.rows(_PARK, [table, list(undecided), list(columns), list(reasons)])
    return sum(new for (new,) in is_new)


def parked_keys(tx: Transaction, table: str | None = None, keys: Collection[str] | None = None) -> list[ParkedKey]:
    """All, or those of a table, or of these keys of it."""
    names = ("table", "key", "column", "reason", "parked_at")
    rows = tx.rows(_LIST, {"table": table, "keys": None if keys is None else list(keys)})
    return [ParkedKey(**dict(zip(names, row, strict=True))) for row in rows]


def forget_parked(tx: Transaction, table: str) -> None:
    """Its keys are all decided anew, or not at all any more."""
    tx.execute(_OF_TABLE, [table])
