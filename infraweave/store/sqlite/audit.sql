-- Who did what, or was kept from it. An act stands in the transaction that did it; denials come in batches. Rows are
-- never changed, and only the oldest can go: the two triggers keep even our own code to that.

CREATE TABLE audit (
    audit_id   INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    tenant     TEXT,                  -- of who asked; null: nobody knows who it was
    principal  TEXT,
    token_id   TEXT,
    action     TEXT NOT NULL,         -- the name of the route, or of what the command line did
    resource   TEXT NOT NULL,         -- kind:id, such as run:run_01J9…
    outcome    TEXT NOT NULL CHECK (outcome IN ('allowed', 'denied')),
    reason     TEXT,                  -- the code of the refusal
    detail     TEXT,
    request_id TEXT,                  -- null: the command line, on the file
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

-- Coarse: written at most once a minute.
ALTER TABLE tokens ADD COLUMN last_used_at INTEGER;
