//! What the log knows of every replica, apart from the records themselves.
//!
//! The writer keeps it up to date with each record it writes, and puts it into the block of each
//! segment it opens. So an open reads the newest block, and from older segments only the indexes
//! of those that some replica still needs: the state names them. Recovery applies the records of
//! the last segment with the same [`State::apply`].
//!
//! ```text
//! u32 replicas, u32 damaged segments, u64 each;   per replica:
//!   u64 id, u8 flags (1 ended, 2 vote, 4 commit, 8 purged, 16 last, 32 vote lost, 64 doubted)
//!   vote: u32 length, bytes      commit: u64 term, u64 index, u32 length, bytes
//!   purged: u64 term, u64 index  last: u64
//!   u32 truncations: u64 position, u64 from each
//!   u32 ranges of segments needed: u64 first, u64 last each
//! then, from format 2 on:
//!   u32 ranges of segments freed: u64 first, u64 last each
//!   for each damaged segment: u32 ranges of segments with copies: u64 first, u64 last each
//! ```
//!
//! So whatever a vote, a commit mark, a purge, a truncation or the end of a replica said stands
//! in every later block, and the record that said it is dead once its segment is sealed. A
//! truncation stays in the state for as long as it hides anything: it goes only when another one
//! that is newer hides all that it hid. A copy that was made later keeps the position of the
//! original, so what hid the original hides the copy.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::format::Header;
use crate::ranges::Ranges;
use crate::record::{Kind, Position, ReplicaId};

/// All replicas that have records in the log.
#[derive(Clone, Default, Debug)]
pub(crate) struct State {
    pub replicas: BTreeMap<ReplicaId, Replica>,
    /// Segments with damage that was reported, and where copies of what was first written in them
    /// are: all their indexes are read at every open, so that it goes on being reported until it
    /// is mended.
    pub damaged: BTreeMap<u64, BTreeSet<u64>>,
    /// Segments that are no more, although a file of that name may still be there.
    pub freed: Ranges,
}

/// One replica. Changed only by [`State::apply`] and at the end of recovery.
#[derive(Clone, Default, Debug)]
pub(crate) struct Replica {
    pub ended: bool,
    pub vote: Option<Bytes>,
    pub commit: Option<(u64, u64, Bytes)>,
    pub purged: Option<(u64, u64)>,
    /// A vote newer than `vote` was written and is damaged. Ends with the next vote.
    pub vote_lost: bool,
    /// Records of nobody knows whom were lost before a block could repeat what they said.
    pub doubted: bool,
    /// The index of the last entry, if any was written since the last truncation to nothing.
    pub last: Option<u64>,
    /// Both positions and indexes rise: a truncation drops those at or above its own index. One
    /// at or below the purge mark is kept, the newest, for copies of what it truncated.
    truncations: Vec<Truncation>,
    entries: Spans,
    rows: Spans,
    /// The segments of the newest complete base, and of the base being written.
    base: BTreeSet<u64>,
    base_run: BTreeSet<u64>,
    /// The log id of the run of rows that waits for its `last` record.
    open_rows: Option<(u64, u64)>,
    /// Needed segments as a block gave them; only of meaning in recovery.
    needed: Ranges,
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
struct Truncation {
    position: Position,
    from: u64,
}

/// For each segment that holds records of one sort, the highest index among them.
#[derive(Clone, Default, Debug)]
pub(crate) struct Spans(Vec<(u64, u64)>);

impl Spans {
    pub fn add(&mut self, segment: u64, index: u64) {
        match self.0.last_mut() {
            Some(span) if span.0 == segment => span.1 = span.1.max(index),
            _ => self.0.push((segment, index)),
        }
    }

    /// Forgets segments that hold nothing above this index.
    fn drop_through(&mut self, index: u64) {
        self.0.retain(|span| span.1 > index);
    }

    fn free(&mut self, segment: u64) {
        self.0.retain(|span| span.0 != segment);
    }

    fn segments(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|span| span.0)
    }
}

impl Replica {
    /// Whether a truncation or the purge mark took the entry at this index, first written at this
    /// position.
    pub fn forgot(&self, index: u64, position: Position) -> bool {
        let purged = self.purged.is_some_and(|(_, through)| index <= through);
        purged || self.cut(index, position)
    }

    /// Whether a truncation took the entry at this index, first written at this position.
    pub fn cut(&self, index: u64, position: Position) -> bool {
        let truncations = self.truncations.iter().rev();
        let mut newer = truncations.take_while(|cut| cut.position > position);
        newer.any(|cut| cut.from <= index)
    }

    /// Whether records of this replica in a segment older than the block are of use.
    pub fn needs(&self, segment: u64) -> bool {
        self.needed.contains(segment)
    }

    /// Sets what is in which segment, at the end of recovery. Runs that were open are gone.
    pub fn settle(&mut self, entries: Spans, rows: Spans, base: BTreeSet<u64>) {
        (self.entries, self.rows, self.base) = (entries, rows, base);
        self.base_run.clear();
        self.open_rows = None;
        self.needed.clear();
    }

