//! The edge: sessions, and passing calls on to the services by path.

mod forward;
mod sessions;

pub use forward::router;
pub use sessions::Sessions;
