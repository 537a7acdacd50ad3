//! The words of the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, value_parser};

use super::password::PasswordArgs;

/// Asks and changes a Rookery cluster.
#[derive(Debug, Parser)]
#[command(
    name = "rookery",
    version,
    max_term_width = 100,
    subcommand_required = true
)]
pub struct Cli {
    /// Admin address of a node; several are tried in turn.
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "ROOKERY_ADMIN",
        value_delimiter = ',',
        value_parser = host_port
    )]
    pub admin: Vec<String>,
    /// The cluster's authority, PEM.
    #[arg(long, global = true, value_name = "FILE", env = "ROOKERY_CA")]
    pub ca: Option<PathBuf>,
    /// Your certificate, PEM, by `rookeryd pki admin`.
    #[arg(long, global = true, value_name = "FILE", env = "ROOKERY_CERT")]
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, global = true, value_name = "FILE", env = "ROOKERY_KEY")]
    pub key: Option<PathBuf>,
    /// The folder of a cluster by `rookeryd demo`, instead of the four above.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "ROOKERY_DEMO",
        conflicts_with_all = ["admin", "ca", "cert", "key"]
    )]
    pub demo: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Give up after so many seconds; each command has its own limit otherwise.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        value_parser = value_parser!(u64).range(1..=86_400)
    )]
    pub timeout: Option<u64>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show nodes, groups and leaders.
    Status,
    /// Make a cluster.
    Cluster {
        /// What to do.
        #[command(subcommand)]
        command: Cluster,
    },
    /// Add nodes.
    Node {
        /// What to do.
        #[command(subcommand)]
        command: Node,
    },
    /// Make, change, list and delete accounts.
    Account {
        /// What to do.
        #[command(subcommand)]
        command: Account,
    },
    /// Show partitions and move their leaders.
    Partition {
        /// What to do.
        #[command(subcommand)]
        command: Partition,
    },
    /// Show how the log of the first node that answers uses its disk.
    Storage,
    /// Have the first node that answers read its whole log, to find and mend damage.
    Scrub {
        /// Wait until it is through, and show what it found.
        #[arg(long)]
        wait: bool,
    },
    /// Compare all replicas; exit with 4 if some differ.
    Verify {
        /// Read all bodies on every replica too, and compare them with their rows.
        #[arg(long)]
        deep: bool,
        /// Groups to compare, 0 for the directory; all if none is given.
        groups: Vec<u64>,
    },
}

/// Making a cluster.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Make a new cluster of the node that is asked, which must belong to none.
    Init {
        /// How many replicas a partition gets.
        #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=7))]
        replicas: u32,
        /// How many partitions accounts are spread over.
        #[arg(long, default_value_t = 16, value_parser = value_parser!(u32).range(1..=4096))]
        partitions: u32,
        /// What is added to a user name without a domain.
        #[arg(long, value_name = "DOMAIN", default_value = "")]
        default_domain: String,
    },
}

/// Adding nodes.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Add a running, empty node to the cluster of the node that is asked.
    Join {
        /// Its number, as in its configuration and certificate.
        #[arg(long, value_name = "ID", value_parser = value_parser!(u64).range(1..))]
        node: u64,
        /// Its peer address.
        #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
        peer: String,
    },
}

/// Accounts.
#[derive(Debug, Subcommand)]
pub enum Account {
    /// Make an account.
    Create {
        /// Its name, such as alice@example.org.
        name: String,
        /// How much it may hold, bytes; 0 for no limit.
        #[arg(long, value_name = "BYTES", default_value_t = 0)]
        quota_bytes: u64,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Give an account another password.
    Passwd {
        /// Its name.
        name: String,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List all accounts.
    List,
    /// Delete an account with its mail.
    Delete {
        /// Its name.
        name: String,
    },
}

/// Partitions.
#[derive(Debug, Subcommand)]
pub enum Partition {
    /// List groups with their leaders, replicas and lag; 0 is the directory.
    List,
    /// Hand the leadership of a group to another node.
    Transfer {
        /// The group; 0 is the directory.
        group: u64,
        /// The node that shall lead; it must hold a replica.
        #[arg(long, value_name = "NODE", value_parser = value_parser!(u64).range(1..))]
        to: u64,
    },
}

/// Takes `name:port`, `1.2.3.4:port` and `[::1]:port`.
fn host_port(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').ok_or("it is not HOST:PORT")?;
    let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || bare_v6 {
        return Err("it is not HOST:PORT; an IPv6 address stands in brackets".to_owned());
    }
    match port.parse::<u16>() {
        Ok(port) if port != 0 => Ok(text.to_owned()),
        _ => Err(format!("`{port}` is no port")),
    }
}
