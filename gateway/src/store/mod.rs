//! The SQL of the gateway, and nothing but SQL.

pub mod sessions;
pub mod steps;
pub mod terms;
