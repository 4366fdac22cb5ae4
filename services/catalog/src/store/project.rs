//! Projects, and what they are found by.

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, Value, args, row},
};
use proto::Credit;

use super::{from_json, json, narrow, unknown};
use crate::domain::{
    Form, Level, Project,
    lifecycle::State,
    search::{self, Dimension},
};

macro_rules! columns {
    () => {
        "p.name, p.term, p.provider, p.accepting_bureau, p.title, p.description, p.level, p.form, p.audience,
         p.base_credit, p.difficulty_percent, p.restricted_elective, p.ethics_hours, p.total_hours, p.classes,
         p.allocations, p.state, p.decision_reason, p.cancellation_requested, p.cancellation_reason, p.published_at,
         p.revision, p.practice_hours"
    };
}

macro_rules! select {
    ($($rest:expr),*) => { concat!("SELECT ", columns!(), " FROM project p ", $($rest),*) };
}

fn read(row: &Row) -> Result<Project, Failure> {
    let state = row.get::<String>("state")?;
    Ok(Project {
        name: row.get("name")?,
        term: row.get("term")?,
        provider: row.get("provider")?,
        accepting_bureau: row.get("accepting_bureau")?,
        title: row.get("title")?,
        description: row.get("description")?,
        level: Level::from_word(&row.get::<String>("level")?),
        form: Form::from_word(&row.get::<String>("form")?),
        audience: from_json(row, "audience")?,
        base_credit: Credit(row.get("base_credit")?),
        difficulty_percent: narrow(row, "difficulty_percent")?,
        restricted_elective: row.get("restricted_elective")?,
        ethics_hours: narrow(row, "ethics_hours")?,
        practice_hours: narrow(row, "practice_hours")?,
        total_hours: narrow(row, "total_hours")?,
        classes: from_json(row, "classes")?,
        allocations: from_json(row, "allocations")?,
        state: State::from_word(&state).ok_or_else(|| unknown("state", &state))?,
        decision_reason: row.get("decision_reason")?,
        cancellation_requested: row.get("cancellation_requested")?,
        cancellation_reason: row.get("cancellation_reason")?,
        published_at: row.get("published_at")?,
        revision: row.get("revision")?,
    })
}

/// Name to hours of practice, in the order of the columns of `INSERT` and `UPDATE` below.
fn values(project: &Project) -> Result<Vec<Value>, Failure> {
    Ok(args![
        &project.name,
        &project.accepting_bureau,
        &project.title,
        &project.description,
        project.level.map_or("", Level::word),
        project.form.map_or("", Form::word),
        json(&project.audience)?,
        project.base_credit.0,
        project.difficulty_percent,
        project.restricted_elective,
        project.ethics_hours,
        project.total_hours,
        json(&project.classes)?,
        json(&project.allocations)?,
        project.state.word(),
        &project.decision_reason,
        project.cancellation_requested,
        &project.cancellation_reason,
        project.published_at,
        project.practice_hours,
    ])
}

/// The project of that name.
pub async fn find(db: &mut impl Queries, name: &str) -> Result<Option<Project>, Failure> {
    db.one(select!("WHERE p.name = $1"), args![name]).await?.as_ref().map(read).transpose()
}

/// The project of that name, held against other writers to the end of the transaction, its revision counted up.
pub async fn lock(tx: &mut Tx, name: &str) -> Result<Option<Project>, Failure> {
    tx.execute("UPDATE project SET revision = revision + 1 WHERE name = $1", args![name]).await?;
    find(tx, name).await
}

/// Adds a project and what it is found by.
pub async fn insert(tx: &mut Tx, project: &Project) -> Result<(), Failure> {
    let mut values = values(project)?;
    values.extend(args![&project.term, &project.provider, project.revision]);
    tx.execute(
        "INSERT INTO project (name, accepting_bureau, title, description, level, form, audience, base_credit,
                              difficulty_percent, restricted_elective, ethics_hours, total_hours, classes, allocations,
                              state, decision_reason, cancellation_requested, cancellation_reason, published_at,
                              practice_hours, term, provider, revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                 $23)",
        values,
    )
    .await?;
    index(tx, project).await
}

