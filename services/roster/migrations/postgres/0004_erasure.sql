-- When the person was erased (删除): what is left are the id and coded facts, which change no more. 0: was not.
ALTER TABLE teacher ADD COLUMN erased_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN erased_at BIGINT NOT NULL DEFAULT 0;
