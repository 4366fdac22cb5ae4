//! Changes: appended with each write, gapless and in commit order, chained, streamed, mirrored.

pub mod feed;
mod history;
mod mirror;
mod period;
mod verify;
mod watch;
mod witness;

use prost::{Message, Name};
use proto::common::v1::Change;

pub use history::history;
pub use mirror::Mirror;
pub(crate) use mirror::run as run_mirror;
#[cfg(feature = "testing")]
pub(crate) use period::PERIOD;
pub(crate) use period::{Moment, period};
pub use verify::{Verified, verify};
pub(crate) use watch::ChangeApi;
#[cfg(feature = "testing")]
pub(crate) use watch::SINCE;
pub use watch::since;
pub use witness::{Witness, head_of, witnessed};

use crate::failure::Failure;

/// The resource that a change carries, if it is an `M`.
///
/// # Errors
/// Internal, if the bytes are not what their type says.
pub fn decode<M: Message + Name + Default>(change: &Change) -> Result<Option<M>, Failure> {
    match &change.after {
        Some(after) if after.type_url == M::type_url() => {
            M::decode(after.value.as_slice()).map(Some).map_err(Failure::internal)
        }
        _ => Ok(None),
    }
}
