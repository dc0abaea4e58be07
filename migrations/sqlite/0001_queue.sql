-- The queue. Times are milliseconds since 1970 (UTC), paths raw bytes relative to their job's root.
-- What must always be true stands in CHECK constraints, so that no program can write anything else.

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
) STRICT;

-- A process that works, or worked, on the queue. It lives while it holds the lock on its file in workers/.
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
    finished_at      INTEGER,
    UNIQUE (job_id, path),
    CHECK ((state = 'running') = (owner IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK (hold IS NULL OR state = 'queued'),
    CHECK (cancel_requested = 0 OR state = 'running'),
    CHECK (state <> 'failed' OR cause IS NOT NULL)
) STRICT;

-- What could start now, in the order in which it should; what waits, by when it is due; who holds what.
CREATE INDEX task_ready ON task (endpoint, job_id, rank, id) WHERE state = 'queued' AND hold IS NULL;
CREATE INDEX task_due ON task (endpoint, job_id, run_at) WHERE state = 'queued' AND hold IS NOT NULL;
CREATE INDEX task_held ON task (owner) WHERE state = 'running';
CREATE INDEX task_failed ON task (job_id, id) WHERE state = 'failed';

-- One row a claim. Open while the task runs.
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

-- The organisation's limit for one model. effective is what the adaptive pace allows at present.
CREATE TABLE limiter (
    name         TEXT    PRIMARY KEY,
    ceiling      INTEGER NOT NULL CHECK (ceiling >= 1),
    effective    INTEGER NOT NULL CHECK (effective BETWEEN 1 AND ceiling),
    paused_until INTEGER
) STRICT, WITHOUT ROWID;

-- Slots are rows: exact by construction, also between processes. reserved_ms is audio about to be billed.
CREATE TABLE slot (
    limiter     TEXT    NOT NULL REFERENCES limiter (name),
    no          INTEGER NOT NULL CHECK (no >= 1),
    task_id     INTEGER UNIQUE REFERENCES task (id),
    fence       INTEGER,
    owner       TEXT    REFERENCES worker (id),
    reserved_ms INTEGER NOT NULL DEFAULT 0,
    lone        INTEGER NOT NULL DEFAULT 0 CHECK (lone IN (0, 1)), -- nothing else may start beside it
    PRIMARY KEY (limiter, no),
    CHECK ((task_id IS NULL) = (owner IS NULL) AND (task_id IS NULL) = (fence IS NULL))
) STRICT, WITHOUT ROWID;

-- A stored stop of one endpoint, or of 'all'. At most one is open for the same reason.
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

-- What the API answered, kept whole. seq is the commit order.
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
    response     TEXT    NOT NULL CHECK (json_valid(response)),
    CHECK ((audio_path IS NULL) = (audio_bytes IS NULL) AND (audio_path IS NULL) = (audio_sha256 IS NULL))
) STRICT;
CREATE INDEX result_of_job ON result (job_id, seq);

-- Billed audio by endpoint and calendar month: the API has no usage call.
CREATE TABLE ledger (
    endpoint  TEXT    NOT NULL,
    month     TEXT    NOT NULL,
    billed_ms INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    unknown   INTEGER NOT NULL DEFAULT 0,             -- attempts that may have been billed without a result
    PRIMARY KEY (endpoint, month)
) STRICT, WITHOUT ROWID;

-- What a file made from results holds for certain; anything behind `bytes` is torn.
CREATE TABLE output (
    job_id   INTEGER NOT NULL REFERENCES job (id),
    name     TEXT    NOT NULL,
    bytes    INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    records  INTEGER NOT NULL,
    sha256   TEXT    NOT NULL,
    PRIMARY KEY (job_id, name)
) STRICT, WITHOUT ROWID;

-- Counts by job, state and cause, kept by triggers: a status must not read ten million rows.
CREATE TABLE tally (
    job_id INTEGER NOT NULL,
    state  TEXT    NOT NULL,
    cause  TEXT    NOT NULL,
    tasks  INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (job_id, state, cause)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER task_counted AFTER INSERT ON task BEGIN
    INSERT INTO tally VALUES (new.job_id, new.state, ifnull(new.cause, ''), 1, new.size_bytes)
    ON CONFLICT DO UPDATE SET tasks = tasks + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER task_recounted AFTER UPDATE OF state, cause, size_bytes ON task
WHEN old.state <> new.state OR old.cause IS NOT new.cause OR old.size_bytes <> new.size_bytes BEGIN
    UPDATE tally SET tasks = tasks - 1, bytes = bytes - old.size_bytes
    WHERE job_id = old.job_id AND state = old.state AND cause = ifnull(old.cause, '');
    INSERT INTO tally VALUES (new.job_id, new.state, ifnull(new.cause, ''), 1, new.size_bytes)
    ON CONFLICT DO UPDATE SET tasks = tasks + 1, bytes = bytes + excluded.bytes;
END;
