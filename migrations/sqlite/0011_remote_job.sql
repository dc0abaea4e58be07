-- A job that a service has accepted for a task and works on by itself. It is there from the moment in which the service
-- said so until its end is known: whoever holds the task asks for it, and sends nothing.

CREATE TABLE remote_job (
    task_id     INTEGER PRIMARY KEY REFERENCES task (id),
    job_id      TEXT    NOT NULL CHECK (length(job_id) > 0),
    blake3      TEXT    NOT NULL,                    -- of what was sent
    bytes       INTEGER NOT NULL CHECK (bytes >= 0),
    accepted_at INTEGER NOT NULL
) STRICT;
