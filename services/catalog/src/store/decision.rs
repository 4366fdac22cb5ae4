//! What was decided on projects, by whom and why: never changed, never removed.

use chassis::{
    Failure,
    db::{Tx, args},
};
use proto::common::v1 as pb;

use crate::domain::Project;

/// Keeps a decision on a locked project.
pub async fn insert(
    tx: &mut Tx,
    project: &Project,
    verb: &str,
    actor: &pb::Actor,
    reason: &str,
    policy_version: i64,
) -> Result<(), Failure> {
    let at = tx.at();
    tx.execute(
        "INSERT INTO decision (project, revision, verb, account, role, organization, service, reason, policy_version, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        args![
            &project.name,
            project.revision,
            verb,
            &actor.account,
            actor.role().as_str_name(),
            &actor.organization,
            &actor.service,
            reason,
            policy_version,
            at,
        ],
    )
    .await?;
    Ok(())
}
