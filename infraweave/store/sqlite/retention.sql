-- What retention needs. Runs that nobody started as a child, by their end: a family of runs goes at once, and
-- its root says when. `removals` holds runs that are being removed, a few rows at a time: they are gone for
-- everybody, whatever is still there of their events, and neither the index nor the agenda may bring them back.

CREATE INDEX roots_finished ON runs (finished_at) WHERE parent_run_id IS NULL AND finished_at IS NOT NULL;
CREATE INDEX runs_of_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;

CREATE TABLE removals (
    run_key INTEGER PRIMARY KEY
) STRICT;
