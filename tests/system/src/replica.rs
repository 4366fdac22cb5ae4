//! Another enrollment process beside the system's own: a replica on its database, or a newcomer on an empty one.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use chassis::{
    CancellationToken, Env,
    peer::{Peer, within},
};
use enrollment::Enrollment;
use proto::common::v1::{GetStatusRequest, gate_service_client::GateServiceClient};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::transport::Channel;

use crate::World;

/// A process of enrollment's, through the production `serve`.
#[derive(Debug)]
pub struct Replica {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Replica {
    /// Serves on the database at `url` and is ready.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(world: &World, url: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let keys = world.data().join("keys");
        let peers: serde_json::Map<String, serde_json::Value> =
            shixun::up::SERVICES.into_iter().map(|peer| (peer.to_owned(), world.system.address(peer).into())).collect();
        let config: enrollment::Config = serde_json::from_value(serde_json::json!({
            "clock": "rehearsal",
            "database": { "url": url, "durable": false },
            "keys": { "own": keys.join("enrollment.key"), "trusted": keys },
            "peers": peers,
            "server": { "drain_seconds": 1 },
        }))?;
        // Where the database remembers a later instant, that one counts.
        let env = Env::rehearsal(0);
        let stop = CancellationToken::new();
        let address = listener.local_addr()?;
        let task = tokio::spawn({
            let stop = stop.clone();
            async move { chassis::serve::<Enrollment>(config, listener, env, stop).await }
        });
        let replica = Self { address, stop, task };
        let mut tries = 0;
        while let Err(error) = replica.position(world).await {
            anyhow::ensure!(!replica.task.is_finished() && tries < 500, "the replica did not start: {error:#}");
            tries += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(replica)
    }

    /// "http://…"
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A channel to it.
    ///
    /// # Errors
    /// None that is known.
    pub fn channel(&self) -> anyhow::Result<Channel> {
        chassis::peer::channel(&self.url())
    }

    /// A channel to it in the name of the service `from`.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn peer(&self, world: &World, from: &'static str) -> anyhow::Result<Peer> {
        Ok(chassis::peer::identified(self.channel()?, world.identity(from)?))
    }

    /// The head of its feed.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn position(&self, world: &World) -> anyhow::Result<i64> {
        let mut client = GateServiceClient::new(self.peer(world, "local")?);
        let status = client.get_status(within(Duration::from_secs(5), GetStatusRequest {})).await;
        Ok(status.context("the replica's status")?.into_inner().position)
    }

    /// Stops it.
    ///
    /// # Errors
    /// If it failed while it ran.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await?
    }
}
