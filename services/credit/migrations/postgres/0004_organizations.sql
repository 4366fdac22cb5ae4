-- Whom a project is for by place too: a JSON list, empty for everybody.
ALTER TABLE project ADD COLUMN organizations TEXT COLLATE "C" NOT NULL DEFAULT '[]';
