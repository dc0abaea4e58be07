-- Answers and redacted audio that were deleted by hand after a time. A tombstone stays of each: everything that can be
-- counted, and nothing that was said.

ALTER TABLE result ADD COLUMN purged_at INTEGER CHECK (purged_at IS NULL OR response = 'null');
ALTER TABLE result ADD COLUMN audio_purged_at INTEGER CHECK (audio_purged_at IS NULL OR audio_path IS NOT NULL);

-- Files that must not be there any more.
CREATE INDEX result_without_audio ON result (job_id, seq) WHERE audio_purged_at IS NOT NULL;

-- Each deletion by hand. Until it is ended, what it took may still lie in a file, or in space that SQLite has let go of.
CREATE TABLE purge (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    begun_at INTEGER NOT NULL,
    answers  INTEGER NOT NULL CHECK (answers >= 0),
    audio    INTEGER NOT NULL CHECK (audio >= 0),
    ended_at INTEGER,
    CHECK (answers + audio > 0)
) STRICT;
CREATE INDEX purge_open ON purge (id) WHERE ended_at IS NULL;
