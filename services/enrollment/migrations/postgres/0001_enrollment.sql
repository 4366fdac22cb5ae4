-- What enrollment keeps: mirrors of its neighbours, and its own facts. Instants are microseconds since the epoch, days
-- ISO text, names the resources' own.

-- roster: the facts are the encoded message; the columns beside it are what is asked for.
CREATE TABLE teacher (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    school TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    joined_on TEXT COLLATE "C" NOT NULL,
    facts BYTEA NOT NULL
);
CREATE INDEX teacher_school ON teacher (school);
CREATE INDEX teacher_account ON teacher (account);

CREATE TABLE organization (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    path TEXT COLLATE "C" NOT NULL
);

-- Every organisation under every ancestor, itself included.
CREATE TABLE organization_under (
    ancestor TEXT COLLATE "C" NOT NULL,
    organization TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (ancestor, organization)
);
CREATE INDEX organization_under_organization ON organization_under (organization);

CREATE TABLE account_role (
    account TEXT COLLATE "C" NOT NULL,
    role BIGINT NOT NULL,
    organization TEXT COLLATE "C" NOT NULL,
    teacher TEXT COLLATE "C" NOT NULL,
    active BOOLEAN NOT NULL,
    from_on TEXT COLLATE "C" NOT NULL,
    until_on TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account, role, organization)
);
CREATE INDEX account_role_organization ON account_role (organization, role);
CREATE INDEX account_role_teacher ON account_role (teacher);

-- catalog
CREATE TABLE project (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    term TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    accepting_bureau TEXT COLLATE "C" NOT NULL,
    open BOOLEAN NOT NULL,
    listed BOOLEAN NOT NULL,
    facts BYTEA NOT NULL
);
CREATE INDEX project_term ON project (term, name);
CREATE INDEX project_provider ON project (provider);

-- credit
CREATE TABLE credit_position (
    teacher TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    cycle_ends_on TEXT COLLATE "C" NOT NULL,
    cycle_awarded BIGINT NOT NULL,
    has_intensive BOOLEAN NOT NULL
);

-- As it was when a round opened: what a ranking uses.
CREATE TABLE credit_position_fixed (
    term TEXT COLLATE "C" NOT NULL,
    round BIGINT NOT NULL,
    teacher TEXT COLLATE "C" NOT NULL,
    cycle_ends_on TEXT COLLATE "C" NOT NULL,
    cycle_awarded BIGINT NOT NULL,
    has_intensive BOOLEAN NOT NULL,
    PRIMARY KEY (term, round, teacher)
);

CREATE TABLE selection (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    term TEXT COLLATE "C" NOT NULL,
    teacher TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    class TEXT COLLATE "C" NOT NULL,
    round BIGINT NOT NULL,
    preference BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    seat TEXT COLLATE "C" NOT NULL CHECK (seat IN ('none', 'held', 'granted')),
    school TEXT COLLATE "C" NOT NULL,
    submitted_at BIGINT NOT NULL,
    submitted_by TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    reason_text TEXT COLLATE "C" NOT NULL,
    matched BOOLEAN NOT NULL,
    approved BOOLEAN NOT NULL,
    waiting_position BIGINT NOT NULL,
    roster_position BIGINT NOT NULL,
    policy_version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    sessions_attended BIGINT NOT NULL,
    -- -1: no verdict yet.
    passed BIGINT NOT NULL,
    coefficient_percent BIGINT NOT NULL,
    entry TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX selection_live ON selection (teacher, project)
    WHERE state IN ('submitted', 'school_approved', 'waitlisted', 'confirmed', 'attended');
-- All four: a teacher is looked up by what he has in a round, and the index of rounds must not look as good.
CREATE INDEX selection_teacher ON selection (teacher, term, round, state);
CREATE INDEX selection_project ON selection (project, state);
CREATE INDEX selection_school ON selection (school, state);
CREATE INDEX selection_term ON selection (term, name);
CREATE INDEX selection_entry ON selection (entry) WHERE entry <> '';
CREATE INDEX selection_round ON selection (term, round, state);

-- The places of a project. What is written here is checked here.
CREATE TABLE seat_count (
    project TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    term TEXT COLLATE "C" NOT NULL,
    capacity BIGINT NOT NULL,
    held BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    CHECK (held >= 0 AND granted >= 0 AND held + granted <= capacity)
);
CREATE INDEX seat_count_term ON seat_count (term, project);

CREATE TABLE class_count (
    class TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    places BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    CHECK (granted BETWEEN 0 AND places)
);
CREATE INDEX class_count_project ON class_count (project);

-- Holds, grants and releases, in order; their sums are the counts above.
CREATE TABLE seat_ledger (
    line BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    selection TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    class TEXT COLLATE "C" NOT NULL,
    held BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX seat_ledger_project ON seat_ledger (project);

-- The bureau lets a teacher into a round.
CREATE TABLE bar_override (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    term TEXT COLLATE "C" NOT NULL,
    teacher TEXT COLLATE "C" NOT NULL,
    round BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    granted_at BIGINT NOT NULL,
    UNIQUE (term, teacher, round)
);

-- Who selected nothing in a round, once it has closed.
CREATE TABLE non_selector (
    term TEXT COLLATE "C" NOT NULL,
    round BIGINT NOT NULL,
    teacher TEXT COLLATE "C" NOT NULL,
    school TEXT COLLATE "C" NOT NULL,
    fixed_at BIGINT NOT NULL,
    PRIMARY KEY (term, round, teacher)
);

CREATE TABLE round_final (
    term TEXT COLLATE "C" NOT NULL,
    round BIGINT NOT NULL,
    PRIMARY KEY (term, round)
);

CREATE TABLE urge (
    term TEXT COLLATE "C" NOT NULL,
    round BIGINT NOT NULL,
    teacher TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (term, round, teacher, at, account)
);

CREATE TABLE proposed_cancellation (
    class TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    term TEXT COLLATE "C" NOT NULL,
    round BIGINT NOT NULL,
    participants BIGINT NOT NULL,
    needed BIGINT NOT NULL,
    standing BOOLEAN NOT NULL
);
CREATE INDEX proposed_cancellation_term ON proposed_cancellation (term, class);

CREATE TABLE notice (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    term TEXT COLLATE "C" NOT NULL,
    class TEXT COLLATE "C" NOT NULL UNIQUE,
    project TEXT COLLATE "C" NOT NULL,
    issued_at BIGINT NOT NULL,
    starts_on TEXT COLLATE "C" NOT NULL,
    text TEXT COLLATE "C" NOT NULL
);
CREATE INDEX notice_term ON notice (term, name);

CREATE TABLE notice_recipient (
    notice TEXT COLLATE "C" NOT NULL,
    teacher TEXT COLLATE "C" NOT NULL,
    -- 0: not yet.
    acknowledged_at BIGINT NOT NULL,
    PRIMARY KEY (notice, teacher)
);
CREATE INDEX notice_recipient_teacher ON notice_recipient (teacher);

CREATE TABLE class_results (
    class TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    term TEXT COLLATE "C" NOT NULL,
    passed BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    no_show BIGINT NOT NULL,
    confirmed_at BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

-- The inbox: one row a person and message; the text is made where it is read.
CREATE TABLE notification (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    term TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    metadata TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    -- 0: unread.
    read_at BIGINT NOT NULL
);
CREATE INDEX notification_account ON notification (account, at);
