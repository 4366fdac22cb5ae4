//! Requests for more places.

use chassis::{
    Failure,
    db::{Queries, Row, Rows, Tx, args},
};

use super::{json, narrow, project::Sight, unknown};
use crate::domain::expansion::{Expansion, State};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT e.name, e.project, e.class, e.new_class, e.places_requested, e.places_granted, e.reason, e.state,
                    e.decision_reason
             FROM expansion e ",
            $rest
        )
    };
}

fn read(row: &Row) -> Result<Expansion, Failure> {
    let state = row.get::<String>("state")?;
    let new_class = row.get::<Option<String>>("new_class")?;
    Ok(Expansion {
        name: row.get("name")?,
        project: row.get("project")?,
        class: row.get("class")?,
        new_class: new_class.map(|class| serde_json::from_str(&class).map_err(Failure::internal)).transpose()?,
        places_requested: narrow(row, "places_requested")?,
        places_granted: narrow(row, "places_granted")?,
        reason: row.get("reason")?,
        state: State::from_word(&state).ok_or_else(|| unknown("state", &state))?,
        decision_reason: row.get("decision_reason")?,
    })
}

/// The request of that name.
pub async fn find(db: &mut impl Queries, name: &str) -> Result<Option<Expansion>, Failure> {
    db.one(select!("WHERE e.name = $1"), args![name]).await?.as_ref().map(read).transpose()
}

/// How many requests a project has made, whatever became of them.
pub async fn count_of(db: &mut impl Queries, project: &str) -> Result<i64, Failure> {
    match db.one("SELECT COUNT(*) AS total FROM expansion WHERE project = $1", args![project]).await? {
        Some(row) => row.get("total"),
        None => Ok(0),
    }
}

/// Adds an open request of `term`.
pub async fn insert(tx: &mut Tx, expansion: &Expansion, term: &str, policy_version: i64) -> Result<(), Failure> {
    let new_class = expansion.new_class.as_ref().map(json).transpose()?;
    let (account, at) = (tx.actor().account.clone(), tx.at());
    tx.execute(
        "INSERT INTO expansion (name, term, project, class, new_class, places_requested, places_granted, reason, state,
                                decision_reason, requested_by, requested_at, decided_by, decided_at, policy_version)
         VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, '', $9, $10, '', NULL, $11)",
        args![
            &expansion.name,
            term,
            &expansion.project,
            &expansion.class,
            new_class,
            expansion.places_requested,
            &expansion.reason,
            expansion.state.word(),
            account,
            at,
            policy_version,
        ],
    )
    .await?;
    Ok(())
}

/// Decides an open request. `false`: it was not open any more.
pub async fn decide(tx: &mut Tx, expansion: &Expansion, policy_version: i64) -> Result<bool, Failure> {
    let actor = tx.actor();
    let decided_by = if actor.account.is_empty() { actor.service.clone() } else { actor.account.clone() };
    let at = tx.at();
    let rows = tx
        .execute(
            "UPDATE expansion
             SET state = $2, places_granted = $3, decision_reason = $4, decided_by = $5, decided_at = $6,
                 policy_version = $7
             WHERE name = $1 AND state = $8",
            args![
                &expansion.name,
                expansion.state.word(),
                expansion.places_granted,
                &expansion.decision_reason,
                decided_by,
                at,
                policy_version,
                State::Requested.word(),
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// A term's requests that a provider or bureau may see, by name, from after `after`.
pub async fn list(
    db: &mut impl Queries,
    term: &str,
    state: Option<State>,
    sight: &Sight,
    after: &str,
    limit: usize,
) -> Result<Vec<Expansion>, Failure> {
    let rows = db
        .all(
            select!(
                "JOIN project p ON p.name = e.project
                 WHERE e.term = $1 AND ($2 = '' OR e.state = $2) AND e.name > $5
                   AND (p.provider IN (SELECT value ->> 0 FROM json_each($3))
                        OR p.accepting_bureau IN (SELECT value ->> 0 FROM json_each($4))
                        OR p.accepting_bureau IN (
                            SELECT o.organization FROM organization_ancestor o
                            WHERE o.ancestor IN (SELECT value ->> 0 FROM json_each($4))))
                 ORDER BY e.name LIMIT $6"
            ),
            args![
                term,
                state.map_or("", State::word),
                Rows::texts(&sight.providers).json(),
                Rows::texts(&sight.bureaus).json(),
                after,
                limit,
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// A term's open requests, at most `limit`.
pub async fn open(db: &mut impl Queries, term: &str, limit: usize) -> Result<Vec<Expansion>, Failure> {
    let rows = db
        .all(
            select!("WHERE e.term = $1 AND e.state = $2 ORDER BY e.name LIMIT $3"),
            args![term, State::Requested.word(), limit],
        )
        .await?;
    rows.iter().map(read).collect()
}
