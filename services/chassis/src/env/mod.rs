//! What a process gets from outside: time, chance and identity. Everything else in the house takes them from here.

mod clock;

pub use clock::{Clock, RehearsalClock};

/// The outside world of one process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// Business time.
    pub clock: Clock,
}

impl Env {
    /// The real world.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A virtual clock that stands at `at` (microseconds since the epoch) until it is advanced.
    #[must_use]
    pub fn rehearsal(at: i64) -> Self {
        Self { clock: Clock::Rehearsal(RehearsalClock::at(at)) }
    }

    /// Random bytes from the system's generator.
    ///
    /// # Errors
    /// If the system has none to give.
    pub fn random<const N: usize>(&self) -> anyhow::Result<[u8; N]> {
        let mut bytes = [0; N];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system's random generator failed"))?;
        Ok(bytes)
    }

    /// The wall clock in microseconds since the epoch: what a running rehearsal's clock runs on by.
    pub(crate) fn wall_micros(&self) -> i64 {
        clock::wall_micros()
    }

    /// Seconds since the epoch by the wall clock: for tokens and certificates only, never for business time.
    #[must_use]
    pub fn wall_seconds(&self) -> i64 {
        clock::wall_micros() / 1_000_000
    }
}
