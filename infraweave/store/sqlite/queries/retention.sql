-- Removing finished runs. A family is a run without a parent, with all its descendants.

-- fragment finished_roots: runs without a parent that have ended
runs INDEXED BY roots_finished
WHERE parent_run_id IS NULL AND finished_at IS NOT NULL;

-- fragment families: some families, by the keys of their roots
WITH RECURSIVE family (run_key, run_id) AS (
    SELECT run_key, run_id FROM json_each(:roots) JOIN runs ON runs.run_key = value
    UNION ALL SELECT runs.run_key, runs.run_id FROM family JOIN runs ON runs.parent_run_id = family.run_id
);

-- ended_roots: runs without a parent, in order of their end, whose descendants have all ended
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

-- count_finished_roots: how many of them are not being removed
SELECT count(*) - (SELECT count(*) FROM removals JOIN runs USING (run_key) WHERE parent_run_id IS NULL)
FROM {{finished_roots}};

-- first_finished: when the first of them ended
SELECT min(finished_at) FROM {{finished_roots}};

-- ended_before: how many of them had ended by a time
SELECT count(*) FROM {{finished_roots}} AND finished_at <= ?;

-- clock: what is known about the clock
SELECT seen, last, since FROM clock;

-- newest_event_at: when the newest event was written
SELECT at FROM events ORDER BY event_key DESC LIMIT 1;

-- put_clock: set what is known about the clock
INSERT OR REPLACE INTO clock (one, seen, last, since) VALUES (1, :seen, :last, :since);

-- mark_for_removal: mark families for removal
INSERT OR IGNORE INTO removals (run_key)
{{families}}
SELECT run_key FROM family;

-- family_of: how many runs some families have, and how many bytes their events take: the values, and about 40 for
-- keys, columns and the index
{{families}}
SELECT count(*) AS runs,
       coalesce(sum((SELECT sum(length(data) + coalesce(length(payload), 0) + 40) FROM events
                     WHERE events.run_key = family.run_key)), 0) AS bytes
FROM family;

-- removals: runs that are being removed
SELECT run_key FROM removals ORDER BY run_key LIMIT ?;

-- delete_run: remove a run from the index
DELETE FROM runs WHERE run_key = ?;

-- delete_tags: remove the tags of a run from the index
DELETE FROM run_tags WHERE run_key = ?;

-- delete_from_agenda: remove a run from the agenda
DELETE FROM agenda WHERE run_key = ?;

-- delete_input_requests_of_run: remove a run's input requests from the list
DELETE FROM input_requests WHERE run_key = ?;

-- delete_last_events: delete the last events of a run; the rest is a beginning without an end
DELETE FROM events
WHERE event_key IN (SELECT event_key FROM events WHERE run_key = ? ORDER BY seq DESC LIMIT ?);

-- end_removal: end the removal of a run that has no events left
DELETE FROM removals
WHERE run_key = ? AND NOT EXISTS (SELECT 1 FROM events WHERE events.run_key = removals.run_key);

-- release_page: release one free page at the end of the file
PRAGMA incremental_vacuum(1);
