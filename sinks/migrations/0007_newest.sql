-- Who was last seen changing a column, where somebody else decides it: with that a key that many stores have is decided
-- without reading the rows of all. Rows from before do not say it, so every key is decided anew, once.
DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT table_name FROM information_schema.tables
              WHERE table_schema = 'central' AND table_type = 'BASE TABLE' LOOP
    EXECUTE format('ALTER TABLE central.%I ADD COLUMN IF NOT EXISTS _newest jsonb NOT NULL DEFAULT ''{}''', name);
    EXECUTE format('ALTER TABLE central.%I ALTER COLUMN _newest DROP DEFAULT', name);
    INSERT INTO tillstream.redecisions (table_name) VALUES (name) ON CONFLICT DO NOTHING;
    EXECUTE format('UPDATE central.%I SET _policy = 0', name);
  END LOOP;
END $$;

-- Sorted, each once. A list of a thousand is copied, never sorted again.
CREATE FUNCTION tillstream.with_stores(present text[], added text[]) RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  store text;
  place int;
BEGIN
  FOREACH store IN ARRAY added LOOP
    place := width_bucket(store COLLATE "C", present);  -- how many stand before it, itself among them
    IF place = 0 OR present[place] <> store THEN
      present := present[1:place] || store || present[place + 1:];
    END IF;
  END LOOP;
  RETURN present;
END $$;
