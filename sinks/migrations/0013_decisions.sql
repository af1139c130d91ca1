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
  policy bigint NOT NULL,          -- its id in tillstream.policies
  table_name text COLLATE "C" NOT NULL,
  column_name text COLLATE "C" NOT NULL,
  rule text NOT NULL,              -- its name; 'key' of the columns that make the key
  says text NOT NULL,              -- all of it, as a person writes it
  PRIMARY KEY (policy, table_name, column_name)
);

-- For people with only SQL: what stands behind each agreed value, one view a shared table (see sinks/views.py), and
-- these. Times are by our clock.
CREATE SCHEMA desk;

-- When a change was made by our clock, and how far that is in doubt: what conflict/clock.py makes of one of `_stamps`,
-- with the rights of whoever made it, so that who may read desk.* needs no others.
CREATE FUNCTION desk._time(of_store text, name text, stamp jsonb, OUT at timestamptz, OUT doubt interval)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  us bigint := (stamp->5)::bigint;
  doubt_us bigint := 0;
  ahead jsonb := stamp->7;
  ahead_us bigint;
  own tillstream.clock_corrections;
BEGIN
  IF stamp IS NULL OR us < 0 THEN
    RETURN;
  END IF;
  -- what a column was found to hold when the store was asked is dated by us
  IF NOT ((stamp->3)::int < 0 AND (stamp->4)::bigint > 0 AND name NOT LIKE '% ') THEN
    own := desk._clock(of_store, stamp);
    us := greatest(least(us - coalesce(own.offset_us, 0), own.latest_us), own.earliest_us);
    doubt_us := coalesce(own.uncertainty_us, 0);
  END IF;
  IF ahead IS NOT NULL THEN
    own := desk._clock(of_store, ahead);
    ahead_us := greatest(least((ahead->5)::bigint - coalesce(own.offset_us, 0), own.latest_us), own.earliest_us);
    IF ahead_us > us THEN
      us := ahead_us;
      doubt_us := greatest(doubt_us, coalesce(own.uncertainty_us, 0));
    END IF;
  END IF;
  at := timestamptz 'epoch' + us * interval '1 microsecond';
  doubt := doubt_us * interval '1 microsecond';
END $$;

CREATE FUNCTION desk._clock(of_store text, place jsonb) RETURNS tillstream.clock_corrections
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT c FROM tillstream.clock_corrections c
  WHERE c.store = of_store AND (c.epoch, c.file, c.pos) <= ((place->0)::int, (place->1)::int, (place->2)::bigint)
  ORDER BY c.epoch DESC, c.file DESC, c.pos DESC, c.id DESC LIMIT 1
$$;

CREATE VIEW desk._rules AS
SELECT p.version AS policy_version, p.applied_at, p.id = (SELECT max(id) FROM tillstream.policies) AS in_force,
       r.table_name, r.column_name, r.rule, r.says
FROM tillstream.rules r JOIN tillstream.policies p ON p.id = r.policy;

CREATE VIEW desk._reviews AS
SELECT id, table_name, key, column_name, provisional AS central_value, reason, candidates, opened_at
FROM tillstream.reviews WHERE closed_at IS NULL;

CREATE VIEW desk._history AS
SELECT h.at, h.table_name, h.key,
       CASE WHEN h.policy_before IS NULL THEN 'came' WHEN h.policy IS NULL THEN 'gone' ELSE 'changed' END AS what,
       c.key COLLATE "C" AS column_name, c.value->>0 AS value_before, c.value->>1 AS value,
       c.value->>2 AS winner_before, c.value->>3 AS winner, h.reason,
       b.version AS policy_version_before, a.version AS policy_version, r.rule, r.says
FROM tillstream.history h
LEFT JOIN LATERAL json_each(h.changes) c ON true
LEFT JOIN tillstream.policies b ON b.id = h.policy_before
LEFT JOIN tillstream.policies a ON a.id = h.policy
LEFT JOIN LATERAL (
  SELECT r.rule, r.says FROM tillstream.rules r
  WHERE r.policy = h.policy AND r.table_name = h.table_name AND r.column_name IN (c.key, '*')
  ORDER BY r.column_name = '*' LIMIT 1) r ON true;

-- Business keys by a changed `key:`, made beside those in force in stores.<table>._next_key: rows up to (store, pk) have
-- theirs, but for those in `stale`, which were written since.
CREATE TABLE tillstream.key_changes (
  table_name text COLLATE "C" PRIMARY KEY,
  definition jsonb NOT NULL,
  store text COLLATE "C" NOT NULL DEFAULT '',
  pk text COLLATE "C" NOT NULL DEFAULT '',
  done boolean NOT NULL DEFAULT false
);
CREATE TABLE tillstream.stale_keys (
  table_name text COLLATE "C" NOT NULL,
  store text COLLATE "C" NOT NULL,
  pk text COLLATE "C" NOT NULL,
  PRIMARY KEY (table_name, store, pk)
);
CREATE FUNCTION tillstream.key_is_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO tillstream.stale_keys SELECT TG_TABLE_NAME, _store, _pk FROM written ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