    fn entry(&mut self, segment: u64, header: &Header) {
        if !header.moved {
            if self.last.is_some_and(|last| header.index <= last) {
                self.truncate(header.position, header.index);
            }
            self.last = Some(header.index);
        }
        // The copy of a body that is needed beyond its entry is not read at open.
        if !self.forgot(header.index, header.position) {
            self.entries.add(segment, header.index);
        }
    }

    fn truncate(&mut self, position: Position, from: u64) {
        while self.truncations.last().is_some_and(|cut| cut.from >= from) {
            self.truncations.pop();
        }
        self.truncations.push(Truncation { position, from });
        self.last = self
            .last
            .and_then(|last| Some(last.min(from.checked_sub(1)?)));
    }

    fn purge(&mut self, term: u64, through: u64) {
        if self.purged.is_some_and(|(_, purged)| purged > through) {
            return;
        }
        self.purged = Some((term, through));
        self.entries.drop_through(through);
        // All of these cut every index that is left; the newest does so for the most positions.
        let next = through.saturating_add(1);
        let below = self.truncations.partition_point(|cut| cut.from <= next);
        self.truncations.drain(..below.saturating_sub(1));
    }

    fn rows(&mut self, segment: u64, header: &Header) {
        self.rows.add(segment, header.index);
        if !header.moved {
            self.open_rows = (!header.last).then_some((header.term, header.index));
        }
    }

    fn base(&mut self, segment: u64, header: &Header) {
        if header.moved {
            // Of the newest base, or of the one that is being written.
            self.base.insert(segment);
        } else if header.first {
            self.base_run.clear();
        }
        self.base_run.insert(segment);
        if header.moved {
            return;
        }
        if header.last {
            self.base = std::mem::take(&mut self.base_run);
            // A run of rows that ends behind the base counts whole, whatever its log id.
            if self.open_rows.is_none_or(|(_, index)| index > header.index) {
                self.rows.drop_through(header.index);
            }
        }
    }

    fn free(&mut self, segment: u64) {
        self.entries.free(segment);
        self.rows.free(segment);
        self.base.remove(&segment);
        self.base_run.remove(&segment);
    }

    fn needed_ranges(&self) -> Ranges {
        let spans = self.entries.segments().chain(self.rows.segments());
        let bases = self.base.iter().chain(&self.base_run).copied();
        spans.chain(bases).collect()
    }
}

impl State {
    /// Takes up a record that stands in `segment`; `payload` is asked for votes and commits.
    pub fn apply(&mut self, segment: u64, header: &Header, payload: impl FnOnce() -> Bytes) {
        match header.kind {
            Kind::Pad => return,
            Kind::Freed => return self.free(header.index),
            _ => {}
        }
        let replica = self.replicas.entry(header.replica).or_default();
        if replica.ended {
            return;
        }
        if header.moved
            && let Some(copies) = self.damaged.get_mut(&header.position.segment())
        {
            copies.insert(segment);
        }
        match header.kind {
            Kind::Entry => replica.entry(segment, header),
            Kind::Rows => replica.rows(segment, header),
            Kind::Base => replica.base(segment, header),
            Kind::Vote => {
                replica.vote = Some(payload());
                replica.vote_lost = false;
            }
            Kind::Commit => replica.commit = Some((header.term, header.index, payload())),
            Kind::Truncate => replica.truncate(header.position, header.index),
            Kind::Purge => replica.purge(header.term, header.index),
            Kind::ReplicaEnd => {
                *replica = Replica {
                    ended: true,
                    ..Replica::default()
                }
            }
            Kind::Moved | Kind::Pad | Kind::Freed | Kind::Body => {}
        }
    }

    /// Takes up a record whose payload is damaged: what its header says holds all the same.
    pub fn lose(&mut self, segment: u64, header: &Header) {
        match header.kind {
            Kind::Vote => {
                let replica = self.replicas.entry(header.replica).or_default();
                replica.vote_lost = !replica.ended;
            }
            Kind::Entry => self.apply(segment, header, Bytes::new),
            _ => {}
        }
    }

    /// Records of nobody knows whom are lost, and no block repeats what they said: any replica may
    /// have voted, or cut its log, there.
    pub fn doubt(&mut self) {
        for replica in self.replicas.values_mut() {
            replica.doubted = !replica.ended;
        }
    }

    /// Whether anything in a segment older than the block is of use.
    pub fn needs(&self, segment: u64) -> bool {
        let mut replicas = self.replicas.values();
        let mut damaged = self.damaged.iter();
        !self.freed.contains(segment)
            && (replicas.any(|replica| replica.needs(segment))
                || damaged
                    .any(|(damaged, copies)| *damaged == segment || copies.contains(&segment)))
    }

