//! Rows that come from another replica.

use std::sync::Arc;

use bytes::Bytes;
use node::replica::index::MemoryIndexes;
use node::replica::limits::Bounds;
use node::replica::{Arrival, Chunks, Due, LogId, Opening, Referred, Replica, Snapshot, open};
use rows::{Digest, Fault};

use super::crash::command;
use super::rig::{GROUP, KeyValue, REPLICA, Rig, WriterThread, options, tight};

/// A replica with some history, in which rows changed and went.
fn leader(rounds: usize) -> Rig {
    let mut rig = Rig::new();
    for round in 0..rounds {
        let key = (round * 31 % 250) as u8;
        rig.apply(
            &command(&[(key, Some(2500)), (key / 3, None)], round),
            b"of the leader",
        );
        if round % 5 == 0 {
            rig.checkpoint();
        }
    }
    rig.checkpoint();
    rig
}

/// Over the wire and back.
fn sent(snapshot: &Snapshot) -> Snapshot {
    let chunks: Vec<Bytes> = snapshot.chunks.iter().collect::<Result<_, _>>().unwrap();
    Snapshot {
        chunks: Chunks::from(chunks),
        ..snapshot.clone()
    }
}

fn install(mut rig: Rig, snapshot: Snapshot) -> (Rig, Result<(), Fault>) {
    let Rig { writer, .. } = rig;
    let writing = WriterThread::start(writer);
    let result = rig.replica.install(snapshot);
    rig.writer = writing.stop();
    (rig, result)
}

#[test]
fn equal_after_install() {
    let leader = leader(400);
    let snapshot = leader.replica.snapshot().unwrap();
    assert_eq!(snapshot.last, leader.replica.checkpointed());
    assert!(snapshot.chunks.iter().count() > 1);
    let (follower, result) = install(Rig::new(), sent(&snapshot));
    result.unwrap();
    assert_eq!(follower.replica.digest(), leader.replica.digest());
    assert_eq!(follower.replica.applied().last, snapshot.last);
    follower.check_against(&leader.model);
    // It goes on from there.
    let mut follower = follower;
    follower.entries = leader.entries.clone();
    follower.model = leader.model.clone();
    follower.apply("put after 1\ndel k001", b"");
    follower.checkpoint();
    follower.check();
}

/// What a snapshot says is fixed when it is taken, whatever is applied and merged while it is sent.
#[test]
fn a_snapshot_does_not_move() {
    let mut leader = leader(60);
    let (snapshot, model) = (leader.replica.snapshot().unwrap(), leader.model.clone());
    let mut chunks = snapshot.chunks.iter();
    let mut taken = vec![chunks.next().unwrap().unwrap()];
    for round in 0..60 {
        leader.apply(&command(&[(round, Some(900))], 7), b"");
        leader.checkpoint();
    }
    taken.extend(chunks.map(Result::unwrap));
    assert_eq!(
        taken,
        snapshot
            .chunks
            .iter()
            .collect::<Result<Vec<_>, _>>()
            .unwrap()
    );
    let arrived = Snapshot {
        chunks: Chunks::from(taken),
        ..snapshot
    };
    let (follower, result) = install(Rig::new(), arrived);
    result.unwrap();
    follower.check_against(&model);
}

/// A replica that has no checkpoint yet makes one; one that has applied nothing has nothing to say.
#[test]
fn the_first_snapshot() {
    let mut rig = Rig::new();
    assert_eq!(rig.replica.snapshot().unwrap().last, None);
    let id = rig.apply("put a 1", b"");
    let Rig { writer, .. } = rig;
    let writing = WriterThread::start(writer);
    let snapshot = rig.replica.snapshot().unwrap();
    drop(writing.stop());
    assert_eq!(snapshot.last, Some(id));
}

