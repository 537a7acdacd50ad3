//! Answers as tables for people and as JSON for programs.
//!
//! The JSON's keys are those of `admin.proto`; identifiers and digests are hexadecimal. Keys may be
//! added, but not renamed.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use comfy_table::{Table, presets};
use proto::v1::{
    AdminAccount, AdminCondition, AdminDeleted, AdminGroup, AdminInitReply, AdminMoves, AdminNode,
    AdminPurged, AdminQuota, AdminReplica, AdminScrubbed, AdminSegment, AdminStatus, AdminStorage,
    AdminUndeleted, AdminVerifyReply,
};
use serde_json::{Value, json};

use super::transfers;
use super::{mail, moves, quota};
use crate::backup::Saved;
use crate::hex;

/// What a command has to tell.
#[derive(Debug)]
pub enum Report {
    /// How the cluster is.
    Status(AdminStatus),
    /// How a node uses its disk.
    Storage(AdminStorage),
    /// The cluster that was made.
    Made(AdminInitReply),
    /// The account that was made.
    Account(AdminAccount),
    /// All accounts.
    Accounts(Vec<AdminAccount>),
    /// All groups.
    Groups(Vec<AdminGroup>),
    /// What a scrub found.
    Scrubbed(AdminScrubbed),
    /// What `verify` found.
    Verified(AdminVerifyReply),
    /// What an account deleted.
    Deleted(AdminDeleted),
    /// What came back.
    Undeleted(AdminUndeleted),
    /// What went for good.
    Purged(AdminPurged),
    /// What an account uses and may.
    Quota(AdminQuota),
    /// The groups that were saved.
    Saved(Vec<Saved>),
    /// What is on its way.
    Moves(AdminMoves),
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
            Self::Storage(storage) => storage_text(storage),
            Self::Made(made) => format!("made cluster {}\n", hex(&made.cluster)),
            Self::Account(account) => format!(
                "made account {} ({}) in partition {}\n",
                printable(&account.name),
                account.account,
                account.partition
            ),
            Self::Accounts(accounts) => accounts_text(accounts),
            Self::Groups(groups) => groups_text(groups),
            Self::Scrubbed(scrubbed) => format!("{}\n", scrubbed_text(scrubbed)),
            Self::Verified(found) => verified_text(found),
            Self::Deleted(deleted) => mail::deleted_text(deleted),
            Self::Undeleted(back) if back.mailboxes.is_empty() => "nothing came back\n".to_owned(),
            Self::Undeleted(back) => format!(
                "{} messages are back, in {}\n",
                back.messages,
                printable(&back.mailboxes.join(", "))
            ),
            Self::Purged(purged) => format!(
                "{} messages, {}, are gone for good\n",
                purged.messages,
                bytes_text(purged.bytes)
            ),
            Self::Quota(used) => quota::text(used),
            Self::Saved(saved) => saved_text(saved),
            Self::Moves(moves) => moves::text(moves),
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
                "cluster_groups": status.cluster_groups,
                "snapshots": status.snapshots.iter().map(transfers::json).collect::<Vec<_>>(),
            }),
            Self::Storage(storage) => storage_json(storage),
            Self::Made(made) => json!({ "cluster": hex(&made.cluster) }),
            Self::Account(account) => account_json(account),
            Self::Accounts(accounts) => accounts.iter().map(account_json).collect(),
            Self::Groups(groups) => groups.iter().map(group_json).collect(),
            Self::Scrubbed(scrubbed) => scrubbed_json(scrubbed),
            Self::Verified(found) => verified_json(found),
            Self::Deleted(deleted) => mail::deleted_json(deleted),
            Self::Undeleted(back) => {
                json!({ "messages": back.messages, "mailboxes": back.mailboxes })
            }
            Self::Quota(used) => quota::json(used),
            Self::Purged(purged) => json!({ "messages": purged.messages, "bytes": purged.bytes }),
            Self::Saved(saved) => json!({ "groups": saved }),
            Self::Moves(moves) => moves::json(moves),
            Self::Done(_) => json!({}),
        };
        format!("{value:#}\n")
    }
}

