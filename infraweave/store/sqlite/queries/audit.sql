-- The audit log.

-- fragment kind: denials of unknown callers, or all other rows; each kind has a limit of its own
(principal IS NULL AND source = 'http') = :strangers;

-- list_audit: the newest rows that match
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

-- audit_row_beyond: the newest row of a kind that exceeds the limit
SELECT audit_id FROM audit
WHERE {{kind}}
ORDER BY audit_id DESC
LIMIT 1 OFFSET :most;

-- prune_audit: delete the oldest rows of a kind that are too old or exceed the limit
DELETE FROM audit
WHERE {{kind}}
  AND audit_id <= (SELECT max(audit_id)
                   FROM (SELECT audit_id, at FROM audit
                         WHERE {{kind}}
                         ORDER BY audit_id LIMIT :chunk)
                   WHERE at < :before OR audit_id <= :beyond);
