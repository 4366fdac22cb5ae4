//! Steps: claimed by one process through a conditional update, carried out page by page.

use std::collections::BTreeMap;

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args, row},
};
use proto::gateway::v1::step::State;

use crate::sequencer::{Planned, Task};

/// A step as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was planned.
    pub planned: Planned,
    /// "terms/…"
    pub term: String,
    /// Where it stands.
    pub state: State,
    /// Tries so far.
    pub attempts: i64,
    /// Pages done.
    pub page: i64,
    /// Counts summed over pages.
    pub outcome: BTreeMap<String, i64>,
    /// A barrier's position, once it is known.
    pub position: i64,
    /// Why the last try failed.
    pub error: String,
    /// Why it was skipped.
    pub skip_reason: String,
    /// When it ended, in microseconds since the epoch.
    pub done_at: Option<i64>,
}

fn state_text(state: State) -> &'static str {
    state.as_str_name()
}

fn step(row: &Row) -> Result<Step, Failure> {
    let json = |column: &'static str| row.get::<String>(column);
    let task: Task = serde_json::from_str(&json("task")?).map_err(Failure::internal)?;
    let name: String = row.get("name")?;
    Ok(Step {
        planned: Planned {
            name,
            title: row.get("title")?,
            edge: String::new(),
            due: row.get("due")?,
            ordinal: row.get("ordinal")?,
            task,
            after: serde_json::from_str(&json("after")?).map_err(Failure::internal)?,
        },
        term: row.get("term")?,
        state: State::from_str_name(&json("state")?).unwrap_or(State::Unspecified),
        attempts: row.get("attempts")?,
        page: row.get("page")?,
        outcome: serde_json::from_str(&json("outcome")?).map_err(Failure::internal)?,
        position: row.get("position")?,
        error: row.get("error")?,
        skip_reason: row.get("skip_reason")?,
        done_at: row.get("done_at")?,
    })
}

/// # Errors
/// Those of the database.
pub async fn find(db: &mut impl Queries, name: &str) -> Result<Option<Step>, Failure> {
    db.one("SELECT * FROM step WHERE name = $1", args![name]).await?.as_ref().map(step).transpose()
}

/// A term's steps in the order in which they are due: after (due, ordinal, name), in one state or in all.
///
/// # Errors
/// Those of the database.
pub async fn list(
    db: &mut impl Queries,
    term: &str,
    state: State,
    after: (i64, i64, &str),
    limit: usize,
) -> Result<Vec<Step>, Failure> {
    let state = if state == State::Unspecified { "" } else { state_text(state) };
    let (due, ordinal, name) = after;
    db.all(
        "SELECT * FROM step WHERE term = $1 AND ($2 = '' OR state = $2)
           AND (due > $3 OR (due = $3 AND (ordinal > $4 OR (ordinal = $4 AND name > $5))))
         ORDER BY due, ordinal, name LIMIT $6",
        args![term, state, due, ordinal, name, limit],
    )
    .await?
    .iter()
    .map(step)
    .collect()
}

/// Names and due instants of a term's steps that have begun, by calendar; not those of single classes.
///
/// # Errors
/// Those of the database.
pub async fn begun(db: &mut impl Queries, term: &str) -> Result<Vec<(String, i64)>, Failure> {
    let rows = db
        .all(
            "SELECT name, due FROM step WHERE term = $1 AND ordinal >= 0 AND ordinal < 1000000
               AND state NOT IN ('STATE_PENDING', 'STATE_DROPPED') ORDER BY due, ordinal, name",
            args![term],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get("name")?, row.get("due")?))).collect()
}

/// Brings the steps that have not begun in line with a plan: new ones are added, those that moved are moved, those that
/// are no longer in it are dropped.
///
/// # Errors
/// Those of the database.
pub async fn adopt(tx: &mut Tx, term: &str, plan: &[Planned]) -> Result<(), Failure> {
    let names = Rows::texts(plan.iter().map(|step| &step.name)).json();
    tx.execute(
        "UPDATE step SET state = 'STATE_DROPPED' WHERE term = $1 AND state = 'STATE_PENDING'
           AND ordinal >= 0 AND ordinal < 1000000
           AND name NOT IN (SELECT value ->> 0 FROM json_each($2))",
        args![term, names],
    )
    .await?;
    add(tx, term, plan).await
}

