-- Quick at ten million recordings: pages of any state, cause or time are found by an index, and a scan's batch adds
-- to the tally once, with the statement that adds the recordings.

DROP TRIGGER task_counted;

-- Of every job, by state and by the last trouble; in both, recordings of one kind lie in the order of their numbers.
CREATE INDEX task_state ON task (job_id, state);
CREATE INDEX task_cause ON task (job_id, cause) WHERE cause IS NOT NULL;
CREATE INDEX task_changed ON task (changed_at);

-- The first of these does its work.
DROP INDEX task_failed;
