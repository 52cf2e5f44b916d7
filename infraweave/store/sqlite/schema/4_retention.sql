-- What retention needs. `roots_finished` orders runs without a parent by their end: a run and all its descendants are
-- removed together, and the root decides when. `removals` holds runs that are being removed, a few rows at a time.
-- Such a run no longer exists for readers, although events may be left, and never returns to the index or the agenda.

CREATE INDEX roots_finished ON runs (finished_at) WHERE parent_run_id IS NULL AND finished_at IS NOT NULL;
CREATE INDEX runs_of_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;

CREATE TABLE removals (
    run_key INTEGER PRIMARY KEY
) STRICT;
