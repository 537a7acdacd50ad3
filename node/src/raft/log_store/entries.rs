//! What replicas ask of the log: where entries lie.

use std::collections::BTreeMap;
use std::ops::Range;

use openraft::EntryPayload;
use rows::Fault;
use seglog::{Place, RecordAt, Written};

use super::LogStore;
use crate::raft::convert;
use crate::raft::types::Entry;
use crate::replica::{BodyPlace, Entries, LogId, Logged};

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
        // Of one that cannot be read somebody has been told.
        let place = self.place(index, term).unwrap_or_default();
        place.map(BodyPlace::Logged)
    }

    fn place(&self, index: u64, term: u64) -> Result<Option<Logged>, Fault> {
        let (place, checksum) = {
            let state = self.shared.state.lock();
            let slot = state.slot(index).filter(|slot| slot.term == term);
            let Some((slot, written)) = slot.and_then(|slot| Some((slot, slot.written?))) else {
                return Ok(None);
            };
            let Written {
                place, checksum, ..
            } = written;
            if slot.skip > 0 {
                return Ok(Some(Logged {
                    place,
                    checksum,
                    skip: slot.skip,
                }));
            }
            (place, checksum)
        };
        // Found at open: only the payload says how long its command is. Read whole, so that what
        // it says is as it was written.
        let payload = match self.shared.log.read(place, Some(checksum)) {
            Ok(payload) => payload,
            Err(error @ seglog::Error::Freed { .. }) => {
                if self.lies_at(index, term, place) {
                    return Err(Fault::invariant(format!(
                        "entry {index} is listed: {error}"
                    )));
                }
                // It was moved since it was looked for.
                return self.place(index, term);
            }
            Err(error) => {
                self.shared.state.lock().untold.insert(index);
                return Err(Fault::Store(format!("entry {index}: {error}")));
            }
        };
        let Some(skip) = convert::skip_from_head(&payload) else {
            return Ok(None);
        };
        if let Some(slot) = self.shared.state.lock().slot_mut(index)
            && slot.term == term
        {
            slot.skip = skip;
        }
        Ok(Some(Logged {
            place,
            checksum,
            skip,
        }))
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
            .is_some_and(|written| written.place == place)
    }

    fn moved(&self, index: u64, term: u64, from: Place, to: Place) {
        let mut state = self.shared.state.lock();
        let slot = state.slot_mut(index).filter(|slot| slot.term == term);
        if let Some(written) = slot.and_then(|slot| slot.written.as_mut())
            && written.place == from
        {
            written.place = to;
            state.unread.remove(&index);
        }
    }

    fn count_bytes(&self, by_segment: &mut BTreeMap<u64, u64>) {
        let state = self.shared.state.lock();
        for Written { place, .. } in state.slots.iter().filter_map(|slot| slot.written) {
            *by_segment.entry(place.segment).or_default() += place.record_bytes();
        }
    }

    fn record(&self, index: u64, term: u64) -> Option<RecordAt> {
        let state = self.shared.state.lock();
        let slot = state.slot(index).filter(|slot| slot.term == term)?;
        slot.record(self.shared.replica, index)
    }

    fn records_in(&self, segment: u64, offsets: Range<u64>) -> Vec<RecordAt> {
        let state = self.shared.state.lock();
        let slots = (state.first..).zip(&state.slots);
        let records = slots.filter_map(|(index, slot)| slot.record(self.shared.replica, index));
        let lies = |record: &RecordAt| {
            let at = u64::from(record.place.record_offset());
            record.place.segment == segment && offsets.contains(&at)
        };
        records.filter(lies).collect()
    }

    fn take_damaged(&self) -> Vec<LogId> {
        let mut state = self.shared.state.lock();
        let untold = std::mem::take(&mut state.untold).into_iter();
        let id = |index| {
            let term = state.slot(index)?.term;
            Some(LogId { term, index })
        };
        untold.filter_map(id).collect()
    }
}
