-- For a statement that met what it was not written for: PostgreSQL's own code for a transaction that is to be tried again.
CREATE FUNCTION tillstream.try_again(why text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = why;
END $$;
