-- What of an entry was earned by practice, and a project's hours that say so.
ALTER TABLE entry ADD COLUMN practice INTEGER NOT NULL DEFAULT 0;
ALTER TABLE project ADD COLUMN total_hours INTEGER NOT NULL DEFAULT 0;
ALTER TABLE project ADD COLUMN practice_hours INTEGER NOT NULL DEFAULT 0;
