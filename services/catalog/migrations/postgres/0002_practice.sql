-- Hours of practice among all hours.
ALTER TABLE project ADD COLUMN practice_hours BIGINT NOT NULL DEFAULT 0;