/// Writes a locked project as it is now.
pub async fn save(tx: &mut Tx, project: &Project) -> Result<(), Failure> {
    tx.execute(
        "UPDATE project
         SET accepting_bureau = $2, title = $3, description = $4, level = $5, form = $6, audience = $7,
             base_credit = $8, difficulty_percent = $9, restricted_elective = $10, ethics_hours = $11,
             total_hours = $12, classes = $13, allocations = $14, state = $15, decision_reason = $16,
             cancellation_requested = $17, cancellation_reason = $18, published_at = $19,
             practice_hours = $20
         WHERE name = $1",
        values(project)?,
    )
    .await?;
    Ok(())
}

/// Writes anew what a project is found by: its title, description and audience.
pub async fn index(tx: &mut Tx, project: &Project) -> Result<(), Failure> {
    let mut tokens = search::tokens(&format!("{}\n{}", project.title, project.description));
    tokens.extend(search::audience_tokens(&project.audience));
    tx.execute("DELETE FROM project_token WHERE project = $1", args![&project.name]).await?;
    tx.execute(
        "INSERT INTO project_token (term, token, project) SELECT $1, value ->> 0, $2 FROM json_each($3)",
        args![&project.term, &project.name, Rows::texts(&tokens).json()],
    )
    .await?;
    Ok(())
}

/// What a listing asks for; empty, zero and `None`: anything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// "terms/…"
    pub term: String,
    /// "organizations/…"
    pub provider: String,
    /// Where it stands.
    pub state: Option<State>,
    /// 级别
    pub level: Option<Level>,
    /// How it is taught.
    pub form: Option<Form>,
    /// Least base credit, in hundredths.
    pub min_base_credit: i64,
    /// Restricted electives only.
    pub restricted_elective: bool,
    /// Full text: every word must occur.
    pub query: String,
    /// Whom it must admit.
    pub admits: Vec<(Dimension, String)>,
}

/// What a person may see: the menu, once it can be read, and what is his.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// The menu can be read.
    pub menu_open: bool,
    /// Providers for which he acts.
    pub providers: Vec<String>,
    /// Bureaus for which he acts: what they and those below them accept.
    pub bureaus: Vec<String>,
    /// The account, where he is an expert.
    pub expert: String,
}

// A project has exactly one of the two tokens of an audience's dimension that it admits, and every token of the text
// once: so many tokens found are all conditions met. With tokens, those found drive; else the term's projects.
macro_rules! matching {
    ($head:expr, $tail:expr) => {
        (
            matching!($head, "project p", "$8 = 0 AND $9 = '[]'", $tail),
            matching!(
                $head,
                "(SELECT t.project AS name FROM project_token t
                  WHERE t.term = $1 AND t.token IN (SELECT value ->> 0 FROM json_each($9))
                  GROUP BY t.project HAVING COUNT(*) = $8) found JOIN project p ON p.name = found.name",
                "$8 > 0",
                $tail
            ),
        )
    };
    ($head:expr, $from:literal, $case:literal, $tail:expr) => {
        concat!(
            $head,
            " FROM ",
            $from,
            " WHERE p.term = $1 AND ",
            $case,
            "
               AND ($2 = '' OR p.provider = $2)
               AND ($3 = '' OR p.state = $3)
               AND ($4 = '' OR p.level = $4)
               AND ($5 = '' OR p.form = $5)
               AND p.base_credit >= $6
               AND (p.restricted_elective OR NOT $7)
               AND (($10 AND p.published_at IS NOT NULL)
                    OR p.provider IN (SELECT value ->> 0 FROM json_each($11))
                    OR p.accepting_bureau IN (SELECT value ->> 0 FROM json_each($12))
                    OR p.accepting_bureau IN (
                        SELECT o.organization FROM organization_ancestor o
                        WHERE o.ancestor IN (SELECT value ->> 0 FROM json_each($12)))
                    OR EXISTS (SELECT 1 FROM assignment a
                               WHERE a.project = p.name AND a.expert = $13 AND NOT a.recused)) ",
            $tail
        )
    };
}

/// How many conditions tokens stand for, and the tokens of which a project must have one for each.
fn tokens(filter: &Filter) -> (usize, Vec<String>) {
    let text = search::required(&filter.query);
    let conditions = text.len().saturating_add(filter.admits.len());
    let admitting = filter.admits.iter().flat_map(|(dimension, value)| dimension.admitting(value));
    (conditions, text.iter().cloned().chain(admitting).collect())
}

