//! What a client knows of changes that its view has not seen yet, so that it need not hear of them
//! again.
//!
//! ```text
//!   mod-sequence   17      18     21          of a change that was the client's own
//!   messages      1:40      3    5,7,9        whose flags it knows as of then
//! ```
//!
//! It is forgotten once the changes are read. A client that wants to hear of none (RFC 5465) lets
//! it grow, so it is bounded: what is forgotten early is told once more, which does no harm.

use std::collections::BTreeMap;

use mailbox::{ModSeq, Uid, UidRanges};

use crate::limits;

/// A key, a set, and what the map and the allocator add.
const ENTRY_BYTES: usize = 64;

/// Messages whose flags the client knows, by the mod-sequence as of which it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    known: BTreeMap<ModSeq, UidRanges>,
    /// About what `known` takes, at most [`limits::TOLD_BYTES_MAX`].
    bytes: usize,
}

impl Told {
    /// Notes that the client knows these messages' flags as of this mod-sequence.
    pub(crate) fn note(&mut self, modseq: ModSeq, uids: impl IntoIterator<Item = Uid>) {
        let mut known = match self.known.remove(&modseq) {
            Some(known) => {
                self.bytes -= bytes(&known);
                known
            }
            None => UidRanges::new(),
        };
        known.extend(uids);
        if known.is_empty() {
            return;
        }
        self.bytes += bytes(&known);
        self.known.insert(modseq, known);
        while self.bytes > limits::TOLD_BYTES_MAX {
            self.forget_oldest();
        }
    }

    /// Whether the client knows a message's flags as of this mod-sequence.
    pub(crate) fn has(&self, uid: Uid, modseq: ModSeq) -> bool {
        let known = self.known.get(&modseq);
        known.is_some_and(|known| known.contains(uid))
    }

    /// Changes up to here are read.
    pub(crate) fn forget_up_to(&mut self, modseq: ModSeq) {
        while self
            .known
            .first_key_value()
            .is_some_and(|(oldest, _)| *oldest <= modseq)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, oldest)) = self.known.pop_first() {
            self.bytes -= bytes(&oldest);
        }
    }
}

/// About what one entry takes.
fn bytes(known: &UidRanges) -> usize {
    ENTRY_BYTES + known.ranges().len() * size_of::<(Uid, Uid)>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum is that of the entries, and within the bound.
    fn check(told: &Told) {
        assert_eq!(told.bytes, told.known.values().map(bytes).sum::<usize>());
        assert!(told.bytes <= limits::TOLD_BYTES_MAX);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut told = Told::default();
        let many = u32::try_from(limits::TOLD_BYTES_MAX / ENTRY_BYTES).unwrap();
        for number in 1..=many {
            told.note(ModSeq(number.into()), [Uid(number)]);
        }
        check(&told);
        assert!(!told.has(Uid(1), ModSeq(1)));
        assert!(told.has(Uid(many), ModSeq(many.into())));
        assert!(!told.has(Uid(many), ModSeq(1)));
        told.forget_up_to(ModSeq(u64::from(many) - 1));
        check(&told);
        assert_eq!(told.known.len(), 1);
    }

    #[test]
    fn one_command_may_be_too_many() {
        let mut told = Told::default();
        let ranges = u32::try_from(limits::TOLD_BYTES_MAX / size_of::<(Uid, Uid)>()).unwrap();
        told.note(ModSeq(1), [Uid(1)]);
        told.note(ModSeq(2), (1..=ranges).map(|number| Uid(2 * number)));
        check(&told);
        assert!(told.known.is_empty());
        told.note(ModSeq(2), [Uid(7), Uid(5)]);
        told.note(ModSeq(2), [Uid(6)]);
        check(&told);
        assert!(told.has(Uid(5), ModSeq(2)) && !told.has(Uid(8), ModSeq(2)));
    }
}
