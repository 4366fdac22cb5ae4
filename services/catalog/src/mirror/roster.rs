//! Of the roster: where organisations stand, and who is an expert or a provider's staff.

use chassis::{
    Failure,
    changes::decode,
    db::{Tx, forget},
    export,
};
use proto::{
    common::v1::Change,
    roster::v1::{AccountFacts, OrganizationFacts},
};

use crate::store;

/// Mirrors organisations and accounts; teachers are not the catalog's business. Of an expert who was erased, what he said in words
/// goes.
#[derive(Debug)]
pub struct RosterMirror;

#[tonic::async_trait]
impl chassis::Mirror for RosterMirror {
    fn source(&self) -> &'static str {
        "roster"
    }

    async fn apply(&self, tx: &mut Tx, change: &Change) -> Result<(), Failure> {
        if let Some(facts) = decode::<OrganizationFacts>(change)? {
            store::roster::put_organization(tx, &facts).await?;
        } else if let Some(facts) = decode::<AccountFacts>(change)? {
            store::roster::put_account(tx, &facts).await?;
            if facts.erased {
                store::person::erase(tx, &facts.name).await?;
                forget(tx, &[&facts.name]).await?;
            }
        } else {
            export::mirror(tx, change).await?;
        }
        Ok(())
    }
}
