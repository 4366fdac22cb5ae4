//! Callers apart from a crowd, in the one process that plays them all.

use anyhow::Context as _;
use tokio::runtime::Builder;

/// Does this on a thread and a runtime of its own, so that it does not queue behind what a crowd of callers is answered.
///
/// # Errors
/// The work's; if the system gives no thread.
pub async fn apart<T, F>(work: impl FnOnce() -> F + Send + 'static) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>>,
{
    let done =
        tokio::task::spawn_blocking(move || Builder::new_current_thread().enable_all().build()?.block_on(work()));
    done.await.context("a caller's thread")?
}
