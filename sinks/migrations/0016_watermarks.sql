-- What people are told of lag and of what is usual: read by whoever watches, never by what decides.

ALTER TABLE tillstream.store_states
  ADD COLUMN complete_at timestamptz,              -- the warehouse has all that the store had committed by then
  ADD COLUMN capture_lag_seconds double precision, -- how long the log has been ahead of what was captured
  ADD COLUMN listed boolean NOT NULL DEFAULT true; -- false: taken out of tillstream.yaml, its rows stay

-- Row changes by the hour in which they came in, and for how much of it somebody watched.
CREATE TABLE tillstream.traffic (
  store text COLLATE "C" NOT NULL,
  hour timestamptz NOT NULL,
  events bigint NOT NULL,
  watched_seconds int NOT NULL,
  PRIMARY KEY (hour, store)
);
-- How far they are counted.
CREATE TABLE tillstream.traffic_counted (
  store text COLLATE "C" PRIMARY KEY,
  events bigint NOT NULL,
  counted_at timestamptz NOT NULL
);

-- "Complete as of", by store. What is set aside is not in it, and what is being read anew may be older or newer.
CREATE VIEW tillstream.watermarks AS
SELECT s.store, s.name,
       CASE WHEN s.reported_at < clock_timestamp() - interval '30 seconds' THEN 'not running' ELSE s.state END AS state,
       s.complete_at,
       (SELECT count(*) FROM tillstream.dead_letters d WHERE d.store = s.store AND d.status = 'open') AS set_aside,
       (SELECT count(*) FROM tillstream.resyncs r
        WHERE r.store = s.store AND r.state IN ('waiting', 'reading')) AS reading_anew
FROM tillstream.store_states s
WHERE s.listed AND s.state <> 'retired';

-- The same of the chain: the least of them, and the store that holds it up. NULL while a store was never complete.
CREATE VIEW tillstream.chain_watermark AS
SELECT w.complete_at, w.store AS waits_for, w.name, w.state
FROM tillstream.watermarks w ORDER BY w.complete_at NULLS FIRST, w.store LIMIT 1;
