//! The running system as a rehearsal needs it: an address for its people, and the hand on its clocks.

use proto::common::v1::Change;

/// Is told every change with the service whose feed has it.
pub type EachChange<'a> = dyn FnMut(&'static str, Change) + Send + 'a;

/// A system whose clocks stand under the rehearsal's hand.
#[tonic::async_trait]
pub trait World: Send + Sync {
    /// Where the gateway is called: "http://…".
    fn gateway(&self) -> String;

    /// Where the clocks stand, the one that is furthest behind, in microseconds since the epoch.
    async fn now(&self) -> anyhow::Result<i64>;

    /// Moves every clock to `to` (microseconds since the epoch), where they stand still; all have acknowledged.
    async fn advance(&self, to: i64) -> anyhow::Result<()>;

    /// Returns once every service has mirrored every other one up to its head.
    async fn caught_up(&self) -> anyhow::Result<()>;

    /// Tells `each` all changes of all services so far, in each service's order: (service, change). If a feed breaks off
    /// and is read again, it is told some of them twice.
    async fn changes(&self, each: &mut EachChange<'_>) -> anyhow::Result<()>;
}
