//! Passwords: argon2id on the threads for blocking work, at the configured cost.

use std::{fmt, sync::Arc};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use chassis::{Env, Failure};
use tokio::{sync::Semaphore, task::JoinError};

use crate::config::PasswordConfig;

/// Most passwords that are checked at once, each in memory of its own. More than there are processors would be no sooner done.
const AT_ONCE: usize = 16;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    env: Env,
    argon2: Argon2<'static>,
    /// A hash that nobody's password has, at the same cost: who tries an unknown login waits as long.
    nobody: String,
    places: Arc<Semaphore>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    /// Passwords at this cost.
    ///
    /// # Errors
    /// If argon2 does not take the cost.
    pub fn new(cost: PasswordConfig, env: Env) -> anyhow::Result<Self> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None)
            .map_err(|error| anyhow::anyhow!("password: {error}"))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = hash(&argon2, &hex::encode(env.random::<32>()?), &env.random::<16>()?)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { env, argon2, nobody, places: Arc::new(Semaphore::new(processors.min(AT_ONCE))) })
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// Those of [`Self::hash_many`].
    pub async fn hash(&self, password: &str) -> Result<String, Failure> {
        self.hash_many(password, 1).await?.pop().ok_or_else(|| Failure::internal("no hash"))
    }

    /// Many PHC strings of one password, each with a salt of its own, on all processors.
    ///
    /// # Errors
    /// Internal, if chance or argon2 fails; `UNAVAILABLE` if the process ends.
    pub async fn hash_many(&self, password: &str, count: usize) -> Result<Vec<String>, Failure> {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let share = count.div_ceil(workers).max(1);
        let mut tasks = Vec::new();
        let mut left = count;
        while left > 0 {
            let part = left.min(share);
            left -= part;
            let (this, password) = (self.clone(), password.to_owned());
            tasks.push(tokio::task::spawn_blocking(move || {
                (0..part)
                    .map(|_| hash(&this.argon2, &password, &this.env.random::<16>()?))
                    .collect::<anyhow::Result<Vec<_>>>()
            }));
        }
        let mut hashes = Vec::with_capacity(count);
        for task in tasks {
            hashes.extend(task.await.map_err(undone)?.map_err(Failure::internal)?);
        }
        Ok(hashes)
    }

    /// Whether a password is the one of a PHC string, at the cost that the string names; against no string, never, but
    /// after as long.
    ///
    /// # Errors
    /// Internal, if what is stored is no PHC string; `UNAVAILABLE` if the process ends.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, Failure> {
        let known = stored.is_some();
        // Whoever has given up meanwhile is not checked at all.
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(Failure::internal)?;
        let (argon2, password) = (self.argon2.clone(), password.to_owned());
        let stored = stored.unwrap_or(&self.nobody).to_owned();
        let fits = tokio::task::spawn_blocking(move || {
            let _place = place;
            let stored = PasswordHash::new(&stored).map_err(Failure::internal)?;
            Ok::<_, Failure>(argon2.verify_password(password.as_bytes(), &stored).is_ok())
        });
        Ok(fits.await.map_err(undone)?? && known)
    }
}

/// Why work on another thread came to nothing: its panic, or the end of the runtime, which takes on no more while calls may still be
/// answered. Another try finds another process.
fn undone(error: JoinError) -> Failure {
    if error.is_cancelled() { Failure::away("roster") } else { Failure::internal(error) }
}

fn hash(argon2: &Argon2<'_>, password: &str, salt: &[u8]) -> anyhow::Result<String> {
    let hash = argon2
        .hash_password_with_salt(password.as_bytes(), salt)
        .map_err(|error| anyhow::anyhow!("hashing a password: {error}"))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use proto::common::v1::Reason;
    use tokio::runtime::Builder;

    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(PasswordConfig { memory_kib: 8, passes: 1, lanes: 1 }, Env::system()).unwrap()
    }

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let passwords = passwords();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("wrong horse", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("correct horse", None).await.unwrap());
        assert!(passwords.verify("x", Some("no hash")).await.is_err());
    }

    #[tokio::test]
    async fn a_changed_cost_leaves_old_hashes_good() {
        let old = passwords().hash("correct horse").await.unwrap();
        let new = Passwords::new(PasswordConfig { memory_kib: 16, passes: 2, lanes: 1 }, Env::system()).unwrap();
        assert!(new.verify("correct horse", Some(&old)).await.unwrap());
    }

    #[tokio::test]
    async fn whom_the_end_of_the_process_meets_may_try_again_and_a_panic_stays_a_fault() {
        let passwords = passwords();
        let runtime = Builder::new_current_thread().build().unwrap();
        let ending = runtime.handle().clone();
        runtime.shutdown_background();
        {
            let _there = ending.enter();
            for refused in [passwords.hash("x").await.unwrap_err(), passwords.verify("x", None).await.unwrap_err()] {
                assert_eq!(refused.reason(), Some(Reason::Unavailable), "{refused}");
            }
        }
        let panic = tokio::spawn(async { unreachable!("as the test has it") }).await.unwrap_err();
        assert_eq!(undone(panic).reason(), None);
    }

    #[tokio::test]
    async fn each_of_many_has_its_own_salt() {
        let hashes = passwords().hash_many("correct horse", 101).await.unwrap();
        assert_eq!(hashes.iter().collect::<std::collections::BTreeSet<_>>().len(), 101);
    }
}
