//! One binary for all tests: linking is the cost.

#![expect(
    clippy::unwrap_used,
    reason = "the tests' own shared functions may fail a test"
)]

mod address;
mod chunking;
mod client;
mod content;
mod dialogue;
mod hostile;
mod trace;
