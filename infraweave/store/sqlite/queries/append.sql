-- What one append writes. Statements that end in VALUES are widened to several rows; those that take
-- :rows take a JSON list of rows. One call then writes any number of rows outside Python's lock.

-- insert_run: add new runs to the index
INSERT INTO runs (run_key, run_id, tenant, workflow_id, workflow_version, "trigger", state, created_at,
                  started_at, "by", parent_run_id, trace_id, parent_span_id, trace_flags, tracestate,
                  idempotency_key, body_digest, tags, start_at, lane)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- insert_tag: add the tags of new runs
INSERT INTO run_tags (run_key, key, value)
VALUES (?, ?, ?);

-- insert_event: add events; the unique index refuses a seq that is taken
INSERT INTO events (run_key, seq, type, at, data, payload)
VALUES (?, ?, ?, ?, ?, ?);

-- insert_input_requests: list newly opened input requests; their events and runs exist already
INSERT INTO input_requests (run_key, request_id, event_key, tenant, workflow_id)
SELECT runs.run_key, json_extract(value, '$[1]'), events.event_key, tenant, workflow_id
FROM json_each(:rows)
CROSS JOIN runs ON runs.run_key = json_extract(value, '$[0]')
CROSS JOIN events ON events.run_key = runs.run_key AND events.seq = json_extract(value, '$[2]');

-- delete_input_requests: remove resolved input requests from the list
DELETE FROM input_requests
WHERE (run_key, request_id) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]')
                                FROM json_each(:rows));

-- update_runs: apply what events changed to the index; each run at most once per call
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

-- upsert_agenda: set when runs must next be in memory
INSERT INTO agenda (run_key, due_at)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:rows) WHERE true
ON CONFLICT (run_key) DO UPDATE SET due_at = excluded.due_at;

-- delete_agenda: remove finished runs from the agenda
DELETE FROM agenda WHERE run_key IN (SELECT value FROM json_each(:rows));

-- insert_audit: record who did what, or who was refused
INSERT INTO audit (at, tenant, principal, token_id, action, resource, outcome, reason, detail, request_id, source)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
