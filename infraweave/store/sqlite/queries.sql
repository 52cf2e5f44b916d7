-- Every statement of the store, under a name and one line of purpose. store/statements.py reads this file.
-- Those that end in VALUES may be widened to several rows; those that take :rows take a JSON list of rows, so
-- that one call does any number of them outside Python's lock.

-- insert_run: make the index row of new runs
INSERT INTO runs (run_key, run_id, tenant, workflow_id, workflow_version, "trigger", state, created_at,
                  started_at, "by", parent_run_id, trace_id, parent_span_id, trace_flags, tracestate,
                  idempotency_key, body_digest, tags, start_at, lane)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- insert_tag: make new runs findable by their tags
INSERT INTO run_tags (run_key, key, value)
VALUES (?, ?, ?);

-- insert_event: add events; the unique index refuses a seq that is taken
INSERT INTO events (run_key, seq, type, at, data, payload)
VALUES (?, ?, ?, ?, ?, ?);

-- insert_input_requests: list what people are asked now; the events and the runs are there already
INSERT INTO input_requests (run_key, request_id, event_key, tenant, workflow_id)
SELECT runs.run_key, json_extract(value, '$[1]'), events.event_key, tenant, workflow_id
FROM json_each(:rows)
CROSS JOIN runs ON runs.run_key = json_extract(value, '$[0]')
CROSS JOIN events ON events.run_key = runs.run_key AND events.seq = json_extract(value, '$[2]');

-- delete_input_requests: take off the list what is resolved
DELETE FROM input_requests
WHERE (run_key, request_id) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]')
                                FROM json_each(:rows));

-- update_runs: carry what events changed into the index; each run at most once per call
UPDATE runs
SET state = coalesce(new.state, runs.state),
    started_at = coalesce(runs.started_at, new.started_at),
    cancel_requested = max(runs.cancel_requested, new.cancel_requested),
    finished_at = coalesce(new.finished_at, runs.finished_at),
    forced = max(runs.forced, new.forced),
    error = coalesce(new.error, runs.error),
    tokens = runs.tokens + new.tokens,
    cost_micro_usd = runs.cost_micro_usd + new.cost_micro_usd
FROM (SELECT json_extract(value, '$[0]') AS run_key,
             json_extract(value, '$[1]') AS state,
             json_extract(value, '$[2]') AS started_at,
             json_extract(value, '$[3]') AS cancel_requested,
             json_extract(value, '$[4]') AS finished_at,
             json_extract(value, '$[5]') AS forced,
             json_extract(value, '$[6]') AS error,
             json_extract(value, '$[7]') AS tokens,
             json_extract(value, '$[8]') AS cost_micro_usd
      FROM json_each(:rows)) AS new
WHERE runs.run_key = new.run_key;

-- upsert_agenda: say when runs must next be in memory
INSERT INTO agenda (run_key, due_at)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:rows) WHERE true
ON CONFLICT (run_key) DO UPDATE SET due_at = excluded.due_at;

-- delete_agenda: take finished runs off the agenda
DELETE FROM agenda WHERE run_key IN (SELECT value FROM json_each(:rows));

-- touch: write a page, to learn whether the file can be written
INSERT INTO pulse (one, beat) VALUES (1, 1) ON CONFLICT (one) DO UPDATE SET beat = beat + 1;

-- record_migration: remember that a migration was applied
INSERT INTO migrations (version, name, applied_at) VALUES (?, ?, ?);

-- schema_version: the newest migration that was applied
SELECT max(version) FROM migrations;

-- any_table: whether there is a table at all
SELECT name FROM sqlite_schema WHERE type = 'table' LIMIT 1;

-- integrity_check: what is wrong with the structure of the file, or "ok"; a hundred things at most
PRAGMA integrity_check(100);

-- foreign_key_check: rows of small tables that point at nothing
PRAGMA foreign_key_check;

-- quick_check: the first thing that is wrong with the structure of the file, or "ok"
PRAGMA quick_check(1);

-- Events --------------------------------------------------------------------------------------------------

-- last_run_key: the newest run key in use
SELECT max(coalesce((SELECT max(run_key) FROM events), 0), coalesce((SELECT max(run_key) FROM runs), 0));

