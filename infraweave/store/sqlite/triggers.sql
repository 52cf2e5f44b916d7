-- What starts runs by itself. Rows with `declared_in` come from the active version of a workflow and change with
-- it; the others were made through the API. `spec` is JSON as it stands in a document, without a secret.
--
-- A schedule's `next_at` is the next time that nothing has been decided about: null while it is paused, and
-- when its times have changed and the engine has not looked yet. A time that has come moves `next_at` on and goes
-- into `waiting` in one transaction; it leaves `waiting` once its run is durable. Its run's idempotency key is made
-- of the schedule and the time, so whatever happens in between makes one run. `running` holds runs that were open
-- when last looked at.

CREATE TABLE schedules (
    tenant      TEXT NOT NULL,
    schedule_id TEXT NOT NULL,        -- workflow_id:name
    workflow_id TEXT NOT NULL,
    declared_in TEXT,                 -- a version; null: made through the API
    spec        TEXT NOT NULL,        -- JSON
    paused      INTEGER NOT NULL,
    next_at     INTEGER,
    waiting     TEXT NOT NULL DEFAULT '[]',  -- JSON: times
    running     TEXT NOT NULL DEFAULT '[]',  -- JSON: run ids
    skipped     INTEGER NOT NULL DEFAULT 0,  -- times dropped because a run was open or the queue full
    last_at     INTEGER,              -- the newest time that was dealt with
    last_run_id TEXT,
    last_error  TEXT,                 -- why the newest time made no run
    PRIMARY KEY (tenant, schedule_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX schedules_of_workflow ON schedules (tenant, workflow_id);

CREATE TABLE webhooks (
    tenant      TEXT NOT NULL,
    name        TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    declared_in TEXT,
    spec        TEXT NOT NULL,
    secret      TEXT,                 -- null: the environment holds it. An HMAC needs the secret, not its hash
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX webhooks_of_workflow ON webhooks (tenant, workflow_id);
