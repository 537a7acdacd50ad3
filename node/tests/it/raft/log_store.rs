//! One group's log on a simulated disk: what comes back after an end of the process or of the
//! power, and where bodies are meanwhile. The suite of openraft never opens a log again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, TryStreamExt};
use node::budget::Share;
use node::raft::LogStore;
use node::raft::limits::{BODY_INLINE_MAX, PURGE_BYTES_MIN, RECENT_BYTES_MAX, RECENT_BYTES_MIN};
use node::raft::log_store::Needs;
use node::raft::types::{Body, Entry, Membership, Proposal, Types, Vote, log_id, raft_log_id};
use node::replica::{BodyPlace, Entries, LogId};
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use proptest::prelude::*;
use seglog::sim::SimDisk;
use seglog::{Log, Step, Writer};

use crate::replica::rig::{REPLICA, options};

/// A log without a thread: the disk moves when a test says so.
pub struct Rig {
    disk: SimDisk,
    pub log: Log,
    writer: Writer,
    pub store: LogStore,
    pub recent: Arc<Share>,
}

impl Rig {
    pub fn new() -> Self {
        Self::on(SimDisk::new())
    }

    fn on(disk: SimDisk) -> Self {
        let (log, writer, recovered) = seglog::open(Arc::new(disk.clone()), options()).unwrap();
        assert!(recovered.damage.is_empty(), "{:?}", recovered.damage);
        let found = recovered.replicas.get(&REPLICA);
        let recent = Share::new("recent", 16 << 20);
        let shared = Arc::clone(&recent);
        let store = LogStore::open(log.clone(), REPLICA, found, &[], shared).unwrap();
        Self {
            disk,
            log,
            writer,
            store,
            recent,
        }
    }

    /// The process ends; the disk keeps what it was given.
    pub fn reopen(self) -> Self {
        Self::on(self.end())
    }

    /// The power goes: of what was not synced the disk keeps what `keep` says.
    pub fn crash(self, mut keep: impl FnMut() -> bool) -> Self {
        let disk = self.end();
        disk.crash(|_| keep());
        Self::on(disk)
    }

    /// Lets go of everything but the disk, and so of its lock.
    fn end(self) -> SimDisk {
        self.disk
    }

    pub fn write(&mut self) {
        while self.writer.step().unwrap() != Step::Idle {}
    }

    /// Appends, and does not wait for it to be durable.
    pub fn append(&mut self, entries: Vec<Entry>) {
        self.append_and_tell(entries, IOFlushed::noop());
    }

    fn append_and_tell(&mut self, entries: Vec<Entry>, flushed: IOFlushed<Types>) {
        now(self.store.append(entries, flushed)).unwrap();
    }

    fn save_vote(&mut self, vote: Vote) {
        let mut store = self.store.clone();
        let mut saving = Box::pin(async move { store.save_vote(&vote).await });
        assert!(
            saving.as_mut().now_or_never().is_none(),
            "a vote counts once it is durable"
        );
        self.write();
        saving
            .now_or_never()
            .expect("the log has written it")
            .unwrap();
    }

    pub fn entries(&mut self) -> Vec<Entry> {
        now(self.store.try_get_log_entries(..)).unwrap()
    }

    pub fn last(&mut self) -> Option<LogId> {
        let state = now(self.store.get_log_state()).unwrap();
        state.last_log_id.as_ref().map(log_id)
    }
}

/// The result of what does not wait.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("it does not wait")
}

pub fn at(term: u64, index: u64) -> LogId {
    LogId { term, index }
}

pub fn blank(id: LogId) -> Entry {
    Entry {
        log_id: raft_log_id(id),
        payload: EntryPayload::Blank,
    }
}

pub fn command(id: LogId, body: usize) -> Entry {
    let fill = (id.index * 7 + id.term) as u8;
    let proposal = Proposal {
        time_ms: 1000 + id.index,
        command: Bytes::from(format!("command {id}")),
        body: Body::Held(Bytes::from(vec![fill; body])),
    };
    Entry {
        log_id: raft_log_id(id),
        payload: EntryPayload::Normal(proposal),
    }
}

/// An entry in full, to be compared.
fn whole(entry: &Entry, log: &Log) -> String {
    let id = log_id(&entry.log_id);
    match &entry.payload {
        EntryPayload::Blank => format!("{id} blank"),
        EntryPayload::Membership(membership) => format!("{id} {membership}"),
        EntryPayload::Normal(proposal) => {
            let body = proposal.body.load(log).unwrap();
            assert_eq!(body.len() as u64, proposal.body.len());
            format!(
                "{id} {} {:?} {:x}",
                proposal.time_ms,
                proposal.command,
                crc(&body)
            )
        }
    }
}

