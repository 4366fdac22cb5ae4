-- Who is on leave is a matter of the day, not of the roster's last word: [[first day, last day or ""], …].
ALTER TABLE teacher ADD COLUMN away TEXT NOT NULL DEFAULT '[]';
