//! Which entries may go.

use super::super::limits::{LOG_KEPT_ENTRIES, PURGE_BYTES_MIN};
use super::LogStore;

/// What the members of a group still need of its log.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The last index that a checkpoint holds: nothing above it goes.
    pub checkpoint: u64,
    /// The last index that every follower has, of those that count; 0 if that is not known.
    pub spread: u64,
    /// Bytes of entries that are kept for those that have less, at most.
    pub kept_bytes: u64,
    /// Nothing comes in: what little there is may go as well.
    pub is_idle: bool,
}

impl LogStore {
    /// How many entries there are that were not purged, and their bytes.
    #[must_use]
    pub fn kept(&self) -> (u64, u64) {
        let state = self.shared.state.lock();
        let written = state.slots.iter().filter_map(|slot| slot.written);
        let bytes = written.map(|at| u64::from(at.place.length)).sum();
        (state.slots.len() as u64, bytes)
    }

    /// The last entry that may go, if it is worth a purge: what all followers have, and what is too
    /// much to be kept for one that has not.
    #[must_use]
    pub fn purgeable(&self, needs: &Needs) -> Option<u64> {
        let state = self.shared.state.lock();
        let last = needs.checkpoint.min(state.next().checked_sub(1)?);
        let (mut kept, mut entries, mut going) = (0, 0, 0);
        let mut upto = None;
        for index in (state.first..=last).rev() {
            let slot = state.slot(index)?;
            let bytes = slot.written.map_or(0, |at| u64::from(at.place.length));
            // Damaged: no follower can be served from here.
            if state.unread.contains(&index) {
                return Some(upto.unwrap_or(index));
            }
            if upto.is_none() {
                kept += bytes;
                entries += 1;
                let too_much = kept > needs.kept_bytes || entries > LOG_KEPT_ENTRIES;
                let has_spread = needs.spread > 0 && index <= needs.spread;
                if !has_spread && !too_much {
                    continue;
                }
                upto = Some(index);
            }
            going += bytes;
            if going >= PURGE_BYTES_MIN.min(needs.kept_bytes) {
                return upto;
            }
        }
        upto.filter(|_| needs.is_idle)
    }
}
