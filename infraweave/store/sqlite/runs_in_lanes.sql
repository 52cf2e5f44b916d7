-- When a queued run may start at the earliest, and the lane that a limit with a key counts a run in. Both stand
-- in the run's first event; `lane` is indexed for open runs only, so that a run without one costs nothing.

ALTER TABLE runs ADD COLUMN start_at INTEGER;  -- null: at once
ALTER TABLE runs ADD COLUMN lane TEXT;         -- null: no limit with a key

CREATE INDEX runs_in_lane ON runs (tenant, workflow_id, lane) WHERE finished_at IS NULL AND lane IS NOT NULL;
