//! What an operator is given: the configuration's reference, the manifests, the image. Each is held against the binaries.

mod arrows;
mod backups;
mod configuration;
mod guide;
mod image;
mod manifests;
mod rendered;
mod telemetry;

use chassis::{Program, config};

/// What a service says of itself.
struct Told {
    name: &'static str,
    peers: &'static [&'static str],
    keys: Vec<config::Key>,
}

impl Told {
    fn by<P: Program>() -> Self {
        Self { name: P::NAME, peers: P::PEERS, keys: config::keys(&config::schema_of::<P>()) }
    }

    /// All five, in the order in which they start.
    fn all() -> [Self; 5] {
        [
            Self::by::<roster::Roster>(),
            Self::by::<catalog::Catalog>(),
            Self::by::<enrollment::Enrollment>(),
            Self::by::<credit::Credit>(),
            Self::by::<gateway::Gateway>(),
        ]
    }
}
