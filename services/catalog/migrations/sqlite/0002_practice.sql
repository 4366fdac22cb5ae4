-- Hours of practice among all hours.
ALTER TABLE project ADD COLUMN practice_hours INTEGER NOT NULL DEFAULT 0;