    fn free(&mut self, segment: u64) {
        self.freed.insert(segment);
        self.damaged.remove(&segment);
        for copies in self.damaged.values_mut() {
            copies.remove(&segment);
        }
        for replica in self.replicas.values_mut() {
            replica.free(segment);
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u32(&mut out, self.replicas.len());
        put_u32(&mut out, self.damaged.len());
        for segment in self.damaged.keys() {
            put_u64(&mut out, *segment);
        }
        for (id, replica) in &self.replicas {
            put_u64(&mut out, id.0);
            replica.encode(&mut out);
        }
        put_ranges(&mut out, &self.freed);
        for copies in self.damaged.values() {
            put_ranges(&mut out, &copies.iter().copied().collect());
        }
        out
    }

    /// Reads a state; `None` if the bytes are none, which their checksum should have told.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (state, length) = Self::decode_first(bytes)?;
        (length as usize == bytes.len()).then_some(state)
    }

    /// Reads the state with which these bytes begin, and says how long it is.
    pub fn decode_first(bytes: &[u8]) -> Option<(Self, u32)> {
        let mut input = Input(bytes);
        let (replicas, damaged) = (input.u32()?, input.u32()?);
        let mut state = Self::default();
        for _ in 0..damaged {
            state.damaged.insert(input.u64()?, BTreeSet::new());
        }
        for _ in 0..replicas {
            let id = ReplicaId(input.u64()?);
            state.replicas.insert(id, Replica::decode(&mut input)?);
        }
        // Format 1 ends here.
        if !input.0.is_empty() {
            state.freed = input.ranges()?;
            for copies in state.damaged.values_mut() {
                let ranges = input.ranges()?;
                let bounds = |(first, last): (u64, u64)| last - first <= COPIES_SEGMENTS_MAX;
                if !ranges.iter().all(bounds) {
                    return None;
                }
                copies.extend(ranges.iter().flat_map(|(first, last)| first..=last));
            }
        }
        let length = bytes.len() - input.0.len();
        Some((state, u32::try_from(length).ok()?))
    }
}

/// Segments in one range that hold copies of one segment's records, at most: nothing else is a
/// state, though its checksum may not be there to tell.
const COPIES_SEGMENTS_MAX: u64 = 1 << 20;

const ENDED: u8 = 1;
const VOTE: u8 = 2;
const COMMIT: u8 = 4;
const PURGED: u8 = 8;
const LAST: u8 = 16;
const VOTE_LOST: u8 = 32;
const DOUBTED: u8 = 64;

impl Replica {
    fn encode(&self, out: &mut Vec<u8>) {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        out.push(
            flag(self.ended, ENDED)
                | flag(self.vote.is_some(), VOTE)
                | flag(self.commit.is_some(), COMMIT)
                | flag(self.purged.is_some(), PURGED)
                | flag(self.last.is_some(), LAST)
                | flag(self.vote_lost, VOTE_LOST)
                | flag(self.doubted, DOUBTED),
        );
        if let Some(vote) = &self.vote {
            put_bytes(out, vote);
        }
        if let Some((term, index, payload)) = &self.commit {
            put_u64(out, *term);
            put_u64(out, *index);
            put_bytes(out, payload);
        }
        if let Some((term, index)) = self.purged {
            put_u64(out, term);
            put_u64(out, index);
        }
        if let Some(last) = self.last {
            put_u64(out, last);
        }
        put_u32(out, self.truncations.len());
        for cut in &self.truncations {
            put_u64(out, cut.position.0);
            put_u64(out, cut.from);
        }
        put_ranges(out, &self.needed_ranges());
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let flags = input.u8()?;
        let has = |flag: u8| flags & flag != 0;
        let mut replica = Self {
            ended: has(ENDED),
            vote_lost: has(VOTE_LOST),
            doubted: has(DOUBTED),
            ..Self::default()
        };
        if has(VOTE) {
            replica.vote = Some(input.bytes()?);
        }
        if has(COMMIT) {
            replica.commit = Some((input.u64()?, input.u64()?, input.bytes()?));
        }
        if has(PURGED) {
            replica.purged = Some((input.u64()?, input.u64()?));
        }
        if has(LAST) {
            replica.last = Some(input.u64()?);
        }
        for _ in 0..input.u32()? {
            let (position, from) = (Position(input.u64()?), input.u64()?);
            replica.truncations.push(Truncation { position, from });
        }
        replica.needed = input.ranges()?;
        Some(replica)
    }
}

fn put_u32(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("a state is smaller than a segment");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_ranges(out: &mut Vec<u8>, ranges: &Ranges) {
    put_u32(out, ranges.len());
    for (first, last) in ranges.iter() {
        put_u64(out, first);
        put_u64(out, last);
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn ranges(&mut self) -> Option<Ranges> {
        let mut ranges = Ranges::default();
        for _ in 0..self.u32()? {
            ranges.push(self.u64()?, self.u64()?);
        }
        Some(ranges)
    }

    /// A copy, so that a mark of a few bytes does not hold the block in memory.
    fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Bytes::copy_from_slice(head))
    }
}
