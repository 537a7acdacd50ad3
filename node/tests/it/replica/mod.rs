//! The replica on a simulated log, driven by hand.

#![expect(
    clippy::unwrap_used,
    reason = "the tests' own functions may fail a test"
)]

mod bodies;
mod checkpoints;
mod cleaning;
mod crash;
mod damage;
mod derived;
mod faults;
mod fixtures;
mod given_up;
mod index;
mod machines;
pub mod mending;
mod no_room;
mod rebuild;
pub mod rig;
mod search;
mod snapshots;
mod stopped;
mod waiting;