/// The text that finds them the shortest way, and its arguments.
fn matching(
    filter: &Filter,
    sight: &Sight,
    (by_term, by_tokens): (&'static str, &'static str),
) -> (&'static str, Vec<Value>) {
    let (conditions, tokens) = tokens(filter);
    let values = args![
        &filter.term,
        &filter.provider,
        filter.state.map_or("", State::word),
        filter.level.map_or("", Level::word),
        filter.form.map_or("", Form::word),
        filter.min_base_credit,
        filter.restricted_elective,
        conditions,
        Rows::texts(&tokens).json(),
        sight.menu_open,
        Rows::texts(&sight.providers).json(),
        Rows::texts(&sight.bureaus).json(),
        &sight.expert,
    ];
    (if conditions == 0 { by_term } else { by_tokens }, values)
}

/// What matches is found once, for the page and for the count.
pub(crate) const PAGE: (&str, &str) = matching!(
    "WITH matched AS MATERIALIZED (SELECT p.name AS name",
    concat!(
        ") SELECT ",
        columns!(),
        ", (SELECT COUNT(*) FROM matched) AS total
           FROM (SELECT name FROM matched WHERE name > $14 ORDER BY name LIMIT $15) page
           JOIN project p ON p.name = page.name ORDER BY p.name"
    )
);

/// The projects that match, by name, from after `after`, and how many match in all.
pub async fn list(
    db: &mut impl Queries,
    filter: &Filter,
    sight: &Sight,
    after: &str,
    limit: usize,
) -> Result<(Vec<Project>, i64), Failure> {
    let (text, mut values) = matching(filter, sight, PAGE);
    values.extend(args![after, limit]);
    let rows = db.all(text, values).await?;
    let total = match rows.first() {
        Some(row) => row.get("total")?,
        // After the last one, or of none.
        None => {
            let (text, values) = matching(filter, sight, matching!("SELECT COUNT(*) AS total", ""));
            db.one(text, values).await?.map_or(Ok(0), |row| row.get("total"))?
        }
    };
    Ok((rows.iter().map(read).collect::<Result<_, _>>()?, total))
}

/// The projects on which experts were put, as far as `sight` is theirs or their bureau's, from after `after`.
pub async fn assigned(
    db: &mut impl Queries,
    term: &str,
    sight: &Sight,
    after: &str,
    limit: usize,
) -> Result<Vec<Project>, Failure> {
    let bureaus = Rows::texts(&sight.bureaus).json();
    let rows = db
        .all(
            select!(
                "WHERE p.term = $1 AND p.name > $4
                   AND EXISTS (
                     SELECT 1 FROM assignment a
                     WHERE a.project = p.name
                       AND ((a.expert = $2 AND NOT a.recused)
                            OR p.accepting_bureau IN (SELECT value ->> 0 FROM json_each($3))
                            OR p.accepting_bureau IN (
                                SELECT o.organization FROM organization_ancestor o
                                WHERE o.ancestor IN (SELECT value ->> 0 FROM json_each($3)))))
                 ORDER BY p.name LIMIT $5"
            ),
            args![term, &sight.expert, bureaus, after, limit],
        )
        .await?;
    rows.iter().map(read).collect()
}

fn words(states: &[State]) -> String {
    let mut rows = Rows::new();
    for state in states {
        rows.push(row![state.word()]);
    }
    rows.json()
}

/// Names of a term's projects in these states, at most `limit`.
pub async fn names_in(
    db: &mut impl Queries,
    term: &str,
    states: &[State],
    limit: usize,
) -> Result<Vec<String>, Failure> {
    let rows = db
        .all(
            "SELECT name FROM project
             WHERE term = $1 AND state IN (SELECT value ->> 0 FROM json_each($2)) ORDER BY name LIMIT $3",
            args![term, words(states), limit],
        )
        .await?;
    rows.iter().map(|row| row.get("name")).collect()
}

/// How many of a term's projects in these states each bureau has.
pub async fn count_by_bureau(
    db: &mut impl Queries,
    term: &str,
    states: &[State],
) -> Result<Vec<(String, i64)>, Failure> {
    let rows = db
        .all(
            "SELECT accepting_bureau, COUNT(*) AS total FROM project
             WHERE term = $1 AND state IN (SELECT value ->> 0 FROM json_each($2))
             GROUP BY accepting_bureau ORDER BY accepting_bureau",
            args![term, words(states)],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("accepting_bureau")?, row.get("total")?))).collect()
}
