-- What each store's clock was off by, for whatever its log has from a place on. Only ever added to: central rows are a
-- function of it, so that it is as much a contribution as the stores' rows are.
CREATE TABLE tillstream.clock_corrections (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store text COLLATE "C" NOT NULL,
  epoch int NOT NULL, file int NOT NULL, pos bigint NOT NULL,  -- from there on
  offset_us bigint NOT NULL,       -- the store's clock minus ours
  uncertainty_us bigint NOT NULL,
  earliest_us bigint,              -- by our clock: what stands there was written no earlier
  latest_us bigint,                -- and no later
  found_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Where the log ended when the clock was last looked at, and our time just before.
ALTER TABLE tillstream.epochs ADD COLUMN clock_file int, ADD COLUMN clock_pos bigint, ADD COLUMN clock_looked_us bigint;

-- Sparse per-column stamps: [epoch, file, pos, row, order, the store's own time in us, 1 if an event was missed], and
-- then, only where a change before it on its row has a later time, the one of these that has the latest, by the same
-- six facts. A row's time never runs backwards, and what it comes to by our clock is worked out by whoever reads it.
-- `incoming` may carry, under the empty name that no column can have, the stamp of the first event of its batch:
-- columns in `missed` differ from what is stored although no event of the batch changed them, and get that one.
-- Under " ", which no column's name can end in, stands the POS's own time of change at the row's first snapshot, under
-- "   " the row's last change.
CREATE FUNCTION tillstream.join_stamps(stored jsonb, incoming jsonb, missed text[])
RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(stored, '{}') || coalesce(jsonb_object_agg(
           n.name,
           CASE WHEN n.name <> ' ' AND (l.latest->>5)::bigint > (coalesce(n.stamp->7, n.stamp)->>5)::bigint
             THEN (n.stamp - 7) || jsonb_build_array(jsonb_path_query_array(l.latest, '$[0 to 5]'))
             ELSE n.stamp
           END
         ), '{}')
  FROM (SELECT coalesce(stored->'   '->7, stored->'   ') AS latest) l, (
    SELECT name, incoming->name AS stamp FROM jsonb_object_keys(incoming) AS name
    WHERE name <> '' AND NOT (name = ' ' AND coalesce(stored ? ' ', false))
    UNION ALL
    SELECT name, jsonb_set(incoming->'', '{6}', '1') FROM unnest(missed) AS name
  ) n
$$;
DROP FUNCTION tillstream.join_stamps(jsonb, bigint, jsonb, text[]);

DO $$
DECLARE mirrored text;
BEGIN
  FOR mirrored IN
    SELECT table_name FROM information_schema.columns WHERE table_schema = 'stores' AND column_name = '_changed_us'
  LOOP
    EXECUTE format($update$
      UPDATE stores.%I SET _stamps = coalesce(_stamps, '{}')
        || CASE WHEN _stamps ? ' '
             THEN jsonb_build_object(' ', jsonb_build_array(_epoch, 0, 0, -1, 0, _stamps->' '->0, 0)) ELSE '{}' END
        || CASE WHEN _changed_us IS NOT NULL
             THEN jsonb_build_object('   ', jsonb_build_array(_epoch, _file, _pos, _row, _order, _changed_us, 0))
             ELSE '{}' END
      WHERE _changed_us IS NOT NULL OR _stamps ? ' '
    $update$, mirrored);
    EXECUTE format('ALTER TABLE stores.%I DROP COLUMN _changed_us', mirrored);
  END LOOP;
END $$;
