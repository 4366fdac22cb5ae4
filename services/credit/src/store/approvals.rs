//! Selections that schools have approved, as enrollment tells them.

use chassis::{
    Failure,
    db::{Rows, Tx, args, row},
};
use proto::enrollment::v1::{Selection, selection::State};

/// Whether a selection stands approved and has still to bring its credit.
const fn is_approved(state: State) -> bool {
    matches!(state, State::SchoolApproved | State::Confirmed | State::Attended | State::Passed)
}

/// Keeps selections as they were last told, none twice: those that stand approved; the others go.
pub async fn put(tx: &mut Tx, told: &[Selection]) -> Result<(), Failure> {
    let (approved, others): (Vec<_>, Vec<_>) = told.iter().partition(|selection| is_approved(selection.state()));
    if !others.is_empty() {
        tx.execute(
            "DELETE FROM approval WHERE selection IN (SELECT value ->> 0 FROM json_each($1))",
            args![Rows::texts(others.iter().map(|selection| &selection.name)).json()],
        )
        .await?;
    }
    if approved.is_empty() {
        return Ok(());
    }
    let mut rows = Rows::new();
    for Selection { name, project, school, matched, .. } in approved {
        rows.push(row![name.as_str(), project.as_str(), school.as_str(), i64::from(*matched)]);
    }
    tx.execute(
        "INSERT INTO approval (selection, project, school, matched)
         SELECT value ->> 0, value ->> 1, value ->> 2, CAST(value ->> 3 AS BIGINT) FROM json_each($1) WHERE TRUE
         ON CONFLICT (selection) DO UPDATE SET project = excluded.project, school = excluded.school,
            matched = excluded.matched",
        args![rows.json()],
    )
    .await?;
    Ok(())
}
