//! The rows against a plain map, and the digest against a recount.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fixtures;
mod snapshot;
mod staged;
