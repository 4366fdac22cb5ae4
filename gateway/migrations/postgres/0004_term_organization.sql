-- The bureau that runs a term; '' of those from before it was kept: any bureau's officers.
ALTER TABLE term ADD COLUMN organization TEXT COLLATE "C" NOT NULL DEFAULT '';
