-- What the runs of a tenant ask people.

-- fragment requests_of_page: the requests in `listed`, without the events beyond :most bytes; only this page is sorted
SELECT page.event_key, run_id, workflow_id, workflow_version, events.type, events.seq, events.at,
       CASE WHEN coalesce(before, 0) < :most THEN CAST(events.data AS BLOB) END AS data,
       CASE WHEN coalesce(before, 0) < :most THEN CAST(events.payload AS BLOB) END AS payload
FROM (SELECT event_key, run_key,
             sum(size) OVER (ORDER BY event_key ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
      FROM listed) AS page
CROSS JOIN runs USING (run_key)
CROSS JOIN events USING (event_key)
ORDER BY page.event_key;

-- fragment request_size: the bytes that the event of a request takes
length(data) + coalesce(length(CAST(payload AS BLOB)), 0) AS size;

-- open_requests: a page of a tenant's open requests, the oldest first
WITH listed AS NOT MATERIALIZED (
    SELECT event_key, open.run_key, {{request_size}}
    FROM input_requests AS open INDEXED BY input_requests_of_tenant CROSS JOIN events USING (event_key)
    WHERE tenant = :tenant
      AND event_key > :after
      AND (:workflows IS NULL OR workflow_id IN (SELECT value FROM json_each(:workflows)))
    ORDER BY event_key
    LIMIT :limit
)
{{requests_of_page}};

-- open_requests_of_workflow: the same for one workflow
WITH listed AS NOT MATERIALIZED (
    SELECT event_key, open.run_key, {{request_size}}
    FROM input_requests AS open INDEXED BY input_requests_of_workflow CROSS JOIN events USING (event_key)
    WHERE tenant = :tenant
      AND workflow_id = json_extract(:workflows, '$[0]')
      AND event_key > :after
    ORDER BY event_key
    LIMIT :limit
)
{{requests_of_page}};

-- count_open_requests: how many open requests a tenant has; answered by the index alone
SELECT count(*) FROM input_requests INDEXED BY input_requests_of_tenant WHERE tenant = :tenant;

-- count_open_requests_of_workflows: the same for some workflows
SELECT count(*) FROM input_requests INDEXED BY input_requests_of_workflow
WHERE tenant = :tenant AND workflow_id IN (SELECT value FROM json_each(:workflows));
