-- At its start the service looks whether it has the keys that identity numbers are sealed with: a few of these entries, not all teachers.
CREATE INDEX teacher_by_identity_key ON teacher (identity_key, name) WHERE identity_key <> '';
