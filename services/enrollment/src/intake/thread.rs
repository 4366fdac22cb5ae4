//! A thread of its own, for what should not queue behind a crowd's tasks each time that it is woken.

use std::{
    io,
    thread::{Builder, JoinHandle},
};

use tokio::{runtime, sync::oneshot};

/// What is done on a thread. Dropped, it is given up, and nothing of it is left.
#[derive(Debug)]
struct Running {
    /// Its end tells the thread to give up.
    kept: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.kept.take());
        // It waits for nobody who would have to run meanwhile. Its panic is its own.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Begins `work` on a thread of this name, with a reactor of its own; returns what ends with it.
///
/// # Errors
/// If the system gives none.
pub(super) fn run(
    name: &str,
    work: impl Future<Output = ()> + Send + 'static,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (ends, ended) = oneshot::channel::<()>();
    let (kept, given_up) = oneshot::channel::<()>();
    let (begins, begun) = std::sync::mpsc::sync_channel(1);
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        // Built here: dropped in another runtime's task, as it would be if there were no thread, it would panic.
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let told = begins.send(runtime.as_ref().map(drop).map_err(|error| io::Error::from(error.kind())));
        if let (Ok(()), Ok(runtime)) = (told, runtime) {
            runtime.block_on(async {
                tokio::select! {
                    () = work => {}
                    _ = given_up => {}
                }
            });
        }
        drop(ends);
    })?;
    let running = Running { kept: Some(kept), thread: Some(thread) };
    begun.recv().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
    Ok(async move {
        drop(ended.await);
        drop(running);
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing() {
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let work = run("test", async move {
            std::future::pending::<()>().await;
            drop(holds);
        });
        drop(work.expect("a thread"));
        assert_eq!(Arc::strong_count(&held), 1);
        run("test", async {}).expect("a thread").await;
    }
}
