"""What a store may do to a shared table before a person has looked at it (`guards:` in policies.yaml).

Looked at before a batch is written: of a store that goes too far the rows as they are then are what it contributes.
"""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from psycopg import sql

from conflict.policy import Guards
from sinks.row_codec import RowCodec
from sinks.statements import holds as statements
from sinks.statements import quoted
from sinks.warehouse import Transaction
from tillstream import metrics
from tillstream.envelope import Stamp
from tillstream.errors import RefusedError

log = logging.getLogger(__name__)

ASKED_EVERY = 4  # the window is counted whenever a fourth of `at_least` has been changed: it takes a look at all rows
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def begin_hold(tx: Transaction, store: str, table: str, reason: str, since: datetime | None) -> set[str]:
    """Before anything more of the store is written into the table. What it deleted since then is taken back: the keys
    of that are to be decided again. Nothing, where it is held already."""
    if not tx.rows(statements.BEGIN, [store, table, reason]):
        return set()
    name = sql.Literal(table)
    keep = statements.KEEP_ROWS.format(name=name, table=quoted(table), seen=statements.SEEN.format(name=name))
    return {key for key, is_back in tx.rows(keep, {"store": store, "since": since}) if is_back}


def held_stores(tx: Transaction, table: str) -> set[str]:
    return {store for (store,) in tx.rows(statements.OF_TABLE, [table])}


def require_none_held(tx: Transaction, table: str, what: str) -> None:
    """RefusedError where one is: the rows that it had before are kept by the keys of then."""
    if held := sorted(held_stores(tx, table)):
        raise RefusedError(
            f"store {held[0]} is held in {table}, so {what} now; look at it and release it first: "
            f"`tillstream stores release {held[0]} {table}`"
        )


class Guard:
    """Remembers between batches how much of each table was changed since the window was counted last."""

    def __init__(self) -> None:
        self._uncounted: dict[tuple[str, str], int] = {}

    def look(self, tx: Transaction, codec: RowCodec, changes: str) -> set[str]:
        """At a stage that is about to be written, by the statement that says what it changes; the keys that are to be
        decided again as rows of a store that is held from now on are back."""
        guards = codec.policy.guards if codec.policy else None
        if guards is None:
            return set()
        again: set[str] = set()
        held: set[str] | None = None
        for store, deletes, rewrites, first_us, last_us in tx.rows(changes):
            place = store, codec.table
            # what came before this process began is not known: its first change has it counted
            self._uncounted[place] = self._uncounted.get(place, guards.at_least) + deletes + rewrites
            is_late = guards.dark_seconds is not None and first_us is not None and _ago(first_us) > guards.dark_seconds
            few = not deletes + rewrites or self._uncounted[place] * ASKED_EVERY < guards.at_least
            if few and not is_late:
                continue
            held = held_stores(tx, codec.table) if held is None else held
            if store in held:
                continue
            if is_late:
                again |= _hold(tx, store, codec.table, f"brings changes of {_days(_ago(first_us))} ago", None)
                continue
            since = _EPOCH + timedelta(microseconds=last_us) - timedelta(seconds=guards.within_seconds)
            self._uncounted[place] = 0
            for reason in _too_much(tx, guards, store, codec.table, since, deletes, rewrites):
                again |= _hold(tx, store, codec.table, reason, since)
        return again


def before_withdrawal(tx: Transaction, codec: RowCodec, store: str, stamp: Stamp) -> None:
    """All of a store's rows below a stamp are about to go: a TRUNCATE, or what a snapshot did not find."""
    guards = codec.policy.guards if codec.policy else None
    if guards is None or guards.deletes is None:
        return
    gone, live = tx.rows(statements.BELOW.format(table=quoted(codec.table)), [*stamp, store])[0]
    if gone >= guards.at_least and gone > guards.deletes * live:
        _hold(tx, store, codec.table, f"{gone:,} of {live:,} rows are gone from the store at once", None)


def _too_much(
    tx: Transaction, guards: Guards, store: str, table: str, since: datetime, deletes: int, rewrites: int
) -> Iterator[str]:
    """`deletes` and `rewrites` are those to come."""
    seen = statements.SEEN.format(name=sql.Literal(table))
    statement = statements.LATELY.format(table=quoted(table), seen=seen)
    live, deleted, rewritten = tx.rows(statement, {"store": store, "since": since})[0]
    had = live + deleted
    within = f"within {round(guards.within_seconds / 60)} minutes"
    for share, done, what in (
        (guards.deletes, deletes + deleted, "deleted"),
        (guards.rewrites, rewrites + rewritten, "gave other values to"),
    ):
        if share is not None and done >= guards.at_least and done > share * had:
            yield f"{what} {done:,} of {had:,} rows {within}"


def _hold(tx: Transaction, store: str, table: str, reason: str, since: datetime | None) -> set[str]:
    again = begin_hold(tx, store, table, reason, since)
    metrics.HOLDS.labels(store).inc()
    log.warning("store %s is held in %s: %s; `tillstream stores release %s` shows more", store, table, reason, store)
    return again


def _ago(us: int) -> float:
    return time.time() - us / 1_000_000


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:.0f} days" if seconds > 2 * 86_400 else f"{seconds / 3_600:.1f} hours"
