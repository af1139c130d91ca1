-- Stores that did to a table what its guards do not let pass without a person: until one releases them, what they
-- contribute to central.* is what they had before.
CREATE TABLE tillstream.holds (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store text COLLATE "C" NOT NULL,
  table_name text COLLATE "C" NOT NULL,  -- as the warehouse names it
  reason text NOT NULL,
  held_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  released_at timestamptz,
  released_by text,
  release_reason text
);
CREATE UNIQUE INDEX open_holds ON tillstream.holds (table_name, store) WHERE released_at IS NULL;

-- The rows of a store that is held, as they were when that began; the whole row, so that a column which the table gets
-- or widens meanwhile needs nothing here.
CREATE TABLE tillstream.held_rows (
  table_name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  store text COLLATE "C" NOT NULL,
  pk text COLLATE "C" NOT NULL,
  row jsonb NOT NULL,
  PRIMARY KEY (table_name, key, store, pk)
);
CREATE INDEX held_rows_of_store ON tillstream.held_rows (table_name, store);
