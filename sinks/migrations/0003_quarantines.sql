-- What a store, or one of its tables, changed since then is not believed: central rows are decided without it.
CREATE TABLE tillstream.quarantines (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store text COLLATE "C" NOT NULL,
  table_name text COLLATE "C",  -- as the warehouse names it; NULL: all of the store's tables
  since timestamptz NOT NULL,
  reason text NOT NULL,
  author text NOT NULL,
  added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  lifted_at timestamptz
);
