"""The queue of values that a person is to decide, and what people decided."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from conflict.people import Decision, decision
from conflict.policy import RuleName
from conflict.resolution import Contribution, Resolution
from sinks.evolution import Catalog
from sinks.ledger import mark_dirty
from sinks.warehouse import DataError, Transaction, Warehouse
from tillstream.errors import RefusedError

_STANDING = """\
SELECT key, column_name, value, author, reason, seen, (extract(epoch FROM until) * 1000000)::bigint
FROM tillstream.decisions
WHERE table_name = %s AND key = ANY(%s) AND ended_at IS NULL"""
_CLOSE = """\
UPDATE tillstream.reviews r SET closed_at = clock_timestamp()
WHERE table_name = %(table)s AND key = ANY(%(decided)s) AND closed_at IS NULL
  AND NOT EXISTS (SELECT FROM unnest(%(keys)s::text[], %(columns)s::text[], %(prints)s::text[]) AS w(key, name, print)
                  WHERE (w.key, w.name, w.print) = (r.key, r.column_name, r.fingerprint))"""
_OPEN = """\
INSERT INTO tillstream.reviews AS r (table_name, key, column_name, fingerprint, provisional, reason, candidates)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (table_name, key, column_name) WHERE closed_at IS NULL
DO UPDATE SET provisional = EXCLUDED.provisional, reason = EXCLUDED.reason"""
_LIST = """\
SELECT r.id, table_name, key, column_name, fingerprint, provisional, r.reason, candidates, opened_at, closed_at
FROM tillstream.reviews r WHERE (%(everything)s OR closed_at IS NULL) AND (%(id)s::bigint IS NULL OR id = %(id)s)
ORDER BY id"""
_DECISIONS = """\
SELECT value, seen IS NULL AND until IS NULL, until, author, reason, decided_at, ended_at FROM tillstream.decisions
WHERE table_name = %s AND key = %s AND column_name = %s ORDER BY id"""
_END = """\
UPDATE tillstream.decisions SET ended_at = clock_timestamp()
WHERE table_name = %s AND key = %s AND column_name = %s AND ended_at IS NULL"""
_DECIDE = """\
INSERT INTO tillstream.decisions (table_name, key, column_name, value, seen, until, author, reason)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"""
_HAS_COME = "SELECT %s <= clock_timestamp()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    id: int
    table: str
    key: str
    column: str
    fingerprint: str
    provisional: str | None
    reason: str  # why the provisional value is that one
    candidates: list[dict[str, Any]]  # store, row, value
    opened_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    value: str | None
    for_good: bool
    until: datetime | None
    author: str
    reason: str
    decided_at: datetime
    ended_at: datetime | None


class Reviews:
    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def known(self, *, everything: bool) -> list[Review]:
        with self._warehouse.transaction() as tx:
            return _read(tx, everything=everything)

    def one(self, number: int) -> tuple[Review, list[Decided]]:
        """With all that people decided of the value, the oldest first."""
        with self._warehouse.transaction() as tx:
            review = _one(tx, number)
            rows = tx.rows(_DECISIONS, [review.table, review.key, review.column])
        names = ("value", "for_good", "until", "author", "reason", "decided_at", "ended_at")
        return review, [Decided(**dict(zip(names, row, strict=True))) for row in rows]

    def decide(
        self,
        number: int,
        value: str | None,
        *,
        for_good: bool = False,
        until: datetime | None = None,
        reason: str,
        author: str,
    ) -> Review:
        """It takes the place of what was decided before; the key is decided again by the worker.

        It holds while the stores have what the review shows, or whatever they have: for good, or until a moment.
        RefusedError where the column cannot hold the value, the moment has come, or the review is not open any more.
        """
        try:
            with self._warehouse.transaction() as tx:
                review = _one(tx, number)
                if review.closed_at is not None:
                    raise RefusedError(f"review {number} is closed; `tillstream reviews list` shows the open ones")
                if until is not None and tx.value(_HAS_COME, [until]):
                    raise RefusedError(f"{until.isoformat(sep=' ')} has come already; nothing was decided")
                _require_fits(tx, review, value)
                place = [review.table, review.key, review.column]
                seen = None if for_good or until is not None else review.fingerprint
                tx.execute(_END, place)
                tx.execute(_DECIDE, [*place, value, seen, until, author, reason])
                mark_dirty(tx, {(review.table, review.key)}, f"review {number} decided by {author}: {reason}")
                return review
        except DataError as error:
            raise RefusedError(
                f"review {number}: {review.table}.{review.column} cannot be {value!r}: {error}"
            ) from error

    def reopen(self, number: int) -> Review:
        """What people decided of the value counts no more."""
        with self._warehouse.transaction() as tx:
            review = _one(tx, number)
            if not tx.execute(_END, [review.table, review.key, review.column]):
                raise RefusedError(f"nothing stands decided of review {number}")
            mark_dirty(tx, {(review.table, review.key)}, f"review {number} was reopened")
            return review


def with_decisions(tx: Transaction, table: str, found: Mapping[str, list[Contribution]]) -> None:
    """Adds to each key's contributions what people decided of it."""
    for key, each in standing_decisions(tx, table, found):
        found[key].append(each)


def standing_decisions(tx: Transaction, table: str, keys: Iterable[str]) -> list[tuple[str, Decision]]:
    return [
        (key, decision(column, value, author=author, reason=reason, seen=seen, until_us=until_us))
        for key, column, value, author, reason, seen, until_us in tx.rows(_STANDING, [table, list(keys)])
    ]


def keep_reviews(tx: Transaction, table: str, resolutions: Mapping[str, Resolution]) -> None:
    """Of keys just decided: those that are open by now, and no others."""
    questions = [
        (key, contest)
        for key, resolution in resolutions.items()
        for contest in resolution.contests
        if contest.rule == RuleName.REVIEW
    ]
    wanted = [(key, contest.column, contest.fingerprint) for key, contest in questions]
    keys, columns, prints = (list(part) for part in zip(*wanted, strict=True)) if wanted else ([], [], [])
    tx.execute(
        _CLOSE,
        {"table": table, "decided": list(resolutions), "keys": keys, "columns": columns, "prints": prints},
    )
    for key, contest in questions:
        others = [{"store": store, "value": _text(value)} for store, value, _ in contest.losers]
        own = [] if contest.winner is None else [{"store": contest.winner, "value": _text(contest.value)}]
        candidates = json.dumps([*own, *others], ensure_ascii=False)
        facts = [contest.fingerprint, _text(contest.value), contest.reason, candidates]
        tx.execute(_OPEN, [table, key, contest.column, *facts])


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _require_fits(tx: Transaction, review: Review, value: str | None) -> None:
    catalog = Catalog()
    catalog.load(tx)
    kind = catalog.central_columns(review.table).get(review.column)
    if kind is None:
        raise RefusedError(f"central.{review.table} has no column {review.column} any more")
    tx.rows(sql.SQL("SELECT %s::text::{}").format(sql.SQL(kind)), [value])


def _one(tx: Transaction, number: int) -> Review:
    found = _read(tx, everything=True, number=number)
    if not found:
        raise RefusedError(f"there is no review {number}; `tillstream reviews list` shows the open ones")
    return found[0]


def _read(tx: Transaction, *, everything: bool, number: int | None = None) -> list[Review]:
    names = (
        "id", "table", "key", "column", "fingerprint", "provisional", "reason", "candidates", "opened_at", "closed_at",
    )  # fmt: skip
    rows = tx.rows(_LIST, {"everything": everything, "id": number})
    return [Review(**dict(zip(names, row, strict=True))) for row in rows]
