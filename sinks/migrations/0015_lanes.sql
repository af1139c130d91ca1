-- Lanes as topics. `lane_offset` moves in the transaction that holds the rows, as the position in the store's log does;
-- NULL: from the first record that the topic has. It counts for the topic of that id alone.
-- A connector that begins anew is another generation: what an earlier one wrote into the lane does not count any more.
ALTER TABLE tillstream.ledger
  ADD COLUMN topic_id text,
  ADD COLUMN lane_offset bigint,
  ADD COLUMN capture_generation integer NOT NULL DEFAULT 0,
  ADD COLUMN refusal text;
