-- When runs must next be in memory.

-- urgent: runs that have something in flight
SELECT run_key FROM agenda WHERE due_at = 0 ORDER BY run_key;

-- due: runs whose wake-up time has come, the earliest first
SELECT run_key FROM agenda WHERE due_at > 0 AND due_at <= :now ORDER BY due_at LIMIT :limit;

-- next_due: the earliest wake-up time of all
SELECT min(due_at) FROM agenda WHERE due_at > 0;
