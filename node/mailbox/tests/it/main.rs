//! The machine as its callers see it.

mod append_scripts;
mod behalf;
mod behalf_cases;
mod codec;
mod codec_moves;
mod counted;
mod deleted_scripts;
mod expiry;
mod faults;
mod fixture_samples;
mod fixtures;
mod granted_scripts;
mod history;
mod history_deleted;
mod homes;
mod keys;
mod lanes;
mod layers;
mod machine;
mod model;
mod move_scripts;
mod moves;
mod pages;
mod scripts;
mod steps;
mod uids;
