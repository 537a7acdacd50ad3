//! Answers as tables for people and as JSON for programs.
//!
//! The JSON's keys are those of `admin.proto`; identifiers and digests are hexadecimal. Keys may be
//! added, but not renamed.

use std::collections::BTreeMap;

use comfy_table::{Table, presets};
use proto::v1::{
    AdminAccount, AdminGroup, AdminInitReply, AdminNode, AdminReplica, AdminStatus,
    AdminVerifyReply,
};
use serde_json::{Value, json};

/// What a command has to tell.
#[derive(Debug)]
pub enum Report {
    /// How the cluster is.
    Status(AdminStatus),
    /// The cluster that was made.
    Made(AdminInitReply),
    /// The account that was made.
    Account(AdminAccount),
    /// All accounts.
    Accounts(Vec<AdminAccount>),
    /// All groups.
    Groups(Vec<AdminGroup>),
    /// What `verify` found.
    Verified(AdminVerifyReply),
    /// That it is done.
    Done(String),
}

impl Report {
    /// That it is done, in words.
    pub(super) fn done(words: String) -> Self {
        Self::Done(words)
    }

    /// For people; ends with a line break.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Status(status) => status_text(status),
            Self::Made(made) => format!("made cluster {}\n", hex(&made.cluster)),
            Self::Account(account) => format!(
                "made account {} ({}) in partition {}\n",
                printable(&account.name),
                account.account,
                account.partition
            ),
            Self::Accounts(accounts) => accounts_text(accounts),
            Self::Groups(groups) => groups_text(groups),
            Self::Verified(found) => verified_text(found),
            Self::Done(words) => format!("{}\n", printable(words)),
        }
    }

    /// For programs: one value; ends with a line break.
    #[must_use]
    pub fn json(&self) -> String {
        let value = match self {
            Self::Status(status) => json!({
                "cluster": hex(&status.cluster),
                "node": status.node,
                "version": status.version,
                "accounts": status.accounts,
                "nodes": status.nodes.iter().map(node_json).collect::<Vec<_>>(),
                "groups": status.groups.iter().map(group_json).collect::<Vec<_>>(),
            }),
            Self::Made(made) => json!({ "cluster": hex(&made.cluster) }),
            Self::Account(account) => account_json(account),
            Self::Accounts(accounts) => accounts.iter().map(account_json).collect(),
            Self::Groups(groups) => groups.iter().map(group_json).collect(),
            Self::Verified(found) => verified_json(found),
            Self::Done(_) => json!({}),
        };
        format!("{value:#}\n")
    }
}

fn status_text(status: &AdminStatus) -> String {
    if status.cluster.is_empty() {
        return format!(
            "node {} belongs to no cluster yet (rookery cluster init, or node join)\n",
            status.node
        );
    }
    let mut nodes = table(&[
        "NODE",
        "STATE",
        "REACHABLE",
        "PEER",
        "IMAP",
        "IMAPS",
        "LMTP",
        "ADMIN",
    ]);
    for node in &status.nodes {
        nodes.add_row(node_row(node));
    }
    format!(
        "cluster {}, version {}, {} accounts, as node {} sees it\n\n{nodes}\n\n{}",
        hex(&status.cluster),
        printable(&status.version),
        status.accounts,
        status.node,
        leaders_text(&status.groups),
    )
}

fn node_row(node: &AdminNode) -> [String; 8] {
    let reachable = if node.reachable { "yes" } else { "NO" };
    [
        node.node.to_string(),
        printable(&node.state),
        reachable.to_owned(),
        printable(&node.peer),
        printable(&node.imap),
        printable(&node.imaps),
        printable(&node.lmtp),
        printable(&node.admin),
    ]
}

/// One line on who leads what, and one on what nobody leads.
fn leaders_text(groups: &[AdminGroup]) -> String {
    let mut leads: BTreeMap<u64, usize> = BTreeMap::new();
    let mut headless = Vec::new();
    for group in groups {
        match group.leader {
            0 => headless.push(group.group.to_string()),
            leader => *leads.entry(leader).or_default() += 1,
        }
    }
    let leads: Vec<String> = leads
        .iter()
        .map(|(node, groups)| format!("node {node} leads {groups}"))
        .collect();
    let mut text = format!("{} groups: {}\n", groups.len(), leads.join(", "));
    if !headless.is_empty() {
        text.push_str(&format!("WITHOUT A LEADER: {}\n", headless.join(", ")));
    }
    text
}

