-- Mirrors: what the roster, the catalog and enrollment told.

CREATE TABLE organization (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    is_school BIGINT NOT NULL,
    -- All ancestors and itself, root first: a JSON list.
    path TEXT COLLATE "C" NOT NULL
);

CREATE TABLE ancestor (
    ancestor TEXT COLLATE "C" NOT NULL,
    organization TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (ancestor, organization)
);
CREATE INDEX ancestor_organization ON ancestor (organization);

CREATE TABLE teacher (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    school TEXT COLLATE "C" NOT NULL,
    tier TEXT COLLATE "C" NOT NULL,
    category TEXT COLLATE "C" NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    employment TEXT COLLATE "C" NOT NULL,
    entered_on TEXT COLLATE "C" NOT NULL,
    employed_on TEXT COLLATE "C" NOT NULL,
    joined_on TEXT COLLATE "C" NOT NULL,
    -- A JSON list of [first, last]; an open leave has an empty last day.
    leaves TEXT COLLATE "C" NOT NULL,
    -- What the standings were drawn up with, and how far.
    basis TEXT COLLATE "C" NOT NULL DEFAULT '',
    standing_through BIGINT NOT NULL DEFAULT 0,
    -- The position last told; NULL: none yet.
    position_ends_on TEXT COLLATE "C",
    position_awarded BIGINT NOT NULL DEFAULT 0,
    position_intensive BIGINT NOT NULL DEFAULT 0
);

-- Where a teacher was from a day on; an empty school: no longer on the roster.
CREATE TABLE stay (
    teacher TEXT COLLATE "C" NOT NULL,
    from_on TEXT COLLATE "C" NOT NULL,
    school TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (teacher, from_on)
);

CREATE TABLE project (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    term TEXT COLLATE "C" NOT NULL,
    level BIGINT NOT NULL,
    form BIGINT NOT NULL,
    base BIGINT NOT NULL,
    restricted_elective BIGINT NOT NULL,
    tiers TEXT COLLATE "C" NOT NULL,
    categories TEXT COLLATE "C" NOT NULL,
    stages TEXT COLLATE "C" NOT NULL,
    subjects TEXT COLLATE "C" NOT NULL
);

CREATE TABLE result (
    selection TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    teacher TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    class TEXT COLLATE "C" NOT NULL,
    passed BIGINT NOT NULL,
    base BIGINT NOT NULL,
    awarded BIGINT NOT NULL,
    effective_on TEXT COLLATE "C" NOT NULL,
    -- Rises whenever what the result earns changes.
    revision BIGINT NOT NULL
);
CREATE INDEX result_class ON result (class, selection);

CREATE TABLE class_result (
    class TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    confirmed_at BIGINT NOT NULL
);

-- The ledger: rows are added, never altered, never deleted.

CREATE TABLE entry (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    teacher TEXT COLLATE "C" NOT NULL,
    kind BIGINT NOT NULL CHECK (kind BETWEEN 1 AND 4),
    base BIGINT NOT NULL,
    awarded BIGINT NOT NULL,
    effective_on TEXT COLLATE "C" NOT NULL,
    recorded_at BIGINT NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    -- What it is once of, and the how manieth time.
    once TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    intensive BIGINT NOT NULL,
    restricted_elective BIGINT NOT NULL,
    matched BIGINT NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    reverses TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    role BIGINT NOT NULL,
    organization TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    reason_text TEXT COLLATE "C" NOT NULL,
    policy_version BIGINT NOT NULL,
    school TEXT COLLATE "C" NOT NULL,
    UNIQUE (teacher, kind, once, revision),
    CHECK ((kind = 4) = (reverses <> ''))
);
CREATE UNIQUE INDEX entry_reverses ON entry (reverses) WHERE reverses <> '';
CREATE INDEX entry_teacher ON entry (teacher, recorded_at, name);
CREATE INDEX entry_source ON entry (source, revision) WHERE kind = 2;

-- Drawn up anew from the ledger and the mirrors whenever one of them changes, in the same transaction.

CREATE TABLE standing (
    teacher TEXT COLLATE "C" NOT NULL,
    year BIGINT NOT NULL,
    school TEXT COLLATE "C" NOT NULL,
    months BIGINT NOT NULL,
    awarded BIGINT NOT NULL,
    participations BIGINT NOT NULL,
    matched BIGINT NOT NULL,
    member BIGINT NOT NULL,
    year_awarded BIGINT NOT NULL,
    electives BIGINT NOT NULL,
    cycle_from_year BIGINT NOT NULL,
    cycle_ended BIGINT NOT NULL,
    cycle_awarded BIGINT NOT NULL,
    intensive BIGINT NOT NULL,
    PRIMARY KEY (teacher, year, school)
);
CREATE INDEX standing_year ON standing (year, school);

-- What was reported when a term ended.

CREATE TABLE compliance (
    term TEXT COLLATE "C" NOT NULL,
    year BIGINT NOT NULL,
    organization TEXT COLLATE "C" NOT NULL,
    state BIGINT NOT NULL,
    taken_at BIGINT NOT NULL,
    policy_version BIGINT NOT NULL,
    -- shixun.credit.v1.Compliance
    body BYTEA NOT NULL,
    PRIMARY KEY (term, year, organization, state)
);
CREATE INDEX compliance_organization ON compliance (organization, year, state);

CREATE TABLE policy_version (
    term TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    in_force_from BIGINT NOT NULL,
    PRIMARY KEY (term, version)
);

-- The calendar years that a term trains in.
CREATE TABLE term_year (
    term TEXT COLLATE "C" NOT NULL,
    year BIGINT NOT NULL,
    PRIMARY KEY (term, year)
);
