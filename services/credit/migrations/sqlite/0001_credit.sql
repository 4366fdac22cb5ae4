-- Mirrors: what the roster, the catalog and enrollment told.

CREATE TABLE organization (
    name TEXT NOT NULL PRIMARY KEY,
    is_school INTEGER NOT NULL,
    -- All ancestors and itself, root first: a JSON list.
    path TEXT NOT NULL
) STRICT;

CREATE TABLE ancestor (
    ancestor TEXT NOT NULL,
    organization TEXT NOT NULL,
    PRIMARY KEY (ancestor, organization)
) STRICT;
CREATE INDEX ancestor_organization ON ancestor (organization);

CREATE TABLE teacher (
    name TEXT NOT NULL PRIMARY KEY,
    school TEXT NOT NULL,
    tier TEXT NOT NULL,
    category TEXT NOT NULL,
    stage TEXT NOT NULL,
    subject TEXT NOT NULL,
    employment TEXT NOT NULL,
    entered_on TEXT NOT NULL,
    employed_on TEXT NOT NULL,
    joined_on TEXT NOT NULL,
    -- A JSON list of [first, last]; an open leave has an empty last day.
    leaves TEXT NOT NULL,
    -- What the standings were drawn up with, and how far.
    basis TEXT NOT NULL DEFAULT '',
    standing_through INTEGER NOT NULL DEFAULT 0,
    -- The position last told; NULL: none yet.
    position_ends_on TEXT,
    position_awarded INTEGER NOT NULL DEFAULT 0,
    position_intensive INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Where a teacher was from a day on; an empty school: no longer on the roster.
CREATE TABLE stay (
    teacher TEXT NOT NULL,
    from_on TEXT NOT NULL,
    school TEXT NOT NULL,
    PRIMARY KEY (teacher, from_on)
) STRICT;

CREATE TABLE project (
    name TEXT NOT NULL PRIMARY KEY,
    term TEXT NOT NULL,
    level INTEGER NOT NULL,
    form INTEGER NOT NULL,
    base INTEGER NOT NULL,
    restricted_elective INTEGER NOT NULL,
    tiers TEXT NOT NULL,
    categories TEXT NOT NULL,
    stages TEXT NOT NULL,
    subjects TEXT NOT NULL
) STRICT;

CREATE TABLE result (
    selection TEXT NOT NULL PRIMARY KEY,
    teacher TEXT NOT NULL,
    project TEXT NOT NULL,
    class TEXT NOT NULL,
    passed INTEGER NOT NULL,
    base INTEGER NOT NULL,
    awarded INTEGER NOT NULL,
    effective_on TEXT NOT NULL,
    -- Rises whenever what the result earns changes.
    revision INTEGER NOT NULL
) STRICT;
CREATE INDEX result_class ON result (class, selection);

CREATE TABLE class_result (
    class TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    confirmed_at INTEGER NOT NULL
) STRICT;

-- The ledger: rows are added, never altered, never deleted.

CREATE TABLE entry (
    name TEXT NOT NULL PRIMARY KEY,
    teacher TEXT NOT NULL,
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    base INTEGER NOT NULL,
    awarded INTEGER NOT NULL,
    effective_on TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    -- What it is once of, and the how manieth time.
    once TEXT NOT NULL,
    revision INTEGER NOT NULL,
    intensive INTEGER NOT NULL,
    restricted_elective INTEGER NOT NULL,
    matched INTEGER NOT NULL,
    project TEXT NOT NULL,
    reverses TEXT NOT NULL,
    account TEXT NOT NULL,
    role INTEGER NOT NULL,
    organization TEXT NOT NULL,
    service TEXT NOT NULL,
    reason TEXT NOT NULL,
    reason_text TEXT NOT NULL,
    policy_version INTEGER NOT NULL,
    school TEXT NOT NULL,
    UNIQUE (teacher, kind, once, revision),
    CHECK ((kind = 4) = (reverses <> ''))
) STRICT;
CREATE UNIQUE INDEX entry_reverses ON entry (reverses) WHERE reverses <> '';
CREATE INDEX entry_teacher ON entry (teacher, recorded_at, name);
CREATE INDEX entry_source ON entry (source, revision) WHERE kind = 2;

-- Drawn up anew from the ledger and the mirrors whenever one of them changes, in the same transaction.

CREATE TABLE standing (
    teacher TEXT NOT NULL,
    year INTEGER NOT NULL,
    school TEXT NOT NULL,
    months INTEGER NOT NULL,
    awarded INTEGER NOT NULL,
    participations INTEGER NOT NULL,
    matched INTEGER NOT NULL,
    member INTEGER NOT NULL,
    year_awarded INTEGER NOT NULL,
    electives INTEGER NOT NULL,
    cycle_from_year INTEGER NOT NULL,
    cycle_ended INTEGER NOT NULL,
    cycle_awarded INTEGER NOT NULL,
    intensive INTEGER NOT NULL,
    PRIMARY KEY (teacher, year, school)
) STRICT;
CREATE INDEX standing_year ON standing (year, school);

-- What was reported when a term ended.

CREATE TABLE compliance (
    term TEXT NOT NULL,
    year INTEGER NOT NULL,
    organization TEXT NOT NULL,
    state INTEGER NOT NULL,
    taken_at INTEGER NOT NULL,
    policy_version INTEGER NOT NULL,
    -- shixun.credit.v1.Compliance
    body BLOB NOT NULL,
    PRIMARY KEY (term, year, organization, state)
) STRICT;
CREATE INDEX compliance_organization ON compliance (organization, year, state);

CREATE TABLE policy_version (
    term TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest BLOB NOT NULL,
    in_force_from INTEGER NOT NULL,
    PRIMARY KEY (term, version)
) STRICT;

-- The calendar years that a term trains in.
CREATE TABLE term_year (
    term TEXT NOT NULL,
    year INTEGER NOT NULL,
    PRIMARY KEY (term, year)
) STRICT;
