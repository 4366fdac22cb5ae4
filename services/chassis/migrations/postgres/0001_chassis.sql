-- What every service's database has: fence, requests, change feed, mirrors' cursors, the rehearsal's clock.

CREATE TABLE fence (
    term TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    gate_version BIGINT NOT NULL,
    policy_version BIGINT NOT NULL,
    gates BYTEA NOT NULL,
    settled TEXT COLLATE "C" NOT NULL
);

CREATE TABLE request (
    caller TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    organization TEXT COLLATE "C" NOT NULL,
    body_digest TEXT COLLATE "C" NOT NULL,
    reply BYTEA,
    term TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (caller, method, request_id)
);

CREATE TABLE feed (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    position BIGINT NOT NULL,
    chain BYTEA NOT NULL
);
INSERT INTO feed (id, position, chain) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

CREATE TABLE change_batch (
    position BIGINT NOT NULL PRIMARY KEY,
    batch TEXT COLLATE "C" NOT NULL UNIQUE,
    count BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    chain BYTEA NOT NULL
);

CREATE TABLE change (
    batch TEXT COLLATE "C" NOT NULL,
    idx BIGINT NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (batch, idx)
);
CREATE INDEX change_resource ON change (resource);

CREATE TABLE mirror_cursor (
    source TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    finished BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    chain BYTEA NOT NULL
);

CREATE TABLE rehearsal_clock (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    at BIGINT NOT NULL,
    running BIGINT NOT NULL,
    -- The wall clock when it was set.
    since BIGINT NOT NULL
);

-- One SQL text for both engines: what SQLite calls json_each and unhex, under the same names.
-- ROWS 1: most calls ask for a few keys, and the planner is to take the index for them rather than read whole tables.
CREATE FUNCTION json_each(document TEXT) RETURNS TABLE (value JSON) LANGUAGE sql IMMUTABLE STRICT ROWS 1
    AS $$ SELECT json_array_elements(document::json) $$;
CREATE FUNCTION unhex(digits TEXT) RETURNS BYTEA LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT decode(digits, 'hex') $$;
