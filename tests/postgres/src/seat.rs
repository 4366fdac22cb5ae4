//! Where a server sits, written down for whoever uses it later.

use std::{
    fs::{self, File},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::programs::USER;

/// Where a server sits.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub home: PathBuf,
    pub port: u16,
    pub password: String,
}

impl Seat {
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Tells later users of a shared cluster; its folder too, for whoever has to clear it away.
    pub fn write(&self, state: &Path) -> Result<()> {
        let path = state.join("seat");
        fs::remove_file(&path).ok();
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        let text = format!("{}\n{}\n{}\n", self.port, self.password, self.home.display());
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        Ok(())
    }

    pub fn read(state: &Path) -> Result<Self> {
        let path = state.join("seat");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let mut lines = text.lines();
        let (Some(port), Some(password), Some(home)) = (lines.next(), lines.next(), lines.next()) else {
            bail!("{} is incomplete", path.display());
        };
        Ok(Self { port: port.parse()?, password: password.to_owned(), home: PathBuf::from(home) })
    }
}
