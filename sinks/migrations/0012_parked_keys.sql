-- Keys that their rules could not decide as they stand: their central rows stay as they were.
CREATE TABLE tillstream.parked_keys (
  table_name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  column_name text COLLATE "C" NOT NULL,  -- whose rule it was
  reason text NOT NULL,
  parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (table_name, key)
);

-- The text of the modules of one's own that a policy's rules are in: path → text.
ALTER TABLE tillstream.policies ADD COLUMN modules jsonb NOT NULL DEFAULT '{}';
