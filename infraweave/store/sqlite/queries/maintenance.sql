-- Offline tools: verification and figures of a file.

-- integrity_check: the structural faults of the file, at most 100, or 'ok'
PRAGMA integrity_check(100);

-- foreign_key_check: rows of small tables that refer to missing rows
PRAGMA foreign_key_check;

-- next_run_key: the next key that any table has
SELECT min(run_key) FROM (
    SELECT min(run_key) AS run_key FROM runs WHERE run_key > :after
    UNION ALL SELECT min(run_key) FROM events WHERE run_key > :after
    UNION ALL SELECT min(run_key) FROM run_tags WHERE run_key > :after
    UNION ALL SELECT min(run_key) FROM agenda WHERE run_key > :after
    UNION ALL SELECT min(run_key) FROM input_requests WHERE run_key > :after);

-- is_being_removed: whether a run is being removed
SELECT EXISTS (SELECT 1 FROM removals WHERE run_key = ?);

-- tags_of_run: the tags of a run in the index
SELECT key, value FROM run_tags WHERE run_key = ? ORDER BY key;

-- input_requests_of_run: the input requests of a run in the list
SELECT request_id,
       (SELECT seq FROM events WHERE events.event_key = input_requests.event_key AND run_key = :run_key) AS seq,
       tenant, workflow_id
FROM input_requests WHERE run_key = :run_key;

-- agenda_of_run: when a run must next be in memory
SELECT due_at FROM agenda WHERE run_key = ?;

-- end_of_run: when a run ended; no row if there is no such run
SELECT finished_at FROM runs WHERE run_id = ?;

-- set_due: set when a run must next be in memory
INSERT INTO agenda (run_key, due_at) VALUES (?, ?)
ON CONFLICT (run_key) DO UPDATE SET due_at = excluded.due_at;

-- row_counts: the number of rows of each table that grows
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

-- has_dbstat: whether this SQLite has the table that the next statement reads
SELECT sqlite_compileoption_used('ENABLE_DBSTAT_VTAB');

-- table_sizes: the bytes of each table with its indexes
SELECT of.tbl_name AS "table", sum(pages.pgsize) AS size
FROM dbstat AS pages JOIN sqlite_schema AS of ON of.name = pages.name
WHERE pages.aggregate = 1
GROUP BY of.tbl_name;

-- oldest_open_run: the open run that was created first
SELECT run_id, tenant, workflow_id, workflow_version, state, created_at
FROM runs WHERE run_key = (SELECT min(run_key) FROM agenda);
