-- The whole schema, as the migrations leave it: a new queue is made of this. Not written by hand, but by the test that
-- holds it against them: WRITE_SCHEMA=1 cargo test --lib a_new_queue

CREATE TABLE job (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    endpoint      TEXT    NOT NULL,
    options       TEXT    NOT NULL CHECK (json_valid(options)),
    root          BLOB    NOT NULL,
    output        BLOB    NOT NULL,
    ordering      TEXT    NOT NULL CHECK (ordering IN ('longest', 'shortest', 'oldest', 'newest', 'path')),
    -- Written lines have been overtaken by deliberate re-processing: the files are to be rendered anew.
    outputs_stale INTEGER NOT NULL DEFAULT 0 CHECK (outputs_stale IN (0, 1)),
    created_at    INTEGER NOT NULL
, fields TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(fields)), options_key TEXT NOT NULL DEFAULT '', options_changes INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TABLE worker (
    id         TEXT    PRIMARY KEY,
    host       TEXT    NOT NULL,
    pid        INTEGER NOT NULL,
    version    TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    beat_at    INTEGER NOT NULL,
    ended_at   INTEGER,
    exit_code  INTEGER,
    CHECK ((ended_at IS NULL) = (exit_code IS NULL))
) STRICT;

CREATE TABLE task (
    id               INTEGER PRIMARY KEY,
    job_id           INTEGER NOT NULL REFERENCES job (id),
    endpoint         TEXT    NOT NULL,
    path             BLOB    NOT NULL CHECK (length(path) > 0),
    size_bytes       INTEGER NOT NULL CHECK (size_bytes >= 0),
    modified_ns      INTEGER NOT NULL,
    format           TEXT,
    rank             INTEGER NOT NULL,               -- lower goes first
    state            TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    hold             TEXT    CHECK (hold IN ('backoff', 'throttle', 'settle')),
    run_at           INTEGER NOT NULL,
    fence            INTEGER NOT NULL DEFAULT 0 CHECK (fence >= 0),
    attempts         INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    throttles        INTEGER NOT NULL DEFAULT 0,
    lease_losses     INTEGER NOT NULL DEFAULT 0,
    retry_cause      TEXT,                           -- what the last counted attempts ended in,
    retry_repeats    INTEGER NOT NULL DEFAULT 0,     -- and how many in a row
    first_failed_at  INTEGER,
    owner            TEXT    REFERENCES worker (id),
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    cause            TEXT,
    http_status      INTEGER,
    message          TEXT,
    billed           TEXT    CHECK (billed IN ('yes', 'no', 'unknown')),
    created_at       INTEGER NOT NULL,
    changed_at       INTEGER NOT NULL,
    finished_at      INTEGER, duration_ms INTEGER CHECK (duration_ms > 0), duration_method TEXT
    CHECK (duration_method IN ('header', 'packets', 'estimated') AND duration_ms IS NOT NULL OR duration_ms IS NULL), metadata TEXT CHECK (metadata IS NULL OR json_valid(metadata)), options TEXT CHECK (options IS NULL OR json_valid(options)), identity TEXT, reuse_after INTEGER NOT NULL DEFAULT 0, resent INTEGER NOT NULL DEFAULT 0 CHECK (resent BETWEEN 0 AND 3), head INTEGER,
    UNIQUE (job_id, path),
    CHECK ((state = 'running') = (owner IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK (hold IS NULL OR state = 'queued'),
    CHECK (cancel_requested = 0 OR state = 'running'),
    CHECK (state <> 'failed' OR cause IS NOT NULL)
) STRICT;

CREATE INDEX task_ready ON task (endpoint, job_id, rank, id) WHERE state = 'queued' AND hold IS NULL;

CREATE INDEX task_due ON task (endpoint, job_id, run_at) WHERE state = 'queued' AND hold IS NOT NULL;

CREATE INDEX task_held ON task (owner) WHERE state = 'running';

CREATE TABLE attempt (
    task_id        INTEGER NOT NULL REFERENCES task (id),
    fence          INTEGER NOT NULL,
    worker         TEXT    NOT NULL,
    started_at     INTEGER NOT NULL,
    ended_at       INTEGER,
    outcome        TEXT CHECK (outcome IN ('succeeded', 'retried', 'snoozed', 'failed', 'released', 'cancelled', 'lost', 'fenced')),
    cause          TEXT,
    http_status    INTEGER,
    request_id     TEXT,
    retry_after_ms INTEGER,
    bytes_sent     INTEGER NOT NULL DEFAULT 0,
    billed         TEXT CHECK (billed IN ('yes', 'no', 'unknown')),
    message        TEXT,
    PRIMARY KEY (task_id, fence),
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE limiter (
    name         TEXT    PRIMARY KEY,
    ceiling      INTEGER NOT NULL CHECK (ceiling >= 1),
    effective    INTEGER NOT NULL CHECK (effective BETWEEN 1 AND ceiling),
    paused_until INTEGER
, longest_ms INTEGER CHECK (longest_ms > 0), longest_under_ms INTEGER) STRICT, WITHOUT ROWID;

CREATE TABLE slot (
    limiter     TEXT    NOT NULL REFERENCES limiter (name),
    no          INTEGER NOT NULL CHECK (no >= 1),
    task_id     INTEGER UNIQUE REFERENCES task (id),
    fence       INTEGER,
    owner       TEXT    REFERENCES worker (id),
    reserved_ms INTEGER NOT NULL DEFAULT 0,
    lone        INTEGER NOT NULL DEFAULT 0 CHECK (lone IN (0, 1)), reserved_cost INTEGER NOT NULL DEFAULT 0, -- nothing else may start beside it
    PRIMARY KEY (limiter, no),
    CHECK ((task_id IS NULL) = (owner IS NULL) AND (task_id IS NULL) = (fence IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE halt (
    id        INTEGER PRIMARY KEY,
    scope     TEXT    NOT NULL,
    reason    TEXT    NOT NULL CHECK (reason IN ('monthly_hours', 'budget', 'credits', 'key_refused', 'model_not_enabled', 'config_refused', 'paused')),
    evidence  TEXT    NOT NULL,
    raised_at INTEGER NOT NULL,
    raised_by TEXT    NOT NULL,
    until     INTEGER,
    probed_at INTEGER,
    lifted_at INTEGER,
    lifted_by TEXT,
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL))
) STRICT;

CREATE UNIQUE INDEX halt_open ON halt (scope, reason) WHERE lifted_at IS NULL;

CREATE TABLE result (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id      INTEGER NOT NULL UNIQUE REFERENCES task (id),
    job_id       INTEGER NOT NULL REFERENCES job (id),
    attempts     INTEGER NOT NULL,
    http_status  INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    blake3       TEXT    NOT NULL,
    format       TEXT    NOT NULL,
    mime         TEXT    NOT NULL,
    duration_ms  INTEGER,
    billed_ms    INTEGER NOT NULL,
    audio_path   BLOB,
    audio_bytes  INTEGER,
    audio_sha256 TEXT,
    started_at   INTEGER NOT NULL,
    finished_at  INTEGER NOT NULL,
    response     TEXT    NOT NULL CHECK (json_valid(response)), purged_at INTEGER CHECK (purged_at IS NULL OR response = 'null'), audio_purged_at INTEGER CHECK (audio_purged_at IS NULL OR audio_path IS NOT NULL), measured_ms INTEGER CHECK (measured_ms > 0), duration_method TEXT
    CHECK (duration_method IN ('header', 'packets', 'estimated') AND measured_ms IS NOT NULL OR measured_ms IS NULL), reused_from INTEGER, options_key TEXT, options TEXT, suspect TEXT CHECK (suspect IS NULL OR json_valid(suspect)),
    CHECK ((audio_path IS NULL) = (audio_bytes IS NULL) AND (audio_path IS NULL) = (audio_sha256 IS NULL))
) STRICT;

CREATE INDEX result_of_job ON result (job_id, seq);

CREATE TABLE ledger (
    endpoint  TEXT    NOT NULL,
    month     TEXT    NOT NULL,
    billed_ms INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    unknown   INTEGER NOT NULL DEFAULT 0, measured_ms INTEGER NOT NULL DEFAULT 0, unknown_ms INTEGER NOT NULL DEFAULT 0, cost INTEGER NOT NULL DEFAULT 0, unknown_cost INTEGER NOT NULL DEFAULT 0,             -- attempts that may have been billed without a result
    PRIMARY KEY (endpoint, month)
) STRICT, WITHOUT ROWID;

CREATE TABLE output (
    job_id   INTEGER NOT NULL REFERENCES job (id),
    name     TEXT    NOT NULL,
    bytes    INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    records  INTEGER NOT NULL,
    sha256   TEXT    NOT NULL,
    PRIMARY KEY (job_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE tally (
    job_id INTEGER NOT NULL,
    state  TEXT    NOT NULL,
    cause  TEXT    NOT NULL,
    tasks  INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (job_id, state, cause)
) STRICT, WITHOUT ROWID;

CREATE INDEX result_without_audio ON result (job_id, seq) WHERE audio_purged_at IS NOT NULL;

CREATE TABLE purge (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    begun_at INTEGER NOT NULL,
    answers  INTEGER NOT NULL CHECK (answers >= 0),
    audio    INTEGER NOT NULL CHECK (audio >= 0),
    ended_at INTEGER,
    CHECK (answers + audio > 0)
) STRICT;

CREATE INDEX purge_open ON purge (id) WHERE ended_at IS NULL;

CREATE INDEX task_state ON task (job_id, state);

CREATE INDEX task_cause ON task (job_id, cause) WHERE cause IS NOT NULL;

CREATE INDEX task_changed ON task (changed_at);

CREATE TABLE deck (
    task_id       INTEGER PRIMARY KEY REFERENCES task (id),
    fence         INTEGER NOT NULL,
    limiter       TEXT    NOT NULL REFERENCES limiter (name),
    owner         TEXT    NOT NULL REFERENCES worker (id),
    reserved_ms   INTEGER NOT NULL,
    reserved_cost INTEGER NOT NULL
) STRICT;

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

CREATE TABLE remote_job (
    task_id     INTEGER PRIMARY KEY REFERENCES task (id),
    job_id      TEXT    NOT NULL CHECK (length(job_id) > 0),
    blake3      TEXT    NOT NULL,                    -- of what was sent
    bytes       INTEGER NOT NULL CHECK (bytes >= 0),
    accepted_at INTEGER NOT NULL
) STRICT;

CREATE INDEX task_unmeasured ON task (job_id, id) WHERE duration_ms IS NULL AND state = 'queued';

CREATE TABLE budget (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    begun_at   INTEGER NOT NULL,
    base_ms    INTEGER NOT NULL,
    base_cost  INTEGER NOT NULL,
    limit_ms   INTEGER CHECK (limit_ms > 0),           -- as it was last named
    limit_cost INTEGER CHECK (limit_cost > 0),
    ended_at   INTEGER
) STRICT;

CREATE UNIQUE INDEX budget_open ON budget ((1)) WHERE ended_at IS NULL;

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

CREATE INDEX piece_identity ON piece (identity);

CREATE TRIGGER piece_joined AFTER UPDATE OF state ON task
WHEN new.state = 'succeeded' AND old.state <> 'succeeded' BEGIN
    DELETE FROM piece WHERE task_id = new.id;
END;

CREATE INDEX result_suspect ON result (job_id, seq) WHERE suspect IS NOT NULL;

CREATE TRIGGER task_stands_again AFTER UPDATE OF state ON task
WHEN new.state = 'succeeded' AND old.state <> 'succeeded' AND NOT (old.resent = 1 AND new.resent = 2)
 AND EXISTS (SELECT 1 FROM result WHERE task_id = new.id) BEGIN
    UPDATE job SET outputs_stale = 1 WHERE id = new.job_id;
END;

CREATE TRIGGER task_resent_in_vain AFTER UPDATE OF state ON task
WHEN new.state IN ('succeeded', 'failed', 'cancelled') AND new.resent = 1 BEGIN
    UPDATE task SET resent = 3 WHERE id = new.id;
END;

CREATE INDEX task_identity ON task (substr(identity, 1, 12)) WHERE identity IS NOT NULL;

CREATE INDEX task_large ON task (endpoint, size_bytes, head) WHERE size_bytes > 131072;
