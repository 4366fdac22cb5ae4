//! The people's way to the gateway, as a Kubernetes Service makes it: each connection goes to a replica that is ready when it is made,
//! and stays there.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinHandle,
};

/// See the module. It goes with its drop.
#[derive(Debug)]
pub struct Entrance {
    /// Where it is.
    pub address: SocketAddr,
    ready: Arc<Mutex<Vec<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Entrance {
    /// One that leads to nobody yet.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let ready: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let task = tokio::spawn(lead(listener, Arc::clone(&ready)));
        Ok(Self { address, ready, task })
    }

    /// From now on it leads to these. Nobody is on the way to another one any more when this is over.
    pub async fn lead_to(&self, ready: Vec<SocketAddr>) {
        *self.ready.lock().await = ready;
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn lead(listener: TcpListener, ready: Arc<Mutex<Vec<SocketAddr>>>) {
    let turn = AtomicUsize::new(0);
    while let Ok((mut near, _)) = listener.accept().await {
        let ready = ready.lock().await;
        let place = turn.fetch_add(1, Ordering::Relaxed) % ready.len().max(1);
        let Some(address) = ready.get(place) else { continue };
        // Held until it is connected: whoever takes an address away waits for who is on the way there.
        let Ok(mut far) = TcpStream::connect(address).await else { continue };
        drop(ready);
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        tokio::spawn(async move {
            let _ = copy_bidirectional(&mut near, &mut far).await;
        });
    }
}
