-- What statistics are read from. `runs_ended` holds all that they need of a run that has ended, so that those of
-- a month are a walk along the index; it is written once for each run, at its end. Open runs are found by when
-- they started: `runs_open` knows that now.

CREATE INDEX runs_ended ON runs (tenant, workflow_id, finished_at, state, started_at, workflow_version,
                                 tokens, cost_micro_usd)
WHERE finished_at IS NOT NULL;

DROP INDEX runs_open;
CREATE INDEX runs_open ON runs (tenant, workflow_id, workflow_version, finished_at, started_at)
WHERE finished_at IS NULL;
