//! From one release to the next: contracts and migrations held against the last release, and a rolling upgrade under load.

pub mod crowd;
pub mod entrance;
pub mod expand;
pub mod fleet;
pub mod mesh;
pub mod names;
pub mod release;
pub mod roll;
pub mod schema;
