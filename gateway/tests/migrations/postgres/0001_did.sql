-- What a fake service did, and how often in effect.
CREATE TABLE did (what TEXT COLLATE "C" NOT NULL PRIMARY KEY, times BIGINT NOT NULL);
