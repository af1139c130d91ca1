-- Of columns whose changes since an opening add up `_stamps` keep, under the column's name and two blanks, by opening (in
-- us) the values that it had in order: [[value], [value, stamp], ...], each a text or null (NULL, or the row was not
-- there), the first as it was first seen. Those of a row whose column never changed are not kept. What comes after a
-- change that surely came after the opening tells nothing of it.
--
-- `incoming` has the same of one batch. `held` has, by that name, [opening, the value stored, the value that comes].
CREATE FUNCTION tillstream.join_around(joined jsonb, stored jsonb, incoming jsonb, held jsonb)
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  surely_after CONSTANT bigint := 86400000000;  -- a day: so far ahead a store's clock may be
  latest CONSTANT jsonb := coalesce(stored->'   '->7, stored->'   ');
  name text; opening text; was jsonb; kept jsonb; came jsonb; known jsonb; stamp jsonb;
BEGIN
  FOR name, opening, was, came IN
    SELECT h.key, h.value->>0, h.value->1,
           coalesce(incoming->h.key->(h.value->>0), jsonb_build_array(jsonb_build_array(h.value->2)))
    FROM jsonb_each(held) h
  LOOP
    kept := coalesce(stored->name->opening, jsonb_build_array(jsonb_build_array(was)));
    FOR known IN SELECT e.value FROM jsonb_array_elements(came) WITH ORDINALITY e ORDER BY e.ordinality LOOP
      EXIT WHEN (kept->-1->1->>5)::bigint >= opening::bigint + surely_after;
      stamp := known->1;
      IF stamp IS NULL THEN
        CONTINUE WHEN (known->>0)::numeric IS NOT DISTINCT FROM (was#>>'{}')::numeric;
        stamp := jsonb_set(incoming->'', '{6}', '1');  -- an event was missed
      END IF;
      IF (latest->>5)::bigint > (coalesce(stamp->7, stamp)->>5)::bigint THEN
        stamp := (stamp - 7) || jsonb_build_array(jsonb_path_query_array(latest, '$[0 to 5]'));
      END IF;
      kept := kept || jsonb_build_array(jsonb_build_array(known->0, stamp));
    END LOOP;
    known := coalesce(stored->name, '{}');
    IF jsonb_array_length(kept) > 1 THEN
      known := known || jsonb_build_object(opening, kept);
    END IF;
    joined := CASE known WHEN '{}' THEN joined - name ELSE joined || jsonb_build_object(name, known) END;
  END LOOP;
  RETURN joined;
END $$;

-- The files that a policy's text names, by name: what it was made of is all in here.
ALTER TABLE tillstream.policies ADD COLUMN files jsonb NOT NULL DEFAULT '{}';

-- Until when a decision holds, whatever the stores have; NULL where it is not by time. That it is over counts from when
-- `ended_at` says so.
ALTER TABLE tillstream.decisions ADD COLUMN until timestamptz;
CREATE INDEX decisions_until ON tillstream.decisions (until) WHERE ended_at IS NULL AND until IS NOT NULL;
