"""What waits to be decided, by rules or by people, in figures."""

from psycopg import sql

from sinks.statements import render
from sinks.warehouse import Transaction
from tillstream import metrics

# A reason names the value; up to its first colon or digit it is of a kind.
_DEAD_LETTERS = """\
SELECT store, reason, count(*) FROM (
  SELECT store, trim(left(regexp_replace(reason, '[:(\\d"''].*', ''), 60)) AS reason
  FROM tillstream.dead_letters WHERE status = 'open') d
GROUP BY store, reason ORDER BY count(*) DESC, store, reason LIMIT 1000"""
_REVIEWS = "SELECT table_name, count(*) FROM tillstream.reviews WHERE closed_at IS NULL GROUP BY table_name"
_OLDEST = "SELECT extract(epoch FROM min(opened_at))::float8 FROM tillstream.reviews WHERE closed_at IS NULL"
_KEYS = "SELECT table_name, count(*) FROM tillstream.dirty_keys GROUP BY table_name"
_PARKED = "SELECT table_name, count(*) FROM tillstream.parked_keys GROUP BY table_name"
_SHARED = """\
SELECT table_name FROM information_schema.columns WHERE table_schema = 'central' AND column_name = '_contested'
ORDER BY table_name"""
_CONTESTED = sql.SQL("SELECT coalesce(sum(cardinality(_contested)), 0) FROM central.{table} WHERE _contested <> '{{}}'")
_VERIFIED = """\
SELECT extract(epoch FROM finished_at)::float8, (result->>'differences')::float8
FROM tillstream.verification_runs WHERE is_whole ORDER BY id DESC LIMIT 1"""


def tell_waiting(tx: Transaction) -> None:
    metrics.OPEN_DEAD_LETTERS.replace({(store, reason): count for store, reason, count in tx.rows(_DEAD_LETTERS)})
    shared: dict[tuple[str, ...], float] = dict.fromkeys(tx.rows(_SHARED), 0)
    for metric, statement in (
        (metrics.OPEN_REVIEWS, _REVIEWS), (metrics.KEYS_TO_DECIDE, _KEYS), (metrics.OPEN_PARKED_KEYS, _PARKED),
    ):  # fmt: skip
        metric.replace({**shared, **{(table,): count for table, count in tx.rows(statement)}})
    oldest = tx.value(_OLDEST)
    metrics.OLDEST_REVIEW_TIMESTAMP_SECONDS.replace({} if oldest is None else {(): oldest})
    for finished_at, differences in tx.rows(_VERIFIED):
        metrics.VERIFICATION_TIMESTAMP_SECONDS.replace({(): finished_at})
        metrics.VERIFICATION_DIFFERENCES.replace({(): differences})


def tell_contested(tx: Transaction) -> None:
    """Of each shared table all rows are read."""
    metrics.CONTESTED_VALUES.replace({
        (table,): tx.value(render(_CONTESTED.format(table=sql.Identifier(table)))) for (table,) in tx.rows(_SHARED)
    })  # fmt: skip
