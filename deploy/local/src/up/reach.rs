//! The way to a running system: its services' addresses and the identity "local", from this process or from another one.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use anyhow::Context as _;
use backon::{ConstantBuilder, Retryable as _};
use chassis::{
    Env,
    identity::Identity,
    peer::{Peer, within},
};
use futures::future::try_join_all;
use proto::common::v1::{
    AdvanceRequest, Change, GetStatusRequest, GetStatusResponse, WaitMirrorRequest, WatchRequest,
    change_service_client::ChangeServiceClient, clock_service_client::ClockServiceClient,
    gate_service_client::GateServiceClient,
};

use super::SERVICES;
use crate::{
    data_folder::write_aside,
    rehearse::{EachChange, World},
};

/// Bound of calls that only ask or move a clock.
const PATIENCE: Duration = Duration::from_secs(60);
/// File of the data folder that tells where the services listen.
const FILE: &str = "addresses.toml";

/// Addresses, and the identity that may ask for status and move clocks.
#[derive(Debug, Clone)]
pub struct Reach {
    addresses: BTreeMap<String, SocketAddr>,
    identity: Identity,
}

impl Reach {
    pub(super) const fn new(addresses: BTreeMap<String, SocketAddr>, identity: Identity) -> Self {
        Self { addresses, identity }
    }

    /// The way to the system that runs on a data folder.
    ///
    /// # Errors
    /// If none has ever run there.
    pub fn of(data: &Path) -> anyhow::Result<Self> {
        let keys = data.join("keys");
        let identity = Identity::load("local", &keys.join("local.key"), &keys, Env::system())?;
        Ok(Self { addresses: addresses(data)?, identity })
    }

    pub(super) fn write(&self, data: &Path) -> anyhow::Result<()> {
        write_aside(&data.join(FILE), &toml::to_string(&self.addresses)?)
    }

    pub(super) fn socket(&self, service: &str) -> Option<SocketAddr> {
        self.addresses.get(service).copied()
    }

    /// The gateway's address for clients: "http://…".
    #[must_use]
    pub fn gateway(&self) -> String {
        self.address("gateway")
    }

    /// The address of any service: "http://…".
    #[must_use]
    pub fn address(&self, service: &str) -> String {
        self.socket(service).map(|address| format!("http://{address}")).unwrap_or_default()
    }

    /// A channel to a service under the identity "local": for clocks, status and barriers.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn peer(&self, service: &str) -> anyhow::Result<Peer> {
        let channel = chassis::peer::channel(&self.address(service))?;
        Ok(chassis::peer::identified(channel, self.identity.clone()))
    }

    /// Moves every clock to `to` and, if `running`, lets it run on from there at real speed.
    ///
    /// # Errors
    /// If a service does not acknowledge.
    pub async fn advance(&self, to: i64, running: bool) -> anyhow::Result<()> {
        // The gateway last: a step that becomes due finds the others at their time already.
        for service in SERVICES {
            let request = AdvanceRequest { to: Some(proto::timestamp(to)), running };
            let peer = self.peer(service)?;
            let once = || async { ClockServiceClient::new(peer.clone()).advance(within(PATIENCE, request)).await };
            once.retry(patience()).await.with_context(|| format!("advancing the clock of {service}"))?;
        }
        Ok(())
    }

    /// Where a service stands.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn status(&self, service: &str) -> anyhow::Result<GetStatusResponse> {
        let once = || self.status_once(service);
        once.retry(patience()).await
    }

    pub(super) async fn status_once(&self, service: &str) -> anyhow::Result<GetStatusResponse> {
        let mut client = GateServiceClient::new(self.peer(service)?);
        let status = client.get_status(within(PATIENCE, GetStatusRequest {})).await;
        Ok(status.with_context(|| format!("asking {service} for its status"))?.into_inner())
    }

    /// Waits until every mirror has everything of its source, and nothing new has come of that.
    ///
    /// # Errors
    /// If a service does not answer, or a mirror does not catch up in time.
    pub async fn catch_up(&self) -> anyhow::Result<()> {
        let mut seen = BTreeMap::new();
        loop {
            let mut heads = BTreeMap::new();
            let mut mirrors = Vec::new();
            let asked = SERVICES.map(async |service| Ok::<_, anyhow::Error>((service, self.status(service).await?)));
            for (service, status) in try_join_all(asked).await? {
                heads.insert(service.to_owned(), status.position);
                mirrors.extend(status.mirrors.into_iter().map(|mirror| (service, mirror)));
            }
            for (consumer, mirror) in mirrors {
                let position = heads.get(&mirror.source).copied().unwrap_or_default();
                if mirror.position < position {
                    let request = WaitMirrorRequest { source: mirror.source.clone(), position };
                    let peer = self.peer(consumer)?;
                    let once = || async {
                        GateServiceClient::new(peer.clone()).wait_mirror(within(PATIENCE, request.clone())).await
                    };
                    once.retry(patience()).await.with_context(|| format!("{consumer} mirroring {}", mirror.source))?;
                }
            }
            if seen == heads {
                return Ok(());
            }
            seen = heads;
        }
    }

    /// Tells `each` all changes of all services so far: (service, change).
    ///
    /// # Errors
    /// If a feed cannot be read to its end.
    pub async fn each_change(&self, each: &mut EachChange<'_>) -> anyhow::Result<()> {
        let mut heads = BTreeMap::new();
        for service in SERVICES {
            heads.insert(service, self.status(service).await?.position);
        }
        for (service, head) in heads {
            let mut client = ChangeServiceClient::new(self.peer(service)?).max_decoding_message_size(16 << 20);
            let mut feed = client.watch(WatchRequest::default()).await?.into_inner();
            let mut position = 0;
            let mut complete = head == 0;
            while position < head || !complete {
                let Some(batch) = feed.message().await? else { anyhow::bail!("the feed of {service} ended") };
                position = batch.position;
                complete = usize::try_from(batch.first)? + batch.changes.len() >= usize::try_from(batch.count)?;
                batch.changes.into_iter().for_each(|change| each(service, change));
            }
        }
        Ok(())
    }

    /// All changes of all services so far, together: (service, change).
    ///
    /// # Errors
    /// As [`Self::each_change`].
    pub async fn all_changes(&self) -> anyhow::Result<Vec<(String, Change)>> {
        let mut all = Vec::new();
        self.each_change(&mut |service, change| all.push((service.to_owned(), change))).await?;
        Ok(all)
    }
}

/// Where the services of a data folder listen, or did when they last ran.
pub(super) fn addresses(data: &Path) -> anyhow::Result<BTreeMap<String, SocketAddr>> {
    let path = data.join(FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not what was written there", path.display()))
}

/// A service that is being restarted is away for a moment.
fn patience() -> ConstantBuilder {
    ConstantBuilder::default().with_delay(Duration::from_millis(100)).with_max_times(200)
}

#[tonic::async_trait]
impl World for Reach {
    fn gateway(&self) -> String {
        Self::gateway(self)
    }

    async fn now(&self) -> anyhow::Result<i64> {
        let mut furthest_behind = i64::MAX;
        for service in SERVICES {
            let now = self.status(service).await?.now.context("a status without a clock")?;
            furthest_behind = furthest_behind.min(proto::instant(&now));
        }
        Ok(furthest_behind)
    }

    async fn advance(&self, to: i64) -> anyhow::Result<()> {
        Self::advance(self, to, false).await
    }

    async fn caught_up(&self) -> anyhow::Result<()> {
        self.catch_up().await
    }

    async fn changes(&self, each: &mut EachChange<'_>) -> anyhow::Result<()> {
        self.each_change(each).await
    }
}
