//! The machine as its callers see it.

mod codec;
mod expiry;
mod faults;
mod history;
mod keys;
mod lanes;
mod layers;
mod machine;
mod model;
mod scripts;
mod steps;
mod uids;
