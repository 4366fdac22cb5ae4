-- What enrollment keeps: mirrors of its neighbours, and its own facts. Instants are microseconds since the epoch, days
-- ISO text, names the resources' own.

-- roster: the facts are the encoded message; the columns beside it are what is asked for.
CREATE TABLE teacher (
    name TEXT NOT NULL PRIMARY KEY,
    school TEXT NOT NULL,
    account TEXT NOT NULL,
    status TEXT NOT NULL,
    joined_on TEXT NOT NULL,
    facts BLOB NOT NULL
) STRICT;
CREATE INDEX teacher_school ON teacher (school);
CREATE INDEX teacher_account ON teacher (account);

CREATE TABLE organization (
    name TEXT NOT NULL PRIMARY KEY,
    path TEXT NOT NULL
) STRICT;

-- Every organisation under every ancestor, itself included.
CREATE TABLE organization_under (
    ancestor TEXT NOT NULL,
    organization TEXT NOT NULL,
    PRIMARY KEY (ancestor, organization)
) STRICT;
CREATE INDEX organization_under_organization ON organization_under (organization);

CREATE TABLE account_role (
    account TEXT NOT NULL,
    role INTEGER NOT NULL,
    organization TEXT NOT NULL,
    teacher TEXT NOT NULL,
    active INTEGER NOT NULL,
    from_on TEXT NOT NULL,
    until_on TEXT NOT NULL,
    PRIMARY KEY (account, role, organization)
) STRICT;
CREATE INDEX account_role_organization ON account_role (organization, role);
CREATE INDEX account_role_teacher ON account_role (teacher);

-- catalog
CREATE TABLE project (
    name TEXT NOT NULL PRIMARY KEY,
    term TEXT NOT NULL,
    provider TEXT NOT NULL,
    accepting_bureau TEXT NOT NULL,
    open INTEGER NOT NULL,
    listed INTEGER NOT NULL,
    facts BLOB NOT NULL
) STRICT;
CREATE INDEX project_term ON project (term, name);
CREATE INDEX project_provider ON project (provider);

-- credit
CREATE TABLE credit_position (
    teacher TEXT NOT NULL PRIMARY KEY,
    cycle_ends_on TEXT NOT NULL,
    cycle_awarded INTEGER NOT NULL,
    has_intensive INTEGER NOT NULL
) STRICT;

-- As it was when a round opened: what a ranking uses.
CREATE TABLE credit_position_fixed (
    term TEXT NOT NULL,
    round INTEGER NOT NULL,
    teacher TEXT NOT NULL,
    cycle_ends_on TEXT NOT NULL,
    cycle_awarded INTEGER NOT NULL,
    has_intensive INTEGER NOT NULL,
    PRIMARY KEY (term, round, teacher)
) STRICT;

CREATE TABLE selection (
    name TEXT NOT NULL PRIMARY KEY,
    term TEXT NOT NULL,
    teacher TEXT NOT NULL,
    project TEXT NOT NULL,
    class TEXT NOT NULL,
    round INTEGER NOT NULL,
    preference INTEGER NOT NULL,
    state TEXT NOT NULL,
    seat TEXT NOT NULL CHECK (seat IN ('none', 'held', 'granted')),
    school TEXT NOT NULL,
    submitted_at INTEGER NOT NULL,
    submitted_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    reason_text TEXT NOT NULL,
    matched INTEGER NOT NULL,
    approved INTEGER NOT NULL,
    waiting_position INTEGER NOT NULL,
    roster_position INTEGER NOT NULL,
    policy_version INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    sessions_attended INTEGER NOT NULL,
    -- -1: no verdict yet.
    passed INTEGER NOT NULL,
    coefficient_percent INTEGER NOT NULL,
    entry TEXT NOT NULL
) STRICT;
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
    project TEXT NOT NULL PRIMARY KEY,
    term TEXT NOT NULL,
    capacity INTEGER NOT NULL,
    held INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    CHECK (held >= 0 AND granted >= 0 AND held + granted <= capacity)
) STRICT;
CREATE INDEX seat_count_term ON seat_count (term, project);

CREATE TABLE class_count (
    class TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    places INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    CHECK (granted BETWEEN 0 AND places)
) STRICT;
CREATE INDEX class_count_project ON class_count (project);

-- Holds, grants and releases, in order; their sums are the counts above.
CREATE TABLE seat_ledger (
    line INTEGER NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    selection TEXT NOT NULL,
    kind TEXT NOT NULL,
    class TEXT NOT NULL,
    held INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX seat_ledger_project ON seat_ledger (project);

-- The bureau lets a teacher into a round.
CREATE TABLE bar_override (
    name TEXT NOT NULL PRIMARY KEY,
    term TEXT NOT NULL,
    teacher TEXT NOT NULL,
    round INTEGER NOT NULL,
    reason TEXT NOT NULL,
    granted_at INTEGER NOT NULL,
    UNIQUE (term, teacher, round)
) STRICT;

-- Who selected nothing in a round, once it has closed.
CREATE TABLE non_selector (
    term TEXT NOT NULL,
    round INTEGER NOT NULL,
    teacher TEXT NOT NULL,
    school TEXT NOT NULL,
    fixed_at INTEGER NOT NULL,
    PRIMARY KEY (term, round, teacher)
) STRICT;

CREATE TABLE round_final (
    term TEXT NOT NULL,
    round INTEGER NOT NULL,
    PRIMARY KEY (term, round)
) STRICT;

CREATE TABLE urge (
    term TEXT NOT NULL,
    round INTEGER NOT NULL,
    teacher TEXT NOT NULL,
    at INTEGER NOT NULL,
    account TEXT NOT NULL,
    PRIMARY KEY (term, round, teacher, at, account)
) STRICT;

CREATE TABLE proposed_cancellation (
    class TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    term TEXT NOT NULL,
    round INTEGER NOT NULL,
    participants INTEGER NOT NULL,
    needed INTEGER NOT NULL,
    standing INTEGER NOT NULL
) STRICT;
CREATE INDEX proposed_cancellation_term ON proposed_cancellation (term, class);

CREATE TABLE notice (
    name TEXT NOT NULL PRIMARY KEY,
    term TEXT NOT NULL,
    class TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    starts_on TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX notice_term ON notice (term, name);

CREATE TABLE notice_recipient (
    notice TEXT NOT NULL,
    teacher TEXT NOT NULL,
    -- 0: not yet.
    acknowledged_at INTEGER NOT NULL,
    PRIMARY KEY (notice, teacher)
) STRICT;
CREATE INDEX notice_recipient_teacher ON notice_recipient (teacher);

CREATE TABLE class_results (
    class TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    term TEXT NOT NULL,
    passed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    no_show INTEGER NOT NULL,
    confirmed_at INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT;

-- The inbox: one row a person and message; the text is made where it is read.
CREATE TABLE notification (
    name TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    term TEXT NOT NULL,
    resource TEXT NOT NULL,
    metadata TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- 0: unread.
    read_at INTEGER NOT NULL
) STRICT;
CREATE INDEX notification_account ON notification (account, at);
