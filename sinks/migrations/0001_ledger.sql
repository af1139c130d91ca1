-- The bookkeeping of one warehouse. Each file here is run once, in order, in a transaction of its own.

CREATE SCHEMA stores;
CREATE SCHEMA central;
CREATE SCHEMA debezium;   -- one offset and one history table per store: the engine's own

-- Where each store's lane stands. The position is moved by the last statement of every transaction.
CREATE TABLE tillstream.ledger (
  store text COLLATE "C" PRIMARY KEY,
  epoch int NOT NULL DEFAULT 1,
  file int NOT NULL DEFAULT 0,
  pos bigint NOT NULL DEFAULT 0,
  row int NOT NULL DEFAULT -1,
  ord bigint NOT NULL DEFAULT -1,
  snapshot_done boolean NOT NULL DEFAULT false,
  lease_generation bigint NOT NULL DEFAULT 0,
  server_uuid text,
  events bigint NOT NULL DEFAULT 0,
  last_event_at timestamptz,
  moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What a person wants to know of a store while `run` is at work; written by its supervisor, read by `status`.
CREATE TABLE tillstream.store_states (
  store text COLLATE "C" PRIMARY KEY,
  name text NOT NULL DEFAULT '',
  state text NOT NULL,
  reason text NOT NULL DEFAULT '',
  head_file int,
  head_pos bigint,
  lag_seconds double precision,
  reported_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Every shape a store's table has had, from which position on.
CREATE TABLE tillstream.schema_versions (
  store text COLLATE "C" NOT NULL,
  database text COLLATE "C" NOT NULL,
  table_name text COLLATE "C" NOT NULL,
  epoch int NOT NULL, file int NOT NULL, pos bigint NOT NULL, row int NOT NULL, ord bigint NOT NULL,
  columns jsonb NOT NULL,
  primary_key jsonb NOT NULL,
  PRIMARY KEY (store, database, table_name, epoch, file, pos, row, ord)
);

-- Which columns a store's table has now: absence is read from here, never from NULL.
CREATE TABLE tillstream.presence (
  store text COLLATE "C" NOT NULL,
  table_name text COLLATE "C" NOT NULL,
  columns text[] NOT NULL,
  PRIMARY KEY (table_name, store)
);

-- A row of `store` whose stamp is below its table's floor does not live. Floors only grow.
CREATE TABLE tillstream.floors (
  store text COLLATE "C" NOT NULL,
  table_name text COLLATE "C" NOT NULL,
  epoch int NOT NULL, file int NOT NULL, pos bigint NOT NULL, row int NOT NULL, ord bigint NOT NULL,
  PRIMARY KEY (table_name, store)
);

-- One row per business key ever decided: what workers lock, in one order.
CREATE TABLE tillstream.keys (
  table_name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  PRIMARY KEY (table_name, key)
);

CREATE TABLE tillstream.dirty_keys (
  table_name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  PRIMARY KEY (table_name, key)
);

CREATE TABLE tillstream.dead_letters (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store text COLLATE "C" NOT NULL,
  database text COLLATE "C" NOT NULL,
  table_name text COLLATE "C" NOT NULL,
  pk text COLLATE "C" NOT NULL,
  epoch int NOT NULL, file int NOT NULL, pos bigint NOT NULL, row int NOT NULL, ord bigint NOT NULL,
  op text NOT NULL,
  reason text NOT NULL,
  event bytea NOT NULL,      -- the record as it came, in JSON; bytea because it may hold what text cannot
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'superseded', 'applied', 'discarded')),
  set_aside_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  settled_at timestamptz,
  UNIQUE (store, database, table_name, pk, epoch, file, pos, row, ord, op)
);
CREATE INDEX dead_letters_open ON tillstream.dead_letters (store, table_name, pk) WHERE status = 'open';

-- Each contest once: the fingerprint covers the key, the column and every candidate with its value and stamp.
CREATE TABLE tillstream.conflicts (
  fingerprint text PRIMARY KEY,
  table_name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  column_name text COLLATE "C" NOT NULL,
  rule text NOT NULL,
  winner text,
  value text,
  losers jsonb NOT NULL,
  reason text NOT NULL,
  decided_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX conflicts_key ON tillstream.conflicts (table_name, key);
CREATE INDEX conflicts_time ON tillstream.conflicts (decided_at);

CREATE TABLE tillstream.policies (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  version int NOT NULL,
  fingerprint text NOT NULL,
  keys jsonb NOT NULL,       -- table → its key definition, to tell a changed key from a changed rule
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE tillstream.verification_runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  started_at timestamptz NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  result jsonb NOT NULL
);

-- Sparse per-column stamps: [epoch, file, pos, row, order, effective time in us, 1 if an event was missed].
-- `incoming` may carry, under the empty name that no column can have, the stamp of the first event of its batch:
-- columns in `missed` differ from what is stored although no event of the batch changed them, and get that one.
-- Under " ", which no column's name can end in, stands the POS's own time of change at the row's first snapshot.
-- The effective time never runs backwards on a row, whatever the store's clock did.
CREATE FUNCTION tillstream.join_stamps(stored jsonb, stored_effective bigint, incoming jsonb, missed text[])
RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(stored, '{}') || coalesce(jsonb_object_agg(
           n.name,
           CASE n.name WHEN ' ' THEN n.stamp ELSE
             jsonb_set(n.stamp, '{5}', to_jsonb(greatest((n.stamp->>5)::bigint, coalesce(stored_effective, 0))))
           END
         ), '{}')
  FROM (
    SELECT name, incoming->name AS stamp FROM jsonb_object_keys(incoming) AS name
    WHERE name <> '' AND NOT (name = ' ' AND coalesce(stored ? ' ', false))
    UNION ALL
    SELECT name, jsonb_set(incoming->'', '{6}', '1') FROM unnest(missed) AS name
  ) n
$$;
