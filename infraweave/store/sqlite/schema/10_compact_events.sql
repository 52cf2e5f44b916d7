-- Events without what their columns say already: core/run/event_codec.py describes the form. `type` is a code:
--
--     1 status_changed    2 node_started      3 node_completed   4 node_failed   5 input_requested
--     6 input_resolved    7 signal_received   8 completed        9 failed       10 cancelled
--
-- `payload` is JSON, or the seq of the event of this run that holds the same payload, or null.
--
-- The functions are those of core/run/older_events.py. Each row is read, converted and written by itself, so a large
-- file takes time, but no memory. Keys stay as they are: the list of input requests refers to them.

CREATE TABLE compact_events (
    event_key INTEGER PRIMARY KEY,
    run_key   INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    type      INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    data      TEXT NOT NULL,
    payload   ANY
) STRICT;

INSERT INTO compact_events (event_key, run_key, seq, type, at, data, payload)
SELECT event_key, run_key, seq, type_code(type), at, compact_data(run_id, type, seq, at, data),
       compact_payload(type, events.payload)
FROM events LEFT JOIN runs USING (run_key)
ORDER BY event_key;

DROP TABLE events;
ALTER TABLE compact_events RENAME TO events;
CREATE UNIQUE INDEX events_of_run ON events (run_key, seq);
