//! A door on the way between two programs, below their protocols: bytes pass, pass late, or do not pass.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;
/// Doors listen below the ports that the kernel hands out by itself, so that one that was shut finds its own free.
const PORTS: std::ops::Range<u16> = 15_000..21_000;
/// How long a door that opens again may wait for its port.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a door stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// Everything passes.
    Open,
    /// Everything passes, so much later.
    Late(Duration),
    /// Nothing passes, and nobody is told: as behind a network that is gone. What was on the way arrives when it is back.
    Silent,
    /// Connections are refused, and those that there were are closed: as by a machine whose program has ended.
    Shut,
}

/// See the module. It goes with its drop.
#[derive(Debug)]
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    passage: watch::Sender<Passage>,
    behind: watch::Sender<SocketAddr>,
}

impl Door {
    /// A door before `behind`, open.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn before(behind: SocketAddr) -> anyhow::Result<Self> {
        let first = PORTS.start + u16::try_from(std::process::id() % u32::from(PORTS.end - PORTS.start))?;
        for port in (first..PORTS.end).chain(PORTS.start..first) {
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
                let address = listener.local_addr()?;
                let (passage, watched) = watch::channel(Passage::Open);
                let (behind, led) = watch::channel(behind);
                tokio::spawn(keep(listener, led, watched));
                return Ok(Self { address, passage, behind });
            }
        }
        anyhow::bail!("no free port for a door")
    }

    /// Has it stand otherwise from now on.
    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }

    /// Leads who comes from now on elsewhere; connections that there are stay where they are.
    pub fn lead(&self, behind: SocketAddr) {
        self.behind.send_replace(behind);
    }
}

async fn keep(listener: TcpListener, behind: watch::Receiver<SocketAddr>, mut passage: watch::Receiver<Passage>) {
    let Ok(address) = listener.local_addr() else { return };
    let mut open = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        if *passage.borrow_and_update() == Passage::Shut {
            open = None;
            connections.shutdown().await;
            if passage.changed().await.is_err() {
                return;
            }
            continue;
        }
        let listener = match open.take() {
            Some(listener) => listener,
            None => match again(address).await {
                Some(listener) => listener,
                None => return,
            },
        };
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((connection, _)) = accepted {
                    connections.spawn(pass(connection, *behind.borrow(), passage.clone()));
                }
            }
            changed = passage.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next() => {}
        }
        open = Some(listener);
    }
}

async fn again(address: SocketAddr) -> Option<TcpListener> {
    let until = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return Some(listener),
            Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(_) => return None,
        }
    }
}

async fn pass(from: TcpStream, behind: SocketAddr, passage: watch::Receiver<Passage>) {
    audible(&mut passage.clone()).await;
    let Ok(to) = TcpStream::connect(behind).await else { return };
    for end in [&from, &to] {
        if end.set_nodelay(true).is_err() {
            return;
        }
    }
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    // Either end's end is the other's.
    tokio::select! {
        () = pump(from_read, to_write, passage.clone()) => {}
        () = pump(to_read, from_write, passage) => {}
    }
}

async fn audible(passage: &mut watch::Receiver<Passage>) {
    // A door that is gone lets nobody wait.
    let _ = passage.wait_for(|passage| *passage != Passage::Silent).await;
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut passage: watch::Receiver<Passage>,
) {
    let (sender, mut on_the_way) = mpsc::channel(64);
    let now = passage.clone();
    let read = async move {
        loop {
            let mut chunk = vec![0; CHUNK];
            let Ok(count @ 1..) = from.read(&mut chunk).await else { return };
            chunk.truncate(count);
            let delay = if let Passage::Late(delay) = *now.borrow() { delay } else { Duration::ZERO };
            if sender.send((Instant::now() + delay, chunk)).await.is_err() {
                return;
            }
        }
    };
    let write = async {
        while let Some((due, chunk)) = on_the_way.recv().await {
            tokio::time::sleep_until(due).await;
            audible(&mut passage).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = connection.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        Ok(address)
    }

    /// A server that says nothing and hangs up.
    async fn silent() -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        Ok(address)
    }

    async fn said(connection: &mut TcpStream) -> std::io::Result<u8> {
        connection.write_all(&[7]).await?;
        connection.read_u8().await
    }

    #[tokio::test]
    async fn bytes_pass_late_or_not_or_the_door_is_shut() -> anyhow::Result<()> {
        let door = Door::before(echo().await?).await?;
        let mut connection = TcpStream::connect(door.address).await?;
        assert_eq!(said(&mut connection).await?, 7);

        door.set(Passage::Late(Duration::from_millis(50)));
        let began = Instant::now();
        assert_eq!(said(&mut connection).await?, 7);
        assert!(began.elapsed() >= Duration::from_millis(100), "there and back: {:?}", began.elapsed());

        door.set(Passage::Silent);
        let waiting = tokio::time::timeout(Duration::from_millis(100), said(&mut connection));
        assert!(waiting.await.is_err());
        door.set(Passage::Open);
        assert_eq!(connection.read_u8().await?, 7, "what was on the way arrives");

        door.set(Passage::Shut);
        assert!(said(&mut connection).await.is_err());
        assert!(TcpStream::connect(door.address).await.is_err());
        door.set(Passage::Open);
        let until = Instant::now() + PATIENCE;
        let mut connection = loop {
            match TcpStream::connect(door.address).await {
                Ok(connection) => break connection,
                Err(error) => anyhow::ensure!(Instant::now() < until, "{error}"),
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(said(&mut connection).await?, 7);

        door.lead(silent().await?);
        assert_eq!(said(&mut connection).await?, 7, "who was there stays");
        assert!(said(&mut TcpStream::connect(door.address).await?).await.is_err());
        Ok(())
    }
}
