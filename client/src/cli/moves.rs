//! Nodes and replicas on their way, as a table and as JSON.

use proto::v1::{AdminMoves, AdminReplicaMove, AdminSnapshot};
use serde_json::{Value, json};

use super::members::doing;
use super::report::{bytes_text, printable, table};
use super::transfers;

/// For people.
pub(super) fn text(moves: &AdminMoves) -> String {
    let mut text = String::new();
    for node in moves.nodes.iter().filter(|node| node.state != "removed") {
        let heir = match node.successor {
            0 => String::new(),
            heir => format!(", and node {heir} takes its place"),
        };
        text += &format!("node {} is {}{heir}\n", node.node, printable(&node.state));
    }
    if moves.replicas.is_empty() {
        return text + "all groups are as they shall be\n";
    }
    let mut rows = table(&["GROUP", "REPLICA", "NODE", "DOES", "ENTRIES", "CHECKPOINT"]);
    for replica in &moves.replicas {
        rows.add_row([
            replica.group.to_string(),
            replica.replica.to_string(),
            replica.node.to_string(),
            doing(replica).to_owned(),
            entries(replica),
            replica.snapshot.as_ref().map(snapshot).unwrap_or_default(),
        ]);
    }
    format!("{text}{rows}\n")
}

fn entries(replica: &AdminReplicaMove) -> String {
    match replica.matched {
        Some(matched) => format!("{matched} of {}", replica.last_index),
        None => "none yet".to_owned(),
    }
}

fn snapshot(snapshot: &AdminSnapshot) -> String {
    let bytes = bytes_text(snapshot.body_bytes);
    format!(
        "{} rows, {} bodies, {bytes}",
        snapshot.rows, snapshot.bodies
    )
}

/// For programs.
pub(super) fn json(moves: &AdminMoves) -> Value {
    let nodes = moves
        .nodes
        .iter()
        .map(|node| json!({ "node": node.node, "state": node.state, "successor": node.successor }));
    let replicas = moves.replicas.iter().map(|replica| {
        json!({
            "group": replica.group,
            "replica": replica.replica,
            "node": replica.node,
            "voter": replica.voter,
            "leaving": replica.leaving,
            "last_index": replica.last_index,
            "matched": replica.matched,
            "snapshot": replica.snapshot.as_ref().map(transfers::json),
        })
    });
    json!({
        "nodes": nodes.collect::<Vec<_>>(),
        "replicas": replicas.collect::<Vec<_>>(),
    })
}
