//! The whole system over the wire, on both engines. One binary, one file a subject.

mod audit;
mod county;
mod docs;
mod edges;
mod input;
mod losses;
mod matrix;
mod model;
mod next_term;
mod persons;
mod repeats;
mod replicas;
mod restarts;
mod restore;
mod sealed;
mod status_days;
mod supplementary;
mod term;
mod terms;
mod traces;
mod watchers;
mod words;
