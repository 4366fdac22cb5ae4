//! Where the services' databases are: those that live, and, where there are several runs, a copy of each as the setting up left it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use cluster::{Cluster, Patroni};
use shixun::up::SERVICES;

/// Which engine a case runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Engine {
    /// Embedded, with `synchronous=FULL`.
    Sqlite,
    /// A private cluster with PostgreSQL's default durability.
    Postgres,
}

impl Engine {
    /// As it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// The databases of one world.
#[derive(Debug, Clone)]
pub enum Databases {
    /// Files in `live` and, once they were kept, `kept` below this folder.
    Sqlite(PathBuf),
    /// Databases `live_…` and, once they were kept, `kept_…`.
    Postgres(Arc<Cluster>),
    /// The same, each service's on a server of its own.
    Apart(BTreeMap<&'static str, Arc<Cluster>>),
    /// Databases `live_…` of whichever node is the primary. They are played with once: nothing of them is kept.
    Replicated(Arc<Patroni>),
}

impl Databases {
    /// The URL of a service's live database.
    #[must_use]
    pub fn url(&self, service: &str) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.join("live").join(format!("{service}.db")).display()),
            Self::Postgres(_) | Self::Apart(_) => {
                self.cluster(service).map(|cluster| cluster.url(&format!("live_{service}"))).unwrap_or_default()
            }
            Self::Replicated(patroni) => patroni.url(&format!("live_{service}")).unwrap_or_default(),
        }
    }

    /// Where the server of a service's database listens; the present primary, where that changes.
    ///
    /// # Errors
    /// If its URL has no address.
    pub fn server(&self, service: &str) -> anyhow::Result<Option<SocketAddr>> {
        if let Self::Replicated(patroni) = self {
            return Ok(Some(patroni.primary().context("no primary")?));
        }
        let Some(cluster) = self.cluster(service) else { return Ok(None) };
        let url = cluster.admin_url();
        let host = url.split('@').nth(1).and_then(|rest| rest.split('/').next()).context("a URL without a host")?;
        Ok(Some(host.parse()?))
    }

    /// The server of a service's database, if it has one.
    #[must_use]
    pub fn cluster(&self, service: &str) -> Option<&Arc<Cluster>> {
        match self {
            Self::Sqlite(_) | Self::Replicated(_) => None,
            Self::Postgres(cluster) => Some(cluster),
            Self::Apart(clusters) => clusters.get(service),
        }
    }

    /// The servers of all services' databases.
    fn servers(&self) -> impl Iterator<Item = (&'static str, &Arc<Cluster>)> {
        SERVICES.into_iter().filter_map(|service| Some((service, self.cluster(service)?)))
    }

    /// Makes empty ones.
    ///
    /// # Errors
    /// If the folder or the server refuses.
    pub fn create(&self) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(folder) => Ok(std::fs::create_dir_all(folder.join("live"))?),
            Self::Postgres(_) | Self::Apart(_) => {
                for (service, cluster) in self.servers() {
                    cluster.sql(&format!("CREATE DATABASE live_{service} TEMPLATE template0"))?;
                }
                Ok(())
            }
            Self::Replicated(patroni) => SERVICES.into_iter().try_for_each(|service| {
                patroni.sql_in("postgres", &format!("CREATE DATABASE live_{service} TEMPLATE template0")).map(drop)
            }),
        }
    }

    /// What autovacuum would have done in the weeks before the opening.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn tidy(&self) -> anyhow::Result<()> {
        let tidy = |(service, cluster): (&str, &Arc<Cluster>)| {
            cluster.sql_in(&format!("live_{service}"), "VACUUM ANALYZE").map(drop)
        };
        self.servers().try_for_each(tidy)
    }

    /// Keeps a copy of them as they are. Nobody is connected.
    ///
    /// # Errors
    /// If the folder or the server refuses.
    pub fn keep(&self) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(folder) => copy(&folder.join("live"), &folder.join("kept")),
            Self::Postgres(_) | Self::Apart(_) => {
                for (service, cluster) in self.servers() {
                    cluster.sql(&format!("CREATE DATABASE kept_{service} TEMPLATE live_{service}"))?;
                }
                Ok(())
            }
            Self::Replicated(_) => anyhow::bail!("they are played with once"),
        }
    }

    /// Makes them again what they were when they were kept. Nobody is connected.
    ///
    /// # Errors
    /// If the folder or the server refuses.
    pub fn restore(&self) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(folder) => {
                std::fs::remove_dir_all(folder.join("live"))?;
                copy(&folder.join("kept"), &folder.join("live"))
            }
            Self::Postgres(_) | Self::Apart(_) => {
                for (service, cluster) in self.servers() {
                    cluster.sql(&format!("DROP DATABASE IF EXISTS live_{service} WITH (FORCE)"))?;
                    cluster.sql(&format!("CREATE DATABASE live_{service} TEMPLATE kept_{service}"))?;
                }
                Ok(())
            }
            Self::Replicated(_) => anyhow::bail!("nothing was kept"),
        }
    }

    /// Has everything on the disk, so that each run begins alike.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn checkpoint(&self) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(folder) => {
                for entry in std::fs::read_dir(folder.join("live"))? {
                    std::fs::File::open(entry?.path())?.sync_all()?;
                }
                Ok(())
            }
            Self::Postgres(_) | Self::Apart(_) => {
                self.servers().try_for_each(|(_, cluster)| cluster.sql("CHECKPOINT").map(drop))
            }
            Self::Replicated(patroni) => patroni.sql_in("postgres", "CHECKPOINT").map(drop),
        }
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().context("a file without a name")?;
        std::fs::copy(&path, to.join(name)).with_context(|| format!("copying {}", path.display()))?;
    }
    Ok(())
}
