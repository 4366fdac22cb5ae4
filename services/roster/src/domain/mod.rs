//! The rules of the roster as pure functions and types.

pub mod account;
pub mod attempts;
pub mod career;
pub mod codes;
pub mod correction;
pub mod erasure;
pub mod fault;
pub mod field;
pub mod identity_number;
pub mod import;
pub mod masked;
pub mod organization;
pub mod scope;
pub mod status;
pub mod teacher;