-- events_after: a page of a run's events; beyond :most bytes it ends early, but never before one event. A payload
-- that an earlier event has already is taken from there
SELECT seq, type, data, CASE WHEN :payloads THEN CAST(payload AS BLOB) END AS payload
FROM (SELECT page.seq, page.type, CAST(page.data AS BLOB) AS data, coalesce(earlier.payload, page.payload) AS payload,
             sum(length(page.data)
                 + CASE WHEN :payloads
                        THEN coalesce(length(CAST(coalesce(earlier.payload, page.payload) AS BLOB)), 0)
                        ELSE 0 END)
                 OVER (ORDER BY page.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
      FROM (SELECT run_key, seq, type, data, payload,
                   CASE WHEN :payloads AND payload GLOB '{"input_seq":*'
                        THEN json_extract(payload, '$.input_seq') END AS earlier_seq
            FROM events
            WHERE run_key = :run_key AND seq > :after
            ORDER BY seq
            LIMIT :limit) AS page
           LEFT JOIN events AS earlier ON earlier.run_key = page.run_key AND earlier.seq = page.earlier_seq)
WHERE coalesce(before, 0) < :most
ORDER BY seq;

-- payloads_of: what lies beside some events of a run; what an earlier event has already is taken from there
SELECT page.seq, CAST(coalesce(earlier.payload, page.payload) AS BLOB) AS payload
FROM (SELECT run_key, seq, payload,
             CASE WHEN payload GLOB '{"input_seq":*' THEN json_extract(payload, '$.input_seq') END AS earlier_seq
      FROM events
      WHERE run_key = :run_key
        AND seq IN (SELECT value FROM json_each(:seqs))
        AND payload IS NOT NULL) AS page
     LEFT JOIN events AS earlier ON earlier.run_key = page.run_key AND earlier.seq = page.earlier_seq;

-- last_seqs: the newest seq of each of some runs
SELECT value AS run_key, (SELECT max(seq) FROM events WHERE events.run_key = value) AS seq
FROM json_each(:run_keys);

-- last_event: the newest event of a run
SELECT seq, type FROM events WHERE run_key = ? ORDER BY seq DESC LIMIT 1;

-- Agenda --------------------------------------------------------------------------------------------------

-- urgent: runs of which something is in flight
SELECT run_key FROM agenda WHERE due_at = 0 ORDER BY run_key;

-- due: runs whose wake-up has come, the earliest first
SELECT run_key FROM agenda WHERE due_at > 0 AND due_at <= :now ORDER BY due_at LIMIT :limit;

-- next_due: the earliest wake-up of all
SELECT min(due_at) FROM agenda WHERE due_at > 0;

-- Input requests ------------------------------------------------------------------------------------------

-- open_requests: a page of what a tenant's runs ask, the oldest first; without the events beyond :most bytes. What
-- is sorted is that page
SELECT page.event_key, run_id, workflow_id, workflow_version, events.type,
       CASE WHEN coalesce(before, 0) < :most THEN CAST(events.data AS BLOB) END AS data,
       CASE WHEN coalesce(before, 0) < :most THEN CAST(events.payload AS BLOB) END AS payload
FROM (SELECT event_key, run_key,
             sum(size) OVER (ORDER BY event_key ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
      FROM (SELECT event_key, open.run_key,
                   length(data) + coalesce(length(CAST(payload AS BLOB)), 0) AS size
            FROM input_requests AS open INDEXED BY input_requests_of_tenant CROSS JOIN events USING (event_key)
            WHERE tenant = :tenant
              AND event_key > :after
              AND (:workflows IS NULL OR workflow_id IN (SELECT value FROM json_each(:workflows)))
            ORDER BY event_key
            LIMIT :limit)) AS page
CROSS JOIN runs USING (run_key)
CROSS JOIN events USING (event_key)
ORDER BY page.event_key;

-- open_requests_of_workflow: the same, of one workflow
SELECT page.event_key, run_id, workflow_id, workflow_version, events.type,
       CASE WHEN coalesce(before, 0) < :most THEN CAST(events.data AS BLOB) END AS data,
       CASE WHEN coalesce(before, 0) < :most THEN CAST(events.payload AS BLOB) END AS payload
FROM (SELECT event_key, run_key,
             sum(size) OVER (ORDER BY event_key ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
      FROM (SELECT event_key, open.run_key,
                   length(data) + coalesce(length(CAST(payload AS BLOB)), 0) AS size
            FROM input_requests AS open INDEXED BY input_requests_of_workflow CROSS JOIN events USING (event_key)
            WHERE tenant = :tenant
              AND workflow_id = json_extract(:workflows, '$[0]')
              AND event_key > :after
            ORDER BY event_key
            LIMIT :limit)) AS page
CROSS JOIN runs USING (run_key)
CROSS JOIN events USING (event_key)
ORDER BY page.event_key;

-- count_open_requests: how many there are; the index knows
SELECT count(*) FROM input_requests INDEXED BY input_requests_of_tenant WHERE tenant = :tenant;

-- count_open_requests_of_workflows: the same, of some workflows
SELECT count(*) FROM input_requests INDEXED BY input_requests_of_workflow
WHERE tenant = :tenant AND workflow_id IN (SELECT value FROM json_each(:workflows));

-- input_requests_of_run: what a run asks, as the list has it
SELECT request_id,
       (SELECT seq FROM events WHERE events.event_key = input_requests.event_key AND run_key = :run_key) AS seq,
       tenant, workflow_id
FROM input_requests WHERE run_key = :run_key;

-- Runs ----------------------------------------------------------------------------------------------------

-- run_by_id: one run by the world's name
SELECT * FROM runs WHERE run_id = ?;

-- run_by_key: one run by our name
SELECT * FROM runs WHERE run_key = ?;

-- run_by_idempotency_key: the run that a start with this key made
SELECT * FROM runs WHERE tenant = ? AND idempotency_key = ?;

-- runs_by_idempotency_keys: the runs that starts with these keys made
SELECT * FROM runs
WHERE tenant = :tenant AND idempotency_key IN (SELECT value FROM json_each(:keys));

-- queued_runs: runs that wait for their first slot, in order of creation; not those whose time is to come: the
-- agenda has these, until they are lined up
SELECT runs.* FROM runs LEFT JOIN agenda USING (run_key)
WHERE state = 'queued' AND (start_at IS NULL OR due_at IS NULL)
ORDER BY run_key LIMIT ?;

-- open_in_workflow: how many runs of a workflow have started and not ended
SELECT (SELECT count(*) FROM runs INDEXED BY runs_open
        WHERE tenant = :tenant AND workflow_id = :workflow_id AND finished_at IS NULL)
     - (SELECT count(*) FROM runs INDEXED BY runs_queued
        WHERE state = 'queued' AND tenant = :tenant AND workflow_id = :workflow_id);

-- open_in_lane: how many runs of a lane have started and not ended
SELECT count(*) FROM runs INDEXED BY runs_in_lane
WHERE tenant = :tenant AND workflow_id = :workflow_id AND lane = :lane
  AND finished_at IS NULL AND lane IS NOT NULL AND started_at IS NOT NULL;

-- runs_by_state: how many runs there are in each state
SELECT state, count(*) AS runs FROM runs WHERE :tenant IS NULL OR tenant = :tenant GROUP BY state;

-- open_runs: how many runs of each version are open
SELECT tenant, workflow_id, workflow_version, count(*) AS runs
FROM runs
WHERE finished_at IS NULL AND (:tenant IS NULL OR tenant = :tenant)
GROUP BY tenant, workflow_id, workflow_version;

-- list_runs: a page of a tenant's runs, newest first
SELECT * FROM runs
WHERE tenant = :tenant
  AND run_key < :before
  AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
  AND (:trigger IS NULL OR "trigger" = :trigger)
  AND (:started_after IS NULL OR started_at > :started_after)
  AND (:started_before IS NULL OR started_at < :started_before)
  AND (NOT :roots OR parent_run_id IS NULL)
  AND (:readable IS NULL OR workflow_id IN (SELECT value FROM json_each(:readable)))
ORDER BY run_key DESC
LIMIT :limit;

-- list_runs_of_workflow: the same, of one workflow
SELECT * FROM runs
WHERE tenant = :tenant
  AND workflow_id = :workflow_id
  AND run_key < :before
  AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
  AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
  AND (:trigger IS NULL OR "trigger" = :trigger)
  AND (:started_after IS NULL OR started_at > :started_after)
  AND (:started_before IS NULL OR started_at < :started_before)
  AND (NOT :roots OR parent_run_id IS NULL)
  AND (:readable IS NULL OR workflow_id IN (SELECT value FROM json_each(:readable)))
ORDER BY run_key DESC
LIMIT :limit;

-- list_runs_in_states: the same, in some states; each by its index, merged in order, in one look at the file
WITH found AS NOT MATERIALIZED (
    SELECT * FROM runs
    WHERE tenant = :tenant
      AND run_key < :before
      AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
      AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
      AND (:trigger IS NULL OR "trigger" = :trigger)
      AND (:started_after IS NULL OR started_at > :started_after)
      AND (:started_before IS NULL OR started_at < :started_before)
      AND (NOT :roots OR parent_run_id IS NULL)
      AND (:readable IS NULL OR workflow_id IN (SELECT value FROM json_each(:readable)))
)
SELECT * FROM found WHERE state = :queued
UNION ALL SELECT * FROM found WHERE state = :running
UNION ALL SELECT * FROM found WHERE state = :retrying
UNION ALL SELECT * FROM found WHERE state = :succeeded
UNION ALL SELECT * FROM found WHERE state = :failed
UNION ALL SELECT * FROM found WHERE state = :cancelled
ORDER BY run_key DESC
LIMIT :limit;

-- list_runs_tagged: the same, with one tag
SELECT runs.* FROM run_tags CROSS JOIN runs ON runs.run_key = run_tags.run_key
WHERE run_tags.key = :tag_key
  AND run_tags.value = :tag_value
  AND run_tags.run_key < :before
  AND runs.tenant = :tenant
  AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
  AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
  AND (:trigger IS NULL OR "trigger" = :trigger)
  AND (:started_after IS NULL OR started_at > :started_after)
  AND (:started_before IS NULL OR started_at < :started_before)
  AND (NOT :roots OR parent_run_id IS NULL)
  AND (:readable IS NULL OR workflow_id IN (SELECT value FROM json_each(:readable)))
ORDER BY run_tags.run_key DESC
LIMIT :limit;

-- list_runs_of_parent: the same, of those that one run started
SELECT * FROM runs INDEXED BY runs_of_parent
WHERE parent_run_id = :parent AND parent_run_id IS NOT NULL
  AND tenant = :tenant
  AND run_key < :before
  AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
  AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
  AND (:trigger IS NULL OR "trigger" = :trigger)
  AND (:started_after IS NULL OR started_at > :started_after)
  AND (:started_before IS NULL OR started_at < :started_before)
  AND (:tag_key IS NULL OR EXISTS (SELECT 1 FROM run_tags WHERE run_tags.run_key = runs.run_key
                                   AND key = :tag_key AND value = :tag_value))
  AND (:readable IS NULL OR workflow_id IN (SELECT value FROM json_each(:readable)))
ORDER BY run_key DESC
LIMIT :limit;

-- count_runs: how many runs of a tenant are in each state; the index knows
SELECT state, count(*) AS runs FROM runs INDEXED BY runs_in_state WHERE tenant = :tenant GROUP BY state;

-- count_runs_filtered: the same, of those that fit
SELECT state, count(*) AS runs FROM runs
WHERE tenant = :tenant
  AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
  AND (:trigger IS NULL OR "trigger" = :trigger)
  AND (:started_after IS NULL OR started_at > :started_after)
  AND (:started_before IS NULL OR started_at < :started_before)
  AND (NOT :roots OR parent_run_id IS NULL)
  AND (:readable IS NULL OR workflow_id IN (SELECT value FROM json_each(:readable)))
GROUP BY state;

-- count_runs_of_workflow: the same, of one workflow
SELECT state, count(*) AS runs FROM runs INDEXED BY runs_of_workflow
WHERE tenant = :tenant
  AND workflow_id = :workflow_id
  AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
  AND (:trigger IS NULL OR "trigger" = :trigger)
  AND (:started_after IS NULL OR started_at > :started_after)
  AND (:started_before IS NULL OR started_at < :started_before)
  AND (NOT :roots OR parent_run_id IS NULL)
  AND (:readable IS NULL OR workflow_id IN (SELECT value FROM json_each(:readable)))
GROUP BY state;

-- count_runs_tagged: the same, with one tag
SELECT state, count(*) AS runs FROM run_tags CROSS JOIN runs ON runs.run_key = run_tags.run_key
WHERE run_tags.key = :tag_key
  AND run_tags.value = :tag_value
  AND runs.tenant = :tenant
  AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
  AND (:trigger IS NULL OR "trigger" = :trigger)
  AND (:started_after IS NULL OR started_at > :started_after)
  AND (:started_before IS NULL OR started_at < :started_before)
  AND (NOT :roots OR parent_run_id IS NULL)
  AND (:readable IS NULL OR workflow_id IN (SELECT value FROM json_each(:readable)))
GROUP BY state;

-- count_runs_of_parent: the same, of those that one run started
SELECT state, count(*) AS runs FROM runs INDEXED BY runs_of_parent
WHERE parent_run_id = :parent AND parent_run_id IS NOT NULL
  AND tenant = :tenant
  AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
  AND (:trigger IS NULL OR "trigger" = :trigger)
  AND (:started_after IS NULL OR started_at > :started_after)
  AND (:started_before IS NULL OR started_at < :started_before)
  AND (:tag_key IS NULL OR EXISTS (SELECT 1 FROM run_tags WHERE run_tags.run_key = runs.run_key
                                   AND key = :tag_key AND value = :tag_value))
  AND (:readable IS NULL OR workflow_id IN (SELECT value FROM json_each(:readable)))
GROUP BY state;

-- owners_of_runs: whose some runs are, and of which workflow; only those of some tenants
SELECT tenant, run_key, workflow_id
FROM json_each(:run_keys) CROSS JOIN runs ON runs.run_key = json_each.value
WHERE tenant IN (SELECT value FROM json_each(:tenants));

-- runs_with_seqs: some runs, each with the seq of its newest event, of one moment
SELECT runs.*, (SELECT max(seq) FROM events WHERE events.run_key = runs.run_key) AS last_seq
FROM json_each(:run_keys) CROSS JOIN runs ON runs.run_key = json_each.value;

-- Statistics ----------------------------------------------------------------------------------------------

-- Of a tenant's runs, or those of one workflow, of which only some may be read. Each walks along runs_ended and
-- runs_open, workflow by workflow, and looks at no row of runs: so it takes as long as the time it is about is
-- busy, and not longer in an old file.

-- ended_by_hour: how many runs ended how in each hour, and what they used
SELECT finished_at - finished_at % 3600000 AS hour, state, count(*) AS runs,
       sum(tokens) AS tokens, sum(cost_micro_usd) AS cost_micro_usd
FROM workflows CROSS JOIN runs INDEXED BY runs_ended USING (tenant, workflow_id)
WHERE workflows.tenant = :tenant
  AND (:workflow_id IS NULL OR workflows.workflow_id = :workflow_id)
  AND (:readable IS NULL OR workflows.workflow_id IN (SELECT value FROM json_each(:readable)))
  AND finished_at BETWEEN :since AND :until
  AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
GROUP BY hour, state;

-- started_by_hour: how many runs started in each hour; whichever have ended since did so later
SELECT started_at - started_at % 3600000 AS hour, count(*) AS runs
FROM (SELECT started_at
      FROM workflows CROSS JOIN runs INDEXED BY runs_ended USING (tenant, workflow_id)
      WHERE workflows.tenant = :tenant
        AND (:workflow_id IS NULL OR workflows.workflow_id = :workflow_id)
        AND (:readable IS NULL OR workflows.workflow_id IN (SELECT value FROM json_each(:readable)))
        AND finished_at >= :since
        AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
      UNION ALL
      SELECT started_at
      FROM workflows CROSS JOIN runs INDEXED BY runs_open USING (tenant, workflow_id)
      WHERE workflows.tenant = :tenant
        AND (:workflow_id IS NULL OR workflows.workflow_id = :workflow_id)
        AND (:readable IS NULL OR workflows.workflow_id IN (SELECT value FROM json_each(:readable)))
        AND finished_at IS NULL
        AND (:workflow_version IS NULL OR workflow_version = :workflow_version))
WHERE started_at BETWEEN :since AND :until
GROUP BY hour;

-- durations: how long runs took that succeeded or failed, in milliseconds: half of them, and nineteen of twenty
SELECT min(ms) FILTER (WHERE place >= 0.5) AS p50_ms, min(ms) FILTER (WHERE place >= 0.95) AS p95_ms
FROM (SELECT finished_at - started_at AS ms, cume_dist() OVER (ORDER BY finished_at - started_at) AS place
      FROM workflows CROSS JOIN runs INDEXED BY runs_ended USING (tenant, workflow_id)
      WHERE workflows.tenant = :tenant
        AND (:workflow_id IS NULL OR workflows.workflow_id = :workflow_id)
        AND (:readable IS NULL OR workflows.workflow_id IN (SELECT value FROM json_each(:readable)))
        AND finished_at BETWEEN :since AND :until
        AND state IN ('succeeded', 'failed')
        AND started_at IS NOT NULL
        AND (:workflow_version IS NULL OR workflow_version = :workflow_version));

-- final_errors: what made runs fail, the most frequent first; of so many of them, the newest
SELECT json_extract(error, '$.code') AS code, json_extract(error, '$.node') AS node, count(*) AS count,
       max(finished_at) AS last_at, run_id AS last_run_id
FROM (SELECT run_key
      FROM workflows CROSS JOIN runs INDEXED BY runs_ended USING (tenant, workflow_id)
      WHERE workflows.tenant = :tenant
        AND (:workflow_id IS NULL OR workflows.workflow_id = :workflow_id)
        AND (:readable IS NULL OR workflows.workflow_id IN (SELECT value FROM json_each(:readable)))
        AND finished_at BETWEEN :since AND :until
        AND state = 'failed'
        AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
      ORDER BY finished_at DESC
      LIMIT :most_failed) CROSS JOIN runs USING (run_key)
GROUP BY code, node
ORDER BY count DESC, last_at DESC
LIMIT :most_errors;

-- sampled_attempts: what came of the attempts of the newest runs that ended: of each node, of each error that
-- ended none, and of how many runs it is told; runs are left out from where they have too many events together
WITH newest AS MATERIALIZED (
    SELECT run_key, finished_at, workflow_id, workflow_version
    FROM workflows CROSS JOIN runs INDEXED BY runs_ended USING (tenant, workflow_id)
    WHERE workflows.tenant = :tenant
      AND (:workflow_id IS NULL OR workflows.workflow_id = :workflow_id)
      AND (:readable IS NULL OR workflows.workflow_id IN (SELECT value FROM json_each(:readable)))
      AND finished_at BETWEEN :since AND :until
      AND (:workflow_version IS NULL OR workflow_version = :workflow_version)
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
    SELECT sampled.run_key, workflow_id, workflow_version, at, type = 'node_failed' AS failed,
           json_extract(data, '$.node') AS node,
           json_extract(data, '$.latency_ms') AS ms,
           coalesce(json_extract(data, '$.will_retry'), 0) AS will_retry,
           coalesce(json_extract(data, '$.tolerated'), 0) AS tolerated,
           json_extract(data, '$.code') AS code
    FROM sampled CROSS JOIN events USING (run_key)
    WHERE type IN ('node_completed', 'node_failed')
      AND seq <= :most_events
      AND coalesce(json_extract(data, '$.phase'), 'forward') = 'forward'
      -- What a stop or a crash of the server cut off neither failed nor tells how long the node takes.
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

-- open_now: how many runs are open, of these how many wait for their start, and how many rest
SELECT count(*) AS open_runs,
       (SELECT count(*) FROM runs INDEXED BY runs_queued WHERE state = 'queued') AS queued,
       count(*) FILTER (WHERE due_at IS NOT 0)
       - (SELECT count(*) FROM runs INDEXED BY runs_queued CROSS JOIN agenda USING (run_key)
          WHERE state = 'queued' AND due_at IS NOT 0) AS waiting
FROM agenda;

-- open_now_of: the same of one tenant
SELECT count(*) AS open_runs,
       count(*) FILTER (WHERE state = 'queued') AS queued,
       count(*) FILTER (WHERE state <> 'queued' AND due_at IS NOT 0) AS waiting
FROM runs LEFT JOIN agenda USING (run_key)
WHERE tenant = :tenant AND finished_at IS NULL;

-- Rebuilding the index ------------------------------------------------------------------------------------

-- keep_runs: set the index aside before it is rebuilt
CREATE TEMP TABLE runs_before AS SELECT * FROM runs;

-- clear_runs: empty the index
DELETE FROM runs;

-- clear_tags: empty the index of tags
DELETE FROM run_tags;

-- clear_input_requests: empty the list of what people are asked
DELETE FROM input_requests;

-- next_run_with_events: the first run after a key that has events, and its id; none that is being removed
SELECT run_key, json_extract(data, '$.run_id') AS run_id
FROM events WHERE run_key > ? AND seq = 1 AND run_key NOT IN (SELECT run_key FROM removals)
ORDER BY run_key LIMIT 1;

-- events_of_index: the events of a run that the index is made of
SELECT type, data, payload FROM events
WHERE run_key = ?
  AND type IN ('status_changed', 'node_completed', 'node_failed', 'input_requested', 'input_resolved',
               'completed', 'failed', 'cancelled')
ORDER BY seq;

-- put_on_agenda: let open runs that the agenda lacks be taken up at once
INSERT OR IGNORE INTO agenda (run_key, due_at)
SELECT run_key, CASE WHEN state = 'queued' THEN coalesce(start_at, 0) ELSE 0 END
FROM runs WHERE finished_at IS NULL;

-- take_off_agenda: take off the agenda what is not open
DELETE FROM agenda WHERE run_key NOT IN (SELECT run_key FROM runs WHERE finished_at IS NULL);

-- runs_put_right: the runs whose row was missing, wrong, or of no run
SELECT run_id FROM (SELECT * FROM (SELECT * FROM runs EXCEPT SELECT * FROM runs_before)
                    UNION SELECT * FROM (SELECT * FROM runs_before EXCEPT SELECT * FROM runs))
GROUP BY run_id ORDER BY run_id;

-- forget_runs_before: drop what was set aside
DROP TABLE temp.runs_before;

-- Documents -----------------------------------------------------------------------------------------------

-- document: one version of a workflow
SELECT document, digest FROM documents WHERE tenant = ? AND workflow_id = ? AND version = ?;

-- put_document: store a version, or replace its content
INSERT INTO documents (tenant, workflow_id, version, digest, document, created_at)
VALUES (:tenant, :workflow_id, :version, :digest, :document, :now)
ON CONFLICT (tenant, workflow_id, version)
DO UPDATE SET digest = excluded.digest, document = excluded.document, created_at = excluded.created_at;

-- version_is_used: whether a run ever used this version
SELECT EXISTS (SELECT 1 FROM runs WHERE tenant = ? AND workflow_id = ? AND workflow_version = ?);

-- workflow: which version is active, and which the file declared when it was last loaded
SELECT active_version, loaded_version FROM workflows WHERE tenant = ? AND workflow_id = ?;

-- put_workflow: set both pointers
INSERT INTO workflows (tenant, workflow_id, active_version, loaded_version) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, workflow_id)
DO UPDATE SET active_version = excluded.active_version, loaded_version = excluded.loaded_version;

-- workflows: every workflow of a tenant with its versions, oldest first
SELECT workflows.workflow_id, active_version, version
FROM workflows JOIN documents USING (tenant, workflow_id)
WHERE tenant = ?
ORDER BY workflows.workflow_id, documents.rowid;

-- versions: the versions of a workflow, oldest first, with their open runs
SELECT version, created_at, version = active_version AS active,
       (SELECT count(*) FROM runs
        WHERE runs.tenant = documents.tenant AND runs.workflow_id = documents.workflow_id
          AND workflow_version = version AND finished_at IS NULL) AS open_runs
FROM documents JOIN workflows USING (tenant, workflow_id)
WHERE tenant = ? AND documents.workflow_id = ?
ORDER BY documents.rowid;

-- Principals ----------------------------------------------------------------------------------------------

-- add_tenant: make a tenant unless it exists
INSERT OR IGNORE INTO tenants (tenant, created_at) VALUES (?, ?);

-- add_principal: make a principal unless it exists
INSERT OR IGNORE INTO principals (tenant, principal, created_at) VALUES (?, ?, ?);

-- add_grant: allow a principal something
INSERT OR IGNORE INTO grants (tenant, principal, action, resource) VALUES (?, ?, ?, ?);

-- add_token: store a token's hash
INSERT INTO tokens (token_id, tenant, principal, hash, created_at, expires_at)
VALUES (:token_id, :tenant, :principal, :hash, :now, :expires_at);

-- tenants: all tenants
SELECT tenant FROM tenants ORDER BY tenant;

-- token_by_hash: a token and what its principal may do now
SELECT tokens.*, (SELECT json_group_array(action || ':' || resource) FROM grants
                  WHERE grants.tenant = tokens.tenant AND grants.principal = tokens.principal) AS grants
FROM tokens WHERE hash = ?;

-- token_by_id: the same, by the token's name; of one tenant, or of any
SELECT tokens.*, (SELECT json_group_array(action || ':' || resource) FROM grants
                  WHERE grants.tenant = tokens.tenant AND grants.principal = tokens.principal) AS grants
FROM tokens WHERE token_id = :token_id AND (:tenant IS NULL OR tenant = :tenant);

-- tokens: the tokens of a tenant, or all
SELECT tokens.*, (SELECT json_group_array(action || ':' || resource) FROM grants
                  WHERE grants.tenant = tokens.tenant AND grants.principal = tokens.principal) AS grants
FROM tokens WHERE :tenant IS NULL OR tenant = :tenant ORDER BY created_at, token_id;

-- revoke_token: end a token's life; the first time stands
UPDATE tokens SET revoked_at = coalesce(revoked_at, :now)
WHERE token_id = :token_id AND (:tenant IS NULL OR tenant = :tenant);

-- use_tokens: note when tokens were last used
UPDATE tokens SET last_used_at = new.at
FROM (SELECT json_extract(value, '$[0]') AS token_id, json_extract(value, '$[1]') AS at
      FROM json_each(:rows)) AS new
WHERE tokens.token_id = new.token_id;

-- list_tenants: all tenants, with what they hold
SELECT tenant, created_at,
       (SELECT count(*) FROM principals WHERE principals.tenant = tenants.tenant) AS principals
FROM tenants ORDER BY tenant;

-- tenant: one tenant
SELECT tenant FROM tenants WHERE tenant = :tenant;

-- list_principals: the principals of a tenant, or all, with what they may do
SELECT tenant, principal, created_at,
       (SELECT json_group_array(action || ':' || resource) FROM grants
        WHERE grants.tenant = principals.tenant AND grants.principal = principals.principal) AS grants
FROM principals
WHERE (:tenant IS NULL OR tenant = :tenant) AND (:principal IS NULL OR principal = :principal)
ORDER BY tenant, principal;

-- has_grants: whether a principal may do anything
SELECT EXISTS (SELECT 1 FROM grants WHERE tenant = ? AND principal = ?);

-- delete_grants: take everything from a principal
DELETE FROM grants WHERE tenant = :tenant AND principal = :principal;

-- delete_tokens: forget the tokens of a principal
DELETE FROM tokens WHERE tenant = :tenant AND principal = :principal;

-- delete_principal: forget a principal
DELETE FROM principals WHERE tenant = :tenant AND principal = :principal;

-- delete_grant: take one thing from a principal
DELETE FROM grants
WHERE tenant = :tenant AND principal = :principal AND action = :action AND resource = :resource;

-- Audit ---------------------------------------------------------------------------------------------------

-- insert_audit: say who did what, or was kept from it
INSERT INTO audit (at, tenant, principal, token_id, action, resource, outcome, reason, detail, request_id, source)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- list_audit: the newest rows that fit
SELECT * FROM audit
WHERE audit_id < :before
  AND (:tenant IS NULL OR tenant = :tenant)
  AND (:principal IS NULL OR principal = :principal)
  AND (:token_id IS NULL OR token_id = :token_id)
  AND (:action IS NULL OR action = :action)
  AND (:resource IS NULL OR resource = :resource)
  AND (:outcome IS NULL OR outcome = :outcome)
  AND (:request_id IS NULL OR request_id = :request_id)
  AND (:after IS NULL OR at >= :after)
  AND (:until IS NULL OR at < :until)
ORDER BY audit_id DESC
LIMIT :limit;

-- audit_row_beyond: the newest row of a kind that is one too many
SELECT audit_id FROM audit
WHERE (principal IS NULL AND source = 'http') = :strangers
ORDER BY audit_id DESC
LIMIT 1 OFFSET :most;

-- prune_audit: let go some of what is too old, or too much, from the far end of a kind
DELETE FROM audit
WHERE (principal IS NULL AND source = 'http') = :strangers
  AND audit_id <= (SELECT max(audit_id)
                   FROM (SELECT audit_id, at FROM audit
                         WHERE (principal IS NULL AND source = 'http') = :strangers
                         ORDER BY audit_id LIMIT :chunk)
                   WHERE at < :before OR audit_id <= :beyond);

-- key: what the server signs something with
SELECT key FROM keys WHERE name = :name;

-- Schedules -----------------------------------------------------------------------------------------------

-- schedules: all schedules, or those of a tenant, or of one workflow of it
SELECT * FROM schedules
WHERE (:tenant IS NULL OR tenant = :tenant) AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
ORDER BY tenant, schedule_id;

-- schedule: one schedule
SELECT * FROM schedules WHERE tenant = :tenant AND schedule_id = :schedule_id;

-- put_schedule: write a schedule as it is now
INSERT OR REPLACE INTO schedules (tenant, schedule_id, workflow_id, declared_in, spec, paused, next_at,
                                  waiting, running, skipped, last_at, last_run_id, last_error)
VALUES (:tenant, :schedule_id, :workflow_id, :declared_in, :spec, :paused, :next_at,
        :waiting, :running, :skipped, :last_at, :last_run_id, :last_error);

-- delete_schedule: forget a schedule
DELETE FROM schedules WHERE tenant = :tenant AND schedule_id = :schedule_id;

-- Webhooks ------------------------------------------------------------------------------------------------

-- webhooks: the webhooks of a tenant, or of one workflow of it
SELECT * FROM webhooks
WHERE tenant = :tenant AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
ORDER BY name;

-- webhook: one webhook
SELECT * FROM webhooks WHERE tenant = :tenant AND name = :name;

-- put_webhook: write a webhook as it is now
INSERT OR REPLACE INTO webhooks (tenant, name, workflow_id, declared_in, spec, secret)
VALUES (:tenant, :name, :workflow_id, :declared_in, :spec, :secret);

-- delete_webhook: forget a webhook
DELETE FROM webhooks WHERE tenant = :tenant AND name = :name;

-- Retention -----------------------------------------------------------------------------------------------

-- ended_roots: the runs without a parent that ended first after some, where all their descendants have ended
SELECT run_key, finished_at FROM runs AS root INDEXED BY roots_finished
WHERE parent_run_id IS NULL AND finished_at IS NOT NULL AND (finished_at, run_key) > (:after, :after_key)
  AND NOT EXISTS (SELECT 1 FROM removals WHERE removals.run_key = root.run_key)
  AND NOT EXISTS (
      WITH RECURSIVE family (run_id) AS (
          VALUES (root.run_id)
          UNION ALL SELECT runs.run_id FROM family JOIN runs ON runs.parent_run_id = family.run_id
      )
      SELECT 1 FROM family JOIN runs USING (run_id) WHERE finished_at IS NULL)
ORDER BY finished_at, run_key
LIMIT :limit;

-- finished_roots: how many runs without a parent have ended and stay
SELECT count(*) - (SELECT count(*) FROM removals JOIN runs USING (run_key) WHERE parent_run_id IS NULL)
FROM runs INDEXED BY roots_finished WHERE parent_run_id IS NULL AND finished_at IS NOT NULL;

-- first_finished: when the first of these ended
SELECT min(finished_at) FROM runs INDEXED BY roots_finished
WHERE parent_run_id IS NULL AND finished_at IS NOT NULL;

-- ended_before: how many of these have ended by a time
SELECT count(*) FROM runs INDEXED BY roots_finished
WHERE parent_run_id IS NULL AND finished_at IS NOT NULL AND finished_at <= ?;

-- clock_seen: what was thought of the clock
SELECT seen, last, since FROM clock;

-- newest_event_at: when the newest event was written
SELECT at FROM events ORDER BY event_key DESC LIMIT 1;

-- see_clock: note what is thought of the clock
INSERT OR REPLACE INTO clock (one, seen, last, since) VALUES (1, :seen, :last, :since);

-- doom: have some runs and all their descendants removed
INSERT OR IGNORE INTO removals (run_key)
WITH RECURSIVE family (run_key, run_id) AS (
    SELECT run_key, run_id FROM json_each(:roots) JOIN runs ON runs.run_key = value
    UNION ALL SELECT runs.run_key, runs.run_id FROM family JOIN runs ON runs.parent_run_id = family.run_id
)
SELECT run_key FROM family;

-- family_of: some runs with all their descendants, and how much their events hold
WITH RECURSIVE family (run_key, run_id) AS (
    SELECT run_key, run_id FROM json_each(:roots) JOIN runs ON runs.run_key = value
    UNION ALL SELECT runs.run_key, runs.run_id FROM family JOIN runs ON runs.parent_run_id = family.run_id
)
SELECT count(*) AS runs,
       coalesce(sum((SELECT sum(length(data) + coalesce(length(payload), 0)) FROM events
                     WHERE events.run_key = family.run_key)), 0) AS bytes
FROM family;

-- removals: runs that are being removed
SELECT run_key FROM removals ORDER BY run_key LIMIT ?;

-- delete_run: take a run out of the index
DELETE FROM runs WHERE run_key = ?;

-- delete_tags: take a run out of the index of tags
DELETE FROM run_tags WHERE run_key = ?;

-- delete_due: take a run off the agenda
DELETE FROM agenda WHERE run_key = ?;

-- delete_asked: take what a run asks off the list
DELETE FROM input_requests WHERE run_key = ?;

-- delete_last_events: delete the last events of a run; what is left is a beginning, and has no end
DELETE FROM events
WHERE event_key IN (SELECT event_key FROM events WHERE run_key = ? ORDER BY seq DESC LIMIT ?);

-- end_removal: forget a run of which nothing is left
DELETE FROM removals
WHERE run_key = ? AND NOT EXISTS (SELECT 1 FROM events WHERE events.run_key = removals.run_key);

-- pages: how many pages the file has, how many of them are free, and how large a page is
SELECT page_count, freelist_count, page_size
FROM pragma_page_count, pragma_freelist_count, pragma_page_size;

-- give_back_page: take one free page off the end of the file
PRAGMA incremental_vacuum(1);

-- Verification --------------------------------------------------------------------------------------------

-- next_run_key: the first key after one that any table has
SELECT min(run_key) FROM (
    SELECT min(run_key) AS run_key FROM runs WHERE run_key > :after
    UNION ALL SELECT min(run_key) FROM events WHERE run_key > :after
    UNION ALL SELECT min(run_key) FROM run_tags WHERE run_key > :after
    UNION ALL SELECT min(run_key) FROM agenda WHERE run_key > :after
    UNION ALL SELECT min(run_key) FROM input_requests WHERE run_key > :after);

-- is_doomed: whether a run is being removed
SELECT EXISTS (SELECT 1 FROM removals WHERE run_key = ?);

-- raw_events: the events of a run as they are stored
SELECT seq, type, at, data, payload FROM events WHERE run_key = ? ORDER BY seq;

-- tags_of_run: the tags by which a run is found
SELECT key, value FROM run_tags WHERE run_key = ? ORDER BY key;

-- agenda_of_run: when a run must next be in memory
SELECT due_at FROM agenda WHERE run_key = ?;

-- end_of_run: whether there is a run of that id, and when it ended
SELECT finished_at FROM runs WHERE run_id = ?;

-- set_due: say when a run must next be in memory
INSERT INTO agenda (run_key, due_at) VALUES (?, ?)
ON CONFLICT (run_key) DO UPDATE SET due_at = excluded.due_at;
-- The file, looked into from outside -------------------------------------------------------------------------

-- row_counts: how many rows each table has that grows
SELECT 'tenants' AS "table", count(*) AS row_count FROM tenants
UNION ALL SELECT 'principals', count(*) FROM principals
UNION ALL SELECT 'tokens', count(*) FROM tokens
UNION ALL SELECT 'workflows', count(*) FROM workflows
UNION ALL SELECT 'documents', count(*) FROM documents
UNION ALL SELECT 'schedules', count(*) FROM schedules
UNION ALL SELECT 'webhooks', count(*) FROM webhooks
UNION ALL SELECT 'runs', count(*) FROM runs
UNION ALL SELECT 'run_tags', count(*) FROM run_tags
UNION ALL SELECT 'agenda', count(*) FROM agenda
UNION ALL SELECT 'input_requests', count(*) FROM input_requests
UNION ALL SELECT 'events', count(*) FROM events;

-- can_tell_sizes: whether this SQLite was built with the table that the next statement reads
SELECT sqlite_compileoption_used('ENABLE_DBSTAT_VTAB');

-- table_sizes: the bytes of each table with its indexes
SELECT of.tbl_name AS "table", sum(pages.pgsize) AS size
FROM dbstat AS pages JOIN sqlite_schema AS of ON of.name = pages.name
WHERE pages.aggregate = 1
GROUP BY of.tbl_name;

-- oldest_open_run: the open run that was created first
SELECT run_id, tenant, workflow_id, workflow_version, state, created_at
FROM runs WHERE run_key = (SELECT min(run_key) FROM agenda);
