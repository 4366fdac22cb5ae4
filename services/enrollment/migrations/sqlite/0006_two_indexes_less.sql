-- One index for two: a teacher holds at most one live selection of a project, and his selections are looked up by him. Each
-- submission paid for both.
DROP INDEX selection_live;
DROP INDEX selection_teacher;
CREATE UNIQUE INDEX selection_teacher ON selection (
    teacher, project,
    (CASE WHEN state IN ('submitted', 'school_approved', 'waitlisted', 'confirmed', 'attended') THEN '' ELSE name END)
);
-- Nobody reads the ledger by project but an audit, which reads all of it.
DROP INDEX seat_ledger_project;
