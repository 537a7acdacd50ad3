//! The layer above, as small as it can be: it knows where everything is to which it refers, puts
//! the places of bodies into its checkpoints, and answers the cleaner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use seglog::{
    Kind, Live, Log, Place, Position, Record, RecordAt, Recovered, ReplicaId, RowsAt, Written,
};

use crate::history::{Act, Deed, Model};

/// Replica, index and term of an entry.
pub type Id = (ReplicaId, u64, u64);

/// A body: an entry that is needed whether or not the log lists it, or what never was one.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Body {
    pub place: Place,
    pub checksum: u32,
}

/// Bodies of one replica. A checkpoint of all replicas, of which cleaning a segment needs one,
/// takes less than cleaning one wins (an eighth of a segment), or cleaning would never come to
/// rest.
const BODIES_MAX: usize = 2;

pub struct Keeper(Mutex<Inner>);

pub struct Inner {
    pub model: Model,
    /// Where the log's lists say that a record is, and its payload.
    listed: BTreeMap<Position, (Bytes, Place)>,
    pub bodies: BTreeMap<Id, Body>,
    /// For each replica the checkpoints of which a crash may leave the newest: how many records
    /// were appended with it, and the segments that it names.
    checkpoints: BTreeMap<ReplicaId, Vec<(usize, BTreeSet<u64>)>>,
}

impl Keeper {
    /// Knows what an open found. The model is what the log holds.
    pub fn new(model: Model, log: &Log, recovered: &Recovered) -> Self {
        let mut inner = Inner {
            model,
            listed: BTreeMap::new(),
            bodies: bodies(log, recovered),
            checkpoints: BTreeMap::new(),
        };
        for (id, replica) in &recovered.replicas {
            let entries = replica.entries.iter();
            let entries = entries.map(|at| (at.position, at.place));
            let runs = replica.rows.iter().chain(&replica.base);
            for (position, place) in entries.chain(runs.map(|at| (at.position, at.place))) {
                let payload = log.read(place, None).unwrap();
                inner.listed.insert(position, (payload, place));
            }
            let names = inner.names(*id);
            inner.checkpoints.insert(*id, vec![(0, names)]);
        }
        Self(Mutex::new(inner))
    }

    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Makes a deed of an act. What it appends is known from then on, `before` records having been
    /// appended before.
    pub fn deed(&self, act: &Act, before: usize) -> Deed {
        let deed = self.inner().model.deed(act);
        match deed {
            Deed::Append(records, sync) => Deed::Append(self.append(records, before), sync),
            deed => deed,
        }
    }

    /// A base of every replica, which is a checkpoint.
    pub fn checkpoint(&self, before: usize) -> Vec<Record> {
        let records = self.inner().model.checkpoint();
        self.append(records, before)
    }

    fn append(&self, mut records: Vec<Record>, before: usize) -> Vec<Record> {
        let inner = &mut *self.inner();
        for (at, record) in records.iter_mut().enumerate() {
            let id = record.replica;
            if matches!(record.kind, Kind::Rows | Kind::Base) {
                record.payload.insert(0, encode(id, &inner.bodies));
            }
            let ended = record.kind == Kind::ReplicaEnd;
            if ended {
                inner.bodies.retain(|body, _| body.0 != id);
            }
            if ended || (record.last && record.kind != Kind::Pad) {
                let names = inner.names(id);
                let checkpoints = inner.checkpoints.entry(id).or_default();
                checkpoints.push((before + at + 1, names));
            }
            inner.model.apply(record);
        }
        records
    }

    /// Learns where records went.
    pub fn written(&self, records: &[Record], written: &[Written]) {
        let inner = &mut *self.inner();
        for (record, written) in records.iter().zip(written) {
            let payload: Bytes = record.payload.concat().into();
            let of_one = |body: &&Id| body.0 == record.replica;
            let known = inner.bodies.keys().filter(of_one).count();
            if record.kind == Kind::Body && known < BODIES_MAX {
                let id = (record.replica, record.index, record.term);
                let body = Body {
                    place: written.place,
                    checksum: crc32c::crc32c(&payload),
                };
                inner.bodies.insert(id, body);
            }
            let listed = (payload, written.place);
            inner.listed.insert(written.position, listed);
        }
    }

    /// Learns that so many appended records are durable.
    pub fn durable(&self, upto: usize) {
        for checkpoints in self.inner().checkpoints.values_mut() {
            let durable = checkpoints.iter().rposition(|known| known.0 <= upto);
            checkpoints.drain(..durable.unwrap_or_default());
        }
    }

