-- Terms, calendars, steps and sessions.

CREATE TABLE term (
    name TEXT NOT NULL PRIMARY KEY,
    display_name TEXT NOT NULL,
    zone TEXT NOT NULL,
    calendar_version INTEGER NOT NULL,
    policy_version INTEGER NOT NULL,
    -- Rises with the calendar, and with preconditions that are added between.
    gate_version INTEGER NOT NULL
) STRICT;

CREATE TABLE calendar (
    term TEXT NOT NULL REFERENCES term (name),
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    -- Encoded shixun.common.v1.Gates: the windows as they were put.
    gates BLOB NOT NULL,
    policy_version INTEGER NOT NULL,
    policy TEXT NOT NULL,
    reason TEXT NOT NULL,
    put_by TEXT NOT NULL,
    put_at INTEGER NOT NULL,
    PRIMARY KEY (term, version)
) STRICT;

CREATE TABLE step (
    -- "terms/…/steps/…"
    name TEXT NOT NULL PRIMARY KEY,
    term TEXT NOT NULL REFERENCES term (name),
    -- Place in the plan among steps that are due at the same instant.
    ordinal INTEGER NOT NULL,
    title TEXT NOT NULL,
    due INTEGER NOT NULL,
    -- What to do (JSON), read by the sequencer.
    task TEXT NOT NULL,
    -- Names of the steps that it waits for (JSON).
    after TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    -- Pages of it that are done.
    page INTEGER NOT NULL,
    -- Counts summed over pages (JSON), and positions that barriers wait for.
    outcome TEXT NOT NULL,
    position INTEGER NOT NULL,
    error TEXT NOT NULL,
    skip_reason TEXT NOT NULL,
    -- Which process carries it out, and until when that is believed (wall clock, seconds).
    owner TEXT NOT NULL,
    leased_until INTEGER NOT NULL,
    retry_at INTEGER NOT NULL,
    done_at INTEGER
) STRICT;
CREATE INDEX step_due ON step (term, due, ordinal);
CREATE INDEX step_state ON step (state, due);

CREATE TABLE session (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    -- SHA-256 of the refresh token that is good for one refresh.
    token_digest TEXT NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL,
    ended INTEGER NOT NULL
) STRICT;
