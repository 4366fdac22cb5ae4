//! The whole system over the wire, on both engines. One binary, one file a subject.

mod docs;
mod edges;
mod matrix;
mod replicas;
mod restarts;
mod term;
mod terms;
mod watchers;