    /// Refers to the body of an entry, or no more.
    pub fn refer(&self, act: &Act, drop: bool) {
        let inner = &mut *self.inner();
        let choice = usize::from(act.choice);
        if drop {
            let bodies = inner.bodies.keys().copied();
            let body = bodies.cycle().nth(choice);
            if let Some(body) = body {
                inner.bodies.remove(&body);
            }
            return;
        }
        let id = ReplicaId(u64::from(act.replica % 3));
        let entries = inner.model.entries(id);
        let known = inner.bodies.keys().filter(|body| body.0 == id).count();
        if entries.is_empty() || known >= BODIES_MAX {
            return;
        }
        let (term, index, payload) = &entries[choice % entries.len()];
        let mut listed = inner.listed.values();
        if let Some((_, place)) = listed.find(|listed| listed.0 == *payload) {
            let body = Body {
                place: *place,
                checksum: crc32c::crc32c(payload),
            };
            inner.bodies.insert((id, *index, *term), body);
        }
    }

    pub fn live_bytes(&self) -> BTreeMap<u64, u64> {
        let inner = self.inner();
        let mut places: BTreeSet<Place> = inner.bodies.values().map(|body| body.place).collect();
        let listed = inner.listed.values();
        let listed = listed.filter(|(payload, _)| inner.model.lists(payload));
        places.extend(listed.map(|(_, place)| *place));
        let mut live = BTreeMap::new();
        for place in places {
            *live.entry(place.segment).or_default() += place.record_bytes();
        }
        live
    }

    /// Every body reads as it was written.
    pub fn check_bodies(&self, log: &Log, truth: &BTreeMap<Id, Bytes>) {
        for (id, body) in &self.inner().bodies {
            let read = log.read(body.place, Some(body.checksum)).unwrap();
            assert_eq!(read, truth[id], "{id:?}");
        }
    }
}

impl Inner {
    fn names(&self, id: ReplicaId) -> BTreeSet<u64> {
        let bodies = self.bodies.iter().filter(|(body, _)| body.0 == id);
        bodies.map(|(_, body)| body.place.segment).collect()
    }
}

impl Live for Keeper {
    fn refers(&self, record: &RecordAt) -> bool {
        let inner = self.inner();
        let mut bodies = inner.bodies.values();
        let listed = inner.listed.get(&record.position);
        bodies.any(|body| body.place == record.place)
            || listed.is_some_and(|(payload, place)| {
                *place == record.place && inner.model.lists(payload)
            })
    }

    /// Any order will do: a few homes, taken at random.
    fn home(&self, record: &RecordAt) -> u128 {
        u128::from(record.position.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61)
    }

    fn moved(&self, copies: &[(RecordAt, Place)]) {
        let inner = &mut *self.inner();
        for (record, place) in copies {
            if let Some(listed) = inner.listed.get_mut(&record.position)
                && listed.1 == record.place
            {
                listed.1 = *place;
            }
            for body in inner.bodies.values_mut() {
                if body.place == record.place {
                    body.place = *place;
                }
            }
        }
    }

    fn settled(&self, segment: u64) -> bool {
        let inner = self.inner();
        let mut named = inner.checkpoints.values().flatten();
        !named.any(|(_, names)| names.contains(&segment))
    }
}

/// The bodies that the newest checkpoint of every replica names.
pub fn bodies(log: &Log, recovered: &Recovered) -> BTreeMap<Id, Body> {
    let mut bodies = BTreeMap::new();
    for (id, replica) in &recovered.replicas {
        let runs: Vec<&RowsAt> = replica.rows.iter().chain(&replica.base).collect();
        let newest = runs.into_iter().max_by_key(|at| at.position);
        if let Some(at) = newest {
            assert!(at.last);
            decode(
                *id,
                log.read(at.place, Some(at.checksum)).unwrap(),
                &mut bodies,
            );
        }
    }
    bodies
}

fn encode(id: ReplicaId, bodies: &BTreeMap<Id, Body>) -> Bytes {
    let mut out = BytesMut::new();
    let bodies = || bodies.iter().filter(|(body, _)| body.0 == id);
    out.put_u8(bodies().count() as u8);
    for ((_, index, term), body) in bodies() {
        out.put_u64(*index);
        out.put_u64(*term);
        out.put_u64(body.place.segment);
        out.put_u32(body.place.offset);
        out.put_u32(body.place.length);
        out.put_u32(body.checksum);
    }
    out.freeze()
}

fn decode(id: ReplicaId, mut bytes: Bytes, bodies: &mut BTreeMap<Id, Body>) {
    for _ in 0..bytes.get_u8() {
        let (index, term) = (bytes.get_u64(), bytes.get_u64());
        let place = Place {
            segment: bytes.get_u64(),
            offset: bytes.get_u32(),
            length: bytes.get_u32(),
        };
        let checksum = bytes.get_u32();
        bodies.insert((id, index, term), Body { place, checksum });
    }
}
