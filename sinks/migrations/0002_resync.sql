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

-- One history of a store's log, as far as it has been the same one: after RESET MASTER, a restored disk or another
-- machine its positions begin again, and nothing of the new history compares with the old.
CREATE TABLE tillstream.epochs (
  store text COLLATE "C" NOT NULL,
  epoch int NOT NULL,
  server_uuid text,
  witness jsonb,              -- where events were seen, and what they were: asked for again, they must be the same
  broken text,                -- why it cannot go on, while a person is waited for
  reason text NOT NULL,       -- why it began
  began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (store, epoch)
);
ALTER TABLE tillstream.ledger DROP COLUMN server_uuid;

-- The columns of a store's tables by its own catalog, at a position of its log: a change that no event told shows here.
CREATE TABLE tillstream.fingerprints (
  store text COLLATE "C" NOT NULL,
  table_name text COLLATE "C" NOT NULL,
  fingerprint text NOT NULL,
  epoch int NOT NULL, file int NOT NULL, pos bigint NOT NULL,
  PRIMARY KEY (store, table_name)
);

ALTER TABLE tillstream.store_states
  ADD COLUMN caught_up_at timestamptz,        -- when the warehouse last had all of the store's log
  ADD COLUMN retention_seconds bigint,        -- how long the store keeps its log; NULL: for ever, or not known
  ADD COLUMN clock_offset_seconds double precision,   -- the store's clock minus ours
  ADD COLUMN clock_uncertainty_seconds double precision;

-- What a person has said of a store, beyond tillstream.yaml.
CREATE TABLE tillstream.store_orders (
  store text COLLATE "C" PRIMARY KEY,
  paused boolean NOT NULL DEFAULT false,   -- nothing is captured until it is resumed
  retired boolean NOT NULL DEFAULT false,  -- closed for good: its rows stay, and decide nothing any more
  noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
