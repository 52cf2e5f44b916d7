-- Lists and counts of a tenant's runs. Each statement walks the index that fits its filters best;
-- store/runs.py chooses the statement.

-- fragment listed: a run as JSON, for the page: the columns of store/runs.py ListedRow in their order
runs.run_key, state,
  json_array(runs.run_key, run_id, state, workflow_id, workflow_version, "trigger", tags, created_at, started_at,
             finished_at, error, parent_run_id, trace_id, start_at, cancel_requested, forced,
             (SELECT max(seq) FROM events WHERE events.run_key = runs.run_key), tokens, cost_micro_usd) AS listed;

-- fragment page: a list as one value; SQLite's module would take the GIL back for each row
'[' || coalesce(group_concat(listed), '') || ']';

-- fragment filters: the filters that need no index of their own; NULL filters nothing
(:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
  AND (:trigger IS NULL OR "trigger" = :trigger)
  AND (:started_after IS NULL OR started_at > :started_after)
  AND (:started_before IS NULL OR started_at < :started_before)
  AND (NOT :roots OR parent_run_id IS NULL)
  AND (:readable IS NULL OR workflow_id IN (SELECT value FROM json_each(:readable)));

-- fragment state_filter: runs in one of some states
(:states IS NULL OR state IN (SELECT value FROM json_each(:states)));

-- fragment tag_filter: runs with one tag, where another index is walked
(:tag_key IS NULL OR EXISTS (SELECT 1 FROM run_tags
                             WHERE run_tags.run_key = runs.run_key AND key = :tag_key AND value = :tag_value));

-- list_runs: a page of a tenant's runs, newest first
SELECT {{page}} FROM (
    SELECT {{listed}} FROM runs
    WHERE tenant = :tenant
      AND run_key < :before
      AND {{filters}}
    ORDER BY run_key DESC
    LIMIT :limit
);

-- list_runs_of_workflow: the same for one workflow
SELECT {{page}} FROM (
    SELECT {{listed}} FROM runs
    WHERE tenant = :tenant
      AND workflow_id = :workflow_id
      AND run_key < :before
      AND {{state_filter}}
      AND {{filters}}
    ORDER BY run_key DESC
    LIMIT :limit
);

-- list_runs_in_states: the same for some states: one index walk per state, merged in order
SELECT {{page}} FROM (
    WITH found AS NOT MATERIALIZED (
        SELECT {{listed}} FROM runs
        WHERE tenant = :tenant
          AND run_key < :before
          AND {{filters}}
    )
    SELECT * FROM found WHERE state = :queued
    UNION ALL SELECT * FROM found WHERE state = :running
    UNION ALL SELECT * FROM found WHERE state = :retrying
    UNION ALL SELECT * FROM found WHERE state = :succeeded
    UNION ALL SELECT * FROM found WHERE state = :failed
    UNION ALL SELECT * FROM found WHERE state = :cancelled
    ORDER BY run_key DESC
    LIMIT :limit
);

-- list_runs_tagged: the same for one tag
SELECT {{page}} FROM (
    SELECT {{listed}} FROM run_tags CROSS JOIN runs ON runs.run_key = run_tags.run_key
    WHERE run_tags.key = :tag_key
      AND run_tags.value = :tag_value
      AND run_tags.run_key < :before
      AND runs.tenant = :tenant
      AND {{state_filter}}
      AND {{filters}}
    ORDER BY run_tags.run_key DESC
    LIMIT :limit
);

-- list_runs_of_parent: the same for the runs that one run started
SELECT {{page}} FROM (
    SELECT {{listed}} FROM runs INDEXED BY runs_of_parent
    WHERE parent_run_id = :parent AND parent_run_id IS NOT NULL
      AND tenant = :tenant
      AND run_key < :before
      AND {{state_filter}}
      AND {{tag_filter}}
      AND {{filters}}
    ORDER BY run_key DESC
    LIMIT :limit
);

-- count_runs: how many runs of a tenant are in each state; answered by the index alone
SELECT state, count(*) AS runs FROM runs INDEXED BY runs_in_state WHERE tenant = :tenant GROUP BY state;

-- count_runs_filtered: the same, filtered
SELECT state, count(*) AS runs FROM runs
WHERE tenant = :tenant
  AND {{filters}}
GROUP BY state;

-- count_runs_of_workflow: the same for one workflow
SELECT state, count(*) AS runs FROM runs INDEXED BY runs_of_workflow
WHERE tenant = :tenant
  AND workflow_id = :workflow_id
  AND {{filters}}
GROUP BY state;

-- count_runs_tagged: the same for one tag
SELECT state, count(*) AS runs FROM run_tags CROSS JOIN runs ON runs.run_key = run_tags.run_key
WHERE run_tags.key = :tag_key
  AND run_tags.value = :tag_value
  AND runs.tenant = :tenant
  AND {{filters}}
GROUP BY state;

-- count_runs_of_parent: the same for the runs that one run started
SELECT state, count(*) AS runs FROM runs INDEXED BY runs_of_parent
WHERE parent_run_id = :parent AND parent_run_id IS NOT NULL
  AND tenant = :tenant
  AND {{tag_filter}}
  AND {{filters}}
GROUP BY state;
