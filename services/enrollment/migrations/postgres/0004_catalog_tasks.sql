-- What waits for somebody in the catalog, by the phase in which it is to be done: whom to remind before that closes.
CREATE TABLE catalog_task (
    resource TEXT COLLATE "C" NOT NULL,
    phase BIGINT NOT NULL,
    term TEXT COLLATE "C" NOT NULL,
    role BIGINT NOT NULL,
    organization TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (resource, phase)
);
CREATE INDEX catalog_task_term ON catalog_task (term, phase);