/// The old rows and entries are gone. The bodies that lie on this node are not, if one of the new
/// rows refers to them (R4).
#[test]
fn own_bodies_are_kept() {
    let bodies = ["in a checkpoint", "in none"];
    let bring = |rig: &mut Rig, number: usize| {
        let body = bodies[number];
        let command = format!("put r{number} @1.{}.{}", number + 1, body.len());
        rig.apply(&command, body.as_bytes())
    };
    for stage in 0..4 {
        let mut leader = Rig::new();
        bring(&mut leader, 0);
        bring(&mut leader, 1);
        leader.apply("put other 1", b"of the leader");
        leader.checkpoint();
        let mut follower = Rig::new();
        let put = bring(&mut follower, 0);
        follower.checkpoint();
        let late = bring(&mut follower, 1);
        follower.write();
        for _ in 0..stage {
            follower.replica.step(Due::Now);
        }
        let snapshot = sent(&leader.replica.snapshot().unwrap());
        let (follower, result) = install(follower, snapshot);
        result.unwrap();
        follower.check_against(&leader.model);
        follower.raft.purge(u64::MAX);
        let body = |replica: &Replica, id: LogId| replica.entry_body(id).unwrap();
        assert_eq!(body(&follower.replica, put), bodies[0]);
        assert_eq!(body(&follower.replica, late), bodies[1]);
        let of_the_leader = leader.entries.last().unwrap().id;
        assert!(
            follower.replica.entry_body(of_the_leader).is_err(),
            "asked of another replica"
        );
    }
}

/// The bodies that the new rows refer to come along, but for those that are here (R4); and a
/// transfer that breaks goes on where it was.
#[test]
fn bodies_come_along() {
    let (mut leader, mut follower) = (Rig::new(), Rig::new());
    let mut bodies = Vec::new();
    for round in 0..40 {
        let body = format!("body {round}").repeat(round + 1);
        let brings = format!("put k{round} {}", "x".repeat(9000));
        let id = leader.apply(&brings, body.as_bytes());
        let refers = format!("put r{round} @{}.{}.{}", id.term, id.index, body.len());
        leader.apply(&refers, b"");
        if round < 15 {
            // It was there for a while, and then away.
            follower.apply(&brings, body.as_bytes());
            follower.apply(&refers, b"");
        }
        bodies.push((id, body));
    }
    leader.checkpoint();
    follower.checkpoint();
    follower.raft.purge(u64::MAX);
    let snapshot = leader.replica.snapshot().unwrap();
    let writing = WriterThread::start(follower.writer);
    let mut arrival = Arrival::begin(
        &follower.replica,
        snapshot.last.unwrap(),
        snapshot.membership.clone(),
    )
    .unwrap();
    let first = snapshot.chunks.iter().next().unwrap().unwrap();
    arrival.push(&first).unwrap();
    assert!(!arrival.is_whole());
    for chunk in snapshot.chunks.iter_from(arrival.cursor().clone()) {
        arrival.push(&chunk.unwrap()).unwrap();
    }
    assert!(arrival.is_whole());
    let mut asked = Vec::new();
    loop {
        let wanted = arrival.wanted().unwrap();
        if wanted.is_empty() {
            break;
        }
        let found = wanted.iter().map(|referred| {
            asked.push(referred.id);
            (*referred, leader.replica.entry_body(referred.id).unwrap())
        });
        arrival.put(found.collect()).unwrap();
    }
    asked.sort();
    let away: Vec<LogId> = bodies[15..].iter().map(|(id, _)| *id).collect();
    assert_eq!(asked, away);
    let arrived = Snapshot {
        chunks: Chunks::from(arrival),
        ..snapshot
    };
    follower.replica.install(arrived).unwrap();
    follower.writer = writing.stop();
    follower.check_against(&leader.model);
    for (id, body) in &bodies {
        assert_eq!(follower.replica.entry_body(*id).unwrap(), *body);
    }
    let (disk, indexes) = (follower.disk.clone(), follower.indexes.clone());
    drop(follower);
    disk.crash(|_| false);
    let (log, _, recovered) = seglog::open(Arc::new(disk), options()).unwrap();
    let opening = Opening::new(GROUP, REPLICA, log, indexes, Arc::new(KeyValue));
    let reopened = open(&opening, recovered.replicas.get(&REPLICA)).unwrap();
    for (id, body) in &bodies {
        assert_eq!(reopened.entry_body(*id).unwrap(), *body);
    }
}

