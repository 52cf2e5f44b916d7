-- Schedules and webhooks. Rows with `declared_in` come from the active version of a workflow and change with it; the
-- others were created through the API. `spec` is the JSON of the document, without a secret.
--
-- A schedule's `next_at` is its next undecided time. It is null while the schedule is paused, and after its times
-- have changed until the engine computes it. When a time comes, one transaction moves `next_at` on and adds the time
-- to `waiting`. The time leaves `waiting` once its run is durable. The run's idempotency key is made of the schedule
-- and the time, so one time never makes two runs. `running` holds the runs that were open at the last check.

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
    last_at     INTEGER,              -- the newest time that was handled
    last_run_id TEXT,
    last_error  TEXT,                 -- why the newest time started no run
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
