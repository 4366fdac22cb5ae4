//! The program itself, as a process: killed at random instants, told to end, and as a new user meets it.

mod child;
mod kill;
mod shutdown;
mod up;
