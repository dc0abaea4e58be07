-- Each recording passes through `running` twice as fast as it passes through anything else: the tally counts what runs
-- as queued, and a look at it counts the few that run.

UPDATE tally SET tasks = tasks + (SELECT tasks FROM tally AS r WHERE r.state = 'running' AND r.job_id = tally.job_id AND r.cause = tally.cause),
                 bytes = bytes + (SELECT bytes FROM tally AS r WHERE r.state = 'running' AND r.job_id = tally.job_id AND r.cause = tally.cause)
WHERE state = 'queued'
  AND EXISTS (SELECT 1 FROM tally AS r WHERE r.state = 'running' AND r.job_id = tally.job_id AND r.cause = tally.cause);
INSERT INTO tally SELECT job_id, 'queued', cause, tasks, bytes FROM tally WHERE state = 'running' ON CONFLICT DO NOTHING;
DELETE FROM tally WHERE state = 'running';

DROP TRIGGER task_recounted;
CREATE TRIGGER task_recounted AFTER UPDATE OF state, cause, size_bytes ON task
WHEN replace(old.state, 'running', 'queued') <> replace(new.state, 'running', 'queued')
  OR old.cause IS NOT new.cause OR old.size_bytes <> new.size_bytes BEGIN
    UPDATE tally SET tasks = tasks - 1, bytes = bytes - old.size_bytes
    WHERE job_id = old.job_id AND state = replace(old.state, 'running', 'queued') AND cause = ifnull(old.cause, '');
    INSERT INTO tally VALUES (new.job_id, replace(new.state, 'running', 'queued'), ifnull(new.cause, ''), 1, new.size_bytes)
    ON CONFLICT DO UPDATE SET tasks = tasks + 1, bytes = bytes + excluded.bytes;
END;

CREATE VIEW standing (job_id, state, cause, tasks, bytes) AS
WITH running AS (
    SELECT job_id, ifnull(cause, '') AS cause, count(*) AS tasks, sum(size_bytes) AS bytes
    FROM task INDEXED BY task_held WHERE state = 'running' GROUP BY 1, 2
)
SELECT tally.job_id, state, tally.cause, tally.tasks - ifnull(running.tasks, 0), tally.bytes - ifnull(running.bytes, 0)
FROM tally LEFT JOIN running ON state = 'queued' AND running.job_id = tally.job_id AND running.cause = tally.cause
UNION ALL SELECT job_id, 'running', cause, tasks, bytes FROM running;
