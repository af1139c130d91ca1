-- Values about which stores differ and a person is to decide, by the rule `review`.
CREATE TABLE tillstream.reviews (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  table_name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  column_name text COLLATE "C" NOT NULL,
  fingerprint text NOT NULL,      -- of the values that differ
  provisional text,               -- the central value meanwhile
  reason text NOT NULL,           -- why it is that one
  candidates jsonb NOT NULL,      -- store, row, value
  opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  closed_at timestamptz           -- decided, or the stores agree, or differ in another way
);
CREATE UNIQUE INDEX reviews_open ON tillstream.reviews (table_name, key, column_name) WHERE closed_at IS NULL;

-- What people decided. Never changed but for its end.
CREATE TABLE tillstream.decisions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  table_name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  column_name text COLLATE "C" NOT NULL,
  value text,
  seen text,                      -- holds while the stores' values are those of this fingerprint; NULL: for good
  author text NOT NULL,
  reason text NOT NULL,
  decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz            -- reopened, or decided anew
);
CREATE UNIQUE INDEX decisions_standing ON tillstream.decisions (table_name, key, column_name) WHERE ended_at IS NULL;
