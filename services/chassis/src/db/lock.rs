//! The file lock that keeps a second process off an embedded database.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Held for as long as the database is open; the kernel drops it with the process, however that ends.
#[derive(Debug)]
pub(super) struct FileLock(#[allow(dead_code, reason = "held, not read")] File);

impl FileLock {
    pub fn take(database: &Path) -> anyhow::Result<Self> {
        let mut path = PathBuf::from(database).into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        file.try_lock().with_context(|| {
            format!("{} is held by another process; stop it, or use another data folder", path.display())
        })?;
        Ok(Self(file))
    }
}
