//! Random histories: the same on every store, and sound after each entry.

use std::collections::BTreeSet;

use bytes::Bytes;
use directory::{
    AccountId, Command, Digest, EntryAt, Envelope, Event, Fault, GroupId, Millis, NodeId,
    OperationId, Outcome, ReplicaId, RequestId, Rows, Staged, View, apply, check, codec,
};
use proptest::collection::vec;
use proptest::prelude::*;
use rows::{Memory, Row, Scan, Writes};

use crate::cluster::{init, report, verifiers};

fn command() -> impl Strategy<Value = Command> {
    let node = || (0_u64..6).prop_map(NodeId);
    let group = || (0_u64..4).prop_map(GroupId);
    let replica = || (0_u64..16).prop_map(ReplicaId);
    const NAMES: &[&str] = &["alice", "Bob@example.org", "carol@other.example", "no name"];
    let name = || proptest::sample::select(NAMES).prop_map(str::to_owned);
    let text = || proptest::sample::select(&["", "a", "b"][..]).prop_map(str::to_owned);
    let make = (name(), text(), proptest::option::of(0..9_u64)).prop_map(|(name, text, quota)| {
        Command::CreateAccount {
            name,
            verifiers: verifiers(&text),
            quota_bytes: quota,
        }
    });
    prop_oneof![
        1 => (0_u64..3, 0_u32..4, 1_u32..4).prop_map(|(node, it, those)| init(node, it, those)),
        4 => (0_u64..6, 0_u32..3).prop_map(|(node, level)| Command::JoinNode(report(node, level))),
        1 => (0_u64..6, 0_u32..3).prop_map(|(id, level)| Command::UpdateNode(report(id, level))),
        4 => node().prop_map(|node| Command::ActivateNode { node }),
        1 => node().prop_map(|node| Command::RemoveNode { node }),
        4 => (group(), node()).prop_map(|(group, node)| Command::PlaceReplica { group, node }),
        4 => (group(), replica())
            .prop_map(|(group, replica)| Command::MarkVoter { group, replica }),
        1 => (group(), replica())
            .prop_map(|(group, replica)| Command::MarkLearner { group, replica }),
        3 => (group(), replica())
            .prop_map(|(group, replica)| Command::RemoveReplica { group, replica }),
        2 => Just(Command::PlacePartitions),
        6 => make,
        1 => (name(), text()).prop_map(|(name, text)| {
            Command::SetPassword { name, verifiers: verifiers(&text) }
        }),
        2 => (name(), any::<bool>())
            .prop_map(|(name, locked)| Command::LockAccount { name, locked }),
        2 => name().prop_map(|name| Command::DeleteAccount { name }),
        6 => (0_u64..12).prop_map(|id| Command::FinishOperation { operation: OperationId(id) }),
        1 => (text(), text()).prop_map(|(name, value)| Command::SetSetting { name, value }),
        1 => (0_u32..3).prop_map(|level| Command::RaiseFeatureLevel { level }),
        2 => (node(), 0_u64..6)
            .prop_map(|(old, new)| Command::ReplaceNode { old, new: report(new, 1) }),
        2 => (node(), any::<bool>())
            .prop_map(|(node, shrink)| Command::DrainNode { node, shrink }),
        2 => (group(), node(), node())
            .prop_map(|(group, from, to)| Command::MoveReplica { group, from, to }),
        2 => (group(), replica())
            .prop_map(|(group, replica)| Command::RetireReplica { group, replica }),
        3 => (0_u64..4, 0_u64..4).prop_map(|(user, account)| Command::Share {
            user: AccountId(user),
            account: AccountId(account),
        }),
    ]
}

pub fn history() -> impl Strategy<Value = Vec<Envelope>> {
    let start = |(request, time, command)| Envelope {
        request: RequestId(request),
        time: Millis(time),
        command,
    };
    // Few request ids, so that some come again; clocks that go back.
    let entry = (0_u128..200, 0_u64..1000, command()).prop_map(start);
    let first = (Just(1000_u128), 0_u64..1000, 1_u32..4, 1_u32..4)
        .prop_map(move |(request, time, it, those)| start((request, time, init(1, it, those))));
    (first, vec(entry, 1..80)).prop_map(|(first, mut entries)| {
        // Mostly the cluster is made at once.
        let late = usize::from(entries.len() % 4 == 0).min(entries.len());
        entries.insert(late, first);
        entries
    })
}

/// Rows as one sorted vector: as unlike a map as can be.
#[derive(Default)]
struct Sorted(Vec<Row>);

impl Sorted {
    fn commit(&mut self, writes: Writes) {
        for (key, value) in writes {
            self.0.retain(|row| row.0 != key);
            self.0.extend(value.map(|value| (key, value)));
        }
        self.0.sort();
    }

    fn range(&self, from: &[u8], to: &[u8]) -> &[Row] {
        let end = self.0.partition_point(|row| row.0 < to);
        let start = self.0.partition_point(|row| row.0 < from).min(end);
        &self.0[start..end]
    }
}

impl Rows for Sorted {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        Ok(self
            .0
            .iter()
            .find(|row| row.0 == key)
            .map(|row| row.1.clone()))
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        Ok(Box::new(self.range(from, to).iter().cloned().map(Ok)))
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        Ok(self.range(from, to).last().cloned())
    }
}

