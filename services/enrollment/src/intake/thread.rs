//! A thread of its own, for what should not queue behind a crowd's tasks each time that it is woken.

use std::{io, thread};

use tokio::{runtime, sync::oneshot};

/// Begins `work` on a thread of this name, with a reactor of its own; returns what ends with it.
///
/// # Errors
/// If the system gives none.
pub(super) fn run(
    name: &str,
    work: impl Future<Output = ()> + Send + 'static,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (ends, ended) = oneshot::channel::<()>();
    let (begins, begun) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Built here: dropped in another runtime's task, as it would be if there were no thread, it would panic.
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let told = begins.send(runtime.as_ref().map(drop).map_err(|error| io::Error::from(error.kind())));
        if let (Ok(()), Ok(runtime)) = (told, runtime) {
            runtime.block_on(work);
        }
        drop(ends);
    })?;
    begun.recv().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
    Ok(async { drop(ended.await) })
}
