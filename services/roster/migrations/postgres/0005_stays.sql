-- Where a teacher was, and in what standing, from a day on: what has come to pass. '' means since before anything is known.
-- Who never moved has no row: he always was where he is.
CREATE TABLE teacher_stay (
    teacher TEXT COLLATE "C" NOT NULL REFERENCES teacher (name),
    from_on TEXT COLLATE "C" NOT NULL,
    school TEXT COLLATE "C" NOT NULL,
    standing TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (teacher, from_on)
);
-- Of who moved before this was kept, what is so since his last event is all that is known.
INSERT INTO teacher_stay (teacher, from_on, school, standing)
SELECT t.name, MAX(e.effective_on), t.school, t.standing FROM teacher t JOIN status_event e ON e.teacher = t.name
WHERE e.kind <> 'KIND_LEAVE' AND EXISTS (
    SELECT 1 FROM status_event m WHERE m.teacher = t.name
      AND m.kind IN ('KIND_TRANSFER', 'KIND_RETIREMENT', 'KIND_DEPARTURE', 'KIND_DEATH'))
GROUP BY t.name, t.school, t.standing;

-- Events of a day to come wait for it, or are withdrawn before it; when, and by whom, is noted with them.
ALTER TABLE status_event ADD COLUMN state TEXT COLLATE "C" NOT NULL DEFAULT 'STATE_DONE';
ALTER TABLE status_event ADD COLUMN settled_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE status_event ADD COLUMN settled_by TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX status_event_coming ON status_event (effective_on) WHERE state = 'STATE_COMING';
