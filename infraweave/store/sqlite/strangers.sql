-- Denials of callers of whom nobody knows who they are have a bound of their own: each kind of row goes from its own far
-- end, so that no number of theirs makes another row go. And the file has keys of its own.

CREATE INDEX audit_by_kind ON audit ((principal IS NULL AND source = 'http'), audit_id);

DROP TRIGGER audit_keeps_what_is_newer;

CREATE TRIGGER audit_keeps_what_is_newer BEFORE DELETE ON audit
WHEN OLD.audit_id <> (SELECT min(audit_id) FROM audit
                      WHERE (principal IS NULL AND source = 'http') = (OLD.principal IS NULL AND OLD.source = 'http'))
BEGIN
    SELECT RAISE(ABORT, 'only the oldest of the audit log can be removed');
END;

-- What the server signs with so that it knows its own again; it opens nothing.
CREATE TABLE keys (
    name TEXT PRIMARY KEY,
    key  BLOB NOT NULL
) STRICT;

INSERT INTO keys VALUES ('cursors', randomblob(32));
