-- The first schema, and the reasons for it.
--
-- A run is a list of events, and `events` is the only truth about it. Rows are added and never changed. `data` is the
-- line of JSON that the event feed sends; `payload` holds what is stored beside it (inputs, outputs, signal payloads)
-- or null. Within a run, `seq` counts from 1 without gaps; `event_key` is the order of commits over all runs.
--
-- `runs` and `run_tags` are an index over the events, for lists and look-ups. Both can be rebuilt from the events
-- (store/runs.py, `rebuild`) by the projection that writes them in the first place (store/projection.py), so they
-- always agree with the events.
--
-- `agenda` has one row per open run and says when that run must next be in memory:
--     0     something is in flight; after a crash the run is loaded at once
--     > 0   its earliest wake-up (a timer, a deadline, the end of a retry delay), in milliseconds
--     null  it waits for something from outside: a signal, a person, a child, a free slot
-- Waiting is cheap for this reason: a million waiting runs are a million rows and take no memory. A run's events, its
-- row in `runs` and its row in `agenda` always change in one transaction.
--
-- A run has two names. `run_id` is public. `run_key` is internal, an integer that grows with creation: it keeps the
-- index of `events` small (a text key halves the throughput), and it is the cursor of lists, so paging neither
-- repeats nor skips a run while others are being started.
--
-- Documents (`documents`) and active versions (`workflows`) belong to a tenant. `loaded_version` is the version that
-- the file declared when it was last loaded. Only a different declaration moves `active_version`, so a roll-back
-- through the API survives a restart. Only the SHA-256 of a token is stored.
--
-- Times are integers, milliseconds since 1970 UTC, and all come from the application: nothing here reads a clock.
-- Tables are STRICT, so a value of the wrong type is an error. Foreign keys guard the small tables; the large ones
-- have none, since each would cost a look-up per row.
--
-- One connection writes, in WAL mode with synchronous=FULL, and it alone checkpoints; all others are query_only.
-- migrations.py sets auto_vacuum, because it must be set before the first table is created.

PRAGMA application_id = 1230455874;  -- "IWDB": tells our files from those of other programs

CREATE TABLE migrations (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

-- Counts the checks of whether the file can be written. An update that changes nothing would write nothing.
CREATE TABLE pulse (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    beat INTEGER NOT NULL
) STRICT;

-- Principals ----------------------------------------------------------------------------------------------

CREATE TABLE tenants (
    tenant     TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE principals (
    tenant     TEXT NOT NULL REFERENCES tenants,
    principal  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, principal)
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
    tenant    TEXT NOT NULL,
    principal TEXT NOT NULL,
    action    TEXT NOT NULL,
    resource  TEXT NOT NULL,
    PRIMARY KEY (tenant, principal, action, resource),
    FOREIGN KEY (tenant, principal) REFERENCES principals
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    token_id   TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    principal  TEXT NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,               -- null: never
    revoked_at INTEGER,
    FOREIGN KEY (tenant, principal) REFERENCES principals
) STRICT;

-- Workflows ----------------------------------------------------------------------------------------------

CREATE TABLE documents (
    tenant      TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    version     TEXT NOT NULL,
    digest      TEXT NOT NULL,        -- of the content without the version
    document    TEXT NOT NULL,        -- JSON
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, workflow_id, version)
) STRICT;

CREATE TABLE workflows (
    tenant         TEXT NOT NULL,
    workflow_id    TEXT NOT NULL,
    active_version TEXT NOT NULL,
    loaded_version TEXT,              -- null: published through the API only
    PRIMARY KEY (tenant, workflow_id),
    FOREIGN KEY (tenant, workflow_id, active_version) REFERENCES documents
) STRICT, WITHOUT ROWID;

-- Runs ----------------------------------------------------------------------------------------------------

CREATE TABLE events (
    event_key INTEGER PRIMARY KEY,
    run_key   INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    type      TEXT NOT NULL,
    at        INTEGER NOT NULL,
    data      TEXT NOT NULL,
    payload   TEXT
) STRICT;

CREATE UNIQUE INDEX events_of_run ON events (run_key, seq);

CREATE TABLE runs (
    run_key          INTEGER PRIMARY KEY,
    run_id           TEXT NOT NULL UNIQUE,
    tenant           TEXT NOT NULL,
    workflow_id      TEXT NOT NULL,
    workflow_version TEXT NOT NULL,
    "trigger"        TEXT NOT NULL,
    state            TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,         -- null: still queued
    finished_at      INTEGER,         -- null: open
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    forced           INTEGER NOT NULL DEFAULT 0,
    error            TEXT,            -- JSON
    tokens           INTEGER NOT NULL DEFAULT 0,
    cost_micro_usd   INTEGER NOT NULL DEFAULT 0,
    "by"             TEXT NOT NULL,
    parent_run_id    TEXT,
    trace_id         TEXT NOT NULL,
    parent_span_id   TEXT,
    trace_flags      INTEGER NOT NULL,
    tracestate       TEXT NOT NULL,
    idempotency_key  TEXT,
    body_digest      TEXT,
    tags             TEXT NOT NULL    -- JSON, for reading; run_tags is for searching
) STRICT;

CREATE INDEX runs_of_tenant ON runs (tenant, run_key);
CREATE INDEX runs_of_workflow ON runs (tenant, workflow_id, run_key);
CREATE INDEX runs_in_state ON runs (tenant, state, run_key);
CREATE INDEX runs_open ON runs (tenant, workflow_id, workflow_version, finished_at) WHERE finished_at IS NULL;
CREATE INDEX runs_queued ON runs (run_key) WHERE state = 'queued';
CREATE UNIQUE INDEX runs_idempotent ON runs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE run_tags (
    run_key INTEGER NOT NULL,
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (run_key, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX runs_tagged ON run_tags (key, value, run_key);

CREATE TABLE agenda (
    run_key INTEGER PRIMARY KEY,
    due_at  INTEGER
) STRICT;

CREATE INDEX agenda_due ON agenda (due_at) WHERE due_at IS NOT NULL;
