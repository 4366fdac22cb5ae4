//! Faults in the opening hour: each service and each database stopped, frozen, slowed and cut off in turn while teachers select.
//! What each costs whom is one table ([`table::COSTS`]), which the cases assert and from which docs/faults.md is made.

pub mod case;
pub mod disk;
pub mod door;
pub mod edges;
pub mod failover;
pub mod page;
pub mod people;
mod probes;
pub mod quorum;
pub mod restore;
pub mod skew;
pub mod stage;
pub mod table;
