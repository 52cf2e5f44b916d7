-- Single runs, and counts of open runs.

-- run_by_id: a run by its id
SELECT * FROM runs WHERE run_id = ?;

-- run_by_key: a run by its key
SELECT * FROM runs WHERE run_key = ?;

-- run_by_idempotency_key: the run that a start with this idempotency key created
SELECT * FROM runs WHERE tenant = ? AND idempotency_key = ?;

-- runs_by_idempotency_keys: the runs that starts with these idempotency keys created
SELECT * FROM runs
WHERE tenant = :tenant AND idempotency_key IN (SELECT value FROM json_each(:keys));

-- queued_runs: runs that wait for their first slot, in order of creation. Delayed starts are on the agenda until they are
-- due, and left out here
SELECT runs.* FROM runs LEFT JOIN agenda USING (run_key)
WHERE state = 'queued' AND (start_at IS NULL OR due_at IS NULL)
ORDER BY run_key LIMIT ?;

-- open_in_workflow: how many runs of a workflow have started and not ended
SELECT (SELECT count(*) FROM runs INDEXED BY runs_open
        WHERE tenant = :tenant AND workflow_id = :workflow_id AND finished_at IS NULL)
     - (SELECT count(*) FROM runs INDEXED BY runs_queued
        WHERE state = 'queued' AND tenant = :tenant AND workflow_id = :workflow_id);

-- open_with_key: how many runs with a concurrency key have started and not ended
SELECT count(*) FROM runs INDEXED BY runs_in_lane
WHERE tenant = :tenant AND workflow_id = :workflow_id AND lane = :lane
  AND finished_at IS NULL AND lane IS NOT NULL AND started_at IS NOT NULL;

-- runs_by_state: how many runs are in each state
SELECT state, count(*) AS runs FROM runs WHERE :tenant IS NULL OR tenant = :tenant GROUP BY state;

-- open_runs: how many runs of each version are open
SELECT tenant, workflow_id, workflow_version, count(*) AS runs
FROM runs
WHERE finished_at IS NULL AND (:tenant IS NULL OR tenant = :tenant)
GROUP BY tenant, workflow_id, workflow_version;

-- owners_of_runs: the tenant and the workflow of each of some runs; only runs of some tenants
SELECT tenant, run_key, workflow_id
FROM json_each(:run_keys) CROSS JOIN runs ON runs.run_key = json_each.value
WHERE tenant IN (SELECT value FROM json_each(:tenants));

-- runs_with_seqs: some runs, each with the seq of its newest event, as of one moment
SELECT runs.*, (SELECT max(seq) FROM events WHERE events.run_key = runs.run_key) AS last_seq
FROM json_each(:run_keys) CROSS JOIN runs ON runs.run_key = json_each.value;