/// A leader with forty bodies, each of which a row refers to.
fn leader_with_bodies() -> (Rig, Vec<(LogId, String)>) {
    let mut leader = Rig::new();
    let mut bodies = Vec::new();
    for round in 0..40 {
        let body = format!("body {round}").repeat(round + 1);
        let id = leader.apply(&format!("put k{round} x"), body.as_bytes());
        let refers = format!("put r{round} @{}.{}.{}", id.term, id.index, body.len());
        leader.apply(&refers, b"");
        bodies.push((id, body));
    }
    leader.checkpoint();
    (leader, bodies)
}

fn begin(follower: &Arc<Replica>, snapshot: &Snapshot) -> Arrival {
    let at = snapshot.last.unwrap();
    let mut arrival = Arrival::begin(follower, at, snapshot.membership.clone()).unwrap();
    for chunk in snapshot.chunks.iter() {
        arrival.push(&chunk.unwrap()).unwrap();
    }
    assert!(arrival.is_whole());
    arrival
}

type Body = (Referred, Bytes);

fn bring(leader: &Rig, wanted: &[Referred]) -> Vec<Body> {
    let body = |referred: &Referred| leader.replica.entry_body(referred.id).unwrap();
    wanted
        .iter()
        .map(|referred| (*referred, body(referred)))
        .collect()
}

/// R4: bodies that were asked for and did not come are asked for again, those that came are not.
#[test]
fn what_did_not_come_is_asked_for_again() {
    let (leader, bodies) = leader_with_bodies();
    let mut follower = Rig::new();
    let snapshot = leader.replica.snapshot().unwrap();
    let writing = WriterThread::start(follower.writer);
    let mut arrival = begin(&follower.replica, &snapshot);
    let first = arrival.wanted().unwrap();
    assert_eq!(first.len(), bodies.len());
    // They are on their way, and nothing else is wanted.
    assert_eq!(arrival.wanted().unwrap(), []);
    // Nobody answered, then somebody who had every other one.
    arrival.rewind();
    assert_eq!(arrival.wanted().unwrap(), first);
    let half: Vec<Referred> = first.iter().copied().step_by(2).collect();
    arrival.put(bring(&leader, &half)).unwrap();
    let rest: Vec<Referred> = first.iter().copied().skip(1).step_by(2).collect();
    arrival.rewind();
    assert_eq!(arrival.wanted().unwrap(), rest);
    arrival.put(bring(&leader, &rest)).unwrap();
    arrival.rewind();
    assert_eq!(arrival.wanted().unwrap(), []);
    let arrived = Snapshot {
        chunks: Chunks::from(arrival),
        ..snapshot
    };
    follower.replica.install(arrived).unwrap();
    follower.writer = writing.stop();
    follower.check_against(&leader.model);
    for (id, body) in &bodies {
        assert_eq!(follower.replica.entry_body(*id).unwrap(), *body);
    }
}