fn crc(body: &[u8]) -> u128 {
    mailbox::Hash16::of(body)
        .0
        .iter()
        .fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}

#[test]
fn it_comes_back_as_it_was() {
    let mut rig = Rig::new();
    rig.save_vote(Vote::new(3, 70));
    let members = Membership::new_with_defaults(vec![[70, 71, 72].into()], [73]);
    let membership = Entry {
        log_id: raft_log_id(at(1, 0)),
        payload: EntryPayload::Membership(members),
    };
    let sizes = [0, 1, 500, BODY_INLINE_MAX, BODY_INLINE_MAX + 1, 200_000];
    let mut entries = vec![membership, blank(at(1, 1))];
    entries.extend(
        sizes
            .iter()
            .zip(2..)
            .map(|(size, index)| command(at(2, index), *size)),
    );
    let (tell, mut flushed) = Types::oneshot();
    rig.append_and_tell(entries, IOFlushed::signal(tell));
    assert!(
        (&mut flushed).now_or_never().is_none(),
        "nothing is durable yet"
    );
    rig.write();
    flushed
        .now_or_never()
        .expect("the callback came")
        .expect("it was not lost")
        .unwrap();
    now(rig.store.save_committed(Some(raft_log_id(at(2, 5))))).unwrap();
    now(rig.store.truncate_after(Some(raft_log_id(at(2, 6))))).unwrap();
    rig.append(vec![command(at(3, 7), 30), blank(at(3, 8))]);
    now(rig.store.purge(raft_log_id(at(1, 1)))).unwrap();
    rig.write();
    rig.save_vote(Vote::new_committed(3, 71));

    let before = rig.entries();
    let before: Vec<String> = before.iter().map(|entry| whole(entry, &rig.log)).collect();
    assert_eq!(before.len(), 7);
    let state = now(rig.store.get_log_state()).unwrap();
    assert_eq!(state.last_purged_log_id, Some(raft_log_id(at(1, 1))));
    assert_eq!(state.last_log_id, Some(raft_log_id(at(3, 8))));
    for _ in 0..3 {
        rig = rig.reopen();
        let after = rig.entries();
        let after: Vec<String> = after.iter().map(|entry| whole(entry, &rig.log)).collect();
        assert_eq!(before, after);
        assert_eq!(now(rig.store.get_log_state()).unwrap(), state);
        assert_eq!(
            now(rig.store.read_vote()).unwrap(),
            Some(Vote::new_committed(3, 71))
        );
        assert_eq!(
            now(rig.store.read_committed()).unwrap(),
            Some(raft_log_id(at(2, 5)))
        );
    }
}

/// openraft reads what it appended at once; a replica learns where it lies once it is durable.
#[test]
fn an_append_is_readable_at_once() {
    let mut rig = Rig::new();
    rig.append(vec![blank(at(1, 0)), command(at(1, 1), 50)]);
    rig.write();
    rig.append(vec![
        command(at(1, 2), 60_000),
        blank(at(1, 3)),
        command(at(1, 4), 0),
    ]);
    assert_eq!(rig.entries().len(), 5);
    assert_eq!(rig.last(), Some(at(1, 4)));
    assert_eq!(rig.store.written_upto(), 1);
    let place = |rig: &Rig, index| rig.store.place(index, 1).unwrap();
    assert!(place(&rig, 1).is_some());
    assert!(place(&rig, 2).is_none(), "it is not durable yet");
    assert!(matches!(rig.store.body(2, 1), Some(BodyPlace::Held(body)) if body.len() == 60_000));
    assert!(rig.store.body(2, 2).is_none(), "that entry was another one");
    rig.write();
    assert_eq!(rig.store.written_upto(), 4);
    let logged = place(&rig, 2).expect("it is durable");
    let payload = rig.log.read(logged.place, Some(logged.checksum)).unwrap();
    assert_eq!(payload.len() - logged.skip as usize, 60_000);
}

/// After an open no slot knows how long its command is, until somebody asks.
#[test]
fn bodies_are_found_after_an_open() {
    let mut rig = Rig::new();
    let sizes = [(0, 0), (1, 100), (2, BODY_INLINE_MAX + 1)];
    rig.append(
        sizes
            .iter()
            .map(|(index, size)| command(at(1, *index), *size))
            .collect(),
    );
    rig.append(vec![blank(at(1, 3))]);
    rig.write();
    let mut rig = rig.reopen();
    for (index, size) in sizes {
        for _ in 0..2 {
            let logged = rig.store.place(index, 1).unwrap().expect("it is durable");
            assert_eq!(logged.place.length as usize - logged.skip as usize, size);
        }
    }
    let blank = rig.store.place(3, 1).unwrap();
    assert!(blank.is_none(), "a blank entry has no body");
    let entries = rig.entries();
    let held = |entry: &Entry| match &entry.payload {
        EntryPayload::Normal(proposal) => matches!(proposal.body, Body::Held(_)),
        _ => false,
    };
    assert_eq!(
        entries.iter().map(held).collect::<Vec<_>>(),
        [true, true, false, false]
    );
}

