-- What `run` finds odd in rows, since when, and until when: told to people, never read by what decides.
CREATE TABLE tillstream.found_anomalies (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text COLLATE "C" NOT NULL,
  table_name text COLLATE "C" NOT NULL,              -- as the warehouse names it
  store text COLLATE "C" NOT NULL DEFAULT '',        -- '': between several
  stores text[] NOT NULL,
  key text COLLATE "C" NOT NULL DEFAULT '',          -- the business key, or the goods' code
  row text COLLATE "C" NOT NULL DEFAULT '',          -- the primary key in the store, where it is about one row
  column_name text COLLATE "C" NOT NULL DEFAULT '',
  told text NOT NULL,                                -- in words, as it was last seen
  found_at timestamptz NOT NULL DEFAULT now(),
  gone_at timestamptz
);
CREATE UNIQUE INDEX open_anomalies ON tillstream.found_anomalies (kind, table_name, store, key, row, column_name)
  WHERE gone_at IS NULL;
CREATE INDEX gone_anomalies ON tillstream.found_anomalies (gone_at) WHERE gone_at IS NOT NULL;

-- How fast goods are sold in the last weeks.
CREATE TABLE tillstream.sold (
  store text COLLATE "C" NOT NULL,
  sku text COLLATE "C" NOT NULL,
  per_day numeric NOT NULL,
  PRIMARY KEY (store, sku)
);

-- What `run` last read in tillstream.yaml, for the view below: one row. Names are the warehouse's.
CREATE TABLE tillstream.business (
  sales_table text,
  sold_at text,
  amount text,
  day_ends_at interval NOT NULL,
  timezone text NOT NULL
);

-- The sales of each store by business day. A time with a zone is put into the stores'; a date is taken as it stands. FLOAT
-- keeps more than six digits, and adds up as in MySQL.
CREATE FUNCTION tillstream.sales_by_day() RETURNS TABLE (store text, day date, sales bigint, amount numeric)
LANGUAGE plpgsql STABLE AS $$
DECLARE
  b tillstream.business;
  kind text;
  local text;
  number text;
BEGIN
  SELECT * INTO b FROM tillstream.business;
  IF b.sales_table IS NULL OR to_regclass(format('stores.%I', b.sales_table)) IS NULL THEN
    RETURN;
  END IF;
  SELECT format_type(a.atttypid, NULL) INTO kind FROM pg_attribute a
  WHERE a.attrelid = to_regclass(format('stores.%I', b.sales_table)) AND a.attname = b.sold_at;
  local := CASE kind
    WHEN 'date' THEN format('%I', b.sold_at)
    WHEN 'timestamp with time zone' THEN format('(%I AT TIME ZONE %L - %L::interval)', b.sold_at, b.timezone, b.day_ends_at)
    ELSE format('(%I - %L::interval)', b.sold_at, b.day_ends_at) END;
  SELECT CASE format_type(a.atttypid, NULL) WHEN 'real' THEN '::float8' ELSE '' END INTO number FROM pg_attribute a
  WHERE a.attrelid = to_regclass(format('stores.%I', b.sales_table)) AND a.attname = b.amount;
  RETURN QUERY EXECUTE format(
    'SELECT _store, %s::date, count(*), coalesce(sum(%I%s::numeric), 0) FROM stores.%I'
    ' WHERE NOT _deleted AND %I IS NOT NULL GROUP BY 1, 2', local, b.amount, number, b.sales_table, b.sold_at);
END $$;

-- Every store by business day, of the warehouse's side; `tillstream day-close` asks the stores, too.
-- A day ends by the store's own clock: a till that is slow dates its sales into a day that is over elsewhere.
CREATE VIEW tillstream.days AS
WITH sold AS MATERIALIZED (SELECT * FROM tillstream.sales_by_day())
SELECT d.day, w.store, w.name, coalesce(s.sales, 0) AS sales, coalesce(s.amount, 0) AS amount, e.ends_at, w.complete_at,
       coalesce(w.complete_at + coalesce(c.clock_offset_seconds, 0) * interval '1 second' >= e.ends_at, false)
         AND w.set_aside = 0 AND w.reading_anew = 0 AS complete
FROM (SELECT DISTINCT day FROM sold) d
CROSS JOIN tillstream.watermarks w
JOIN tillstream.store_states c ON c.store = w.store
CROSS JOIN LATERAL (SELECT (d.day + 1 + b.day_ends_at) AT TIME ZONE b.timezone AS ends_at FROM tillstream.business b) e
LEFT JOIN sold s ON s.store = w.store AND s.day = d.day;
