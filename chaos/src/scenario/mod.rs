//! Whole tests: a cluster from nothing, something that happens to it, a judgement.
//!
//! ```text
//!   stage       makes the cluster and its accounts; after the run reads everything, and judges
//!   last        after the run: whether every partition takes mail through every node
//!   run         mail and kills
//!   slow_sync   a leader whose disk is slow, killed and restarted at once, again and again
//!   big         a large message through the kill of a leader
//!   commands    every command of IMAP through the kill of a leader
//!   mbsync      a folder of mail and an account kept equal through kills of the leader
//!   away        a node that missed more than the logs of the others still hold
//!   flips       a node whose disk lies
//!   replace     nodes that lose everything and are replaced, that come, and that go
//!   slow_disk   a leader whose disk becomes slow
//!   full_disk   disks that are full, of one node and of all
//!   fsync_error disks that refuse to write or to sync
//!   power_loss  nodes that lose what was not synced
//!   figures     what mail costs: nothing is broken, and numbers are printed; with
//!               stream, what a gRPC stream carries, pace, how long deliveries wait meanwhile, and
//!               searching, how long SEARCH takes
//!   scale       many accounts with much mail: numbers again
//! ```

pub mod away;
pub mod big;
pub mod commands;
pub mod figures;
pub mod flips;
pub mod fsync_error;
pub mod full_disk;
mod last;
pub mod mbsync;
mod pace;
pub mod power_loss;
pub mod replace;
pub mod run;
pub mod scale;
mod searching;
pub mod slow_disk;
pub mod slow_sync;
pub mod stage;
mod stream;
