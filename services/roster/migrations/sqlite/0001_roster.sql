-- The roster: organisations, teachers, their status events, accounts and roles.
-- Enumerations are stored by their proto names, days as 'YYYY-MM-DD' ('' for none), instants in microseconds.

CREATE TABLE organization (
    name TEXT NOT NULL PRIMARY KEY,
    display_name TEXT NOT NULL,
    parent TEXT NOT NULL,
    -- ',KIND_SCHOOL,KIND_PROVIDER,'
    kinds TEXT NOT NULL,
    -- All ancestors and itself, root first, each followed by '>': what lies under it is a range of this column.
    path TEXT NOT NULL UNIQUE,
    school_identifier TEXT NOT NULL,
    school_type TEXT NOT NULL,
    contact_office TEXT NOT NULL,
    contact_phone TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX organization_school_identifier ON organization (school_identifier) WHERE school_identifier <> '';

CREATE TABLE teacher (
    name TEXT NOT NULL PRIMARY KEY,
    display_name TEXT NOT NULL,
    sex TEXT NOT NULL,
    -- AES-256-GCM under the key of this id; the index is an HMAC, for uniqueness only.
    identity_key TEXT NOT NULL,
    identity_sealed BLOB NOT NULL,
    identity_index TEXT NOT NULL UNIQUE,
    birth_year INTEGER NOT NULL,
    phone TEXT NOT NULL,
    school TEXT NOT NULL REFERENCES organization (name),
    teacher_number TEXT NOT NULL,
    employment TEXT NOT NULL,
    tier TEXT NOT NULL,
    category TEXT NOT NULL,
    stage TEXT NOT NULL,
    subject TEXT NOT NULL,
    title TEXT NOT NULL,
    education TEXT NOT NULL,
    post TEXT NOT NULL,
    employed_on TEXT NOT NULL,
    platform_entered_on TEXT NOT NULL,
    joined_on TEXT NOT NULL,
    -- In service, retired, departed or deceased; on leave is who has a leave on that day.
    standing TEXT NOT NULL,
    -- What the teacher corrected and the school has not confirmed: a JSON object of field and value.
    pending TEXT NOT NULL,
    account TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX teacher_of_school ON teacher (school, teacher_number) WHERE teacher_number <> '';
CREATE INDEX teacher_by_school ON teacher (school, name);

CREATE TABLE status_event (
    name TEXT NOT NULL PRIMARY KEY,
    teacher TEXT NOT NULL REFERENCES teacher (name),
    kind TEXT NOT NULL,
    effective_on TEXT NOT NULL,
    until_on TEXT NOT NULL,
    school TEXT NOT NULL,
    reason TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    recorded_by TEXT NOT NULL
) STRICT;
CREATE INDEX status_event_of_teacher ON status_event (teacher, effective_on, recorded_at);

-- Approved leaves as the events have left them; one that ends before it begins is void.
CREATE TABLE teacher_leave (
    teacher TEXT NOT NULL REFERENCES teacher (name),
    first_on TEXT NOT NULL,
    last_on TEXT NOT NULL,
    PRIMARY KEY (teacher, first_on)
) STRICT;

-- What was decided on a teacher's corrections, and why; changes carry only coded reasons.
CREATE TABLE correction_decision (
    teacher TEXT NOT NULL REFERENCES teacher (name),
    -- The teacher's version that the decision made.
    version INTEGER NOT NULL,
    -- A JSON object of field and value, as the teacher had entered them.
    fields TEXT NOT NULL,
    accepted INTEGER NOT NULL CHECK (accepted IN (0, 1)),
    reason TEXT NOT NULL,
    policy_version INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,
    decided_by TEXT NOT NULL,
    PRIMARY KEY (teacher, version)
) STRICT;

CREATE TABLE account (
    name TEXT NOT NULL PRIMARY KEY,
    login TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    teacher TEXT NOT NULL,
    state TEXT NOT NULL,
    -- PHC string: the cost stands in each hash.
    password TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX account_of_teacher ON account (teacher) WHERE teacher <> '';

CREATE TABLE account_role (
    account TEXT NOT NULL REFERENCES account (name),
    role TEXT NOT NULL,
    organization TEXT NOT NULL,
    from_on TEXT NOT NULL,
    until_on TEXT NOT NULL,
    -- 0 while it is held.
    revoked_at INTEGER NOT NULL,
    PRIMARY KEY (account, role, organization)
) STRICT;
CREATE INDEX account_role_at ON account_role (organization, role);

-- Failed logins, by an HMAC of the login, whether there is such an account or not. No business fact: it is forgotten.
CREATE TABLE login_failure (
    login_index TEXT NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL,
    last_at INTEGER NOT NULL
) STRICT;

-- Where the feed stood when a term's window for the roster was closed.
CREATE TABLE roster_position (
    term TEXT NOT NULL,
    window_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    gate_version INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (term, window_id)
) STRICT;
