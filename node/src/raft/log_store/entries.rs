//! What the replica asks of Raft's log: where bodies lie, and what became of them.

use std::collections::BTreeMap;

use openraft::EntryPayload;
use seglog::Place;

use super::super::convert;
use super::super::types::Entry;
use super::LogStore;
use crate::replica::{BodyPlace, Entries, Logged};

impl Entries for LogStore {
    fn body(&self, index: u64, term: u64) -> Option<BodyPlace> {
        if let Some(slot) = self
            .shared
            .state
            .lock()
            .slot(index)
            .filter(|slot| slot.term == term)
            && let Some(Entry {
                payload: EntryPayload::Normal(proposal),
                ..
            }) = &slot.held
        {
            return Some(proposal.body.place());
        }
        self.place(index, term).map(BodyPlace::Logged)
    }

    fn place(&self, index: u64, term: u64) -> Option<Logged> {
        let (place, checksum) = {
            let state = self.shared.state.lock();
            let slot = state.slot(index).filter(|slot| slot.term == term)?;
            let (place, checksum) = slot.written?;
            if slot.skip > 0 {
                return Some(Logged {
                    place,
                    checksum,
                    skip: slot.skip,
                });
            }
            (place, checksum)
        };
        // Found at open: only the payload says how long its command is.
        let head = self
            .shared
            .log
            .read_range(place, 0..convert::HEAD_BYTES.min(place.length));
        if matches!(head, Err(seglog::Error::Freed { .. })) && !self.lies_at(index, term, place) {
            return self.place(index, term);
        }
        let skip = convert::skip_from_head(&head.ok()?)?;
        if let Some(slot) = self.shared.state.lock().slot_mut(index)
            && slot.term == term
        {
            slot.skip = skip;
        }
        Some(Logged {
            place,
            checksum,
            skip,
        })
    }

    fn written_upto(&self) -> u64 {
        let state = self.shared.state.lock();
        let unwritten = state
            .slots
            .iter()
            .rev()
            .take_while(|slot| slot.written.is_none())
            .count();
        state.next().saturating_sub(unwritten as u64 + 1)
    }

    fn lies_at(&self, index: u64, term: u64, place: Place) -> bool {
        let state = self.shared.state.lock();
        let slot = state.slot(index).filter(|slot| slot.term == term);
        slot.and_then(|slot| slot.written)
            .is_some_and(|(written, _)| written == place)
    }

    fn moved(&self, index: u64, term: u64, from: Place, to: Place) {
        let mut state = self.shared.state.lock();
        let slot = state.slot_mut(index).filter(|slot| slot.term == term);
        if let Some((place, _)) = slot.and_then(|slot| slot.written.as_mut())
            && *place == from
        {
            *place = to;
        }
    }

    fn count_bytes(&self, by_segment: &mut BTreeMap<u64, u64>) {
        let state = self.shared.state.lock();
        for (place, _) in state.slots.iter().filter_map(|slot| slot.written) {
            *by_segment.entry(place.segment).or_default() += place.record_bytes();
        }
    }
}
