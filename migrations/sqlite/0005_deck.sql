-- Claimed ahead: held by a worker like any running task, and waiting for one of its worker's own slots to be handed over.
-- A slot changes hands with the settlement that frees it, so it is never seen free in between.

CREATE TABLE deck (
    task_id       INTEGER PRIMARY KEY REFERENCES task (id),
    fence         INTEGER NOT NULL,
    limiter       TEXT    NOT NULL REFERENCES limiter (name),
    owner         TEXT    NOT NULL REFERENCES worker (id),
    reserved_ms   INTEGER NOT NULL,
    reserved_cost INTEGER NOT NULL
) STRICT;
