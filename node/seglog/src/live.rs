//! What the cleaner asks of the layer above, and what it tells it.

use crate::record::{Place, RecordAt, ReplicaId};
use crate::recover::Damage;

/// What is alive: answered by the layer above, which keeps the places of what it refers to.
///
/// Implementers owe, for every record from the moment its append was done:
///
/// - `refers` is true as long as somebody would read it at exactly this place: an entry above the
///   purge mark, an entry whose body a row names, all records of the newest complete base, of
///   every complete run of rows that it does not replace (see [`Kind`](crate::Kind)), and of the
///   runs that are being written. Of a run all records or none.
/// - `refers` turns false only after what took the record was appended (a purge, a truncation, a
///   base, the end of a replica), or after `moved` gave another place for it. Then it stays false.
pub trait Live {
    /// Whether somebody would read this record at this place.
    fn refers(&self, record: &RecordAt) -> bool;

    /// Where a record belongs: the copies of a replica's records are written in the order of their
    /// homes, those of one home in the order in which they were first written. It is asked once for
    /// each record when its segment was chosen, and decides nothing but the order.
    fn home(&self, record: &RecordAt) -> u128;

    /// There are durable copies at these places: whoever refers to one of the records reads there
    /// from now on. The old places go on to be readable until the segment is freed.
    fn moved(&self, copies: &[(RecordAt, Place)]);

    /// Whether nothing durable names a place in this segment any more: the newest durable
    /// checkpoint of every replica has no such place, nor has one that is on its way.
    fn settled(&self, segment: u64) -> bool;

    /// Whether this replica cannot take note of moves now: it has stopped, or nobody has opened it.
    /// Its records to which `refers` says yes stay where they are, and so do their segments.
    fn is_held(&self, _replica: ReplicaId) -> bool {
        false
    }

    /// A replica that is held, and for whose sake this segment will not be settled before it is
    /// held no more.
    fn holder(&self, _segment: u64) -> Option<ReplicaId> {
        None
    }
}

/// What a step of the cleaner did. All bytes are those of records, with headers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Cleaned {
    /// There is nothing worth cleaning.
    Idle,
    /// Something is under way: copies or a note in the log's queue, or a checkpoint above.
    Waiting,
    /// A segment was chosen.
    Chose {
        /// Its number.
        segment: u64,
        /// Bytes that have to be copied.
        live_bytes: u64,
    },
    /// A segment was chosen and holds more live bytes than was told: too many to be worth it. It
    /// is left alone until another number is told.
    Passed {
        /// Its number.
        segment: u64,
        /// Bytes that would have to be copied.
        live_bytes: u64,
    },
    /// There is no room for what would have to be copied, even with more spares: the disk is full,
    /// or a spare is being filled at this moment.
    NoRoom {
        /// The segment that was to be cleaned.
        segment: u64,
        /// Bytes that have to be copied.
        live_bytes: u64,
    },
    /// Copies were queued.
    Copying {
        /// The segment that is cleaned.
        segment: u64,
        /// Bytes of the copies.
        bytes: u64,
    },
    /// Copies are durable and were told.
    Copied {
        /// The segment that is cleaned.
        segment: u64,
        /// Bytes of the copies.
        bytes: u64,
    },
    /// The note that a segment is freed was queued.
    Noted {
        /// Its number.
        segment: u64,
    },
    /// A segment is freed.
    Freed {
        /// Its number.
        segment: u64,
        /// Its file became a spare.
        recycled: bool,
    },
    /// A segment holds what a replica needs that cannot take note of moves now. It is not tried
    /// again before that one can.
    Held {
        /// Its number.
        segment: u64,
        /// The first such replica.
        replica: ReplicaId,
    },
    /// A segment is damaged where somebody refers to it or may do so. It is kept, and not tried
    /// again before [`Cleaner::retry`](crate::Cleaner::retry).
    Kept {
        /// Its number.
        segment: u64,
        /// What is to be mended.
        damage: Vec<Damage>,
    },
}
