//! Whole sessions: clients on scripted connections, on a partition in memory.

mod acl;
mod backend;
mod bad_input;
mod beforehand;
mod counted;
mod executor;
mod ids;
mod indexed;
mod messages;
mod metadata;
mod moves;
mod notify;
mod ordering;
mod resync;
mod rfcs;
mod scripts;
mod states;
mod streaming;
mod transport;
mod turns;
mod users;
mod view;
