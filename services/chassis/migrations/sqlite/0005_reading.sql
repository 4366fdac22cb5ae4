-- Who read data of other persons. About whom or what: fields of the request that are names of resources, e.g. "teacher=teachers/1".
CREATE TABLE reading (
    line INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    account TEXT NOT NULL,
    -- Under which roles, each with its scope.
    roles TEXT NOT NULL,
    method TEXT NOT NULL,
    about TEXT NOT NULL
) STRICT;
CREATE INDEX reading_at ON reading (at);
