-- Where the last page of the step left off, as its service told it: the next page goes on from there.
ALTER TABLE step ADD COLUMN cursor TEXT NOT NULL DEFAULT '';
