//! A running system that ends with the test.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use chassis::{
    Env,
    changes::{Witness, verify, witnessed},
    db::Db,
    identity::Identity,
    peer::Peer,
};
use cluster::Cluster;
use proto::common::v1::Role;
use shixun::up::{Engine, Launch, System};
use tempfile::TempDir;

/// The system, its folder, and its database server.
#[derive(Debug)]
pub struct World {
    /// All five services.
    pub system: System,
    folder: TempDir,
    _cluster: Option<Cluster>,
}

/// Both engines by name, for tests that are generated for each.
#[must_use]
pub const fn engines() -> [&'static str; 2] {
    ["sqlite", "postgres"]
}

impl World {
    /// Starts an empty system whose clocks stand at `begin`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn start(engine: &str, begin: &str) -> anyhow::Result<Self> {
        Self::start_for(engine, begin, "shixun-test").await
    }

    /// The same, for a county whose operator has this password.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn start_for(engine: &str, begin: &str, password: &str) -> anyhow::Result<Self> {
        chassis::install_crypto();
        let folder = TempDir::new()?;
        let (engine, cluster) = match engine {
            "sqlite" => (Engine::Sqlite, None),
            _ => {
                let (cluster, url) = tokio::task::spawn_blocking(|| {
                    let cluster = Cluster::shared()?;
                    let url = cluster.fresh_url("system")?;
                    anyhow::Ok((cluster, url))
                })
                .await??;
                (Engine::Postgres { url }, Some(cluster))
            }
        };
        let launch = Launch {
            data: folder.path().to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            engine,
            begin: begin.parse::<jiff::Timestamp>()?.as_microsecond(),
            durable: false,
            operator: (shixun::up::setup::OPERATOR.to_owned(), password.to_owned()),
        };
        let system = System::start(launch).await?;
        Ok(Self { system, folder, _cluster: cluster })
    }

    /// Stops the system and checks every feed: nothing altered, removed or cut, by all that the neighbours saw of it.
    ///
    /// # Errors
    /// The first fault of a feed.
    pub async fn verify(self) -> anyhow::Result<()> {
        self.verify_with(async |_, _| Ok(())).await
    }

    /// The same, and what `look` sees in each service's database.
    ///
    /// # Errors
    /// The first fault of a feed, or that of `look`.
    pub async fn verify_with(self, look: impl AsyncFn(&str, &Db) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let Self { system, folder, _cluster: cluster } = self;
        let databases: Vec<_> = system.databases().map(|(service, url)| (service, url.to_owned())).collect();
        system.stop().await?;
        let (mut open, mut witnesses) = (Vec::new(), BTreeMap::<String, Vec<Witness>>::new());
        for (service, url) in databases {
            let config = chassis::config::DatabaseConfig::at(url);
            let db = Db::open(service, &config, Env::system()).await?;
            for (source, witness) in witnessed(&db).await? {
                witnesses.entry(source).or_default().push(witness);
            }
            open.push((service, db));
        }
        for (service, db) in open {
            let seen = witnesses.remove(service).unwrap_or_default();
            let found = verify(&db, &seen).await?;
            look(service, &db).await?;
            db.close().await;
            anyhow::ensure!(found.fault.is_none(), "the feed of {service}: {}", found.fault.unwrap_or_default());
            anyhow::ensure!(found.changes > 0, "the feed of {service} is empty");
        }
        drop((folder, cluster));
        Ok(())
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// The identity of any process of the system.
    ///
    /// # Errors
    /// If its key cannot be read.
    pub fn identity(&self, service: &'static str) -> anyhow::Result<Identity> {
        let keys = self.data().join("keys");
        Identity::load(service, &keys.join(format!("{service}.key")), &keys, Env::system())
    }

    /// A channel to `to` in the name of the service `from`.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn peer(&self, from: &'static str, to: &str) -> anyhow::Result<Peer> {
        let channel = chassis::peer::channel(&self.system.address(to))?;
        Ok(chassis::peer::identified(channel, self.identity(from)?))
    }

    /// A token as the gateway would issue it.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn token(&self, account: &str, teacher: &str, roles: &[(Role, &str)]) -> anyhow::Result<String> {
        let roles = roles.iter().map(|(role, organization)| (*role as i32, (*organization).to_owned())).collect();
        Ok(self.identity("gateway")?.issue(account, teacher, roles, 900)?.0)
    }
}
