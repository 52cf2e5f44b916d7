-- Rebuilding the index of runs from the events.

-- set_index_aside: set the old index aside
CREATE TEMP TABLE old_runs AS SELECT * FROM runs;

-- clear_runs: empty the index
DELETE FROM runs;

-- clear_tags: empty the index of tags
DELETE FROM run_tags;

-- clear_input_requests: empty the list of input requests
DELETE FROM input_requests;

-- next_run_with_events: the next run key that has events, and its run id; runs being removed are skipped
SELECT run_key, json_extract(data, '$.run_id') AS run_id
FROM events WHERE run_key > ? AND seq = 1 AND run_key NOT IN (SELECT run_key FROM removals)
ORDER BY run_key LIMIT 1;

-- events_of_index: the events of a run that determine its index row, all but node_started and signal_received
SELECT type, seq, at, data, CASE WHEN seq = 1 THEN payload END AS payload FROM events
WHERE run_key = ? AND type NOT IN (2, 7)
ORDER BY seq;

-- add_missing_to_agenda: put open runs that the agenda lacks on it, due at once
INSERT OR IGNORE INTO agenda (run_key, due_at)
SELECT run_key, CASE WHEN state = 'queued' THEN coalesce(start_at, 0) ELSE 0 END
FROM runs WHERE finished_at IS NULL;

-- delete_ended_from_agenda: remove runs that are not open from the agenda
DELETE FROM agenda WHERE run_key NOT IN (SELECT run_key FROM runs WHERE finished_at IS NULL);

-- repaired_runs: the runs whose index row was missing, wrong, or without events
SELECT run_id FROM (SELECT * FROM (SELECT * FROM runs EXCEPT SELECT * FROM old_runs)
                    UNION SELECT * FROM (SELECT * FROM old_runs EXCEPT SELECT * FROM runs))
GROUP BY run_id ORDER BY run_id;

-- drop_old_index: drop the old index
DROP TABLE temp.old_runs;
