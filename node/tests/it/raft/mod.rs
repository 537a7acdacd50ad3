//! Raft's log and machine as openraft sees them, without a cluster.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broken_off;
mod expired;
mod healing;
mod lives;
mod log_store;
mod offers;
mod places;
mod running;
mod settling;
mod suite;
