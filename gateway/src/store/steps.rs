//! Steps: claimed by one process through a conditional update, carried out page by page.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args, row},
};
use proto::gateway::v1::step::State;

use crate::sequencer::{OF_CLASSES, Planned, Task};

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
    /// Where the last page left off, as the service told it.
    pub cursor: String,
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

/// States as they are shown: the last one is pending, and its time has come.
const SHOWN: [&str; 6] = ["pending", "running", "failed", "done", "skipped", "due"];

/// How many steps each term has in each state, those of which there are none too.
///
/// # Errors
/// Those of the database.
pub async fn states(db: &mut impl Queries, now: i64) -> Result<Vec<(String, &'static str, i64)>, Failure> {
    let rows = db
        .all(
            "SELECT term, CASE WHEN state = 'STATE_PENDING' AND due <= $1 THEN 'STATE_DUE' ELSE state END AS state,
                    COUNT(*) AS number
             FROM step GROUP BY 1, 2",
            args![now],
        )
        .await?;
    let mut numbers: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for row in &rows {
        let state = row.get::<String>("state")?.trim_start_matches("STATE_").to_lowercase();
        numbers.entry(row.get("term")?).or_default().insert(state, row.get("number")?);
    }
    let all = numbers.into_iter().flat_map(|(term, numbers)| {
        SHOWN.map(|state| (term.clone(), state, numbers.get(state).copied().unwrap_or_default()))
    });
    Ok(all.collect())
}

fn state_text(state: State) -> &'static str {
    state.as_str_name()
}

