-- Denials of unknown callers have a limit of their own. Each kind of row is deleted from its own oldest row on, so
-- denials of unknown callers never push out other rows. And the file gets keys of its own.

CREATE INDEX audit_by_kind ON audit ((principal IS NULL AND source = 'http'), audit_id);

DROP TRIGGER audit_keeps_what_is_newer;

CREATE TRIGGER audit_keeps_what_is_newer BEFORE DELETE ON audit
WHEN OLD.audit_id <> (SELECT min(audit_id) FROM audit
                      WHERE (principal IS NULL AND source = 'http') = (OLD.principal IS NULL AND OLD.source = 'http'))
BEGIN
    SELECT RAISE(ABORT, 'only the oldest of the audit log can be removed');
END;

-- The server signs cursors with these keys to recognise them again. They give access to nothing.
CREATE TABLE keys (
    name TEXT PRIMARY KEY,
    key  BLOB NOT NULL
) STRICT;

INSERT INTO keys VALUES ('cursors', randomblob(32));
