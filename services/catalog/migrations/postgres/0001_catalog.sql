-- Projects, their review and expansion, and what the catalog mirrors of the roster.

CREATE TABLE project (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    term TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    accepting_bureau TEXT COLLATE "C" NOT NULL,
    title TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    -- Empty while a draft does not say.
    level TEXT COLLATE "C" NOT NULL,
    form TEXT COLLATE "C" NOT NULL,
    -- JSON: {stages, subjects, tiers, categories, organizations}
    audience TEXT COLLATE "C" NOT NULL,
    -- In hundredths.
    base_credit BIGINT NOT NULL,
    difficulty_percent BIGINT NOT NULL,
    restricted_elective BOOLEAN NOT NULL,
    ethics_hours BIGINT NOT NULL,
    total_hours BIGINT NOT NULL,
    -- JSON: [{name, places, approved_places, sessions, venue, state, ends_on}]
    classes TEXT COLLATE "C" NOT NULL,
    -- JSON: {round: policy}
    allocations TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    decision_reason TEXT COLLATE "C" NOT NULL,
    cancellation_requested BOOLEAN NOT NULL,
    cancellation_reason TEXT COLLATE "C" NOT NULL,
    -- On the menu since; NULL: never was.
    published_at BIGINT,
    revision BIGINT NOT NULL
);
CREATE INDEX project_state ON project (term, state, name);
CREATE INDEX project_provider ON project (provider, term);
CREATE INDEX project_bureau ON project (accepting_bureau, term);

-- By what a project is found: bigrams and words of its text, and its audience.
CREATE TABLE project_token (
    term TEXT COLLATE "C" NOT NULL,
    token TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL REFERENCES project (name),
    PRIMARY KEY (term, token, project)
);
CREATE INDEX project_token_project ON project_token (project);

-- Every decision on a project, kept: who, as what, why, under which policy.
CREATE TABLE decision (
    project TEXT COLLATE "C" NOT NULL REFERENCES project (name),
    revision BIGINT NOT NULL,
    -- What became of it, e.g. "returned", "class_cancelled".
    verb TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    organization TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    policy_version BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (project, revision, verb)
);

CREATE TABLE assignment (
    project TEXT COLLATE "C" NOT NULL REFERENCES project (name),
    expert TEXT COLLATE "C" NOT NULL,
    assigned_at BIGINT NOT NULL,
    recused BOOLEAN NOT NULL,
    recusal_reason TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, expert)
);
CREATE INDEX assignment_expert ON assignment (expert, project);

-- Scores as they were given; of one expert's for a project the last one counts.
CREATE TABLE score (
    project TEXT COLLATE "C" NOT NULL,
    expert TEXT COLLATE "C" NOT NULL,
    -- The project's revision that it made.
    revision BIGINT NOT NULL,
    -- JSON: [[key, points]]
    criteria TEXT COLLATE "C" NOT NULL,
    total_hundredths BIGINT NOT NULL,
    comment TEXT COLLATE "C" NOT NULL,
    policy_version BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (project, expert, revision),
    FOREIGN KEY (project, expert) REFERENCES assignment (project, expert)
);

CREATE TABLE expansion (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    term TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL REFERENCES project (name),
    class TEXT COLLATE "C" NOT NULL,
    -- JSON of the class to open; NULL: more places in `class`.
    new_class TEXT COLLATE "C",
    places_requested BIGINT NOT NULL CHECK (places_requested > 0),
    places_granted BIGINT NOT NULL CHECK (places_granted BETWEEN 0 AND places_requested),
    reason TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    decision_reason TEXT COLLATE "C" NOT NULL,
    requested_by TEXT COLLATE "C" NOT NULL,
    requested_at BIGINT NOT NULL,
    -- Account, or the service whose step decided; empty while open.
    decided_by TEXT COLLATE "C" NOT NULL,
    decided_at BIGINT,
    policy_version BIGINT NOT NULL
);
CREATE INDEX expansion_state ON expansion (term, state, name);
CREATE INDEX expansion_project ON expansion (project);

-- Mirror of the roster: organisations and, of each, all above it and itself.
CREATE TABLE organization (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    bureau BOOLEAN NOT NULL,
    -- JSON: [name], root first, itself last.
    path TEXT COLLATE "C" NOT NULL
);
CREATE TABLE organization_ancestor (
    ancestor TEXT COLLATE "C" NOT NULL,
    organization TEXT COLLATE "C" NOT NULL REFERENCES organization (name),
    PRIMARY KEY (ancestor, organization)
);
CREATE INDEX organization_ancestor_of ON organization_ancestor (organization);

-- Mirror of the roster: roles of active accounts that are experts or a provider's staff; days inclusive, empty: open.
CREATE TABLE account_role (
    account TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    organization TEXT COLLATE "C" NOT NULL,
    from_on TEXT COLLATE "C" NOT NULL,
    until_on TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account, role, organization)
);
