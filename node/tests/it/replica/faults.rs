//! R3: after a fault a replica answers nothing, and others go on.

use std::sync::Arc;

use bytes::Bytes;
use node::replica::{
    Applying, BodyError, Due, GroupId, Hint, LogId, Opening, Progress, Replica, open,
};
use parking_lot::Mutex;
use rows::{END, Fault, Rows};
use seglog::ReplicaId;

use super::rig::{KeyValue, Rig};

fn apply(replica: &Replica, index: u64, command: &str) -> Result<Bytes, Fault> {
    let command = Bytes::from(command.to_owned());
    let entry = Applying::Command {
        time_ms: 1,
        command: &command,
        body_length: 0,
    };
    replica.apply(LogId { term: 1, index }, entry)
}

fn stopped(command: &str) -> Fault {
    let mut rig = Rig::new();
    rig.apply("put a 1", b"");
    rig.checkpoint();
    let before = rig.replica.digest();
    let fault = apply(&rig.replica, 2, command).unwrap_err();
    assert_eq!(rig.replica.fault(), Some(fault.clone()));
    // Nothing of the entry was done.
    assert_eq!(rig.replica.digest(), before);
    // Not even what was answered before is answered now.
    assert_eq!(apply(&rig.replica, 2, "put b 1").unwrap_err(), fault);
    rig.replica.read(|rows| {
        assert_eq!(rows.get(b"a").unwrap_err(), fault);
        assert_eq!(rows.scan(&[1], END).err(), Some(fault.clone()));
        assert_eq!(rows.last(&[1], END).unwrap_err(), fault);
    });
    assert_eq!(rig.replica.snapshot().unwrap_err(), fault);
    assert_eq!(rig.replica.next_due(), None);
    let id = LogId { term: 1, index: 1 };
    assert!(matches!(
        rig.replica.entry_body(id),
        Err(BodyError::Fault(_))
    ));
    assert_eq!(rig.replica.step(Due::Now), Progress::Idle);
    // The log is as it was: opened again, the replica stands before the entry.
    rig.reopen().check();
    fault
}

#[test]
fn faults_stick() {
    assert_eq!(stopped("put b 1\nfault"), Fault::invariant("as asked"));
    assert_eq!(stopped("what"), Fault::Command("what".into()));
}

#[test]
fn a_panic_is_a_fault() {
    let fault = stopped("put b 1\npanic");
    assert!(fault.to_string().contains("as asked"), "{fault}");
}

#[test]
fn entries_come_in_order() {
    for (term, index) in [(1, 1), (1, 3), (0, 2)] {
        let mut rig = Rig::new();
        rig.apply("put a 1", b"");
        let entry = Applying::Blank;
        assert!(
            rig.replica.apply(LogId { term, index }, entry).is_err(),
            "{term}.{index}"
        );
        assert!(rig.replica.fault().is_some());
    }
}

#[test]
fn others_go_on() {
    let rig = Rig::new();
    let opening = |group| {
        let machine = Arc::new(KeyValue);
        let (log, indexes) = (rig.log.clone(), rig.indexes.clone());
        Opening::new(GroupId(group), ReplicaId(group), log, indexes, machine)
    };
    let (one, two) = (
        open(&opening(1), None).unwrap(),
        open(&opening(2), None).unwrap(),
    );
    apply(&one, 1, "fault").unwrap_err();
    assert_eq!(apply(&two, 1, "put a 1").unwrap(), "1 rows");
    two.read(|rows| assert_eq!(rows.get(b"a").unwrap().unwrap(), "1"));
}

/// A poisoned log stops checkpoints and with them the replica.
#[test]
fn a_poisoned_log_stops_the_replica() {
    let mut rig = Rig::new();
    rig.apply("put a 1", b"");
    rig.write();
    rig.replica.step(Due::Now);
    rig.disk
        .fail(seglog::sim::Operation::Sync, 0, seglog::sim::Fault::Io);
    rig.writer.step().unwrap_err();
    assert_eq!(rig.replica.step(Due::Now), Progress::Idle);
    assert!(matches!(rig.replica.fault(), Some(Fault::Store(_))));
    assert_eq!(rig.replica.checkpointed(), None);
}

/// Waiters are not left behind.
#[tokio::test]
async fn room_does_not_wait_for_a_stopped_replica() {
    let mut rig = Rig::new();
    for entry in 0..10 {
        let lots = (0..120).map(|key| format!("put k{entry}{key} {}", "x".repeat(1000)));
        rig.apply(&lots.collect::<Vec<_>>().join("\n"), b"");
    }
    let waiting = {
        let replica = rig.replica.clone();
        tokio::spawn(async move { replica.room().await })
    };
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    apply(&rig.replica, 11, "fault").unwrap_err();
    waiting.await.unwrap();
}

#[test]
fn hints_follow_what_is_visible() {
    let rig = Rig::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hints = {
        let heard = heard.clone();
        Arc::new(move |group: GroupId, hints: &[Hint]| {
            heard.lock().extend(hints.iter().map(|hint| (group, *hint)));
        })
    };
    let machine = Arc::new(KeyValue);
    let opening = Opening {
        hints,
        ..Opening::new(
            GroupId(3),
            ReplicaId(3),
            rig.log.clone(),
            rig.indexes.clone(),
            machine,
        )
    };
    let replica = open(&opening, None).unwrap();
    assert_eq!(apply(&replica, 1, "put a 1\nput due 9").unwrap(), "2 rows");
    assert_eq!(replica.next_due(), Some(u64::from(b'9')));
    apply(&replica, 2, "fault").unwrap_err();
    let hint = Hint {
        account: 1,
        mailbox: 2,
        modseq: 1,
        brings_mail: false,
    };
    assert_eq!(*heard.lock(), [(GroupId(3), hint)]);
}
