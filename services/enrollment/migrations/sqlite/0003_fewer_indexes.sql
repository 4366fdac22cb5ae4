-- A selection's name begins with its term's: the primary key has that order, and each submission paid for a second one.
DROP INDEX selection_term;
