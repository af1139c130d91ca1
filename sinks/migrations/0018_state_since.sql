-- Since when a store is in the state that is told: how long it has been dark or at rest, whatever its watermark says.
ALTER TABLE tillstream.store_states ADD COLUMN state_since timestamptz NOT NULL DEFAULT clock_timestamp();
