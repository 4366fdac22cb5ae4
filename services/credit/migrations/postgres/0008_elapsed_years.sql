-- The elapsed years of cycles are added up without asking each teacher for his present year: in which years' means a year
-- counts is told by a bit for each, that of the year itself the lowest.
ALTER TABLE standing ADD COLUMN counts_in BIGINT NOT NULL DEFAULT 0;
UPDATE standing SET counts_in = COALESCE((
    SELECT CAST(SUM(CAST(1 AS BIGINT) << CAST(later.year - standing.year AS INTEGER)) AS BIGINT) FROM standing later
    WHERE later.teacher = standing.teacher AND later.member = 1
      AND later.year BETWEEN standing.year AND standing.year + 60 AND later.cycle_from_year <= standing.year), 0)
WHERE member = 1;
