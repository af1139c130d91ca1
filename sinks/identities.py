"""What people said of business keys that are one, and which key stands for which because of it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import sql

from conflict.aliases import canonical_keys
from conflict.policy import TablePolicy
from sinks.warehouse import Transaction

_READ = """\
SELECT i.id, i.table_name, i.key, i.other_key, i.reason, i.author, i.accepted_at, i.key_columns,
       u.reason, u.author, u.undone_at
FROM tillstream.identities i LEFT JOIN tillstream.identities_undone u ON u.identity = i.id
ORDER BY i.id"""
_FORGET = "DELETE FROM tillstream.aliases WHERE table_name = %s"
_KEEP = sql.SQL("COPY tillstream.aliases (table_name, key, canonical) FROM STDIN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """`other_key` counts under `key`, said by a person; taken back by one where `undone_at` is not None."""

    id: int
    table: str
    key: str
    other_key: str
    reason: str
    author: str
    accepted_at: datetime
    key_columns: list[str]
    undone_reason: str | None
    undone_by: str | None
    undone_at: datetime | None

    def in_words(self) -> str:
        said = f"said {_minute(self.accepted_at)} by {self.author}: {self.reason}"
        undone = f"; undone {_minute(self.undone_at)} by {self.undone_by}" if self.undone_at else ""
        why = f": {self.undone_reason}" if self.undone_reason else ""
        return f"identity {self.id}: {self.other_key} counts under {self.key}, {said}{undone}{why}"


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def read_identities(tx: Transaction) -> list[Identity]:
    names = ("id", "table", "key", "other_key", "reason", "author", "accepted_at", "key_columns", "undone_reason",
             "undone_by", "undone_at")  # fmt: skip
    return [Identity(**dict(zip(names, row, strict=True))) for row in tx.rows(_READ)]


def standing_identities(tx: Transaction, policy: TablePolicy) -> list[Identity]:
    """Those that count: not taken back, and of keys that the same columns make today."""
    columns = key_columns_of(policy)
    return [
        each
        for each in read_identities(tx)
        if each.undone_at is None and each.table == policy.table and each.key_columns == columns
    ]


def key_columns_of(policy: TablePolicy) -> list[str]:
    return [part.column for part in policy.key]


def aliases_of(tx: Transaction, policy: TablePolicy) -> dict[str, str]:
    """Business key → the one its rows count under, by the identities that count."""
    return canonical_keys((each.key, each.other_key) for each in standing_identities(tx, policy))


def keep_aliases(tx: Transaction, table: str, policy: TablePolicy | None) -> None:
    """For the workers' upsert; without a policy there are none."""
    tx.execute(_FORGET, [table])
    if policy is not None and (found := aliases_of(tx, policy)):
        tx.copy(_KEEP, [(table, key, canonical) for key, canonical in found.items()])
