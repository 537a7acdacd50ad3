//! Raft's log and machine as openraft sees them, without a cluster.

mod log_store;
mod suite;
