//! A core counts what it finds at its start as durable: what no disk has must not be listed (R1).

use futures_util::FutureExt;
use node::raft::convert;
use node::raft::limits::ENTRY_BYTES_MAX;
use node::raft::types::raft_log_id;
use openraft::storage::{IOFlushed, RaftLogStorage};

use super::log_store::{Rig, at, blank, command, now};

/// More than a record of the rig's log.
const TOO_MANY_BYTES: usize = 300 << 10;

/// An entry that the log refuses is not there, and neither are those that came with it.
#[test]
fn what_the_log_refuses_is_not_listed() {
    let mut rig = Rig::new();
    rig.append(vec![blank(at(1, 0)), command(at(1, 1), 10)]);
    rig.write();
    let held = rig.recent.held();
    now(rig.store.save_committed(Some(raft_log_id(at(1, 1))))).unwrap();
    let batch = vec![command(at(1, 2), 10), command(at(1, 3), TOO_MANY_BYTES)];
    assert!(now(rig.store.append(batch, IOFlushed::noop())).is_err());
    assert_eq!(rig.last(), Some(at(1, 1)));
    assert_eq!(rig.entries().len(), 2);
    assert_eq!(rig.recent.held(), held);
    // The same of one that is not the next.
    let gap = vec![command(at(1, 2), 10), command(at(1, 9), 10)];
    assert!(now(rig.store.append(gap, IOFlushed::noop())).is_err());
    assert_eq!(rig.last(), Some(at(1, 1)));

    // The next core goes on where the last one was, and what it knew to be committed is not lost.
    now(rig.store.settle()).unwrap();
    rig.append(vec![command(at(2, 2), 20)]);
    rig.write();
    let mut rig = rig.reopen();
    assert_eq!(rig.last(), Some(at(2, 2)));
    assert_eq!(rig.entries().len(), 3);
    let committed = now(rig.store.read_committed()).unwrap();
    assert_eq!(committed, Some(raft_log_id(at(1, 1))));
}

/// What waits in the log's queue when a core ends is durable before the next one is started.
#[test]
fn what_is_queued_is_waited_for() {
    let mut rig = Rig::new();
    rig.append(vec![blank(at(1, 0))]);
    rig.write();
    rig.append(vec![command(at(1, 1), 10), command(at(1, 2), 20)]);
    let store = rig.store.clone();
    let mut settling = Box::pin(async move { store.settle().await });
    assert!(settling.as_mut().now_or_never().is_none());
    let synced = rig.log.stats().syncs;
    rig.write();
    settling.now_or_never().expect("it is written").unwrap();
    assert!(rig.log.stats().syncs > synced);
    assert_eq!(rig.last(), Some(at(1, 2)));
    // All of it survives.
    let mut rig = rig.crash(|| false);
    assert_eq!(rig.last(), Some(at(1, 2)));
}

/// A log that ends before it has written them does not let a core begin on them.
#[test]
fn what_is_never_written_is_no_start() {
    let mut rig = Rig::new();
    rig.append(vec![blank(at(1, 0))]);
    let store = rig.store.clone();
    let mut settling = Box::pin(async move { store.settle().await });
    assert!(settling.as_mut().now_or_never().is_none());
    drop(rig);
    assert!(settling.now_or_never().expect("it has ended").is_err());
}

/// A command with its body is an entry, or it is refused before anybody appends it.
#[test]
fn an_entry_is_no_larger_than_a_record() {
    let half = ENTRY_BYTES_MAX / 2;
    assert!(convert::fits_entry(half, half - 100));
    assert!(!convert::fits_entry(half, half));
    assert!(!convert::fits_entry(usize::MAX, usize::MAX));
    let mut largest = 0;
    while convert::fits_entry(largest + 1, half) {
        largest += 1;
    }
    let mut entry = command(at(1, 0), half);
    if let openraft::EntryPayload::Normal(proposal) = &mut entry.payload {
        proposal.command = vec![7; largest].into();
    }
    let payload = convert::entry_to_log(&entry).concat();
    assert_eq!(payload.len(), ENTRY_BYTES_MAX);
}
