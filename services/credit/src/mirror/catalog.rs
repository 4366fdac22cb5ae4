//! From the catalog: what recognition needs to know of a project.

use chassis::{Failure, Mirror, changes::decode, db::Tx};
use proto::{catalog::v1::ProjectFacts, common::v1::Change};

use crate::store::projects;

/// Mirrors projects.
#[derive(Debug)]
pub struct CatalogMirror;

#[tonic::async_trait]
impl Mirror for CatalogMirror {
    fn source(&self) -> &'static str {
        "catalog"
    }

    async fn apply(&self, tx: &mut Tx, change: &Change) -> Result<(), Failure> {
        match decode::<ProjectFacts>(change)? {
            Some(facts) => projects::put(tx, &facts).await,
            None => Ok(()),
        }
    }
}
