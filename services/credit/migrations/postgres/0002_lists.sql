-- A teacher may teach several stages and subjects: JSON lists, as a project's are.
ALTER TABLE teacher RENAME COLUMN stage TO stages;
ALTER TABLE teacher RENAME COLUMN subject TO subjects;
UPDATE teacher SET stages = CASE WHEN stages = '' THEN '[]' ELSE '["' || stages || '"]' END,
    subjects = CASE WHEN subjects = '' THEN '[]' ELSE '["' || subjects || '"]' END;