fn status_text(status: &AdminStatus) -> String {
    if status.cluster.is_empty() {
        return format!(
            "node {} belongs to no cluster yet (rookery cluster init, or node add)\n",
            status.node
        );
    }
    let mut nodes = table(&[
        "NODE",
        "STATE",
        "REACHABLE",
        "ROOM",
        "SYNC",
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
        "cluster {}, version {}, {} accounts, as node {} sees it\n\n{nodes}\n\n{}{}",
        hex(&status.cluster),
        printable(&status.version),
        status.accounts,
        status.node,
        leaders_text(&status.groups),
        transfers::text(&status.snapshots),
    )
}

fn storage_text(storage: &AdminStorage) -> String {
    let sum = |of: fn(&AdminSegment) -> u64| storage.segments.iter().map(of).sum::<u64>();
    let mut table = table(&["SEGMENT", "FILE", "WRITTEN", "NEEDED", "SEALED"]);
    for segment in &storage.segments {
        table.add_row([
            segment.number.to_string(),
            bytes_text(segment.file_bytes),
            bytes_text(segment.bytes),
            bytes_text(segment.live_bytes),
            if segment.sealed { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let (written, copied) = (storage.written_bytes, storage.copied_bytes);
    format!(
        "node {}: {} segments and {} spare, {} on disk, {} written there, {} of it needed\n\
         room for {}, of which mail leaves {}{}\n\
         since its start: {} written, {} of it by the cleaner, {} of zeros in advance ({}), {} \
         freed\n\
         {}\n\n{table}\n",
        storage.node,
        storage.segments.len(),
        storage.spare_segments,
        bytes_text(sum(|segment| segment.file_bytes)),
        bytes_text(sum(|segment| segment.bytes)),
        bytes_text(sum(|segment| segment.live_bytes)),
        bytes_text(storage.room_bytes),
        bytes_text(storage.reserve_bytes),
        match storage.takes_mail {
            true => "",
            false => ": NO MAIL IS TAKEN",
        },
        bytes_text(written),
        bytes_text(copied),
        bytes_text(storage.filled_bytes),
        amplification(
            written + storage.filled_bytes,
            written - copied.min(written)
        ),
        bytes_text(storage.freed_bytes),
        scrubbed_text(&storage.scrubbed.unwrap_or_default()),
    )
}

fn scrubbed_text(scrubbed: &AdminScrubbed) -> String {
    let last = match scrubbed.finished_secs {
        0 => "not read whole yet".to_owned(),
        then => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let ago = now.map_or(0, |now| now.as_secs()).saturating_sub(then);
            format!("last read whole {} h {} min ago", ago / 3600, ago / 60 % 60)
        }
    };
    format!(
        "scrubbed: {last}; since its start: {} read, {} damaged, {} mended, {} not yet",
        bytes_text(scrubbed.bytes),
        scrubbed.damaged,
        scrubbed.mended,
        scrubbed.open,
    )
}

fn scrubbed_json(scrubbed: &AdminScrubbed) -> Value {
    json!({
        "finished_secs": scrubbed.finished_secs,
        "passes": scrubbed.passes,
        "segments": scrubbed.segments,
        "bytes": scrubbed.bytes,
        "damaged": scrubbed.damaged,
        "mended": scrubbed.mended,
        "open": scrubbed.open,
    })
}

/// How many bytes were written for each that was new, in hundredths.
fn amplification(written: u64, new: u64) -> String {
    match (written * 100).checked_div(new) {
        None => "nothing else was".to_owned(),
        Some(hundredths) => format!("{}.{:02} times", hundredths / 100, hundredths % 100),
    }
}

/// Bytes with a unit that leaves at most four digits before the point.
pub(super) fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut tenths, mut unit) = (bytes.saturating_mul(10), 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

fn node_row(node: &AdminNode) -> [String; 10] {
    let reachable = if node.reachable { "yes" } else { "NO" };
    [
        node.node.to_string(),
        printable(&node.state),
        reachable.to_owned(),
        node.condition.as_ref().map_or_else(unknown, room_text),
        node.condition.as_ref().map_or_else(unknown, sync_text),
        printable(&node.peer),
        printable(&node.imap),
        printable(&node.imaps),
        printable(&node.lmtp),
        printable(&node.admin),
    ]
}

fn unknown() -> String {
    "?".to_owned()
}

fn room_text(condition: &AdminCondition) -> String {
    let room = bytes_text(condition.room_bytes);
    match condition.takes_mail {
        true => room,
        false => format!("{room} FULL"),
    }
}

/// How fast the disk is; and how far off the clock, if it is.
fn sync_text(condition: &AdminCondition) -> String {
    let tenths = condition.sync_us / 100;
    let mut text = match condition.sync_us {
        0 => unknown(),
        _ => format!("{}.{} ms", tenths / 10, tenths % 10),
    };
    let off_secs = condition.clock_ahead_ms / 1000;
    if off_secs != 0 {
        text.push_str(&format!(", CLOCK {off_secs:+} s"));
    }
    text
}

/// One line on who leads what, and one on what nobody leads.
fn leaders_text(groups: &[AdminGroup]) -> String {
    let mut leads: BTreeMap<u64, usize> = BTreeMap::new();
    let mut headless = Vec::new();
    for group in groups {
        match group.leader {
            // One that is out of service here does not know.
            0 if !group.trouble.is_empty() => {}
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
    text.push_str(&troubles_text(groups));
    text
}

fn groups_text(groups: &[AdminGroup]) -> String {
    let mut table = table(&["GROUP", "LEADER", "TERM", "LAST", "APPLIED", "REPLICAS"]);
    for group in groups {
        let leader = match group.leader {
            // One that is out of service here does not know.
            0 if !group.trouble.is_empty() => unknown(),
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
    format!("{table}\n{}", troubles_text(groups))
}

/// One line on each group that is out of service on the node that was asked.
fn troubles_text(groups: &[AdminGroup]) -> String {
    let mut text = String::new();
    for group in groups.iter().filter(|group| !group.trouble.is_empty()) {
        let why = printable(&group.trouble);
        text.push_str(&format!("group {} HERE: {why}\n", group.group));
    }
    text
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
    let kind = match (replica.leaving, replica.voter) {
        (true, _) => " leaving",
        (false, true) => "",
        (false, false) => " learner",
    };
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
    let groups = found.groups.len();
    let mut text = format!("{table}\n\n{equal} of {groups} groups have equal replicas\n");
    for group in &found.groups {
        for replica in &group.replicas {
            for bad in &replica.bad {
                text.push_str(&format!(
                    "BAD BODY: group {}, node {}, replica {}, entry {}.{}: {}\n",
                    group.group,
                    replica.node,
                    replica.replica,
                    bad.term,
                    bad.index,
                    printable(&bad.why)
                ));
            }
        }
    }
    let replicas = || found.groups.iter().flat_map(|group| &group.replicas);
    let bodies: u64 = replicas().map(|replica| replica.bodies).sum();
    if bodies > 0 {
        let bytes = replicas().map(|replica| replica.body_bytes).sum();
        text.push_str(&format!("{bodies} bodies read, {}\n", bytes_text(bytes)));
    }
    text
}

fn saved_text(saved: &[Saved]) -> String {
    let mut table = table(&["GROUP", "FILE", "ROWS", "BODIES", "BYTES OF BODIES"]);
    for group in saved {
        table.add_row([
            group_name(group.group),
            printable(&group.file),
            group.rows.to_string(),
            group.bodies.to_string(),
            bytes_text(group.body_bytes),
        ]);
    }
    format!("{table}\n")
}

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn storage_json(storage: &AdminStorage) -> Value {
    let segment = |segment: &AdminSegment| {
        json!({
            "number": segment.number,
            "file_bytes": segment.file_bytes,
            "bytes": segment.bytes,
            "live_bytes": segment.live_bytes,
            "sealed": segment.sealed,
        })
    };
    json!({
        "node": storage.node,
        "segments": storage.segments.iter().map(segment).collect::<Vec<_>>(),
        "spare_segments": storage.spare_segments,
        "written_bytes": storage.written_bytes,
        "copied_bytes": storage.copied_bytes,
        "freed_bytes": storage.freed_bytes,
        "filled_bytes": storage.filled_bytes,
        "room_bytes": storage.room_bytes,
        "reserve_bytes": storage.reserve_bytes,
        "takes_mail": storage.takes_mail,
        "scrubbed": scrubbed_json(&storage.scrubbed.unwrap_or_default()),
    })
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
        "condition": node.condition.as_ref().map(|condition| json!({
            "room_bytes": condition.room_bytes,
            "takes_mail": condition.takes_mail,
            "sync_us": condition.sync_us,
            "clock_ahead_ms": condition.clock_ahead_ms,
        })),
    })
}

fn group_json(group: &AdminGroup) -> Value {
    let replica = |replica: &AdminReplica| {
        json!({
            "replica": replica.replica,
            "node": replica.node,
            "voter": replica.voter,
            "matched": replica.matched,
            "leaving": replica.leaving,
        })
    };
    json!({
        "group": group.group,
        "term": group.term,
        "leader": group.leader,
        "last_index": group.last_index,
        "applied_index": group.applied_index,
        "replicas": group.replicas.iter().map(replica).collect::<Vec<_>>(),
        "trouble": group.trouble,
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
    let bad = |bad: &proto::v1::AdminBadBody| {
        json!({
            "term": bad.term,
            "index": bad.index,
            "why": bad.why,
        })
    };
    let replica = |replica: &proto::v1::AdminDigestReply| {
        json!({
            "node": replica.node,
            "replica": replica.replica,
            "applied_index": replica.applied_index,
            "digest": hex(&replica.digest),
            "error": replica.error,
            "bodies": replica.bodies,
            "body_bytes": replica.body_bytes,
            "bad": replica.bad.iter().map(bad).collect::<Vec<_>>(),
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
