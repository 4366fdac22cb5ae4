-- Which officer may read all that is held of a teacher, on the teacher's behalf, and until when. The roster gives it; why, it alone
-- knows.
CREATE TABLE export_permit (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    teacher TEXT COLLATE "C" NOT NULL,
    -- The teacher's; '' for none.
    account TEXT COLLATE "C" NOT NULL,
    officer TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    opened_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX export_permit_officer ON export_permit (officer, teacher);
CREATE INDEX export_permit_teacher ON export_permit (teacher);
