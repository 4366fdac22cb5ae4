//! The cluster's names: a file of hosts that the services see in the place of their machine's, each in a mount namespace of its own.
//! Like a cluster's DNS it tells at once who is there, and for a while still who has gone.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs::File,
    net::IpAddr,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::Context as _;

/// Always the same, so that one write replaces all: whoever reads meanwhile finds no half of it.
const SIZE: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct Names {
    path: PathBuf,
    known: Mutex<BTreeSet<(String, IpAddr)>>,
}

impl Names {
    /// A file without names.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("hosts");
        File::create(&path)?;
        std::fs::write(folder.join("hosts.only"), "hosts: files\n")?;
        let names = Self { path, known: Mutex::default() };
        names.change(|_| ())?;
        Ok(names)
    }

    /// The command that has a program see them, and no names of elsewhere: a network's answer to one that is not there yet may be lost.
    #[must_use]
    pub fn shown_to(&self) -> Vec<String> {
        let mount = r#"mount --bind "$0" /etc/hosts && mount --bind "$0.only" /etc/nsswitch.conf && exec "$@""#;
        let path = self.path.display().to_string();
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, &path].map(str::to_owned).to_vec()
    }

    /// Somebody is to be found under these names.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(&self, names: &[String], address: IpAddr) -> anyhow::Result<()> {
        self.change(|known| known.extend(names.iter().map(|name| (name.clone(), address))))
    }

    /// Nobody is told of these addresses any more.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn forget(&self, gone: &[IpAddr]) -> anyhow::Result<()> {
        self.change(|known| known.retain(|(_, address)| !gone.contains(address)))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<(String, IpAddr)>)) -> anyhow::Result<()> {
        let mut known = self.known.lock().map_err(|_| anyhow::anyhow!("a change of the names panicked"))?;
        change(&mut known);
        let mut text = "127.0.0.1 localhost\n".to_owned();
        for (name, address) in known.iter() {
            writeln!(text, "{address} {name}")?;
        }
        anyhow::ensure!(text.len() < SIZE, "too many names");
        let line = format!("{text:\n<SIZE$}");
        let file = File::options().write(true).open(&self.path)?;
        file.write_all_at(line.as_bytes(), 0).context("writing the names")
    }
}
