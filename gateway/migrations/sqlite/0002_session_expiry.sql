-- Expired sessions are purged by it.
CREATE INDEX session_expiry ON session (expires_at);
