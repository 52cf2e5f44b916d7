-- Statistics of a tenant's runs. Each statement walks runs_ended or runs_open workflow by workflow and reads no
-- row of runs: its cost depends on how busy the selected period is, not on the age of the file.

-- fragment selected: the workflows and versions that are meant; NULL: all
workflows.tenant = :tenant
  AND (:workflow_id IS NULL OR workflows.workflow_id = :workflow_id)
  AND (:readable IS NULL OR workflows.workflow_id IN (SELECT value FROM json_each(:readable)))
  AND (:workflow_version IS NULL OR workflow_version = :workflow_version);

-- fragment ended_runs: the selected runs that ended in the period
workflows CROSS JOIN runs INDEXED BY runs_ended USING (tenant, workflow_id)
WHERE {{selected}} AND finished_at BETWEEN :since AND :until;

-- ended_by_hour: how many runs ended in each state in each hour, and what they used
SELECT finished_at - finished_at % 3600000 AS hour, state, count(*) AS runs,
       sum(tokens) AS tokens, sum(cost_micro_usd) AS cost_micro_usd
FROM {{ended_runs}}
GROUP BY hour, state;

-- started_by_hour: how many runs started in each hour; runs that have ended since did so later
SELECT started_at - started_at % 3600000 AS hour, count(*) AS runs
FROM (SELECT started_at
      FROM workflows CROSS JOIN runs INDEXED BY runs_ended USING (tenant, workflow_id)
      WHERE {{selected}} AND finished_at >= :since
      UNION ALL
      SELECT started_at
      FROM workflows CROSS JOIN runs INDEXED BY runs_open USING (tenant, workflow_id)
      WHERE {{selected}} AND finished_at IS NULL)
WHERE started_at BETWEEN :since AND :until
GROUP BY hour;

-- durations: the median and the 95th percentile of how long runs took that succeeded or failed, in milliseconds
SELECT min(ms) FILTER (WHERE place >= 0.5) AS p50_ms, min(ms) FILTER (WHERE place >= 0.95) AS p95_ms
FROM (SELECT finished_at - started_at AS ms, cume_dist() OVER (ORDER BY finished_at - started_at) AS place
      FROM {{ended_runs}} AND state IN ('succeeded', 'failed') AND started_at IS NOT NULL);

-- final_errors: the errors that failed runs, the most frequent first, from the newest failed runs
SELECT json_extract(error, '$.code') AS code, json_extract(error, '$.node') AS node, count(*) AS count,
       max(finished_at) AS last_at, run_id AS last_run_id
FROM (SELECT run_key
      FROM {{ended_runs}} AND state = 'failed'
      ORDER BY finished_at DESC
      LIMIT :most_failed) CROSS JOIN runs USING (run_key)
GROUP BY code, node
ORDER BY count DESC, last_at DESC
LIMIT :most_errors;

-- sampled_attempts: figures of each node and of each error that ended no run, from the newest ended runs, and how
-- many runs that were. Runs are left out once the sample holds too many events
WITH newest AS MATERIALIZED (
    SELECT run_key, finished_at, workflow_id, workflow_version
    FROM {{ended_runs}}
    ORDER BY finished_at DESC, run_key DESC
    LIMIT :most_runs
),
sized AS (
    SELECT *, (SELECT max(seq) FROM events WHERE events.run_key = newest.run_key) AS size FROM newest
),
sampled AS MATERIALIZED (
    SELECT run_key, workflow_id, workflow_version
    FROM (SELECT *, sum(size) OVER (ORDER BY finished_at DESC, run_key DESC
                                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
          FROM sized)
    WHERE coalesce(before, 0) < :most_events
),
waits AS MATERIALIZED (
    SELECT documents.workflow_id, version, json_extract(nodes.value, '$.name') AS node
    FROM (SELECT DISTINCT workflow_id, workflow_version AS version FROM sampled)
         CROSS JOIN documents USING (workflow_id, version)
         CROSS JOIN json_each(document, '$.nodes') AS nodes
    WHERE documents.tenant = :tenant AND json_extract(nodes.value, '$.kind') IN ('timer', 'signal')
),
attempts AS MATERIALIZED (
    SELECT sampled.run_key, workflow_id, workflow_version, at, type = 4 AS failed,
           json_extract(data, '$.node') AS node,
           json_extract(data, '$.latency_ms') AS ms,
           coalesce(json_extract(data, '$.will_retry'), 0) AS will_retry,
           coalesce(json_extract(data, '$.tolerated'), 0) AS tolerated,
           json_extract(data, '$.code') AS code
    FROM sampled CROSS JOIN events USING (run_key)
    WHERE type IN (3, 4)  -- node_completed and node_failed
      AND seq <= :most_events
      AND coalesce(json_extract(data, '$.phase'), 'forward') = 'forward'
      -- An attempt that a stop or crash of the server interrupted has not failed, and its duration says nothing.
      AND NOT (coalesce(json_extract(data, '$.code'), '') = 'interrupted' AND json_extract(data, '$.will_retry'))
),
placed AS (
    SELECT *, cume_dist() OVER (PARTITION BY workflow_id, node ORDER BY ms) AS place
    FROM attempts
    WHERE (workflow_id, workflow_version, node) NOT IN (SELECT * FROM waits)
),
nodes AS (
    SELECT workflow_id, node, count(*) FILTER (WHERE NOT will_retry) AS executions,
           count(*) FILTER (WHERE failed AND NOT will_retry) AS failures,
           count(*) FILTER (WHERE will_retry) AS retries,
           min(ms) FILTER (WHERE place >= 0.5) AS p50_ms,
           min(ms) FILTER (WHERE place >= 0.95) AS p95_ms
    FROM placed
    GROUP BY workflow_id, node
    ORDER BY p95_ms DESC, workflow_id, node
    LIMIT :most_nodes
),
errors AS (
    SELECT code, node, tolerated, count(*) AS count, max(at) AS last_at, run_key AS last_run
    FROM attempts
    WHERE failed AND (will_retry OR tolerated)
    GROUP BY code, node, tolerated
    ORDER BY count DESC, last_at DESC
    LIMIT :most_errors
)
SELECT 'runs' AS about, json_object('runs', count(*)) AS told FROM sampled
UNION ALL
SELECT 'node', json_object('workflow_id', workflow_id, 'node', node, 'executions', executions,
                           'failures', failures, 'retries', retries, 'p50_ms', p50_ms, 'p95_ms', p95_ms)
FROM nodes
UNION ALL
SELECT 'error', json_object('code', code, 'node', node, 'tolerated', tolerated, 'count', count, 'last_at', last_at,
                            'last_run_id', (SELECT run_id FROM runs WHERE run_key = last_run))
FROM errors;

-- open_now: how many runs are open, how many of them are queued, and how many wait
SELECT count(*) AS open_runs,
       (SELECT count(*) FROM runs INDEXED BY runs_queued WHERE state = 'queued') AS queued,
       count(*) FILTER (WHERE due_at IS NOT 0)
       - (SELECT count(*) FROM runs INDEXED BY runs_queued CROSS JOIN agenda USING (run_key)
          WHERE state = 'queued' AND due_at IS NOT 0) AS waiting
FROM agenda;

-- open_now_of: the same for one tenant
SELECT count(*) AS open_runs,
       count(*) FILTER (WHERE state = 'queued') AS queued,
       count(*) FILTER (WHERE state <> 'queued' AND due_at IS NOT 0) AS waiting
FROM runs LEFT JOIN agenda USING (run_key)
WHERE tenant = :tenant AND finished_at IS NULL;
