//! What waits for somebody in the catalog: mirrored, so that people are reminded of it.

use chassis::{
    Failure,
    db::{Rows, Tx, args, row},
};
use proto::common::v1::{Phase, Role};

use super::catalog;

/// Somebody's task: in which phase it is to be done, and who of which organisation does it.
pub type Task<'a> = (Phase, Role, &'a str);

/// Puts the tasks that a resource of the catalog leaves, in place of those that it left before.
pub async fn put(tx: &mut Tx, resource: &str, term: &str, tasks: &[Task<'_>]) -> Result<(), Failure> {
    tx.execute("DELETE FROM catalog_task WHERE resource = $1", args![resource]).await?;
    if tasks.is_empty() {
        return Ok(());
    }
    let mut rows = Rows::new();
    for (phase, role, organization) in tasks {
        rows.push(row![*phase as i32, *role as i32, *organization]);
    }
    tx.execute(
        "INSERT INTO catalog_task (resource, phase, term, role, organization)
         SELECT $2, CAST(value ->> 0 AS BIGINT), $3, CAST(value ->> 1 AS BIGINT), value ->> 2 FROM json_each($1)",
        args![rows.json(), resource, term],
    )
    .await?;
    Ok(())
}

/// The bureau that decides on what is asked for a project; none if the project is unknown.
pub async fn deciding_bureau(tx: &mut Tx, project: &str) -> Result<Option<(String, String)>, Failure> {
    let project = catalog::project(tx, project).await?;
    Ok(project.map(|project| (project.term, project.accepting_bureau)))
}