/// Bodies that have arrived for one leader's checkpoint are not asked for again for the next
/// leader's; those to which its rows no longer refer are let go.
#[test]
fn bodies_that_came_count_for_another_checkpoint() {
    let (mut leader, bodies) = leader_with_bodies();
    let mut follower = Rig::new();
    let first = leader.replica.snapshot().unwrap();
    leader.apply("del r0\ndel r1", b"");
    leader.checkpoint();
    let second = leader.replica.snapshot().unwrap();
    assert!(second.last > first.last);
    let writing = WriterThread::start(follower.writer);
    let mut given_up = begin(&follower.replica, &first);
    let mut came = given_up.wanted().unwrap();
    came.truncate(25);
    given_up.put(bring(&leader, &came)).unwrap();

    let mut arrival = begin(&follower.replica, &second);
    arrival.inherit(&given_up).unwrap();
    drop(given_up);
    let wanted = arrival.wanted().unwrap();
    assert_eq!(wanted.len(), bodies.len() - 25);
    assert!(!wanted.iter().any(|body| came.contains(body)));
    arrival.put(bring(&leader, &wanted)).unwrap();
    assert_eq!(arrival.wanted().unwrap(), []);
    let arrived = Snapshot {
        chunks: Chunks::from(arrival),
        ..second
    };
    follower.replica.install(arrived).unwrap();
    follower.writer = writing.stop();
    follower.check_against(&leader.model);
    let here = |id: LogId| follower.replica.entry_body(id);
    for (id, body) in &bodies[2..] {
        assert_eq!(here(*id).unwrap(), *body);
    }
    let gone = bodies.iter().filter(|(id, _)| here(*id).is_err());
    assert_eq!(
        gone.count(),
        2,
        "the rows of the checkpoint do not refer to them"
    );
}

/// Bodies of entries that Raft has here, and that were not applied yet when the snapshot came, are
/// here afterwards too, though Raft purges those entries (R4).
#[test]
fn bodies_not_applied_yet_are_kept() {
    let (mut leader, mut follower) = (Rig::new(), Rig::new());
    for round in 0..6 {
        let body = format!("body {round}");
        let id = leader.apply(&format!("put k{round} x"), body.as_bytes());
        let refers = format!("put r{round} @{}.{}.{}", id.term, id.index, body.len());
        leader.apply(&refers, b"");
    }
    leader.checkpoint();
    follower.apply("put k0 x", b"body 0");
    for entry in &leader.entries[1..8] {
        follower.raft.append(&follower.log, REPLICA, entry);
    }
    follower.write();
    let snapshot = leader.replica.snapshot().unwrap();
    let writing = WriterThread::start(follower.writer);
    let at = snapshot.last.unwrap();
    let mut arrival = Arrival::begin(&follower.replica, at, None).unwrap();
    for chunk in snapshot.chunks.iter() {
        arrival.push(&chunk.unwrap()).unwrap();
    }
    let wanted = arrival.wanted().unwrap();
    let missing: Vec<LogId> = leader.entries[8..]
        .iter()
        .step_by(2)
        .map(|e| e.id)
        .collect();
    assert_eq!(
        wanted.iter().map(|found| found.id).collect::<Vec<_>>(),
        missing
    );
    let bring = |found: &Referred| (*found, leader.replica.entry_body(found.id).unwrap());
    arrival.put(wanted.iter().map(bring).collect()).unwrap();
    let arrived = Snapshot {
        chunks: Chunks::from(arrival),
        ..snapshot
    };
    follower.replica.install(arrived).unwrap();
    follower.writer = writing.stop();
    follower.raft.purge(u64::MAX);
    for entry in leader.entries.iter().step_by(2) {
        assert_eq!(follower.replica.entry_body(entry.id).unwrap(), entry.body);
    }
}

/// A snapshot that is given up leaves nothing behind.
#[test]
fn given_up() {
    let leader = leader(80);
    let snapshot = leader.replica.snapshot().unwrap();
    let mut follower = Rig::new();
    follower.apply("put mine 1", b"my body");
    follower.checkpoint();
    let mut arrival = Arrival::begin(&follower.replica, snapshot.last.unwrap(), None).unwrap();
    let first = snapshot.chunks.iter().next().unwrap().unwrap();
    arrival.push(&first).unwrap();
    assert_eq!(follower.indexes.of(REPLICA).unwrap().len(), 2);
    drop(arrival);
    assert_eq!(follower.indexes.of(REPLICA).unwrap().len(), 1);
    follower.check();
    follower.check_bodies();
}

