//! What a server asks before it looks at a call any closer: whether its sender has called too often.

use std::net::IpAddr;

use http::HeaderMap;
use proto::Actor;

use crate::{contract::Method, failure::Failure};

/// Lets calls pass or turns them away, at once.
pub trait Guard: Send + Sync + 'static {
    /// By where a call comes from: before anything is verified.
    ///
    /// # Errors
    /// The refusal.
    fn address(&self, method: &Method, from: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Failure>;

    /// By who calls.
    ///
    /// # Errors
    /// The refusal.
    fn caller(&self, actor: &Actor) -> Result<(), Failure>;
}
