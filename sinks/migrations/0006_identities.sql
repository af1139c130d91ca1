-- Views of isolated tables in which the stores' ids of shared rows stand beside the central key.
CREATE SCHEMA IF NOT EXISTS chain;

-- Business keys that a person said are one. Nothing is ever changed here: what is taken back stands in the table below.
CREATE TABLE tillstream.identities (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  table_name text COLLATE "C" NOT NULL,
  key_columns text[] NOT NULL,        -- whose text the two are: where others make the key, the pair means nothing
  key text COLLATE "C" NOT NULL,
  other_key text COLLATE "C" NOT NULL,  -- rows under it count under `key`
  reason text NOT NULL,
  author text NOT NULL,
  accepted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE tillstream.identities_undone (
  identity bigint PRIMARY KEY REFERENCES tillstream.identities,
  reason text NOT NULL,
  author text NOT NULL,
  undone_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What follows from these: which key stands for another in stores.<table>._key.
CREATE TABLE tillstream.aliases (
  table_name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  canonical text COLLATE "C" NOT NULL,
  PRIMARY KEY (table_name, key)
);
