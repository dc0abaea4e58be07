-- Fills a queue with as many recordings as are wanted, in every state, with their attempts and results, so that
-- whatever must stay quick at any size can be measured. The queue has its schema already and no recordings yet.
--
--   sqlite3 queue.db -cmd 'CREATE TEMP TABLE wanted AS SELECT 1000000 AS tasks, 70 AS succeeded' < bench/rows.sql
--
-- `tasks`: rows in all. `succeeded`: percent of them with a result; of the others one in twenty has failed, one in
-- a thousand is cancelled, the rest is queued, a few of these waiting. They belong to the first job, which is made
-- if there is none; ten recordings at the end belong to a second one.

PRAGMA synchronous = OFF;
PRAGMA cache_size = -400000;
BEGIN IMMEDIATE;

INSERT INTO job (name, endpoint, options, root, output, ordering, created_at)
SELECT 'archive', 'velma-2-stt-batch', '{}', CAST('/in' AS BLOB), CAST('/out/archive' AS BLOB), 'longest', 0
WHERE NOT EXISTS (SELECT 1 FROM job);
INSERT INTO job (name, endpoint, options, root, output, ordering, created_at)
SELECT 'late', 'velma-2-stt-batch', '{}', CAST('/in' AS BLOB), CAST('/out/late' AS BLOB), 'longest', 0
WHERE NOT EXISTS (SELECT 1 FROM job WHERE name = 'late');
INSERT OR IGNORE INTO worker (id, host, pid, version, started_at, beat_at, ended_at, exit_code)
VALUES ('filler', 'here', 1, '0', 0, 0, 0, 0);

-- Numbers that look drawn at random and are the same every time; paths a thousand to a folder, in the order of a scan.
CREATE TEMP TABLE dice AS
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < (SELECT tasks FROM wanted))
SELECT n, (n * 2654435761) % 1000003 AS a, (n * 40503 + 7) % 999983 AS b FROM numbers;

INSERT INTO task (job_id, endpoint, path, size_bytes, modified_ns, format, rank, state, hold, run_at, fence, attempts,
                  cause, http_status, message, billed, created_at, changed_at, finished_at)
SELECT (SELECT iif(n < tasks - 10, (SELECT min(id) FROM job), (SELECT id FROM job WHERE name = 'late')) FROM wanted),
       'velma-2-stt-batch',
       CAST(printf('%04d/%02d/call-%05d-%05d.wav', 2000 + n / 100000, n / 1000 % 100, n / 1000, n % 1000) AS BLOB),
       size, 1700000000000000000 + n, 'wav', -size, state, hold, 1790000000000,
       state IN ('succeeded', 'failed') OR hold IS NOT NULL, state IN ('succeeded', 'failed') OR hold IS NOT NULL,
       cause, iif(cause = 'server_error', 500, NULL), iif(cause IS NULL, NULL, 'as the API put it'),
       CASE WHEN state = 'succeeded' THEN 'yes' WHEN cause IS NOT NULL THEN 'no' END,
       1790000000000, 1790000000000 + n, iif(state IN ('succeeded', 'failed', 'cancelled'), 1790000000000 + n, NULL)
FROM (SELECT n, size, state, hold,
             CASE WHEN state = 'failed' THEN iif(b % 50 = 0, 'timeout', iif(b % 3 = 0, 'server_error', 'unreadable_audio'))
                  WHEN hold IS NOT NULL THEN 'server_error' END AS cause
      FROM (SELECT n, b, 1000 + a AS size, state, iif(state = 'queued' AND b % 5000 = 0, 'backoff', NULL) AS hold
            FROM (SELECT n, a, b, CASE WHEN a % 100 < (SELECT succeeded FROM wanted) THEN 'succeeded'
                                       WHEN b % 20 = 0 THEN 'failed'
                                       WHEN b % 1000 = 1 THEN 'cancelled'
                                       ELSE 'queued' END AS state
                  FROM dice)))
ORDER BY n;
DROP TABLE dice;

INSERT INTO attempt (task_id, fence, worker, started_at, ended_at, outcome, cause, http_status, bytes_sent, billed, message)
SELECT id, 1, 'filler', changed_at, changed_at + 1,
       CASE state WHEN 'succeeded' THEN 'succeeded' WHEN 'failed' THEN 'failed' ELSE 'retried' END,
       cause, http_status, size_bytes, billed, message
FROM task WHERE fence = 1 ORDER BY id;

INSERT INTO result (task_id, job_id, attempts, http_status, bytes, blake3, format, mime, duration_ms, billed_ms,
                    started_at, finished_at, response)
SELECT id, job_id, 1, 200, size_bytes, printf('%064x', id), 'wav', 'audio/wav', 1000, 1000, changed_at, changed_at,
       '{"text":"ten words that somebody may have said into a telephone","duration_ms":1000,"utterances":[{"utterance_uuid":"u","text":"ten words that somebody may have said into a telephone","start_ms":0,"duration_ms":1000,"speaker":1,"language":"en"}]}'
FROM task WHERE state = 'succeeded' ORDER BY id;

INSERT INTO ledger (endpoint, month, billed_ms, succeeded)
SELECT 'velma-2-stt-batch', '2026-11', 1000 * count(*), count(*) FROM result WHERE true
ON CONFLICT DO UPDATE SET billed_ms = excluded.billed_ms, succeeded = excluded.succeeded;

-- The counts that the queue keeps, whether or not its triggers counted while this went on.
INSERT INTO tally (job_id, state, cause, tasks, bytes)
SELECT job_id, state, ifnull(cause, ''), count(*), sum(size_bytes) FROM task GROUP BY 1, 2, 3
ON CONFLICT DO UPDATE SET tasks = excluded.tasks, bytes = excluded.bytes;

COMMIT;
