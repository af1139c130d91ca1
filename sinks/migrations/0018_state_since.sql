-- Since when a store is in the state that is told: how long it has been dark or at rest, whatever its watermark says.
ALTER TABLE tillstream.store_states ADD COLUMN state_since timestamptz NOT NULL DEFAULT clock_timestamp();

-- What is not in the warehouse although the log went past it: tables that are read anew, wait for it, or could not be.
CREATE VIEW tillstream.tables_to_read AS
SELECT r.store, r.table_name, r.condition, r.state
FROM tillstream.resyncs r
WHERE r.state IN ('waiting', 'reading') OR r.state = 'failed' AND r.condition IS NULL AND NOT EXISTS (
  SELECT FROM tillstream.resyncs d
  WHERE d.store = r.store AND d.table_name = r.table_name AND d.condition IS NULL AND d.id > r.id);
CREATE INDEX resyncs_failed ON tillstream.resyncs (store) WHERE state = 'failed';

CREATE OR REPLACE VIEW tillstream.watermarks AS
SELECT s.store, s.name,
       CASE WHEN s.reported_at < clock_timestamp() - interval '30 seconds' THEN 'not running' ELSE s.state END AS state,
       s.complete_at,
       (SELECT count(*) FROM tillstream.dead_letters d WHERE d.store = s.store AND d.status = 'open') AS set_aside,
       (SELECT count(*) FROM tillstream.tables_to_read r WHERE r.store = s.store) AS reading_anew
FROM tillstream.store_states s
WHERE s.listed AND s.state <> 'retired';

-- A look at one store or table, or one in which no store answered, says nothing of the chain.
ALTER TABLE tillstream.verification_runs ADD COLUMN is_whole boolean NOT NULL DEFAULT true;
