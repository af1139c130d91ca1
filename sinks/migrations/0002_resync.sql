-- Tables to be read anew, in chunks, while the log goes on. One row per table; one without a table is for the whole
-- store: its engine starts at the log's present end, and then the row becomes one per table.
CREATE TABLE tillstream.resyncs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store text COLLATE "C" NOT NULL,
  database text COLLATE "C",
  table_name text COLLATE "C",  -- as the store names it
  condition text,               -- only these rows: an expression in the store's SQL
  reason text NOT NULL,
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'reading', 'done', 'failed')),
  -- where the log stood when the first chunk was read: rows below were found in none
  epoch int, file int, pos bigint,
  after jsonb,                  -- the key that the chunks are in up to, as SQL literals
  expected_rows bigint NOT NULL DEFAULT 0,  -- as the store estimates it
  rows bigint NOT NULL DEFAULT 0,
  mended bigint NOT NULL DEFAULT 0,         -- rows that were missing here, or differed
  withdrawn bigint NOT NULL DEFAULT 0,      -- rows that the store no longer has
  error text,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz
);
CREATE INDEX resyncs_open ON tillstream.resyncs (store) WHERE state IN ('waiting', 'reading');

-- Rows of which the log does not tell a value for certain: the store itself is asked, within seconds.
CREATE TABLE tillstream.to_ask (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store text COLLATE "C" NOT NULL,
  database text COLLATE "C" NOT NULL,
  table_name text COLLATE "C" NOT NULL,  -- as the store names it
  key jsonb NOT NULL                     -- its primary key as the log has it
);
