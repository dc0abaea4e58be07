-- What is known before paying. First, how long a recording is by our own measure, and how that was found out; nothing in both:
-- nobody has measured it yet.

ALTER TABLE task ADD COLUMN duration_ms INTEGER CHECK (duration_ms > 0);
ALTER TABLE task ADD COLUMN duration_method TEXT
    CHECK (duration_method IN ('header', 'packets', 'estimated') AND duration_ms IS NOT NULL OR duration_ms IS NULL);

-- The same of what was sent, beside what the API said of it.
ALTER TABLE result ADD COLUMN measured_ms INTEGER CHECK (measured_ms > 0);
ALTER TABLE result ADD COLUMN duration_method TEXT
    CHECK (duration_method IN ('header', 'packets', 'estimated') AND measured_ms IS NOT NULL OR measured_ms IS NULL);

-- What is still to be measured.
CREATE INDEX task_unmeasured ON task (job_id, id) WHERE duration_ms IS NULL AND state = 'queued';

-- Beside what was billed: the same audio by our own measure, what tries without a result may have been billed for, and both
-- in millionths of a US dollar by the prices of the day.
ALTER TABLE ledger ADD COLUMN measured_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN unknown_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN unknown_cost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE slot ADD COLUMN reserved_cost INTEGER NOT NULL DEFAULT 0;

-- What may be spent from a moment on, across runs and processes: the ledger's sums at that moment are its zero. One at a time.
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
