-- First appointment as a principal, '' for none.
ALTER TABLE teacher ADD COLUMN principal_appointed_on TEXT COLLATE "C" NOT NULL DEFAULT '';
