//! Three nodes on one machine, to try out: `rookeryd demo`.
//!
//! ```text
//!   demo --starts--> rookeryd --config node-1.toml     three real processes with real disks and
//!     |              rookeryd --config node-2.toml     certificates, exactly as on three machines
//!     |              rookeryd --config node-3.toml
//!     +--asks the admin service: makes the cluster and the accounts, watches who leads
//!     +--delivers a mail by LMTP through one node, and reads it by IMAP through another
//!     +--writes demo.json, by which tests and load generators find it all
//! ```
//!
//! Nothing here is a special mode of the server: the demo is an operator who types fast. It stays
//! in the foreground and tells what happens; a node that dies, for example because somebody killed
//! it with -9, is started again after a few seconds. Everything lives in one folder, and the same
//! folder brings the same cluster back.
//!
//! No node outlives the demo. Asked to stop, it stops them in order; killed, it leaves the pipes
//! behind that are their standard inputs, which the kernel closes, and each node stops by itself.
//!
//! What it is not: a way to run a service. All three nodes share a machine, so they share its fate.
//!
//! Read on: [`plan`] for the folder, [`run`] for the course of things, [`watch`] for the lines that
//! people see. [`plan`] and [`child`] also serve the chaos tests.

use std::path::PathBuf;

pub mod child;
mod cluster;
pub mod plan;
pub mod ports;
mod run;
mod sample;
mod screen;
pub mod watch;

pub use cluster::{describe, form, make_accounts};
pub use run::run;

/// The command line of `rookeryd demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The folder of the cluster; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = "./rookery-demo")]
    pub dir: PathBuf,
    /// Make accounts user1 to userN as well, and testuser, testuser2 and testuser3.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub accounts: u32,
    /// How many partitions a new cluster has.
    #[arg(long, value_name = "N", default_value_t = PARTITIONS,
        value_parser = clap::value_parser!(u32).range(1..=256))]
    pub partitions: u32,
    /// The first port of a new cluster, ten per node; unless given, well-known ones that are free.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..))]
    pub base_port: Option<u16>,
}

/// How many nodes a demo has.
const NODES: usize = 3;

/// Of each partition so many replicas.
const REPLICAS: u32 = 3;

/// How many partitions a demo has unless told: fewer than a cluster's default, since the replicas
/// of each share the processors of this machine, and a group with much to do writes it in fewer
/// rounds than several groups with little.
const PARTITIONS: u32 = 4;

/// What is added to a name without a domain.
const DOMAIN: &str = "demo.example";

/// The password of every account of a demo.
const PASSWORD: &str = "pass";
