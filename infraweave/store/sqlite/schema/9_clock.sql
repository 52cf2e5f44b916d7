-- The clock that retention trusts. `seen` is the newest time at which the clock of the machine was trusted. A clock
-- that has leapt ahead of it is doubted: `since` is when it began to run steadily, by its own time, and `last` is its
-- last reading.

CREATE TABLE clock (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    seen  INTEGER NOT NULL,
    last  INTEGER NOT NULL,
    since INTEGER                     -- null: it is trusted
) STRICT;
