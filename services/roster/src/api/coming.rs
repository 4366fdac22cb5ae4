//! Status events whose day has come: nobody has to ask for it.

use chassis::Failure;
use proto::common::v1::Reason;

use super::{Service, status_events};
use crate::store::history;

/// Carries out the events that wait for their day.
#[derive(Debug)]
pub struct Coming(pub Service);

#[tonic::async_trait]
impl chassis::Due for Coming {
    async fn carry_out(&self) -> Result<(), Failure> {
        self.carry_out_at(self.0.db.env().clock.now()).await
    }
}

impl Coming {
    /// What is due at an instant, in microseconds since the epoch: one transaction an event, in order of days; each is done once,
    /// whoever else is at it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn carry_out_at(&self, at: i64) -> Result<(), Failure> {
        let Self(service) = self;
        loop {
            let mut reader = service.db.read_own().await?;
            let today = service.term(reader.gates().ok().as_deref(), at)?.today;
            let Some((teacher, event)) = history::due(&mut reader, today).await? else { return Ok(()) };
            let mut tx = service.db.begin_own(at, &event).await?;
            match status_events::carry_out(&mut tx, &teacher, today).await {
                Ok(()) => {
                    tx.finish().await?;
                }
                // Another replica, or somebody who writes to the same teacher, was first: look again.
                Err(failure) if failure.reason() == Some(Reason::EtagMismatch) => tx.abandon().await,
                Err(failure) => return Err(failure),
            }
        }
    }
}
