//! The rules of the catalog: pure functions over plain values.

pub mod access;
pub mod draft;
pub mod expansion;
pub mod lifecycle;
pub mod policy;
pub mod project;
pub mod review;
pub mod search;
mod words;

pub use policy::Policy;
pub use project::{AllocationPolicy, Audience, Class, ClassState, Form, Level, Project, Session};

/// Something wrong with what a caller gave, with its remedy in both languages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The field as the caller wrote it, e.g. "classes[0].places".
    pub field: String,
    /// The remedy in Chinese.
    pub zh: String,
    /// The remedy in English.
    pub en: String,
}

impl Fault {
    /// A fault of `field`.
    pub fn new(field: impl Into<String>, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { field: field.into(), zh: zh.into(), en: en.into() }
    }
}
