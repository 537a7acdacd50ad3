//! A machine whose group was started anew: openraft's task goes on with what it has, and the
//! replica has another machine by then.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{poll, stream};
use node::raft::machine::Machine;
use node::raft::types::{Body, Entry, Proposal, Types, raft_log_id};
use node::replica::index::MemoryIndexes;
use node::replica::limits::Bounds;
use openraft::EntryPayload;
use openraft::alias::CommittedLeaderIdOf;
use openraft::impls::EmptyNode;
use openraft::storage::{RaftStateMachine, SnapshotMeta};

use super::log_store::at;
use crate::replica::rig::{Rig, WriterThread, tight};

async fn apply(machine: &mut Machine, index: u64) -> io::Result<()> {
    let proposal = Proposal {
        time_ms: 1,
        command: Bytes::from(format!("put k{index} 1")),
        body: Body::Held(Bytes::new()),
    };
    let entry = Entry {
        log_id: raft_log_id(at(1, index)),
        payload: EntryPayload::Normal(proposal),
    };
    machine.apply(stream::iter([Ok((entry, None))])).await
}

/// An entry that waits for room is left to the machine that comes after.
#[tokio::test]
async fn an_entry_that_waits_is_not_applied_twice() {
    let bounds = Bounds {
        overlay_bytes_max: 1,
        ..tight()
    };
    let mut rig = Rig::with(Arc::new(MemoryIndexes::new()), bounds);
    rig.apply("put k1 1", b"");
    let mut old = Machine::new(Arc::clone(&rig.replica));
    let life = old.life().clone();
    let mut waiting = pin!(apply(&mut old, 2));
    assert!(poll!(waiting.as_mut()).is_pending(), "there is no room");
    life.end().await;
    rig.checkpoint();
    assert!(
        waiting.await.is_err(),
        "there is room, and it comes too late"
    );
    let mut new = Machine::new(Arc::clone(&rig.replica));
    apply(&mut new, 2).await.unwrap();
    assert_eq!(rig.replica.fault(), None);
    assert_eq!(rig.replica.applied().last, Some(at(1, 2)));
}

/// What is being installed is waited for, and nothing is installed later.
#[tokio::test(flavor = "multi_thread")]
async fn an_install_ends_first() {
    let mut leader = Rig::new();
    for number in 0..3 {
        leader.apply(&format!("put k{number} 1"), b"");
    }
    leader.checkpoint();
    let Rig {
        replica, writer, ..
    } = Rig::new();
    let meta = SnapshotMeta::<CommittedLeaderIdOf<Types>, u64, EmptyNode>::default();
    let mut old = Machine::new(Arc::clone(&replica));
    let (life, mut late) = (old.life().clone(), old.clone());
    let snapshot = leader.replica.last_checkpoint().unwrap();
    let mut installing = pin!(old.install_snapshot(&meta, snapshot.clone()));
    assert!(
        poll!(installing.as_mut()).is_pending(),
        "nobody writes the log"
    );
    let mut ending = pin!(life.end());
    assert!(poll!(ending.as_mut()).is_pending(), "it would change rows");
    let writing = WriterThread::start(writer);
    installing.await.unwrap();
    ending.await;
    assert_eq!(replica.applied().last, snapshot.last);

    leader.apply("put k3 1", b"");
    leader.checkpoint();
    let newer = leader.replica.last_checkpoint().unwrap();
    assert!(late.install_snapshot(&meta, newer).await.is_err());
    assert!(apply(&mut late, 4).await.is_err());
    assert_eq!(replica.applied().last, snapshot.last);
    assert_eq!(replica.fault(), None);
    drop(writing.stop());
}
