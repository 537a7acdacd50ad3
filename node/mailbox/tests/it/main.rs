//! The machine as its callers see it.

mod codec;
mod expiry;
mod history;
mod keys;
mod lanes;
mod machine;
mod model;
mod rows;
mod scripts;
mod snapshot;
mod steps;
mod uids;
