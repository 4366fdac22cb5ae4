-- The person was erased: nobody writes about him any more.
ALTER TABLE teacher ADD COLUMN erased BIGINT NOT NULL DEFAULT 0;
