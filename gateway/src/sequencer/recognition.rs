//! A class's results are confirmed in enrollment: steps are made that turn them into credit.

use chassis::{Failure, Mirror, changes::decode, db::Scope, db::Tx};
use proto::{common::v1::Change, enrollment::v1::ClassResults};

use super::{recognition_steps, record};
use crate::store::steps;

/// Watches enrollment for classes whose results were confirmed or corrected.
#[derive(Debug, Clone, Copy)]
pub struct ClassResultsMirror;

#[tonic::async_trait]
impl Mirror for ClassResultsMirror {
    fn source(&self) -> &'static str {
        "enrollment"
    }

    async fn apply(&self, tx: &mut Tx, change: &Change) -> Result<(), Failure> {
        let Some(results) = decode::<ClassResults>(change)? else { return Ok(()) };
        let term = Scope::of_name(&results.class).term().to_owned();
        let due = results.confirmed_at.as_ref().map_or_else(|| tx.at(), proto::instant);
        // A correction after the confirmation is due when it was made.
        let due = if results.revision > 1 { tx.at() } else { due };
        for step in steps::add(tx, &term, &recognition_steps(&term, &results.class, results.revision, due)).await? {
            record(tx, &step, "planned");
        }
        Ok(())
    }
}
