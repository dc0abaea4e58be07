-- A recording that goes out in pieces: what was answered so far, in the order in which it was sent. The next one begins where
-- the last one ends; no plan is kept. With the last piece they become one result.

CREATE TABLE piece (
    task_id     INTEGER NOT NULL REFERENCES task (id),
    no          INTEGER NOT NULL CHECK (no >= 1),
    identity    TEXT    NOT NULL,                    -- of the recording: pieces of another content or other options are void
    rate        INTEGER NOT NULL CHECK (rate >= 1),  -- frames a second; all that follows is in frames
    channel     INTEGER NOT NULL CHECK (channel >= 0),
    heard_from  INTEGER NOT NULL CHECK (heard_from >= 0),
    heard_to    INTEGER NOT NULL CHECK (heard_to > heard_from),
    own_from    INTEGER NOT NULL CHECK (own_from >= heard_from),
    own_to      INTEGER NOT NULL CHECK (own_to BETWEEN own_from AND heard_to),
    is_last     INTEGER NOT NULL CHECK (is_last IN (0, 1)),  -- of its channel
    duration_ms INTEGER,                             -- by the API's word
    billed_ms   INTEGER NOT NULL,
    measured_ms INTEGER NOT NULL,
    cost        INTEGER NOT NULL,
    answered_at INTEGER NOT NULL,
    response    TEXT    NOT NULL CHECK (json_valid(response)),
    PRIMARY KEY (task_id, no)
) STRICT;
-- Whoever is the same goes on with them.
CREATE INDEX piece_identity ON piece (identity);

-- What stands has one result; a purge of that must not leave its pieces behind.
CREATE TRIGGER piece_joined AFTER UPDATE OF state ON task
WHEN new.state = 'succeeded' AND old.state <> 'succeeded' BEGIN
    DELETE FROM piece WHERE task_id = new.id;
END;

-- How much audio a request may hold, as the endpoint has shown it, and what the settings said then: once they say something
-- else it is forgotten.
ALTER TABLE limiter ADD COLUMN longest_ms INTEGER CHECK (longest_ms > 0);
ALTER TABLE limiter ADD COLUMN longest_under_ms INTEGER;
