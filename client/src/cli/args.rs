//! The words of the command line.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser as NonEmpty;
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
    /// Add, replace and remove nodes.
    Node {
        /// What to do.
        #[command(subcommand)]
        command: Node,
    },
    /// Move replicas of partitions between nodes.
    Replica {
        /// What to do.
        #[command(subcommand)]
        command: Replica,
    },
    /// Make, change, list and delete accounts.
    Account {
        /// What to do.
        #[command(subcommand)]
        command: Account,
    },
    /// Show, bring back and purge what accounts deleted.
    Mail {
        /// What to do.
        #[command(subcommand)]
        command: Mail,
    },
    /// Show partitions and move their leaders.
    Partition {
        /// What to do.
        #[command(subcommand)]
        command: Partition,
    },
    /// Save all groups into a folder, while they serve; `rookeryd restore` brings them back.
    Backup {
        /// The folder; it is made, and must be empty.
        dir: PathBuf,
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

/// Making a cluster, and what holds in all of it.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Make a new cluster of the node that is asked, which must belong to none.
    Init {
        /// How many replicas a partition gets.
        #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=7))]
        replicas: u32,
        /// How many partitions accounts are spread over.
        #[arg(long, default_value_t = 16, value_parser = value_parser!(u32).range(1..=256))]
        partitions: u32,
        /// What is added to a user name without a domain.
        #[arg(long, value_name = "DOMAIN", default_value = "")]
        default_domain: String,
    },
    /// Keep what accounts delete for so many days, where they have no retention of their own.
    Retention {
        /// 7 if nothing was set.
        #[arg(value_parser = value_parser!(u32).range(1..=3650))]
        days: u32,
    },
}

/// Nodes that come and go.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Add a running, empty node to the cluster of the node that is asked.
    ///
    /// It gets replicas of partitions that have too few, then its even share of all.
    Add {
        /// Its number, as in its configuration and certificate.
        #[arg(long, value_name = "ID", value_parser = value_parser!(u64).range(1..))]
        node: u64,
        /// Its peer address.
        #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
        peer: String,
        /// Show the replicas as they come, and return when all of them vote.
        #[arg(long)]
        wait: bool,
    },
    /// Let a node take the place of another one, which may be lost and is then removed.
    Replace {
        /// The node that goes.
        #[arg(value_parser = value_parser!(u64).range(1..))]
        old: u64,
        /// The node that takes its place; a new number, or another node of the cluster.
        #[arg(value_parser = value_parser!(u64).range(1..))]
        new: u64,
        /// The peer address of a new node, which runs and is empty.
        #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
        peer: Option<String>,
        /// Show the replicas as they come, and return when the old node is removed.
        #[arg(long)]
        wait: bool,
    },
    /// Let a node give its replicas to the others, and remove it for good.
    Remove {
        /// The node.
        #[arg(value_parser = value_parser!(u64).range(1..))]
        node: u64,
        /// Let partitions for which there is no other node have fewer replicas.
        #[arg(long)]
        shrink: bool,
        /// Show the replicas as they go, and return when the node is removed.
        #[arg(long)]
        wait: bool,
    },
    /// Show nodes and replicas that are on their way.
    Moves,
}

/// Replicas.
#[derive(Debug, Subcommand)]
pub enum Replica {
    /// Give a partition a replica on another node in place of one.
    Move {
        /// The partition.
        #[arg(long, value_parser = value_parser!(u64).range(1..))]
        group: u64,
        /// The node that holds one.
        #[arg(long, value_name = "NODE", value_parser = value_parser!(u64).range(1..))]
        from: u64,
        /// The node that shall hold one.
        #[arg(long, value_name = "NODE", value_parser = value_parser!(u64).range(1..))]
        to: u64,
        /// Show the replica as it comes, and return when the other one is gone.
        #[arg(long)]
        wait: bool,
    },
}

