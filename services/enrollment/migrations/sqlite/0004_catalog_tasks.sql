-- What waits for somebody in the catalog, by the phase in which it is to be done: whom to remind before that closes.
CREATE TABLE catalog_task (
    resource TEXT NOT NULL,
    phase INTEGER NOT NULL,
    term TEXT NOT NULL,
    role INTEGER NOT NULL,
    organization TEXT NOT NULL,
    PRIMARY KEY (resource, phase)
) STRICT;
CREATE INDEX catalog_task_term ON catalog_task (term, phase);