fn step(row: &Row) -> Result<Step, Failure> {
    let json = |column: &'static str| row.get::<String>(column);
    let task: Task = serde_json::from_str(&json("task")?).map_err(Failure::internal)?;
    let name: String = row.get("name")?;
    let names: Vec<Vec<String>> = serde_json::from_str(&json("after")?).map_err(Failure::internal)?;
    Ok(Step {
        planned: Planned {
            name,
            title: row.get("title")?,
            edge: String::new(),
            due: row.get("due")?,
            ordinal: row.get("ordinal")?,
            task,
            after: names.into_iter().flatten().collect(),
        },
        term: row.get("term")?,
        state: State::from_str_name(&json("state")?).unwrap_or(State::Unspecified),
        attempts: row.get("attempts")?,
        page: row.get("page")?,
        cursor: row.get("cursor")?,
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

/// Names of a term's steps that have begun, by calendar; not those of single classes.
///
/// # Errors
/// Those of the database.
pub async fn begun(db: &mut impl Queries, term: &str) -> Result<BTreeSet<String>, Failure> {
    let rows = db
        .all(
            "SELECT name FROM step WHERE term = $1 AND ordinal >= 0 AND ordinal < $2
               AND state NOT IN ('STATE_PENDING', 'STATE_DROPPED')",
            args![term, OF_CLASSES],
        )
        .await?;
    rows.iter().map(|row| row.get("name")).collect()
}

/// Brings the steps that have not begun in line with a plan: new ones are added, those that moved are moved, those that
/// are no longer in it are dropped. Returns what changed.
///
/// # Errors
/// Those of the database.
pub async fn adopt(tx: &mut Tx, term: &str, plan: &[Planned]) -> Result<Vec<Step>, Failure> {
    let names = Rows::texts(plan.iter().map(|step| &step.name)).json();
    let dropped = tx
        .all(
            "UPDATE step SET state = 'STATE_DROPPED' WHERE term = $1 AND state = 'STATE_PENDING'
               AND ordinal >= 0 AND ordinal < $3
               AND name NOT IN (SELECT value ->> 0 FROM json_each($2)) RETURNING *",
            args![term, names, OF_CLASSES],
        )
        .await?;
    let mut changed = in_order(&dropped)?;
    changed.extend(add(tx, term, plan).await?);
    Ok(changed)
}

/// Adds steps; those that are there and have not begun are brought in line. Returns what changed.
///
/// # Errors
/// Those of the database.
pub async fn add(tx: &mut Tx, term: &str, plan: &[Planned]) -> Result<Vec<Step>, Failure> {
    let mut rows = Rows::new();
    for step in plan {
        rows.push(row![
            step.name.as_str(),
            step.ordinal,
            step.title.as_str(),
            step.due,
            serde_json::to_string(&step.task).map_err(Failure::internal)?,
            Rows::texts(&step.after).json()
        ]);
    }
    let added = tx
        .all(
            "INSERT INTO step (name, term, ordinal, title, due, task, after, state, attempts, page, outcome, position,
                               error, skip_reason, owner, leased_until, retry_at)
             SELECT value ->> 0, $2, CAST(value ->> 1 AS BIGINT), value ->> 2, CAST(value ->> 3 AS BIGINT), value ->> 4,
                    value ->> 5, 'STATE_PENDING', 0, 0, '{}', 0, '', '', '', 0, 0
             FROM json_each($1) WHERE TRUE
             ON CONFLICT (name) DO UPDATE SET ordinal = excluded.ordinal, title = excluded.title, due = excluded.due,
                 task = excluded.task, after = excluded.after, state = 'STATE_PENDING'
             WHERE step.state = 'STATE_DROPPED'
                OR (step.state = 'STATE_PENDING'
                    AND (step.due <> excluded.due OR step.ordinal <> excluded.ordinal OR step.task <> excluded.task
                         OR step.after <> excluded.after))
             RETURNING *",
            args![rows.json(), term],
        )
        .await?;
    in_order(&added)
}

/// What a statement returned, in the plan's order whatever the engine's.
fn in_order(rows: &[Row]) -> Result<Vec<Step>, Failure> {
    let mut steps: Vec<Step> = rows.iter().map(step).collect::<Result<_, _>>()?;
    steps.sort_by(|a, b| a.planned.order().cmp(&b.planned.order()));
    Ok(steps)
}

/// Who claims steps, and when by the wall clock, in seconds.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// The process.
    pub owner: String,
    /// Now.
    pub wall: i64,
    /// Until when the claim is believed.
    pub until: i64,
}

/// Steps of every term that are due at `now`, wait for nothing, and can be claimed, in order.
///
/// # Errors
/// Those of the database.
pub async fn ready(db: &mut impl Queries, now: i64, who: &Claimant, limit: usize) -> Result<Vec<Step>, Failure> {
    db.all(
        "SELECT * FROM step
         WHERE state IN ('STATE_PENDING', 'STATE_FAILED', 'STATE_RUNNING') AND due <= $1 AND retry_at <= $2
           AND (state <> 'STATE_RUNNING' OR leased_until < $2 OR owner = $3)
           AND NOT EXISTS (
               SELECT 1 FROM json_each(step.after) AS waits JOIN step AS other ON other.name = waits.value ->> 0
               WHERE other.state NOT IN ('STATE_DONE', 'STATE_SKIPPED', 'STATE_DROPPED'))
         ORDER BY due, ordinal, name LIMIT $4",
        args![now, who.wall, &who.owner, limit],
    )
    .await?
    .iter()
    .map(step)
    .collect()
}

/// What holds up steps that wait for none by name.
#[derive(Debug, Default)]
pub struct Pending {
    /// (term, service) whose newest gates have not arrived there.
    pub gates: BTreeSet<(String, String)>,
    /// By term: when the earliest of the results that are not yet credit was due.
    pub results: BTreeMap<String, i64>,
}

/// Of the steps that are due at `now`: gates to put, and results to recognise, that are not done.
///
/// # Errors
/// Those of the database.
pub async fn pending(db: &mut impl Queries, now: i64) -> Result<Pending, Failure> {
    let mut pending = Pending::default();
    let rows = db
        .all(
            "SELECT * FROM step WHERE state IN ('STATE_PENDING', 'STATE_FAILED', 'STATE_RUNNING') AND due <= $1
               AND ordinal < 0",
            args![now],
        )
        .await?;
    for row in &rows {
        let step = step(row)?;
        pending
            .gates
            .extend(step.planned.task.services().into_iter().map(|service| (step.term.clone(), service.to_owned())));
    }
    let rows = db
        .all(
            "SELECT term, MIN(due) AS due FROM step
             WHERE state IN ('STATE_PENDING', 'STATE_FAILED', 'STATE_RUNNING') AND due <= $1 AND ordinal >= $2
             GROUP BY term",
            args![now, OF_CLASSES],
        )
        .await?;
    for row in &rows {
        pending.results.insert(row.get("term")?, row.get("due")?);
    }
    Ok(pending)
}

/// Claims a step that is due at `now`. `None` if another has it, or it need not be done now.
///
/// # Errors
/// Those of the database.
pub async fn claim(tx: &mut Tx, name: &str, now: i64, who: &Claimant) -> Result<Option<Step>, Failure> {
    let claimed = tx
        .one(
            "UPDATE step SET state = 'STATE_RUNNING', owner = $2, leased_until = $4, attempts = attempts + 1
             WHERE name = $1 AND retry_at <= $3 AND due <= $5
               AND (state IN ('STATE_PENDING', 'STATE_FAILED')
                    OR (state = 'STATE_RUNNING' AND (leased_until < $3 OR owner = $2)))
             RETURNING *",
            args![name, &who.owner, who.wall, who.until, now],
        )
        .await?;
    claimed.as_ref().map(step).transpose()
}

/// Prolongs the claims of a process that is alive; with `until` 0 it gives them up.
///
/// # Errors
/// Those of the database.
pub async fn renew(tx: &mut Tx, owner: &str, until: i64) -> Result<(), Failure> {
    let sql = "UPDATE step SET leased_until = $2 WHERE owner = $1 AND state = 'STATE_RUNNING'";
    tx.execute(sql, args![owner, until]).await?;
    Ok(())
}

/// Frees what a process left that has ended: only where there can be no other process.
///
/// # Errors
/// Those of the database.
pub async fn free_all(tx: &mut Tx) -> Result<(), Failure> {
    tx.execute("UPDATE step SET leased_until = 0 WHERE state = 'STATE_RUNNING'", args![]).await?;
    Ok(())
}

/// Stores how far a step has come, if the claimant still has it.
///
/// # Errors
/// Those of the database.
pub async fn save(tx: &mut Tx, step: &Step, retry_at: i64, who: &Claimant) -> Result<bool, Failure> {
    let saved = tx
        .execute(
            "UPDATE step SET state = $3, page = $4, outcome = $5, position = $6, error = $7, retry_at = $8, done_at = $9,
                             leased_until = $10, cursor = $11
             WHERE name = $1 AND owner = $2 AND state = 'STATE_RUNNING'",
            args![
                &step.planned.name,
                &who.owner,
                state_text(step.state),
                step.page,
                serde_json::to_string(&step.outcome).map_err(Failure::internal)?,
                step.position,
                &step.error,
                retry_at,
                step.done_at,
                who.until,
                &step.cursor
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

/// Gives up a step that has failed, whether or not it is being tried again. False if it has not, or has ended.
///
/// # Errors
/// Those of the database.
pub async fn skip(tx: &mut Tx, name: &str, reason: &str, at: i64) -> Result<bool, Failure> {
    let sql = "UPDATE step SET state = 'STATE_SKIPPED', skip_reason = $2, done_at = $3
               WHERE name = $1 AND (state = 'STATE_FAILED' OR (state = 'STATE_RUNNING' AND error <> ''))";
    Ok(tx.execute(sql, args![name, reason, at]).await? == 1)
}
