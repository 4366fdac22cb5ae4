-- SHA-256 of what all refresh tokens of a session begin with: whoever has one that is not the good one had it once. '': of a session that
-- was opened before this was noted.
ALTER TABLE session ADD COLUMN family TEXT NOT NULL DEFAULT '';
CREATE INDEX session_family ON session (family);
-- That somebody used an old refresh token, until the account's owner is told at his next login.
CREATE TABLE token_reuse (
    account TEXT NOT NULL PRIMARY KEY,
    -- The last time, in seconds by the wall clock.
    at INTEGER NOT NULL,
    times INTEGER NOT NULL
) STRICT;
