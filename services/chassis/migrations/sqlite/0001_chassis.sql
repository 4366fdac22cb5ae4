-- What every service's database has: fence, requests, change feed, mirrors' cursors, the rehearsal's clock.

CREATE TABLE fence (
    term TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    gate_version INTEGER NOT NULL,
    policy_version INTEGER NOT NULL,
    gates BLOB NOT NULL,
    settled TEXT NOT NULL
) STRICT;

CREATE TABLE request (
    caller TEXT NOT NULL,
    method TEXT NOT NULL,
    request_id TEXT NOT NULL,
    organization TEXT NOT NULL,
    body_digest TEXT NOT NULL,
    reply BLOB,
    term TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (caller, method, request_id)
) STRICT;

CREATE TABLE feed (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    position INTEGER NOT NULL,
    chain BLOB NOT NULL
) STRICT;
INSERT INTO feed (id, position, chain) VALUES (1, 0, zeroblob(32));

CREATE TABLE change_batch (
    position INTEGER NOT NULL PRIMARY KEY,
    batch TEXT NOT NULL UNIQUE,
    count INTEGER NOT NULL,
    digest BLOB NOT NULL,
    chain BLOB NOT NULL
) STRICT;

CREATE TABLE change (
    batch TEXT NOT NULL,
    idx INTEGER NOT NULL,
    resource TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (batch, idx)
) STRICT;
CREATE INDEX change_resource ON change (resource);

CREATE TABLE mirror_cursor (
    source TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    digest BLOB NOT NULL,
    chain BLOB NOT NULL
) STRICT;

CREATE TABLE rehearsal_clock (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL,
    running INTEGER NOT NULL,
    -- The wall clock when it was set.
    since INTEGER NOT NULL
) STRICT;