/// Adds steps; those that are there and have not begun are moved to their new instant.
///
/// # Errors
/// Those of the database.
pub async fn add(tx: &mut Tx, term: &str, plan: &[Planned]) -> Result<(), Failure> {
    let mut rows = Rows::new();
    for step in plan {
        rows.push(row![
            step.name.as_str(),
            step.ordinal,
            step.title.as_str(),
            step.due,
            serde_json::to_string(&step.task).map_err(Failure::internal)?,
            serde_json::to_string(&step.after).map_err(Failure::internal)?
        ]);
    }
    tx.execute(
        "INSERT INTO step (name, term, ordinal, title, due, task, after, state, attempts, page, outcome, position, error,
                           skip_reason, owner, leased_until, retry_at)
         SELECT value ->> 0, $2, CAST(value ->> 1 AS BIGINT), value ->> 2, CAST(value ->> 3 AS BIGINT), value ->> 4,
                value ->> 5, 'STATE_PENDING', 0, 0, '{}', 0, '', '', '', 0, 0
         FROM json_each($1) WHERE TRUE
         ON CONFLICT (name) DO UPDATE SET ordinal = excluded.ordinal, title = excluded.title, due = excluded.due,
             task = excluded.task, after = excluded.after, state = 'STATE_PENDING'
         WHERE step.state IN ('STATE_PENDING', 'STATE_DROPPED')",
        args![rows.json(), term],
    )
    .await?;
    Ok(())
}

/// Steps that are due and not done, of every term: what the sequencer looks at. `wall` is in seconds.
///
/// # Errors
/// Those of the database.
pub async fn open(db: &mut impl Queries, now: i64, limit: usize) -> Result<Vec<Step>, Failure> {
    db.all(
        "SELECT * FROM step WHERE state IN ('STATE_PENDING', 'STATE_FAILED', 'STATE_RUNNING') AND due <= $1
         ORDER BY due, ordinal, name LIMIT $2",
        args![now, limit],
    )
    .await?
    .iter()
    .map(step)
    .collect()
}

/// Of these steps, those that are done or given up.
///
/// # Errors
/// Those of the database.
pub async fn ended(db: &mut impl Queries, names: &[String]) -> Result<Vec<String>, Failure> {
    let rows = db
        .all(
            "SELECT name FROM step WHERE name IN (SELECT value ->> 0 FROM json_each($1))
               AND state IN ('STATE_DONE', 'STATE_SKIPPED', 'STATE_DROPPED')",
            args![Rows::texts(names).json()],
        )
        .await?;
    rows.iter().map(|row| row.get("name")).collect()
}

/// Claims a step for a process until `until` (wall clock, seconds). False if another has it, or it need not be done now.
///
/// # Errors
/// Those of the database.
pub async fn claim(tx: &mut Tx, name: &str, owner: &str, wall: i64, until: i64) -> Result<bool, Failure> {
    let claimed = tx
        .execute(
            "UPDATE step SET state = 'STATE_RUNNING', owner = $2, leased_until = $4, attempts = attempts + 1
             WHERE name = $1 AND retry_at <= $3
               AND (state IN ('STATE_PENDING', 'STATE_FAILED')
                    OR (state = 'STATE_RUNNING' AND (leased_until < $3 OR owner = $2)))",
            args![name, owner, wall, until],
        )
        .await?;
    Ok(claimed == 1)
}

/// Stores how far a step has come, if `owner` still has it.
///
/// # Errors
/// Those of the database.
pub async fn save(tx: &mut Tx, step: &Step, owner: &str, retry_at: i64, until: i64) -> Result<bool, Failure> {
    let saved = tx
        .execute(
            "UPDATE step SET state = $3, page = $4, outcome = $5, position = $6, error = $7, retry_at = $8, done_at = $9,
                             leased_until = $10
             WHERE name = $1 AND owner = $2 AND state = 'STATE_RUNNING'",
            args![
                &step.planned.name,
                owner,
                state_text(step.state),
                step.page,
                serde_json::to_string(&step.outcome).map_err(Failure::internal)?,
                step.position,
                &step.error,
                retry_at,
                step.done_at,
                until
            ],
        )
        .await?;
    Ok(saved == 1)
}

/// Lets a failed step be tried at once. False if it has not failed.
///
/// # Errors
/// Those of the database.
pub async fn retry(tx: &mut Tx, name: &str) -> Result<bool, Failure> {
    let sql = "UPDATE step SET retry_at = 0 WHERE name = $1 AND state = 'STATE_FAILED'";
    Ok(tx.execute(sql, args![name]).await? == 1)
}

/// Gives a step up. False if it is running or has ended.
///
/// # Errors
/// Those of the database.
pub async fn skip(tx: &mut Tx, name: &str, reason: &str, at: i64) -> Result<bool, Failure> {
    let sql = "UPDATE step SET state = 'STATE_SKIPPED', skip_reason = $2, done_at = $3
               WHERE name = $1 AND state IN ('STATE_PENDING', 'STATE_FAILED')";
    Ok(tx.execute(sql, args![name, reason, at]).await? == 1)
}
