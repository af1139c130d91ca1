"""How many row changes come from a store, and how many are usual at this hour of the week."""

from sinks.warehouse import Transaction
from tillstream import metrics

EVERY_SECONDS = 60.0
WEEKS = 8
LEAST_WEEKS = 3
ENOUGH_WATCHED_SECONDS = 3_000  # of an hour, for it to tell what is usual

# What a store's first snapshot brings is no traffic, and neither is what came in while nobody counted.
_COUNT = """\
WITH before AS (SELECT * FROM tillstream.traffic_counted),
counted AS (
  INSERT INTO tillstream.traffic_counted AS t (store, events, counted_at)
  SELECT l.store, l.events, clock_timestamp() FROM tillstream.ledger l JOIN tillstream.store_states s USING (store)
  WHERE l.snapshot_done AND s.state = 'live' AND s.listed
  ON CONFLICT (store) DO UPDATE SET events = EXCLUDED.events, counted_at = EXCLUDED.counted_at
  RETURNING store, events, counted_at
)
INSERT INTO tillstream.traffic AS t (store, hour, events, watched_seconds)
SELECT c.store, date_trunc('hour', c.counted_at), greatest(c.events - b.events, 0),
       round(extract(epoch FROM c.counted_at - b.counted_at))
FROM counted c JOIN before b USING (store)
WHERE c.counted_at - b.counted_at < %(gap)s * interval '1 second'
ON CONFLICT (hour, store) DO UPDATE SET
  events = t.events + EXCLUDED.events, watched_seconds = t.watched_seconds + EXCLUDED.watched_seconds"""
_LET_GO = "DELETE FROM tillstream.traffic WHERE hour < date_trunc('hour', now()) - %(weeks)s * interval '7 days'"

_PART = """\
part AS (
  SELECT date_trunc('hour', now()) AS hour, extract(epoch FROM now() - date_trunc('hour', now())) / 3600 AS gone
)"""
# The sixty minutes up to now lie in two hours of the clock; each counts by its share.
_NOW = f"""\
WITH {_PART}
SELECT store, sum(events * CASE WHEN t.hour = part.hour THEN 1 ELSE 1 - part.gone END)::float8
FROM part, tillstream.traffic t WHERE t.hour >= part.hour - interval '1 hour' GROUP BY store"""
_USUAL = f"""\
WITH {_PART},
slots AS (
  SELECT t.store, back, percentile_cont(0.5) WITHIN GROUP (ORDER BY t.events) AS usual, count(*) AS weeks
  FROM part, generate_series(0, 1) AS back, generate_series(1, %(weeks)s) AS week, tillstream.traffic t
  WHERE t.hour = part.hour - back * interval '1 hour' - week * interval '7 days' AND t.watched_seconds >= %(enough)s
  GROUP BY t.store, back
)
SELECT store, sum(usual * CASE back WHEN 0 THEN part.gone ELSE 1 - part.gone END)::float8
FROM part, slots GROUP BY store HAVING min(weeks) >= %(least)s AND count(*) = 2"""


def tell_traffic(tx: Transaction) -> None:
    """Counts what came since the last look."""
    tx.execute(_COUNT, {"gap": 5 * EVERY_SECONDS})
    tx.execute(_LET_GO, {"weeks": WEEKS + 1})
    metrics.STORE_EVENTS_OF_HOUR.replace({(store,): events for store, events in tx.rows(_NOW)})
    metrics.STORE_USUAL_EVENTS.replace({
        (store,): usual
        for store, usual in tx.rows(
            _USUAL, {"weeks": WEEKS, "enough": ENOUGH_WATCHED_SECONDS, "least": LEAST_WEEKS}
        )
    })  # fmt: skip
