-- The last day of a project's last class, '' where it is not known.
ALTER TABLE project ADD COLUMN ends_on TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Selections that a school has approved and that are not credited yet: what forecasts the share that matches.
CREATE TABLE approval (
    selection TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    school TEXT COLLATE "C" NOT NULL,
    matched BIGINT NOT NULL
);
CREATE INDEX approval_school ON approval (school);
