-- What a recording comes with beside its sound, what its content is, and what is odd about its answer.

-- Fields for its outputs, and options of its own over the job's: JSON objects, or nothing.
ALTER TABLE task ADD COLUMN metadata TEXT CHECK (metadata IS NULL OR json_valid(metadata));
ALTER TABLE task ADD COLUMN options TEXT CHECK (options IS NULL OR json_valid(options));
-- The names under which metadata of the job has come, in that order: columns of its tables.
ALTER TABLE job ADD COLUMN fields TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(fields));

-- Hash of content, endpoint and options, of what runs and of what has an answer that serves for others as well.
ALTER TABLE task ADD COLUMN identity TEXT;
-- Answers from before this moment are not taken for it: it was to be sent again.
ALTER TABLE task ADD COLUMN reuse_after INTEGER NOT NULL DEFAULT 0;
CREATE INDEX task_identity ON task (identity) WHERE identity IS NOT NULL;
-- Large recordings of the same size: only these are hashed before they are sent.
CREATE INDEX task_large ON task (endpoint, size_bytes) WHERE size_bytes > 131072;

-- Whose answer it is, if it was not sent itself.
ALTER TABLE result ADD COLUMN reused_from INTEGER;
-- The options it was made with: a hash of the job's, and those of its own.
ALTER TABLE result ADD COLUMN options_key TEXT;
ALTER TABLE result ADD COLUMN options TEXT;
ALTER TABLE job ADD COLUMN options_key TEXT NOT NULL DEFAULT '';
-- How often they changed: while they never did, nothing can be stale.
ALTER TABLE job ADD COLUMN options_changes INTEGER NOT NULL DEFAULT 0;

-- What is odd about the answer, with its evidence: a JSON array, or nothing.
ALTER TABLE result ADD COLUMN suspect TEXT CHECK (suspect IS NULL OR json_valid(suspect));
CREATE INDEX result_suspect ON result (job_id, seq) WHERE suspect IS NOT NULL;

-- An answer that is empty although its recording is loud is kept, and the recording sent once more, decoded.
-- 0 never, 1 being sent again, 2 just answered again, 3 long ago.
ALTER TABLE task ADD COLUMN resent INTEGER NOT NULL DEFAULT 0 CHECK (resent BETWEEN 0 AND 3);

-- The first answer never stood, so no file has it when the second one takes its place.
DROP TRIGGER task_stands_again;
CREATE TRIGGER task_stands_again AFTER UPDATE OF state ON task
WHEN new.state = 'succeeded' AND old.state <> 'succeeded' AND NOT (old.resent = 1 AND new.resent = 2)
 AND EXISTS (SELECT 1 FROM result WHERE task_id = new.id) BEGIN
    UPDATE job SET outputs_stale = 1 WHERE id = new.job_id;
END;
CREATE TRIGGER task_resent_in_vain AFTER UPDATE OF state ON task
WHEN new.state IN ('succeeded', 'failed', 'cancelled') AND new.resent = 1 BEGIN
    UPDATE task SET resent = 3 WHERE id = new.id;
END;