/// Chunks that are not whole change nothing.
#[test]
fn damaged_chunks() {
    let leader = leader(400);
    let snapshot = sent(&leader.replica.snapshot().unwrap());
    let chunks: Vec<Bytes> = snapshot.chunks.iter().map(Result::unwrap).collect();
    let mut flipped = chunks.clone();
    let mut bytes = flipped[1].to_vec();
    bytes[1000] ^= 4;
    flipped[1] = Bytes::from(bytes);
    let missing = chunks[..chunks.len() - 1].to_vec();
    let swapped: Vec<Bytes> = chunks.iter().rev().cloned().collect();
    let mut follower = Rig::new();
    follower.apply("put mine 1", b"my body");
    follower.checkpoint();
    for chunks in [flipped, missing, swapped, Vec::new()] {
        let bad = Snapshot {
            chunks: Chunks::from(chunks),
            ..snapshot.clone()
        };
        let result;
        (follower, result) = install(follower, bad);
        assert!(matches!(result, Err(Fault::Store(_))));
        assert_eq!(follower.replica.fault(), None);
        follower.check();
        follower.check_bodies();
        follower = follower.reopen();
        follower.check();
        assert_eq!(follower.indexes.of(REPLICA).unwrap().len(), 1);
    }
    let (follower, result) = install(follower, snapshot);
    result.unwrap();
    follower.check_against(&leader.model);
}

/// An older snapshot is passed over.
#[test]
fn older_than_what_is_there() {
    let leader = leader(3);
    let snapshot = sent(&leader.replica.snapshot().unwrap());
    let mut follower = Rig::new();
    for round in 0..5 {
        follower.apply(&format!("put mine {round}"), b"");
    }
    let (follower, result) = install(follower, snapshot);
    result.unwrap();
    follower.check();
}

/// A crash at any moment leaves either the old rows or the new ones.
#[test]
fn crash_while_installing() {
    let leader = leader(40);
    let snapshot = sent(&leader.replica.snapshot().unwrap());
    let mut outcomes = [0, 0];
    for operation in 1.. {
        let indexes = Arc::new(MemoryIndexes::new());
        let bounds = Bounds {
            merge_step_bytes: 20 << 10,
            ..tight()
        };
        let mut follower = Rig::with(indexes.clone(), bounds);
        follower.apply("put old 1", b"old");
        follower.checkpoint();
        let old = follower.replica.digest();
        let disk = follower.disk.clone();
        disk.power_off_at(disk.operations() + operation);
        let (follower, result) = install(follower, snapshot.clone());
        let Rig {
            replica,
            log,
            writer,
            raft,
            ..
        } = follower;
        drop((replica, log, writer, raft));
        disk.crash(|_| operation % 2 == 0);
        indexes
            .all()
            .iter()
            .for_each(|tree| tree.crash(operation as usize * 7));
        let opened = reopen(&disk, indexes);
        let index = usize::from(opened != old);
        outcomes[index] += 1;
        if index == 1 {
            assert_eq!(opened, leader.replica.digest());
        }
        if result.is_ok() {
            assert_eq!(index, 1, "what was installed stays");
            break;
        }
    }
    assert!(outcomes[0] > 1 && outcomes[1] > 0, "{outcomes:?}");
}

fn reopen(disk: &seglog::sim::SimDisk, indexes: Arc<MemoryIndexes>) -> (Option<LogId>, Digest) {
    let (log, _writer, found) =
        seglog::open(Arc::new(disk.clone()), super::rig::options()).unwrap();
    let machine = Arc::new(super::rig::KeyValue);
    let opening = node::replica::Opening::new(super::rig::GROUP, REPLICA, log, indexes, machine);
    node::replica::open(&opening, found.replicas.get(&REPLICA))
        .unwrap()
        .digest()
}
