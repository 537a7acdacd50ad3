//! The machine of group 0: `directory` over a replica's rows, and the view that all nodes route by.
//!
//! The view is the directory in memory, for lookups by every login and every recipient. It follows
//! the events of each entry as it is applied, and is built anew from the rows whenever those come
//! from elsewhere. A hint of account 0 tells that it changed.

use std::sync::Arc;

use bytes::Bytes;
use directory::{EntryAt, Millis, View};
use parking_lot::RwLock;
use rows::{Fault, Staged};

use super::machine::{Applied, At, Hint, Machine};
use super::overlay::Layers;

/// The directory's machine on this node.
pub struct Directory {
    view: Arc<RwLock<View>>,
}

impl Directory {
    /// Keeps `view` as the rows are.
    #[must_use]
    pub fn new(view: Arc<RwLock<View>>) -> Self {
        Self { view }
    }
}

impl Machine for Directory {
    fn apply(
        &self,
        rows: &mut Staged<'_, Layers>,
        at: At,
        command: &Bytes,
    ) -> Result<Applied, Fault> {
        let mut envelope = directory::codec::decode_envelope(command)?;
        envelope.time = Millis(at.time_ms);
        let entry = EntryAt {
            index: at.index,
            term: at.term,
        };
        let (outcome, events) = directory::apply(rows, entry, &envelope)?;
        let mut hints = Vec::new();
        if !events.is_empty() {
            let mut view = self.view.write();
            events.iter().for_each(|event| view.apply(event));
            hints.push(Hint {
                account: 0,
                mailbox: 0,
                modseq: at.index,
                brings_mail: false,
            });
            hints.extend(events.iter().filter_map(|event| to_guest(event, at.index)));
        }
        Ok(Applied {
            outcome: directory::codec::encode_outcome(&outcome),
            hints,
            references: Vec::new(),
        })
    }

    fn loaded(&self, rows: &Layers) -> Result<(), Fault> {
        *self.view.write() = View::load(rows)?;
        Ok(())
    }

    /// Nothing in the directory expires by itself.
    fn next_due(&self, _rows: &Layers) -> Option<u64> {
        None
    }
}

/// A user may have been given rights: whoever listens for him looks for whose mail there is.
fn to_guest(event: &directory::Event, index: u64) -> Option<Hint> {
    match event {
        directory::Event::Shared { user, .. } if user.0 != 0 => Some(Hint {
            account: user.0,
            mailbox: 0,
            modseq: index,
            brings_mail: false,
        }),
        _ => None,
    }
}
