-- What statistics read. `runs_ended` holds all that they need of a run that has ended, so statistics of a month are a
-- walk along the index. It is written once for each run, at its end. `runs_open` now holds when open runs started.

CREATE INDEX runs_ended ON runs (tenant, workflow_id, finished_at, state, started_at, workflow_version,
                                 tokens, cost_micro_usd)
WHERE finished_at IS NOT NULL;

DROP INDEX runs_open;
CREATE INDEX runs_open ON runs (tenant, workflow_id, workflow_version, finished_at, started_at)
WHERE finished_at IS NULL;
