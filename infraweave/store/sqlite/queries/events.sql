-- The events of a run.

-- last_run_key: the highest run key in use
SELECT max(coalesce((SELECT max(run_key) FROM events), 0), coalesce((SELECT max(run_key) FROM runs), 0));

-- fragment whole_payload: the payload of an event, taken from the earlier event that it refers to; a reference that leads
-- nowhere stays an integer
CASE WHEN earlier.payload IS NOT NULL THEN CAST(earlier.payload AS BLOB)
     WHEN typeof(page.payload) = 'integer' THEN page.payload
     ELSE CAST(page.payload AS BLOB) END;

-- fragment earlier: the earlier event that an event of a page refers to
LEFT JOIN events AS earlier
ON typeof(page.payload) = 'integer' AND earlier.run_key = page.run_key AND earlier.seq = page.payload;

-- events_after: a page of a run's events. It ends early beyond :most bytes, but never before one event
SELECT seq, type, at, data, payload
FROM (SELECT *, sum(length(data) + coalesce(length(payload), 0))
                OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
      FROM (SELECT page.seq, page.type, page.at, CAST(page.data AS BLOB) AS data, {{whole_payload}} AS payload
            FROM (SELECT run_key, seq, type, at, data, CASE WHEN :payloads THEN payload END AS payload
                  FROM events
                  WHERE run_key = :run_key AND seq > :after
                  ORDER BY seq
                  LIMIT :limit) AS page {{earlier}}))
WHERE coalesce(before, 0) < :most
ORDER BY seq;

-- event_at: one event of a run
SELECT page.seq, page.type, page.at, CAST(page.data AS BLOB) AS data, {{whole_payload}} AS payload
FROM events AS page {{earlier}}
WHERE page.run_key = :run_key AND page.seq = :seq;

-- short_log: a run's first events, with all payloads, or those of its opening and of its questions to people (code 5)
SELECT seq, type, at, CAST(data AS BLOB) AS data,
       CASE WHEN NOT (:payloads OR seq = 1 OR type = 5) THEN NULL
            WHEN typeof(payload) = 'integer' THEN payload
            ELSE CAST(payload AS BLOB) END AS payload
FROM events
WHERE run_key = :run_key
ORDER BY seq
LIMIT :limit;

-- payloads_of: the payloads of some events of a run
SELECT page.seq, page.type, {{whole_payload}} AS payload
FROM (SELECT run_key, seq, type, payload
      FROM events
      WHERE run_key = :run_key
        AND seq IN (SELECT value FROM json_each(:seqs))
        AND payload IS NOT NULL) AS page {{earlier}};

-- raw_events: the events of a run as they are stored, with whole payloads
SELECT page.seq, page.type, page.at, page.data, {{whole_payload}} AS payload
FROM events AS page {{earlier}}
WHERE page.run_key = ?
ORDER BY page.seq;

-- last_event: the newest event of a run
SELECT seq, type FROM events WHERE run_key = ? ORDER BY seq DESC LIMIT 1;