pub fn at(index: usize) -> EntryAt {
    EntryAt {
        index: index as u64 + 1,
        term: 1,
    }
}

/// The ids that were given so far: each only once (R5).
#[derive(Default)]
struct Given {
    replicas: BTreeSet<ReplicaId>,
    accounts: BTreeSet<AccountId>,
    operations: BTreeSet<OperationId>,
    gone: BTreeSet<AccountId>,
    dropped: BTreeSet<ReplicaId>,
}

impl Given {
    fn follow(&mut self, before: &View, event: &Event) {
        match event {
            Event::Operation(id) => assert!(self.operations.insert(*id), "operation {id} again"),
            Event::AccountGone(id) => assert!(self.gone.insert(*id), "account {id} went again"),
            Event::Account(account) => {
                assert!(
                    !self.gone.contains(&account.id),
                    "account {} came back",
                    account.id
                );
                self.accounts.insert(account.id);
            }
            Event::Group(group) => {
                for replica in &group.replicas {
                    assert!(
                        !self.dropped.contains(&replica.id),
                        "replica {} again",
                        replica.id
                    );
                    self.replicas.insert(replica.id);
                }
                let old = before.group(group.id).map(|old| old.replicas.clone());
                for old in old.unwrap_or_default() {
                    if group.replica(old.id).is_none() {
                        self.dropped.insert(old.id);
                    }
                }
            }
            Event::Cluster(_) | Event::Node(_) | Event::Setting(..) | Event::Shared { .. } => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// M1, M4, M5, R5, entry by entry.
    #[test]
    fn every_entry_leaves_sound_rows(history in history()) {
        let (mut rows, mut view, mut given) = (Memory::new(), View::default(), Given::default());
        let mut answers = std::collections::BTreeMap::new();
        for (index, envelope) in history.iter().enumerate() {
            let bytes = codec::encode_envelope(envelope);
            let decoded = codec::decode_envelope(&bytes).unwrap();
            prop_assert_eq!(&decoded, envelope);
            let mut staged = Staged::new(&rows);
            let (outcome, events) = apply(&mut staged, at(index), &decoded).unwrap();
            let writes = staged.into_writes().unwrap();
            let outcome_bytes = codec::encode_outcome(&outcome);
            prop_assert_eq!(codec::decode_outcome(&outcome_bytes).unwrap(), outcome);
            if let Some(first) = answers.get(&envelope.request) {
                prop_assert_eq!(*first, outcome);
                prop_assert!(writes.is_empty() && events.is_empty());
            }
            answers.insert(envelope.request, outcome);
            if matches!(outcome, Outcome::Rejected(_)) {
                let memory = |key: &[u8]| matches!(key.first(), Some(0 | b'k' | b'q' | b'r'));
                prop_assert!(writes.iter().all(|(key, _)| memory(key)) && events.is_empty());
            }
            rows.commit(writes);
            check(&rows).unwrap();
            for event in &events {
                given.follow(&view, event);
                view.apply(event);
            }
            prop_assert_eq!(&View::load(&rows).unwrap(), &view);
        }
    }

    /// M1: another store, and another grouping of entries, make no difference.
    #[test]
    fn the_store_makes_no_difference(history in history(), batch in 1_usize..6) {
        let (mut memory, mut sorted) = (Memory::new(), Sorted::default());
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for (index, envelope) in history.iter().enumerate() {
            let mut staged = Staged::new(&memory);
            one.push(apply(&mut staged, at(index), envelope).unwrap());
            let writes = staged.into_writes().unwrap();
            memory.commit(writes);
        }
        for (turn, entries) in history.chunks(batch).enumerate() {
            let mut staged = Staged::new(&sorted);
            for (place, envelope) in entries.iter().enumerate() {
                other.push(apply(&mut staged, at(turn * batch + place), envelope).unwrap());
            }
            let writes = staged.into_writes().unwrap();
            sorted.commit(writes);
        }
        prop_assert_eq!(one, other);
        prop_assert_eq!(Digest::kept(&memory), Digest::kept(&sorted));
        prop_assert!(memory.iter().eq(sorted.0.iter().map(|(key, value)| (key, value))));
    }
}

/// The oldest outcomes are forgotten, and nothing but them.
#[test]
fn old_requests_are_forgotten() {
    let mut cluster = crate::cluster::Cluster::default();
    cluster.ask_again(0, init(1, 1, 1));
    let set = |number: u64| Command::SetSetting {
        name: "a".to_owned(),
        value: number.to_string(),
    };
    let kept = directory::limits::REQUESTS_KEPT;
    for number in 1..=kept {
        cluster.ask_again(u128::from(number), set(number));
    }
    cluster.check();
    let rows = cluster.rows.len();
    // Known: the first answer, and no change.
    assert_eq!(cluster.ask_again(1, set(7)), (Outcome::Done, vec![]));
    // Forgotten: the cluster would be made, if there were none.
    let (outcome, _) = cluster.ask_again(0, init(1, 1, 1));
    assert_eq!(
        outcome,
        Outcome::Rejected(directory::Rejection::ClusterExists)
    );
    assert_eq!(cluster.rows.len(), rows);
    cluster.check();
}
