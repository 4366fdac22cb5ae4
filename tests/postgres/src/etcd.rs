//! etcd, through which Patroni's nodes agree: here one member, which may be lost and come back.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

use crate::{
    pause,
    programs::{detach, kill, own, working_in},
};

#[derive(Debug)]
pub(crate) struct Etcd {
    program: PathBuf,
    folder: PathBuf,
    /// Where the nodes find it.
    pub clients: SocketAddr,
    peers: SocketAddr,
}

impl Etcd {
    /// One that works below `home`; it does not run yet.
    pub fn new(program: PathBuf, home: &Path, clients: SocketAddr, peers: SocketAddr) -> Result<Self> {
        let folder = home.join("etcd");
        own(&folder)?;
        Ok(Self { program, folder, clients, peers })
    }

    /// Starts it, with what it knew if it ran before.
    pub fn run(&self) -> Result<()> {
        let (clients, peers) = (format!("http://{}", self.clients), format!("http://{}", self.peers));
        let mut arguments = vec!["--name".to_owned(), "etcd".to_owned()];
        arguments.extend(["--data-dir".to_owned(), self.folder.join("data").display().to_string()]);
        for (option, value) in [
            ("--listen-client-urls", &clients),
            ("--advertise-client-urls", &clients),
            ("--listen-peer-urls", &peers),
            ("--initial-advertise-peer-urls", &peers),
            ("--initial-cluster", &format!("etcd={peers}")),
        ] {
            arguments.extend([option.to_owned(), value.clone()]);
        }
        detach(&self.folder, &self.program, &arguments)
    }

    /// Kills it with -9; it stays away until [`Self::run`].
    pub fn kill(&self) -> Result<()> {
        let mut processes = working_in(&self.folder)?;
        ensure!(!processes.is_empty(), "etcd does not run");
        while !processes.is_empty() {
            kill("KILL", &processes)?;
            pause();
            processes = working_in(&self.folder)?;
        }
        Ok(())
    }
}
