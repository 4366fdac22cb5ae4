//! What is read again from its files while the process runs. Files that will not do are told and measured; what was read
//! before goes on being used.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::telemetry::{KeyValue, meter};

/// Something that files hold.
pub(crate) trait Reloaded: Send + Sync + 'static {
    /// What it is, in a log and a metric, e.g. "certificate".
    const WHAT: &'static str;

    /// Looks at the files, and takes what has changed; whether anything had.
    fn reload(&self) -> anyhow::Result<bool>;
}

/// Looks at the files every so often until the process ends. They are looked into, not only at: a mounted secret's are links
/// that change under the same name and date.
pub(crate) async fn follow<R: Reloaded>(
    service: &'static str,
    what: Arc<R>,
    every: Duration,
    ending: CancellationToken,
) {
    let refused = meter()
        .u64_gauge("shixun.reload.refused")
        .with_description("1 while what the files hold is refused, and what was read before is used")
        .build();
    let labels = [KeyValue::new("service", service), KeyValue::new("what", R::WHAT)];
    refused.record(0, &labels);
    // The same fault is told once.
    let mut told = String::new();
    while ending.run_until_cancelled(tokio::time::sleep(every.max(SHORTEST))).await.is_some() {
        let what = Arc::clone(&what);
        let outcome = match tokio::task::spawn_blocking(move || what.reload()).await {
            Ok(outcome) => outcome,
            Err(ended) => Err(ended.into()),
        };
        match outcome {
            Ok(changed) => {
                if changed || !told.is_empty() {
                    tracing::info!(service, what = R::WHAT, "read again");
                    told.clear();
                }
                refused.record(0, &labels);
            }
            Err(error) => {
                refused.record(1, &labels);
                let error = format!("{error:#}");
                if told != error {
                    tracing::error!(service, what = R::WHAT, error, "refused; what was read before is used");
                    told = error;
                }
            }
        }
    }
}

/// Files are not looked at more often.
const SHORTEST: Duration = Duration::from_millis(100);
