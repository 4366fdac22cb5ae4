//! The folder of a rehearsal that leaves nothing: gone with it, and with the next one if it was killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// What a folder is called while its lock is not yet held, and from then on.
const NEW: &str = "shixun-new-";
const HELD: &str = "shixun-rehearsal-";
const LOCK: &str = "lock";

/// A folder that is removed with the value.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    /// The kernel lets go of it with the process, however that ends.
    _lock: File,
}

impl Temporary {
    /// Makes a folder in `place`, and removes those whose processes have ended without doing so.
    ///
    /// # Errors
    /// If there cannot be one.
    pub fn make_in(place: &Path) -> anyhow::Result<Self> {
        sweep(place);
        let make = || {
            let new = tempfile::Builder::new().prefix(NEW).tempdir_in(place)?;
            let lock = File::create(new.path().join(LOCK))?;
            lock.try_lock()?;
            // Locked before it has a name by which others look for it.
            let name = new.path().file_name().unwrap_or_default().to_string_lossy().replace(NEW, HELD);
            let path = place.join(name);
            fs::rename(new.path(), &path)?;
            let _moved = new.keep();
            Ok::<_, std::io::Error>(Self { path, _lock: lock })
        };
        make().with_context(|| format!("making a temporary folder in {}", place.display()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Left behind, the next one finds it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what nobody holds. What cannot be removed, another user's, say, stays.
fn sweep(place: &Path) {
    let ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(HELD));
    let folders = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
    for folder in folders.filter(ours) {
        let Ok(lock) = File::open(folder.join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_one_removes_what_was_left_behind_and_nothing_that_is_held() {
        let place = tempfile::tempdir().unwrap();
        let live = Temporary::make_in(place.path()).unwrap();
        fs::write(live.path().join("roster.db"), "").unwrap();
        // As a kill leaves it: nobody holds the lock, the folder is there.
        let left = place.path().join("shixun-rehearsal-killed");
        fs::create_dir(&left).unwrap();
        for file in [LOCK, "roster.db"] {
            fs::write(left.join(file), "").unwrap();
        }
        let strangers = place.path().join("shixun-rehearsal-of-somebody-else");
        fs::create_dir(&strangers).unwrap();

        let next = Temporary::make_in(place.path()).unwrap();
        assert!(!left.exists());
        assert!(live.path().join("roster.db").exists() && strangers.exists() && next.path().exists());
        let gone = live.path().to_owned();
        drop(live);
        assert!(!gone.exists());
    }
}
