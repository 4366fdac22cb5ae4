//! The gateway over the wire, among fakes of the services, on both engines. One program, so that it is linked once.

mod fixture;

mod calendars;
mod edge;
mod limits;
mod sequencer;
mod sessions;
mod store;
