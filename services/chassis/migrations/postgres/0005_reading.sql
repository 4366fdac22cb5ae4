-- Who read data of other persons. About whom or what: fields of the request that are names of resources, e.g. "teacher=teachers/1".
CREATE TABLE reading (
    line BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    -- Under which roles, each with its scope.
    roles TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    about TEXT COLLATE "C" NOT NULL
);
CREATE INDEX reading_at ON reading (at);
