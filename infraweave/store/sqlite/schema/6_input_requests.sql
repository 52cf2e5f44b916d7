-- What people are being asked, over all runs. A row exists from `input_requested` to `input_resolved`, and is written
-- and deleted in the transaction of that event. The content of the request stands in the event alone: `event_key`
-- leads to it, and orders the requests, so paging neither repeats nor skips one. Tenant and workflow are the run's.

CREATE TABLE input_requests (
    run_key     INTEGER NOT NULL,
    request_id  TEXT NOT NULL,
    event_key   INTEGER NOT NULL,
    tenant      TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    PRIMARY KEY (run_key, request_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX input_requests_of_tenant ON input_requests (tenant, event_key, workflow_id);
CREATE INDEX input_requests_of_workflow ON input_requests (tenant, workflow_id, event_key);

-- The requests that are open now, from the events of open runs.
INSERT INTO input_requests (run_key, request_id, event_key, tenant, workflow_id)
WITH told AS MATERIALIZED (
    SELECT run_key, events.type, json_extract(events.data, '$.request_id') AS request_id, event_key,
           tenant, workflow_id
    FROM runs JOIN events USING (run_key)
    WHERE finished_at IS NULL AND events.type IN ('input_requested', 'input_resolved')
)
SELECT run_key, request_id, event_key, tenant, workflow_id FROM told
WHERE type = 'input_requested'
  AND (run_key, request_id) NOT IN (SELECT run_key, request_id FROM told WHERE type = 'input_resolved');