/// Accounts.
#[derive(Debug, Subcommand)]
pub enum Account {
    /// Make an account.
    Create {
        /// Its name, such as alice@example.org.
        #[arg(value_parser = NonEmpty::new())]
        name: String,
        /// How much it may hold, bytes; 0 for no limit.
        #[arg(long, value_name = "BYTES", default_value_t = 0)]
        quota_bytes: u64,
        /// Mail comes in, and nobody can log in before `account passwd`.
        #[arg(long, conflicts_with = "password_stdin")]
        no_password: bool,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Give an account another password.
    Passwd {
        /// Its name.
        #[arg(value_parser = NonEmpty::new())]
        name: String,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Keep what an account deletes for so many days.
    Retention {
        /// Its name.
        #[arg(value_parser = NonEmpty::new())]
        name: String,
        /// Days, or `default` for those of the cluster.
        #[arg(value_name = "DAYS|default", value_parser = days)]
        days: Days,
    },
    /// Show what an account uses and may, and set limits for it.
    Quota {
        /// Its name.
        #[arg(value_parser = NonEmpty::new())]
        name: String,
        /// How much it may hold, bytes; 0 for no limit.
        #[arg(long, value_name = "BYTES")]
        bytes: Option<u64>,
        /// How many messages it may hold; 0 for no limit.
        #[arg(long, value_name = "NUMBER")]
        messages: Option<u64>,
    },
    /// List all accounts.
    List,
    /// Delete an account with its mail.
    Delete {
        /// Its name.
        #[arg(value_parser = NonEmpty::new())]
        name: String,
    },
}

/// What accounts deleted.
#[derive(Debug, Subcommand)]
pub enum Mail {
    /// List expunged messages and deleted mailboxes, and how much they hold.
    Deleted {
        /// Whose.
        #[arg(value_parser = NonEmpty::new())]
        account: String,
        /// Only of this mailbox, by the name that it has or had.
        #[arg(long, value_name = "NAME", value_parser = NonEmpty::new())]
        mailbox: Option<String>,
    },
    /// Bring back expunged messages, or a deleted mailbox. Messages get new UIDs.
    Undelete {
        /// Whose.
        #[arg(value_parser = NonEmpty::new())]
        account: String,
        /// The expunged messages of this mailbox, or the mailbox that was deleted; if it is left
        /// out, expunged messages of all mailboxes that are there.
        #[arg(long, value_name = "NAME", value_parser = NonEmpty::new())]
        mailbox: Option<String>,
        /// A deleted mailbox by the number that `mail deleted` shows, if its name does not tell.
        #[arg(long, value_name = "NUMBER", conflicts_with = "mailbox",
              value_parser = value_parser!(u64).range(1..))]
        id: Option<u64>,
        /// Only these messages, such as 3:7,9, by the UIDs that they had.
        #[arg(long, value_name = "SET", requires = "mailbox", value_parser = NonEmpty::new())]
        uids: Option<String>,
        /// Only messages expunged since: 90m, 12h, 2d ago, or `2026-11-30[T12:00[:00]]` in UTC.
        #[arg(long, value_name = "TIME", value_parser = super::time::parse_now)]
        since: Option<u64>,
        /// Put messages into this mailbox, which is made if there is none; give a deleted mailbox
        /// this name.
        #[arg(long, value_name = "NAME", value_parser = NonEmpty::new())]
        into: Option<String>,
    },
    /// Remove what was deleted for good, now.
    Purge {
        /// Whose.
        #[arg(value_parser = NonEmpty::new())]
        account: String,
        /// Only of this mailbox, by the name that it has or had.
        #[arg(long, value_name = "NAME", value_parser = NonEmpty::new())]
        mailbox: Option<String>,
        /// It cannot be undone.
        #[arg(long)]
        yes: bool,
    },
}

/// A retention of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Days {
    /// That of the cluster.
    Default,
    /// So many days.
    Own(u32),
}

fn days(text: &str) -> Result<Days, String> {
    match text.parse() {
        _ if text == "default" => Ok(Days::Default),
        Ok(days @ 1..=3650) => Ok(Days::Own(days)),
        _ => Err("it is 1 to 3650 days, or `default`".to_owned()),
    }
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
