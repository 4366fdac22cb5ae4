//! The edge: sessions, and passing calls on to the services by path.

mod forward;
mod sessions;

pub use forward::{EdgeConfig, router};
pub use sessions::Sessions;
