-- When its first chunk went in: how long a table is still to be read is told by how long it took so far.
ALTER TABLE tillstream.resyncs ADD COLUMN began_at timestamptz;
