//! Tests of the server's layers, and of rules that hold for the whole repository.

mod dependencies;
mod live;
mod moves;
mod raft;
mod replica;
mod service;
mod tidy;
