-- A teacher may teach several stages and subjects: codes separated by ';', the main one first. One code is such a list.
ALTER TABLE teacher RENAME COLUMN stage TO stages;
ALTER TABLE teacher RENAME COLUMN subject TO subjects;
UPDATE teacher SET pending = replace(replace(pending, '"stage":', '"stages":'), '"subject":', '"subjects":')
WHERE pending <> '{}';