fn groups_text(groups: &[AdminGroup]) -> String {
    let mut table = table(&["GROUP", "LEADER", "TERM", "LAST", "APPLIED", "REPLICAS"]);
    for group in groups {
        let leader = match group.leader {
            0 => "none".to_owned(),
            node => format!("node {node}"),
        };
        let replicas: Vec<String> = group
            .replicas
            .iter()
            .map(|replica| replica_words(replica, group))
            .collect();
        table.add_row([
            group_name(group.group),
            leader,
            group.term.to_string(),
            group.last_index.to_string(),
            group.applied_index.to_string(),
            replicas.join(", "),
        ]);
    }
    format!("{table}\n")
}

fn group_name(group: u64) -> String {
    match group {
        0 => "0 (directory)".to_owned(),
        group => group.to_string(),
    }
}

fn replica_words(replica: &AdminReplica, group: &AdminGroup) -> String {
    let lag = replica
        .matched
        .map(|matched| group.last_index.saturating_sub(matched));
    let kind = if replica.voter { "" } else { " learner" };
    let lag = match lag {
        None | Some(0) => String::new(),
        Some(lag) => format!(" -{lag}"),
    };
    format!("node {}{kind}{lag}", replica.node)
}

fn accounts_text(accounts: &[AdminAccount]) -> String {
    let mut table = table(&["ACCOUNT", "ID", "PARTITION", "STATE"]);
    for account in accounts {
        table.add_row([
            printable(&account.name),
            account.account.to_string(),
            account.partition.to_string(),
            printable(&account.state),
        ]);
    }
    format!("{table}\n")
}

fn verified_text(found: &AdminVerifyReply) -> String {
    let mut table = table(&["GROUP", "EQUAL", "NODE", "REPLICA", "INDEX", "DIGEST"]);
    for group in &found.groups {
        for (at, replica) in group.replicas.iter().enumerate() {
            let (name, equal) = match at {
                0 => (
                    group_name(group.group),
                    if group.equal { "yes" } else { "NO" },
                ),
                _ => (String::new(), ""),
            };
            let digest = match replica.error.as_str() {
                "" => hex(&replica.digest),
                why => printable(why),
            };
            table.add_row([
                name,
                equal.to_owned(),
                replica.node.to_string(),
                replica.replica.to_string(),
                replica.applied_index.to_string(),
                digest,
            ]);
        }
    }
    let equal = found.groups.iter().filter(|group| group.equal).count();
    format!(
        "{table}\n\n{equal} of {} groups have equal replicas\n",
        found.groups.len()
    )
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn node_json(node: &AdminNode) -> Value {
    json!({
        "node": node.node,
        "state": node.state,
        "reachable": node.reachable,
        "peer": node.peer,
        "imap": node.imap,
        "imaps": node.imaps,
        "lmtp": node.lmtp,
        "admin": node.admin,
    })
}

fn group_json(group: &AdminGroup) -> Value {
    let replica = |replica: &AdminReplica| {
        json!({
            "replica": replica.replica,
            "node": replica.node,
            "voter": replica.voter,
            "matched": replica.matched,
        })
    };
    json!({
        "group": group.group,
        "term": group.term,
        "leader": group.leader,
        "last_index": group.last_index,
        "applied_index": group.applied_index,
        "replicas": group.replicas.iter().map(replica).collect::<Vec<_>>(),
    })
}

fn account_json(account: &AdminAccount) -> Value {
    json!({
        "account": account.account,
        "name": account.name,
        "partition": account.partition,
        "state": account.state,
    })
}

fn verified_json(found: &AdminVerifyReply) -> Value {
    let replica = |replica: &proto::v1::AdminDigestReply| {
        json!({
            "node": replica.node,
            "replica": replica.replica,
            "applied_index": replica.applied_index,
            "digest": hex(&replica.digest),
            "error": replica.error,
        })
    };
    let group = |group: &proto::v1::AdminVerified| {
        json!({
            "group": group.group,
            "equal": group.equal,
            "replicas": group.replicas.iter().map(replica).collect::<Vec<_>>(),
        })
    };
    json!({
        "equal": found.groups.iter().all(|group| group.equal),
        "groups": found.groups.iter().map(group).collect::<Vec<_>>(),
    })
}

/// Control characters escaped, since a terminal would obey them.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
