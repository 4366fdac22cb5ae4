-- Terms, calendars, steps and sessions.

CREATE TABLE term (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    display_name TEXT COLLATE "C" NOT NULL,
    zone TEXT COLLATE "C" NOT NULL,
    calendar_version BIGINT NOT NULL,
    policy_version BIGINT NOT NULL,
    -- Rises with the calendar, and with preconditions that are added between.
    gate_version BIGINT NOT NULL
);

CREATE TABLE calendar (
    term TEXT COLLATE "C" NOT NULL REFERENCES term (name),
    version BIGINT NOT NULL,
    document TEXT COLLATE "C" NOT NULL,
    -- Encoded shixun.common.v1.Gates: the windows as they were put.
    gates BYTEA NOT NULL,
    policy_version BIGINT NOT NULL,
    policy TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    put_by TEXT COLLATE "C" NOT NULL,
    put_at BIGINT NOT NULL,
    PRIMARY KEY (term, version)
);

CREATE TABLE step (
    -- "terms/…/steps/…"
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    term TEXT COLLATE "C" NOT NULL REFERENCES term (name),
    -- Place in the plan among steps that are due at the same instant.
    ordinal BIGINT NOT NULL,
    title TEXT COLLATE "C" NOT NULL,
    due BIGINT NOT NULL,
    -- What to do (JSON), read by the sequencer.
    task TEXT COLLATE "C" NOT NULL,
    -- Names of the steps that it waits for (JSON).
    after TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    -- Pages of it that are done.
    page BIGINT NOT NULL,
    -- Counts summed over pages (JSON), and positions that barriers wait for.
    outcome TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    error TEXT COLLATE "C" NOT NULL,
    skip_reason TEXT COLLATE "C" NOT NULL,
    -- Which process carries it out, and until when that is believed (wall clock, seconds).
    owner TEXT COLLATE "C" NOT NULL,
    leased_until BIGINT NOT NULL,
    retry_at BIGINT NOT NULL,
    done_at BIGINT
);
CREATE INDEX step_due ON step (term, due, ordinal);
CREATE INDEX step_state ON step (state, due);

CREATE TABLE session (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the refresh token that is good for one refresh.
    token_digest TEXT COLLATE "C" NOT NULL UNIQUE,
    expires_at BIGINT NOT NULL,
    ended BIGINT NOT NULL
);
