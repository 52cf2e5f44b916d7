-- The events of a run.

-- last_run_key: the highest run key in use
SELECT max(coalesce((SELECT max(run_key) FROM events), 0), coalesce((SELECT max(run_key) FROM runs), 0));

-- events_after: a page of a run's events. It ends early beyond :most bytes, but never before one event. A payload that
-- an earlier event holds already is taken from there
SELECT seq, type, at, data, CASE WHEN :payloads THEN CAST(payload AS BLOB) END AS payload
FROM (SELECT page.seq, page.type, page.at, CAST(page.data AS BLOB) AS data, coalesce(earlier.payload, page.payload) AS payload,
             sum(length(page.data)
                 + CASE WHEN :payloads
                        THEN coalesce(length(CAST(coalesce(earlier.payload, page.payload) AS BLOB)), 0)
                        ELSE 0 END)
                 OVER (ORDER BY page.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
      FROM (SELECT run_key, seq, type, at, data, payload,
                   CASE WHEN :payloads AND payload GLOB '{"input_seq":*'
                        THEN json_extract(payload, '$.input_seq') END AS earlier_seq
            FROM events
            WHERE run_key = :run_key AND seq > :after
            ORDER BY seq
            LIMIT :limit) AS page
           LEFT JOIN events AS earlier ON earlier.run_key = page.run_key AND earlier.seq = page.earlier_seq)
WHERE coalesce(before, 0) < :most
ORDER BY seq;

-- event_at: one event of a run. A payload that an earlier event holds already is taken from there
SELECT one.seq, one.type, one.at, CAST(one.data AS BLOB) AS data,
       CAST(coalesce(earlier.payload, one.payload) AS BLOB) AS payload
FROM events AS one
     LEFT JOIN events AS earlier
     ON earlier.run_key = one.run_key
        AND earlier.seq = CASE WHEN one.payload GLOB '{"input_seq":*'
                               THEN json_extract(one.payload, '$.input_seq') END
WHERE one.run_key = :run_key AND one.seq = :seq;

-- short_log: a run's first events, with all payloads, or those of its opening and of its questions to people
SELECT seq, type, at, CAST(data AS BLOB) AS data,
       CASE WHEN :payloads OR seq = 1 OR type = 'input_requested' THEN CAST(payload AS BLOB) END AS payload
FROM events
WHERE run_key = :run_key
ORDER BY seq
LIMIT :limit;

-- payloads_of: the payloads of some events of a run. A payload that an earlier event holds already is taken from there
SELECT page.seq, CAST(coalesce(earlier.payload, page.payload) AS BLOB) AS payload
FROM (SELECT run_key, seq, payload,
             CASE WHEN payload GLOB '{"input_seq":*' THEN json_extract(payload, '$.input_seq') END AS earlier_seq
      FROM events
      WHERE run_key = :run_key
        AND seq IN (SELECT value FROM json_each(:seqs))
        AND payload IS NOT NULL) AS page
     LEFT JOIN events AS earlier ON earlier.run_key = page.run_key AND earlier.seq = page.earlier_seq;

-- last_event: the newest event of a run
SELECT seq, type FROM events WHERE run_key = ? ORDER BY seq DESC LIMIT 1;
