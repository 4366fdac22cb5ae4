-- The first instant of a batch's changes, if all are of the same minute. 0: of several, or written by a release that did not say.
ALTER TABLE change_batch ADD COLUMN at BIGINT NOT NULL DEFAULT 0;
-- Who changed what in a period is found by it: one entry for each transaction.
CREATE INDEX change_batch_at ON change_batch (at, position);
