-- The roster: organisations, teachers, their status events, accounts and roles.
-- Enumerations are stored by their proto names, days as 'YYYY-MM-DD' ('' for none), instants in microseconds.

CREATE TABLE organization (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    display_name TEXT COLLATE "C" NOT NULL,
    parent TEXT COLLATE "C" NOT NULL,
    -- ',KIND_SCHOOL,KIND_PROVIDER,'
    kinds TEXT COLLATE "C" NOT NULL,
    -- All ancestors and itself, root first, each followed by '>': what lies under it is a range of this column.
    path TEXT COLLATE "C" NOT NULL UNIQUE,
    school_identifier TEXT COLLATE "C" NOT NULL,
    school_type TEXT COLLATE "C" NOT NULL,
    contact_office TEXT COLLATE "C" NOT NULL,
    contact_phone TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX organization_school_identifier ON organization (school_identifier) WHERE school_identifier <> '';

CREATE TABLE teacher (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    display_name TEXT COLLATE "C" NOT NULL,
    sex TEXT COLLATE "C" NOT NULL,
    -- AES-256-GCM under the key of this id; the index is an HMAC, for uniqueness only.
    identity_key TEXT COLLATE "C" NOT NULL,
    identity_sealed BYTEA NOT NULL,
    identity_index TEXT COLLATE "C" NOT NULL UNIQUE,
    birth_year BIGINT NOT NULL,
    phone TEXT COLLATE "C" NOT NULL,
    school TEXT COLLATE "C" NOT NULL REFERENCES organization (name),
    teacher_number TEXT COLLATE "C" NOT NULL,
    employment TEXT COLLATE "C" NOT NULL,
    tier TEXT COLLATE "C" NOT NULL,
    category TEXT COLLATE "C" NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    title TEXT COLLATE "C" NOT NULL,
    education TEXT COLLATE "C" NOT NULL,
    post TEXT COLLATE "C" NOT NULL,
    employed_on TEXT COLLATE "C" NOT NULL,
    platform_entered_on TEXT COLLATE "C" NOT NULL,
    joined_on TEXT COLLATE "C" NOT NULL,
    -- In service, retired, departed or deceased; on leave is who has a leave on that day.
    standing TEXT COLLATE "C" NOT NULL,
    -- What the teacher corrected and the school has not confirmed: a JSON object of field and value.
    pending TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX teacher_of_school ON teacher (school, teacher_number) WHERE teacher_number <> '';
CREATE INDEX teacher_by_school ON teacher (school, name);

CREATE TABLE status_event (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    teacher TEXT COLLATE "C" NOT NULL REFERENCES teacher (name),
    kind TEXT COLLATE "C" NOT NULL,
    effective_on TEXT COLLATE "C" NOT NULL,
    until_on TEXT COLLATE "C" NOT NULL,
    school TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at BIGINT NOT NULL,
    recorded_by TEXT COLLATE "C" NOT NULL
);
CREATE INDEX status_event_of_teacher ON status_event (teacher, effective_on, recorded_at);

-- Approved leaves as the events have left them; one that ends before it begins is void.
CREATE TABLE teacher_leave (
    teacher TEXT COLLATE "C" NOT NULL REFERENCES teacher (name),
    first_on TEXT COLLATE "C" NOT NULL,
    last_on TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (teacher, first_on)
);

-- What was decided on a teacher's corrections, and why; changes carry only coded reasons.
CREATE TABLE correction_decision (
    teacher TEXT COLLATE "C" NOT NULL REFERENCES teacher (name),
    -- The teacher's version that the decision made.
    version BIGINT NOT NULL,
    -- A JSON object of field and value, as the teacher had entered them.
    fields TEXT COLLATE "C" NOT NULL,
    accepted BIGINT NOT NULL CHECK (accepted IN (0, 1)),
    reason TEXT COLLATE "C" NOT NULL,
    policy_version BIGINT NOT NULL,
    decided_at BIGINT NOT NULL,
    decided_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (teacher, version)
);

CREATE TABLE account (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    login TEXT COLLATE "C" NOT NULL UNIQUE,
    display_name TEXT COLLATE "C" NOT NULL,
    teacher TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    -- PHC string: the cost stands in each hash.
    password TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX account_of_teacher ON account (teacher) WHERE teacher <> '';

CREATE TABLE account_role (
    account TEXT COLLATE "C" NOT NULL REFERENCES account (name),
    role TEXT COLLATE "C" NOT NULL,
    organization TEXT COLLATE "C" NOT NULL,
    from_on TEXT COLLATE "C" NOT NULL,
    until_on TEXT COLLATE "C" NOT NULL,
    -- 0 while it is held.
    revoked_at BIGINT NOT NULL,
    PRIMARY KEY (account, role, organization)
);
CREATE INDEX account_role_at ON account_role (organization, role);

-- Failed logins, by an HMAC of the login, whether there is such an account or not. No business fact: it is forgotten.
CREATE TABLE login_failure (
    login_index TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    failures BIGINT NOT NULL,
    last_at BIGINT NOT NULL
);

-- Where the feed stood when a term's window for the roster was closed.
CREATE TABLE roster_position (
    term TEXT COLLATE "C" NOT NULL,
    window_id TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    gate_version BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (term, window_id)
);