/// Old entries leave the memory, and read as before.
#[test]
fn memory_is_bounded() {
    let mut rig = Rig::new();
    let (size, count) = (100_000, 50);
    assert!(size * count > 2 * RECENT_BYTES_MAX);
    for index in 0..count as u64 {
        rig.append(vec![command(at(1, index), size)]);
        rig.write();
    }
    let entries = rig.entries();
    let held: usize = entries
        .iter()
        .filter_map(|entry| match &entry.payload {
            EntryPayload::Normal(Proposal {
                body: Body::Held(body),
                ..
            }) => Some(body.len()),
            _ => None,
        })
        .sum();
    assert!(
        held <= RECENT_BYTES_MAX && held > RECENT_BYTES_MAX / 2,
        "{held} bytes"
    );
    for (index, entry) in entries.iter().enumerate() {
        let expected = command(at(1, index as u64), size);
        assert_eq!(whole(entry, &rig.log), whole(&expected, &rig.log));
    }
    let streamed = now(async {
        let stream = rig.store.entries_stream(5..).await;
        stream.try_collect::<Vec<Entry>>().await.unwrap()
    });
    assert_eq!(streamed.len(), entries.len() - 5);
    for (streamed, entry) in streamed.iter().zip(&entries[5..]) {
        assert_eq!(whole(streamed, &rig.log), whole(entry, &rig.log));
    }
    let some = now(rig.store.limited_get_log_entries(3, 40)).unwrap();
    assert!(
        !some.is_empty() && some.len() < 37,
        "a read has a bound in bytes"
    );
}

/// What a follower does to its log, and what may happen to its disk.
#[derive(Clone, Debug)]
enum Do {
    Append { term: bool, count: u64, size: usize },
    Truncate(u64),
    Purge(u64),
    Vote,
    Write,
    Reopen,
    Crash(u64),
}

fn what() -> impl Strategy<Value = Do> {
    prop_oneof![
        5 => (any::<bool>(), 1..5_u64, prop_oneof![Just(0), 1..2000_usize, 20_000..40_000_usize])
            .prop_map(|(term, count, size)| Do::Append { term, count, size }),
        1 => (0..6_u64).prop_map(Do::Truncate),
        1 => (0..6_u64).prop_map(Do::Purge),
        1 => Just(Do::Vote),
        4 => Just(Do::Write),
        1 => Just(Do::Reopen),
        2 => any::<u64>().prop_map(Do::Crash),
    ]
}

/// The log as it should be: entries by index, and where it begins.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: BTreeMap<u64, (u64, usize)>,
    purged: Option<LogId>,
    vote: u64,
}

impl Model {
    fn next(&self) -> u64 {
        let after = self.entries.last_key_value().map(|(index, _)| index + 1);
        after
            .or(self.purged.map(|id| id.index + 1))
            .unwrap_or_default()
    }

