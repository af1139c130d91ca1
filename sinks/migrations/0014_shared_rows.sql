-- What a change of a shared row costs.

-- For a statement that met what it was not written for: PostgreSQL's own code for a transaction that is to be tried again.
CREATE FUNCTION tillstream.try_again(why text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = why;
END $$;

-- A key that a thousand stores have is decided from a few of their rows, which are found without touching the others.
DO $$
DECLARE old record;
BEGIN
  FOR old IN SELECT indexname, tablename FROM pg_indexes WHERE schemaname = 'stores' AND indexdef LIKE '%(\_key) WHERE %' LOOP
    EXECUTE format('DROP INDEX stores.%I', old.indexname);
    EXECUTE format('CREATE INDEX %I ON stores.%I (_key, _store) WHERE _key IS NOT NULL', old.indexname, old.tablename);
  END LOOP;
END $$;

-- As before (see 0009): what is nearly always so is found out first, that nothing was missed and no time runs backwards.
CREATE OR REPLACE FUNCTION tillstream.join_stamps(stored jsonb, incoming jsonb, missed text[])
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE latest jsonb := coalesce(stored->'   '->7, stored->'   ');
BEGIN
  IF missed = '{}' AND NOT incoming ? ' '
     AND (latest IS NULL OR NOT jsonb_path_exists(incoming, '$.*[5] ? (@ < $at)', jsonb_build_object('at', latest->5)))
  THEN
    RETURN coalesce(stored, '{}') || (incoming - '');
  END IF;
  RETURN coalesce(stored, '{}') || coalesce((
    SELECT jsonb_object_agg(
             n.name,
             CASE WHEN n.name <> ' ' AND (latest->>5)::bigint > (coalesce(n.stamp->7, n.stamp)->>5)::bigint
               THEN (n.stamp - 7) || jsonb_build_array(jsonb_path_query_array(latest, '$[0 to 5]'))
               ELSE n.stamp
             END)
    FROM (
      SELECT name, incoming->name AS stamp FROM jsonb_object_keys(incoming) AS name
      WHERE name <> '' AND NOT (name = ' ' AND coalesce(stored ? ' ', false))
      UNION ALL
      SELECT name, jsonb_set(incoming->'', '{6}', '1') FROM unnest(missed) AS name
    ) n), '{}');
END $$;
