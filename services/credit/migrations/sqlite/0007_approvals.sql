-- The last day of a project's last class, '' where it is not known.
ALTER TABLE project ADD COLUMN ends_on TEXT NOT NULL DEFAULT '';

-- Selections that a school has approved and that are not credited yet: what forecasts the share that matches.
CREATE TABLE approval (
    selection TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    school TEXT NOT NULL,
    matched INTEGER NOT NULL
) STRICT;
CREATE INDEX approval_school ON approval (school);
