-- Which officer may read all that is held of a teacher, on the teacher's behalf, and until when. The roster gives it; why, it alone
-- knows.
CREATE TABLE export_permit (
    name TEXT NOT NULL PRIMARY KEY,
    teacher TEXT NOT NULL,
    -- The teacher's; '' for none.
    account TEXT NOT NULL,
    officer TEXT NOT NULL,
    reason TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX export_permit_officer ON export_permit (officer, teacher);
CREATE INDEX export_permit_teacher ON export_permit (teacher);