    fn of(rig: &mut Rig) -> Self {
        let mut model = Self::default();
        for entry in rig.entries() {
            let EntryPayload::Normal(proposal) = &entry.payload else {
                panic!("{entry}")
            };
            let id = log_id(&entry.log_id);
            let size = proposal.body.len() as usize;
            assert_eq!(whole(&entry, &rig.log), whole(&command(id, size), &rig.log));
            model.entries.insert(id.index, (id.term, size));
        }
        let state = now(rig.store.get_log_state()).unwrap();
        model.purged = state.last_purged_log_id.as_ref().map(log_id);
        model.vote = now(rig.store.read_vote())
            .unwrap()
            .map_or(0, |vote| vote.leader_id.term);
        assert_eq!(
            rig.last().map_or(0, |id| id.index + 1),
            model.next(),
            "no gap at the end"
        );
        model
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// L1: after a crash the log is as it was at some moment since the last sync.
    #[test]
    fn it_survives(steps in prop::collection::vec(what(), 1..50)) {
        let mut rig = Rig::new();
        let mut model = Model::default();
        // The states since the last sync, the synced one first.
        let mut since = vec![model.clone()];
        let mut term = 1;
        for step in steps {
            match step {
                Do::Append { term: raise, count, size } => {
                    term += u64::from(raise);
                    let next = model.next();
                    let ids = (next..next + count).map(|index| at(term, index));
                    rig.append(ids.clone().map(|id| command(id, size)).collect());
                    for id in ids {
                        model.entries.insert(id.index, (id.term, size));
                        since.push(model.clone());
                    }
                }
                Do::Truncate(count) => {
                    let from = model.entries.first_key_value().map_or(0, |(index, _)| *index);
                    let from = from.max(model.next().saturating_sub(count));
                    let last = from.checked_sub(1).map(|index| {
                        let kept = model.entries.get(&index).map(|(term, _)| at(*term, index));
                        kept.or(model.purged).expect("it follows something")
                    });
                    now(rig.store.truncate_after(last.map(raft_log_id))).unwrap();
                    model.entries.split_off(&from);
                    since.push(model.clone());
                    // Only a leader of a later term makes a follower truncate.
                    term += 1;
                }
                Do::Purge(count) => {
                    let Some((first, _)) = model.entries.first_key_value() else { continue };
                    let upto = (first + count).min(model.next() - 1);
                    let upto = at(model.entries[&upto].0, upto);
                    now(rig.store.purge(raft_log_id(upto))).unwrap();
                    model.entries = model.entries.split_off(&(upto.index + 1));
                    model.purged = Some(upto);
                    since.push(model.clone());
                }
                Do::Vote => {
                    term += 1;
                    rig.save_vote(Vote::new(term, 70));
                    model.vote = term;
                    since = vec![model.clone()];
                }
                Do::Write => {
                    let synced = rig.log.stats().syncs;
                    rig.write();
                    if rig.log.stats().syncs > synced {
                        since = vec![model.clone()];
                    }
                }
                Do::Reopen => {
                    rig = rig.reopen();
                    let found = Model::of(&mut rig);
                    prop_assert!(since.contains(&found), "{found:?} is none of {since:?}");
                    model = found;
                    since = vec![model.clone()];
                }
                Do::Crash(seed) => {
                    let mut bits = seed;
                    rig = rig.crash(|| {
                        bits = bits.rotate_right(1);
                        bits & 1 == 1
                    });
                    let found = Model::of(&mut rig);
                    prop_assert!(since.contains(&found), "{found:?} is none of {since:?}");
                    model = found;
                    since = vec![model.clone()];
                }
            }
        }
        prop_assert_eq!(&Model::of(&mut rig), &model);
    }
}

/// What all followers have may go; of the rest so much stays as may be kept for them.
#[test]
fn what_may_be_purged() {
    let mut rig = Rig::new();
    rig.append(
        (0..100)
            .map(|index| command(at(1, index), 50_000))
            .collect(),
    );
    rig.write();
    let all = Needs {
        checkpoint: 80,
        spread: 60,
        kept_bytes: 1 << 30,
        is_idle: false,
    };
    let may_go = |needs: &Needs| rig.store.purgeable(needs);
    assert_eq!(may_go(&all), Some(60), "the slowest follower goes on there");
    assert_eq!(
        may_go(&Needs { spread: 90, ..all }),
        Some(80),
        "not above the checkpoint"
    );
    let behind = Needs { spread: 0, ..all };
    assert_eq!(may_go(&behind), None, "there is room to keep it all");
    let tight = Needs {
        kept_bytes: 500_000,
        ..behind
    };
    let upto = may_go(&tight).unwrap();
    let kept = (upto + 1..=80).count() * 50_000;
    assert!(
        (400_000..500_000).contains(&kept),
        "{kept} are kept for a lagging one"
    );

    // Little is left for an idle group only: a busy one has more soon.
    let few = PURGE_BYTES_MIN / 50_000 - 1;
    let little = Needs {
        spread: few - 1,
        ..all
    };
    assert_eq!(may_go(&little), None);
    let idle = Needs {
        is_idle: true,
        ..little
    };
    assert_eq!(may_go(&idle), Some(few - 1));
    now(rig.store.purge(raft_log_id(at(1, 80)))).unwrap();
    assert_eq!(rig.store.purgeable(&all), None, "it is gone");
}

/// What groups hold of their newest entries is bounded for all of them together.
#[test]
fn recent_entries_share_the_memory_of_the_node() {
    let mut rig = Rig::new();
    let index =
        |round: u64| (round * 10..round * 10 + 10).map(|index| command(at(1, index), 50_000));
    rig.append(index(0).collect());
    let held = rig.recent.held();
    assert!(held >= 500_000, "what is not written is held: {held}");
    rig.write();
    assert_eq!(rig.recent.held(), held, "and for a while after");
    // Others take all that there is.
    rig.recent.changed(0, rig.recent.bytes_max());
    rig.append(index(1).collect());
    rig.write();
    let own = rig.recent.held() - rig.recent.bytes_max();
    assert!(own <= RECENT_BYTES_MIN as u64 + 50_000, "{own}");
    assert_eq!(rig.entries().len(), 20, "the log has the others");
    rig.recent.changed(rig.recent.bytes_max(), 0);
    let recent = Arc::clone(&rig.recent);
    drop(rig);
    assert_eq!(recent.held(), 0);
}
