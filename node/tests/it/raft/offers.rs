//! The checkpoint that a leader offers to those whose next entries are purged.

use node::raft::machine::Machine;
use node::raft::types::Types;
use node::replica::LogId;
use openraft::alias::CommittedLeaderIdOf;
use openraft::impls::EmptyNode;
use openraft::storage::{RaftStateMachine, SnapshotMeta};

use crate::replica::rig::{Rig, WriterThread};

fn with_entries(count: u64) -> Rig {
    let mut rig = Rig::new();
    for number in 0..count {
        rig.apply(&format!("put key {number}"), b"");
    }
    rig.checkpoint();
    rig
}

async fn offered(machine: &mut Machine) -> Option<LogId> {
    let offered = machine.get_current_snapshot().await.unwrap();
    offered.and_then(|offered| offered.snapshot.last)
}

/// A replica that was brought to a newer checkpoint has no entries above the one that it offered
/// before: whoever took that would come again and again.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_offer_ends_with_what_comes_after_it() {
    let (old, new) = (with_entries(3), with_entries(9));
    let (before, after) = (old.replica.applied().last, new.replica.applied().last);
    let mut machine = Machine::new(old.replica.clone());
    assert_eq!(offered(&mut machine).await, before);
    let snapshot = new.replica.snapshot().unwrap();
    let writing = WriterThread::start(old.writer);
    let meta = SnapshotMeta::<CommittedLeaderIdOf<Types>, u64, EmptyNode>::default();
    machine.install_snapshot(&meta, snapshot).await.unwrap();
    assert!(before < after);
    assert_eq!(offered(&mut machine).await, after);
    writing.stop();
}
