-- What a fake service did, and how often in effect.
CREATE TABLE did (what TEXT NOT NULL PRIMARY KEY, times INTEGER NOT NULL) STRICT;
