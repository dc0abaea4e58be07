-- A recording that was to be processed again and is not, after all, stands with the result it had. Files that were
-- rendered meanwhile lack it.
CREATE TRIGGER task_stands_again AFTER UPDATE OF state ON task
WHEN new.state = 'succeeded' AND old.state <> 'succeeded'
 AND EXISTS (SELECT 1 FROM result WHERE task_id = new.id) BEGIN
    UPDATE job SET outputs_stale = 1 WHERE id = new.job_id;
END;
