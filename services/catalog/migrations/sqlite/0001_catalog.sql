-- Projects, their review and expansion, and what the catalog mirrors of the roster.

CREATE TABLE project (
    name TEXT NOT NULL PRIMARY KEY,
    term TEXT NOT NULL,
    provider TEXT NOT NULL,
    accepting_bureau TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    -- Empty while a draft does not say.
    level TEXT NOT NULL,
    form TEXT NOT NULL,
    -- JSON: {stages, subjects, tiers, categories, organizations}
    audience TEXT NOT NULL,
    -- In hundredths.
    base_credit INTEGER NOT NULL,
    difficulty_percent INTEGER NOT NULL,
    restricted_elective INTEGER NOT NULL,
    ethics_hours INTEGER NOT NULL,
    total_hours INTEGER NOT NULL,
    -- JSON: [{name, places, approved_places, sessions, venue, state, ends_on}]
    classes TEXT NOT NULL,
    -- JSON: {round: policy}
    allocations TEXT NOT NULL,
    state TEXT NOT NULL,
    decision_reason TEXT NOT NULL,
    cancellation_requested INTEGER NOT NULL,
    cancellation_reason TEXT NOT NULL,
    -- On the menu since; NULL: never was.
    published_at INTEGER,
    revision INTEGER NOT NULL
) STRICT;
CREATE INDEX project_state ON project (term, state, name);
CREATE INDEX project_provider ON project (provider, term);
CREATE INDEX project_bureau ON project (accepting_bureau, term);

-- By what a project is found: bigrams and words of its text, and its audience.
CREATE TABLE project_token (
    term TEXT NOT NULL,
    token TEXT NOT NULL,
    project TEXT NOT NULL REFERENCES project (name),
    PRIMARY KEY (term, token, project)
) STRICT, WITHOUT ROWID;
CREATE INDEX project_token_project ON project_token (project);

-- Every decision on a project, kept: who, as what, why, under which policy.
CREATE TABLE decision (
    project TEXT NOT NULL REFERENCES project (name),
    revision INTEGER NOT NULL,
    -- What became of it, e.g. "returned", "class_cancelled".
    verb TEXT NOT NULL,
    account TEXT NOT NULL,
    role TEXT NOT NULL,
    organization TEXT NOT NULL,
    service TEXT NOT NULL,
    reason TEXT NOT NULL,
    policy_version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (project, revision, verb)
) STRICT;

CREATE TABLE assignment (
    project TEXT NOT NULL REFERENCES project (name),
    expert TEXT NOT NULL,
    assigned_at INTEGER NOT NULL,
    recused INTEGER NOT NULL,
    recusal_reason TEXT NOT NULL,
    PRIMARY KEY (project, expert)
) STRICT;
CREATE INDEX assignment_expert ON assignment (expert, project);

-- Scores as they were given; of one expert's for a project the last one counts.
CREATE TABLE score (
    project TEXT NOT NULL,
    expert TEXT NOT NULL,
    -- The project's revision that it made.
    revision INTEGER NOT NULL,
    -- JSON: [[key, points]]
    criteria TEXT NOT NULL,
    total_hundredths INTEGER NOT NULL,
    comment TEXT NOT NULL,
    policy_version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (project, expert, revision),
    FOREIGN KEY (project, expert) REFERENCES assignment (project, expert)
) STRICT;

CREATE TABLE expansion (
    name TEXT NOT NULL PRIMARY KEY,
    term TEXT NOT NULL,
    project TEXT NOT NULL REFERENCES project (name),
    class TEXT NOT NULL,
    -- JSON of the class to open; NULL: more places in `class`.
    new_class TEXT,
    places_requested INTEGER NOT NULL CHECK (places_requested > 0),
    places_granted INTEGER NOT NULL CHECK (places_granted BETWEEN 0 AND places_requested),
    reason TEXT NOT NULL,
    state TEXT NOT NULL,
    decision_reason TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    -- Account, or the service whose step decided; empty while open.
    decided_by TEXT NOT NULL,
    decided_at INTEGER,
    policy_version INTEGER NOT NULL
) STRICT;
CREATE INDEX expansion_state ON expansion (term, state, name);
CREATE INDEX expansion_project ON expansion (project);

-- Mirror of the roster: organisations and, of each, all above it and itself.
CREATE TABLE organization (
    name TEXT NOT NULL PRIMARY KEY,
    bureau INTEGER NOT NULL,
    -- JSON: [name], root first, itself last.
    path TEXT NOT NULL
) STRICT;
CREATE TABLE organization_ancestor (
    ancestor TEXT NOT NULL,
    organization TEXT NOT NULL REFERENCES organization (name),
    PRIMARY KEY (ancestor, organization)
) STRICT, WITHOUT ROWID;
CREATE INDEX organization_ancestor_of ON organization_ancestor (organization);

-- Mirror of the roster: roles of active accounts that are experts or a provider's staff; days inclusive, empty: open.
CREATE TABLE account_role (
    account TEXT NOT NULL,
    role TEXT NOT NULL,
    organization TEXT NOT NULL,
    from_on TEXT NOT NULL,
    until_on TEXT NOT NULL,
    PRIMARY KEY (account, role, organization)
) STRICT, WITHOUT ROWID;
