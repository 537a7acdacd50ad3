//! Snapshots whose stream broke: kept for the next one, and for no longer than they are of use.

use std::time::Instant;

use node::raft::arrivals::Arrivals;
use node::raft::limits::ARRIVAL_KEPT;
use node::replica::{Arrival, GroupId};

use crate::replica::rig::{GROUP, REPLICA, Rig};

const COMMANDS: [&str; 3] = ["put a 1", "put b 2", "put c 3"];

/// Some of a snapshot has come to a replica that has nothing.
fn broken_off(rig: &Rig) -> Arrival {
    let mut leader = Rig::new();
    for command in COMMANDS {
        leader.apply(command, b"");
    }
    leader.checkpoint();
    let snapshot = leader.replica.last_checkpoint().unwrap();
    let at = snapshot.last.unwrap();
    let mut arrival = Arrival::begin(&rig.replica, at, None).unwrap();
    let first = snapshot.chunks.iter().next().unwrap().unwrap();
    arrival.push(&first).unwrap();
    assert!(arrival.base_bytes() > 0);
    arrival
}

#[test]
fn what_nobody_goes_on_with_is_given_up() {
    let (mut rig, arrivals, now) = (Rig::new(), Arrivals::default(), Instant::now());
    let runs = |group: GroupId, replica: u64| (group, replica) == (GROUP, REPLICA.0);
    let keep = |rig: &Rig| arrivals.keep(broken_off(rig), now);
    let given_up = |now, has_room| arrivals.sweep(now, has_room, runs).len();

    keep(&rig);
    assert_eq!(given_up(now, true), 0);
    let kept = arrivals
        .take(REPLICA.0)
        .expect("the next stream goes on with it");
    assert!(arrivals.take(REPLICA.0).is_none());
    arrivals.keep(kept, now);
    assert_eq!(given_up(now, false), 1, "what it holds up would win room");
    assert!(arrivals.take(REPLICA.0).is_none());

    keep(&rig);
    assert_eq!(given_up(now + ARRIVAL_KEPT / 2, true), 0);
    assert_eq!(given_up(now + ARRIVAL_KEPT, true), 1, "nobody has come");

    keep(&rig);
    let other = arrivals.sweep(now, true, |_, replica| replica != REPLICA.0);
    assert_eq!(other.len(), 1, "the replica was moved away");

    // The entries came after all.
    keep(&rig);
    rig.apply(COMMANDS[0], b"");
    rig.apply(COMMANDS[1], b"");
    assert_eq!(given_up(now, true), 0);
    rig.apply(COMMANDS[2], b"");
    assert_eq!(given_up(now, true), 1);
}

/// A checkpoint that breaks off again and again, and of which nothing more comes, holds up nothing
/// for longer than one that breaks off once.
#[test]
fn no_progress_does_not_count() {
    let (rig, arrivals, now) = (Rig::new(), Arrivals::default(), Instant::now());
    let given_up = |now| arrivals.sweep(now, true, |_, _| true).len();
    arrivals.keep(broken_off(&rig), now);
    let again = arrivals.take(REPLICA.0).unwrap();
    assert_eq!(given_up(now + ARRIVAL_KEPT / 2), 0);
    arrivals.keep(again, now + ARRIVAL_KEPT / 2);
    assert_eq!(given_up(now + ARRIVAL_KEPT), 1);

    // Of another checkpoint it counts anew, and what came of this one goes.
    arrivals.keep(broken_off(&rig), now);
    arrivals.keep(broken_off(&rig), now + ARRIVAL_KEPT / 2);
    assert_eq!(given_up(now + ARRIVAL_KEPT), 0);
    assert_eq!(given_up(now + 2 * ARRIVAL_KEPT), 1);
}
