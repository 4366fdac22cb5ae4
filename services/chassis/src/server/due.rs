//! What a service does when its day has come, without being asked.

use std::{sync::Arc, time::Duration};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// How often it is looked whether something's day has come.
const LOOK: Duration = Duration::from_secs(1);

/// What waits for its day in a service's database.
#[tonic::async_trait]
pub trait Due: Send + Sync + 'static {
    /// Carries out all whose day has come by the clock. Replicas do so at the same time, and any of them may end in the middle.
    async fn carry_out(&self) -> Result<(), Failure>;
}

/// Carries out what is due: by itself every second, and before a rehearsal's clock is acknowledged to have moved, so that
/// what comes next finds it done.
#[derive(Clone)]
pub(super) struct Carrier(Arc<Mutex<dyn Due>>);

impl Carrier {
    pub(super) fn new(due: impl Due) -> Self {
        Self(Arc::new(Mutex::new(due)))
    }

    /// Returns when it is done, also what another task of this process has begun.
    pub(super) async fn carry_out(&self) -> Result<(), Failure> {
        self.0.lock().await.carry_out().await
    }

    pub(super) async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if let Err(failure) = self.carry_out().await {
                tracing::warn!(error = %failure, "what is due was not carried out; it is tried again");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Carrier")
    }
}
