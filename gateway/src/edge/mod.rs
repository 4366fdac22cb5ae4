//! The edge: sessions, and passing calls on to the services by path.

mod expiry;
mod forward;
mod help;
mod keys;
mod limits;
mod person;
mod sessions;
mod stream;

pub use expiry::{EVERY, purge_expired};
pub use forward::{EdgeConfig, Way, Ways, router};
pub use keys::Keys;
pub use limits::{LimitConfig, Limits, Rate};
pub use person::Persons;
pub use sessions::Sessions;
