-- Who did what, and who was refused. An action is recorded in its own transaction; denials come in batches. Rows are
-- never changed, and only the oldest can be deleted: the two triggers enforce that against our own code too.

CREATE TABLE audit (
    audit_id   INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    tenant     TEXT,                  -- the caller's; null: unknown caller
    principal  TEXT,
    token_id   TEXT,
    action     TEXT NOT NULL,         -- the name of the route, or of the command
    resource   TEXT NOT NULL,         -- kind:id, such as run:run_01J9…
    outcome    TEXT NOT NULL CHECK (outcome IN ('allowed', 'denied')),
    reason     TEXT,                  -- the code of the refusal
    detail     TEXT,
    request_id TEXT,                  -- null: the command line
    source     TEXT NOT NULL CHECK (source IN ('http', 'cli'))
) STRICT;

CREATE INDEX audit_of_principal ON audit (tenant, principal, audit_id);

CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_keeps_what_is_newer BEFORE DELETE ON audit
WHEN OLD.audit_id <> (SELECT min(audit_id) FROM audit)
BEGIN
    SELECT RAISE(ABORT, 'only the oldest of the audit log can be removed');
END;

-- Written at most once a minute.
ALTER TABLE tokens ADD COLUMN last_used_at INTEGER;
