-- When a queued run may start at the earliest, and its concurrency key: limits with a key count runs by it. Both
-- stand in the run's first event. `lane` is indexed for open runs only, so a run without a key costs nothing.

ALTER TABLE runs ADD COLUMN start_at INTEGER;  -- null: at once
ALTER TABLE runs ADD COLUMN lane TEXT;         -- null: no limit with a key

CREATE INDEX runs_in_lane ON runs (tenant, workflow_id, lane) WHERE finished_at IS NULL AND lane IS NOT NULL;
