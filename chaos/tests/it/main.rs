//! What the judge finds and does not find, what the clients say, and one short run against a real
//! cluster.

#![cfg(test)]

mod answers;
mod catch_up;
mod clients;
mod drain;
mod oracle;
mod random;
mod smoke;
mod story;
