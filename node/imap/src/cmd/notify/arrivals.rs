//! What is told of messages that arrive in the selected mailbox beside EXISTS: what MessageNew of
//! NOTIFY and UPDATE of SEARCH ask for (RFC 5465 sections 5.2 and 7).
//!
//! ```text
//!   EXISTS ─► flags of others ─► ESEARCH ─► FETCH, one for each message that others added
//! ```
//!
//! The RFC says both that FETCH follows ESEARCH (section 5.2) and that it precedes it (section 7);
//! the former is done.

use mailbox::{Uid, UidRanges};

use crate::backend::{Backend, Transport};
use crate::cmd::store::chunks;
use crate::grammar::FetchItem;
use crate::limits;
use crate::respond::Code;
use crate::state::{Result, Session, Stop};

/// Messages of the selected mailbox that have arrived.
#[derive(Default)]
pub(crate) struct Arrivals {
    /// Added by this client, and not seen among the changes yet.
    own: UidRanges,
    /// Added by others, told by EXISTS and not by FETCH yet.
    untold: UidRanges,
    /// What searches that are followed want of those that match.
    asked: Vec<(UidRanges, Vec<FetchItem>)>,
}

impl Arrivals {
    /// The client has added these itself.
    pub(crate) fn note_own(&mut self, first: Uid, last: Uid) {
        self.own.insert_range(first, last);
    }

    /// These are among the changes.
    pub(crate) fn note(&mut self, arrived: &UidRanges) {
        if !arrived.is_empty() {
            self.untold = self.untold.union(&arrived.subtract(&self.own));
            self.own = self.own.subtract(arrived);
        }
    }

    /// A search that is followed has come to match these; new ones among them are asked for.
    pub(crate) fn ask(&mut self, matching: &UidRanges, items: &[FetchItem]) {
        let new = matching.intersect(&self.untold);
        if !new.is_empty() && !items.is_empty() {
            self.asked.push((new, items.to_vec()));
        }
    }

    /// Of this one all is told.
    fn done(&mut self, uid: Uid) {
        self.untold = self.untold.subtract(&UidRanges::range(uid, uid));
    }

    /// What is to be told of a message, each item once.
    fn items(&self, uid: Uid, of_all: &[FetchItem]) -> Vec<FetchItem> {
        let asked = self.asked.iter().filter(|(uids, _)| uids.contains(uid));
        let mut items: Vec<FetchItem> = Vec::new();
        for item in of_all.iter().chain(asked.flat_map(|(_, items)| items)) {
            if !items.contains(item) {
                items.push(item.clone());
            }
        }
        items
    }
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// Tells of messages that have arrived what is asked for. What fails is tried again the next
    /// time, each message for itself; of one that can never be read nothing is told.
    pub(crate) async fn tell_arrived(&mut self) -> Result<()> {
        let of_all = self.fetched_of_new();
        let Some(selected) = &mut self.selected else {
            return Ok(());
        };
        let arrivals = &mut selected.arrivals;
        if arrivals.untold.is_empty() {
            return Ok(());
        }
        if of_all.is_empty() && arrivals.asked.is_empty() {
            arrivals.untold = UidRanges::new();
            return Ok(());
        }
        let untold = arrivals.untold.clone();
        for page in chunks(&untold, u64::from(limits::PAGE_MESSAGES)) {
            let mut rest = page.clone();
            while !rest.is_empty() {
                for message in self.rows(&mut rest, None).await? {
                    let uid = message.uid;
                    let items = self.selected()?.arrivals.items(uid, &of_all);
                    if !items.is_empty() {
                        match self.fetch_one(items, message).await {
                            Err(Stop::No(Some(Code::ServerBug), _)) => {}
                            told => told?,
                        }
                    }
                    self.selected()?.arrivals.done(uid);
                }
            }
            let arrivals = &mut self.selected()?.arrivals;
            arrivals.untold = arrivals.untold.subtract(&page);
        }
        self.selected()?.arrivals.asked = Vec::new();
        Ok(())
    }

    /// What NOTIFY asks for of every new message.
    fn fetched_of_new(&self) -> Vec<FetchItem> {
        let watch = self.notify.as_ref();
        let of = watch.and_then(|watch| watch.selected.as_ref());
        of.map(|of| of.fetch.clone()).unwrap_or_default()
    }
}
