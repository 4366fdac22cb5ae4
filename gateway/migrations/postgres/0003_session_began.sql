-- When somebody logged in, in seconds by the wall clock; 0: before that was noted.
ALTER TABLE session ADD COLUMN began_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX session_account ON session (account, id);
