//! Replicas that are being brought to checkpoints, for people and for programs.

use proto::v1::AdminSnapshot;
use serde_json::{Value, json};

use super::report::{bytes_text, table};

/// A table of them; nothing if there are none.
pub(super) fn text(snapshots: &[AdminSnapshot]) -> String {
    if snapshots.is_empty() {
        return String::new();
    }
    let mut table = table(&[
        "SNAPSHOT OF",
        "TO NODE",
        "ROWS",
        "ROW BYTES",
        "BODIES",
        "BODY BYTES",
        "SECONDS",
    ]);
    for snapshot in snapshots {
        table.add_row([
            format!("group {}", snapshot.group),
            snapshot.node.to_string(),
            snapshot.rows.to_string(),
            bytes_text(snapshot.row_bytes),
            snapshot.bodies.to_string(),
            bytes_text(snapshot.body_bytes),
            snapshot.seconds.to_string(),
        ]);
    }
    format!("\n{table}\n")
}

/// One of them.
pub(super) fn json(snapshot: &AdminSnapshot) -> Value {
    json!({
        "group": snapshot.group,
        "replica": snapshot.replica,
        "node": snapshot.node,
        "row_bytes": snapshot.row_bytes,
        "rows": snapshot.rows,
        "bodies": snapshot.bodies,
        "body_bytes": snapshot.body_bytes,
        "seconds": snapshot.seconds,
    })
}
