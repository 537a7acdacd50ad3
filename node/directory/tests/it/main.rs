//! The directory as one machine: scripts, random histories, formats and passwords.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cluster;
mod codec;
mod history;
mod passwords;
mod recast;
mod scripts;
mod view;
