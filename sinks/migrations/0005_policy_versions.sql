-- Every policy that was ever in force, as it was written, so that it can be gone back to.
ALTER TABLE tillstream.policies
  ADD COLUMN source text,                          -- the YAML; NULL of one that was taken up before it was kept
  ADD COLUMN stores jsonb,                         -- what was said of each store then: rules may rank by it
  ADD COLUMN origin text NOT NULL DEFAULT 'file',  -- 'file', or 'rollback' to an earlier one
  ADD COLUMN author text NOT NULL DEFAULT '',
  ADD COLUMN reason text NOT NULL DEFAULT '';

-- Tables whose keys are decided anew after a switch, in the keys' order; those up to `after` are done.
CREATE TABLE tillstream.redecisions (
  table_name text COLLATE "C" PRIMARY KEY,
  after text COLLATE "C" NOT NULL DEFAULT '',
  began_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The first statement of every transaction that decides or that writes business keys. A switch of the policy takes the
-- lock alone; which policy is in force is read once the lock is held, and not before.
CREATE FUNCTION tillstream.enter_policy(OUT policy bigint, OUT keys_wait boolean) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('tillstream policy', 0));
  policy := (SELECT max(id) FROM tillstream.policies);
  keys_wait := EXISTS (SELECT FROM tillstream.dirty_keys) OR EXISTS (SELECT FROM tillstream.redecisions);
END $$;
