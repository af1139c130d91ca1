-- What became of central.*: told to people, never read by what decides.

-- Why a key waits to be decided again: what its transaction says of itself. The first reason stays until it is decided.
ALTER TABLE tillstream.dirty_keys
  ADD COLUMN reason text NOT NULL DEFAULT coalesce(current_setting('tillstream.reason', true), '');

ALTER TABLE tillstream.redecisions
  ADD COLUMN reason text NOT NULL DEFAULT coalesce(current_setting('tillstream.reason', true), '');

-- How long changes of central.<table> are kept; '*' is every table that is not named. 0: none are.
CREATE TABLE tillstream.history_kept (
  table_name text COLLATE "C" PRIMARY KEY,
  seconds bigint NOT NULL
);
INSERT INTO tillstream.history_kept VALUES ('*', 30 * 86400);

-- Written by triggers on central.* (see sinks/history.py), one row for all that changed of a key in a transaction.
CREATE TABLE tillstream.history (
  at timestamptz NOT NULL,         -- of one key never before the change before it: it was written under the key's lock
  table_name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  reason text NOT NULL,
  policy_before int,               -- NULL: there was no central row
  policy int,                      -- NULL: there is none any more
  changes json                     -- column → [value before, value, winner before, winner]; NULL of a new row
);
CREATE INDEX history_key ON tillstream.history (table_name, key, at);
CREATE INDEX history_at ON tillstream.history (table_name, at);

-- What each policy says of each column, for people with only SQL; '*' is every column that is not named.
CREATE TABLE tillstream.rules (
  policy bigint NOT NULL REFERENCES tillstream.policies,
  table_name text COLLATE "C" NOT NULL,
  column_name text COLLATE "C" NOT NULL,
  rule text NOT NULL,              -- its name; 'key' of the columns that make the key
  says text NOT NULL,              -- all of it, as a person writes it
  PRIMARY KEY (policy, table_name, column_name)
);
