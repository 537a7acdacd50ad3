//! The log on simulated and real disks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod append;
mod cleaning;
mod cleaning_damage;
mod cleaning_held;
mod crash;
mod damage;
mod directory;
mod fixture;
mod history;
mod keeper;
mod lost;
mod readers;
mod rig;
mod rolling;
mod room;
mod semantics;
