//! What is indexed when. One thread of the node does all of it.
//!
//! ```text
//!   mailboxes that changed ─► messages above the highest UID that is indexed ─┐
//!   sweep: all mailboxes   ─► messages that are there and not indexed ────────┼─► grams ─► commit
//!                          └► messages that are indexed and gone ─────────────┘
//! ```
//!
//! Only mailboxes count that were searched. Those that changed come first; the sweep goes on
//! between them, some at a time. It runs whenever a replica was opened, and then every few hours.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use imap::mime::MessageGrams;
use mailbox::{AccountId, Answer, Folder, Message, Query, Uid, UidRanges};
use seglog::ReplicaId;

use super::index::{Error, Index, Place, Writer};
use super::limits::{
    GONE_PART, GRAMS_PER_COMMIT, MAILBOXES_MAX, MAILBOXES_PER_STEP, PAGE_MESSAGES, REMOVED_AT_ONCE,
    SWEEP_EVERY,
};
use super::message;
use super::{Room, Search};
use crate::priority;
use crate::replica::partition::{read, take_page};
use crate::replica::{GroupId, Replica};

/// Bytes that every message costs beside its own.
const MESSAGE_BYTES: u64 = 1 << 10;

/// Indexes until the search is told to stop. `failures` becomes 0 when something was committed.
///
/// # Errors
/// When the index cannot be read or written: then it is to be opened again, or made anew.
pub(super) fn work(search: &Search, index: &Arc<Index>, failures: &mut u32) -> Result<(), Error> {
    // The library starts others from it.
    priority::give_way("indexer");
    let mut indexer = Indexer {
        search,
        index: Arc::clone(index),
        writer: index.writer()?,
        upto: HashMap::new(),
        pending: BTreeSet::new(),
        pending_since: None,
        missing: 0,
        waiting: 0,
        grams: 0,
        owed: Duration::ZERO,
        started: Instant::now(),
        swept: BTreeSet::new(),
        swept_at: None,
        sweeping: Vec::new(),
    };
    search.remember(index.places()?);
    indexer.show();
    while !search.is_stopped.load(Relaxed) {
        if search.is_broken.load(Relaxed) {
            return Err(Error::Unreadable);
        }
        let room = (search.room)();
        if room == Room::None && index.messages() > 0 {
            return Err(Error::NoRoom);
        }
        let is_busy = room == Room::Enough && indexer.step()?;
        if indexer.commit_if_due()? {
            *failures = 0;
        }
        if !is_busy {
            search.bell.wait(search.pace.poll_every);
        }
    }
    indexer.commit()
}

struct Indexer<'s> {
    search: &'s Search,
    index: Arc<Index>,
    writer: Writer,
    /// Up to which UID mailboxes were indexed, where that was looked up; what is not committed
    /// counts.
    upto: HashMap<Place, Uid>,
    /// Mailboxes of which something is not committed, since when, and how many trigrams.
    pending: BTreeSet<Place>,
    pending_since: Option<Instant>,
    grams: usize,
    /// Messages that are known to be missing in the index, and those that wait for the commit.
    missing: u64,
    waiting: u64,
    /// How long to rest for what was read.
    owed: Duration,
    started: Instant,
    /// The replicas of the sweep that began last, and when.
    swept: BTreeSet<ReplicaId>,
    swept_at: Option<Instant>,
    /// Mailboxes that this sweep has not looked at.
    sweeping: Vec<Place>,
}

type Replicas = BTreeMap<GroupId, Arc<Replica>>;

impl Indexer<'_> {
    /// A bounded piece of work; whether there is more.
    fn step(&mut self) -> Result<bool, Error> {
        let replicas = self.replicas();
        for (group, place) in self.search.take_changed() {
            if let Some(replica) = replicas.get(&group) {
                self.arrivals(replica, place)?;
            }
        }
        self.begin_sweep(&replicas);
        for _ in 0..MAILBOXES_PER_STEP {
            let Some(place) = self.sweeping.pop() else {
                return Ok(false);
            };
            self.look_at(&replicas, place)?;
        }
        Ok(true)
    }

    /// The partitions' replicas that run.
    fn replicas(&self) -> Replicas {
        let open = self.search.replicas.replicas().into_iter();
        let running = open
            .filter(|replica| replica.group() != GroupId::DIRECTORY && replica.fault().is_none());
        running.map(|replica| (replica.group(), replica)).collect()
    }

    /// Indexes what came into a mailbox.
    fn arrivals(&mut self, replica: &Replica, place: Place) -> Result<(), Error> {
        let known = match self.upto.get(&place) {
            Some(known) => *known,
            None => self.index.messages_of(place)?.last().unwrap_or(Uid(0)),
        };
        let Some(next) = known.0.checked_add(1) else {
            return Ok(());
        };
        let above = UidRanges::range(Uid(next), Uid::MAX);
        self.add_all(replica, place, above, known)
    }

    /// Indexes those of some messages of a mailbox that are there. None above `known` and below
    /// them is missing.
    fn add_all(
        &mut self,
        replica: &Replica,
        place: Place,
        mut uids: UidRanges,
        mut known: Uid,
    ) -> Result<(), Error> {
        while !uids.is_empty() && !self.search.is_stopped.load(Relaxed) {
            let Some(messages) = take_page(replica, place, &mut uids, PAGE_MESSAGES) else {
                return Ok(());
            };
            for message in &messages {
                self.add(replica, place, message)?;
                known = known.max(message.uid);
            }
            self.upto.insert(place, known);
            self.commit_if_due()?;
        }
        if self.upto.len() >= MAILBOXES_MAX {
            // What is committed can be looked up.
            self.commit()?;
            self.upto.clear();
        }
        Ok(())
    }

    fn add(&mut self, replica: &Replica, place: Place, message: &Message) -> Result<(), Error> {
        self.missing = self.missing.saturating_sub(1);
        match message::grams(replica, message) {
            Ok(grams) => {
                self.grams += match &grams {
                    MessageGrams::All(grams) => grams.len(),
                    MessageGrams::Any => 1,
                };
                self.writer.add(place, message.uid, &grams)?;
                self.changed(place);
                self.waiting += 1;
            }
            // It is read when it is searched, and the next sweep tries again.
            Err(error) => {
                metrics::counter!("rookery_search_unreadable_total").increment(1);
                tracing::debug!(%error, "a message is not indexed");
            }
        }
        self.rest(message.size() + MESSAGE_BYTES);
        Ok(())
    }

    fn changed(&mut self, place: Place) {
        self.pending.insert(place);
        self.pending_since.get_or_insert_with(Instant::now);
    }

    /// Rests so long that no more is read than may be.
    fn rest(&mut self, bytes: u64) {
        const LEAST: Duration = Duration::from_millis(20);
        let per_second = self.search.pace.bytes_per_second.max(1);
        self.owed += Duration::from_secs(1).mul_f64(bytes as f64 / per_second as f64);
        if self.owed >= LEAST {
            std::thread::sleep(self.owed);
            self.owed = Duration::ZERO;
        }
    }

    /// Begins a sweep if its time has come and none is under way.
    fn begin_sweep(&mut self, replicas: &Replicas) {
        let open: BTreeSet<ReplicaId> = replicas.values().map(|replica| replica.id()).collect();
        let is_due = self.swept_at.is_none_or(|at| at.elapsed() >= SWEEP_EVERY);
        if self.sweeping.is_empty() && (is_due || !open.is_subset(&self.swept)) {
            self.sweeping = self.search.mailboxes();
            self.swept_at = Some(Instant::now());
            self.swept = open;
        }
    }

    /// The sweep looks at a mailbox.
    fn look_at(&mut self, replicas: &Replicas, place: Place) -> Result<(), Error> {
        let mut homes = replicas.values();
        let home = homes.find_map(|replica| Some((replica, folders(replica, place.0)?)));
        let Some((replica, folders)) = home else {
            // Not soon after a start, when not all replicas may be open, nor while one has stopped.
            let mut all = self.search.replicas.replicas().into_iter();
            let is_late = self.started.elapsed() >= SWEEP_EVERY;
            if is_late && all.all(|replica| replica.fault().is_none()) {
                self.give_up(place);
            }
            return Ok(());
        };
        match folders.iter().find(|folder| folder.id == place.1) {
            Some(folder) => self.compare(replica, place, folder),
            None => {
                self.give_up(place);
                Ok(())
            }
        }
    }

    /// The mailbox is not here any more.
    fn give_up(&mut self, place: Place) {
        self.search.forget(place);
        self.writer.remove_all(place);
        self.upto.remove(&place);
        self.changed(place);
    }

    /// Compares a mailbox with the index.
    fn compare(&mut self, replica: &Replica, place: Place, folder: &Folder) -> Result<(), Error> {
        if self.pending.contains(&place) {
            // What is not committed cannot be looked up; what is missing beside it comes the next
            // time.
            return Ok(());
        }
        let indexed = self.index.messages_of(place)?;
        let next = indexed.last().map_or(1, |last| last.0.saturating_add(1));
        if u64::from(folder.messages) == indexed.len() && folder.uid_next.0 == next {
            return Ok(());
        }
        let query = Query::Open {
            account: place.0,
            mailbox: place.1,
        };
        let Some(Answer::Opened(opened)) = read(replica, &query) else {
            return Ok(());
        };
        let gone = indexed.subtract(&opened.uids);
        let mut kept = indexed.intersect(&opened.uids);
        if gone.len() > kept.len() {
            // Less is read again than is left behind.
            self.writer.remove_all(place);
            self.changed(place);
            kept = UidRanges::new();
        } else if gone.len() * GONE_PART > opened.uids.len() {
            self.remove(place, gone)?;
        }
        let missing = opened.uids.subtract(&kept);
        let known = kept.last().unwrap_or(Uid(0));
        if !missing.is_empty() {
            self.missing = missing.len();
            self.add_all(replica, place, missing, known)?;
            self.missing = 0;
        }
        Ok(())
    }

    /// Takes out what is gone, some at a time.
    fn remove(&mut self, place: Place, mut gone: UidRanges) -> Result<(), Error> {
        while !gone.is_empty() && !self.search.is_stopped.load(Relaxed) {
            let some = first(&gone, REMOVED_AT_ONCE);
            gone = gone.subtract(&some);
            self.writer.remove(place, &some)?;
            self.changed(place);
            if !gone.is_empty() {
                self.commit()?;
            }
        }
        Ok(())
    }

    /// Commits if something has waited long enough, or much has gathered; whether it did.
    fn commit_if_due(&mut self) -> Result<bool, Error> {
        let waited = self.pending_since.map(|since| since.elapsed());
        let is_due = waited.is_some_and(|waited| waited >= self.search.pace.commit_every);
        if is_due || self.grams >= GRAMS_PER_COMMIT {
            self.commit()?;
            return Ok(true);
        }
        self.show_lag();
        Ok(false)
    }

    fn commit(&mut self) -> Result<(), Error> {
        if !self.pending.is_empty() {
            self.writer.commit()?;
            self.index.reload()?;
            self.pending.clear();
            self.pending_since = None;
            (self.grams, self.waiting) = (0, 0);
        }
        self.show();
        Ok(())
    }

    fn show_lag(&self) {
        let lag = self.missing + self.waiting;
        metrics::gauge!("rookery_search_lag_messages").set(lag as f64);
    }

    fn show(&self) {
        self.show_lag();
        metrics::gauge!("rookery_search_messages").set(self.index.messages() as f64);
        metrics::gauge!("rookery_search_bytes").set(self.index.bytes() as f64);
    }
}

/// The mailboxes of an account that are there; `None` if the account is not here.
fn folders(replica: &Replica, account: AccountId) -> Option<Vec<Folder>> {
    let Answer::Folders(mut folders) = read(replica, &Query::Folders { account })? else {
        return None;
    };
    folders.retain(|folder| folder.exists);
    Some(folders)
}

/// The first few.
fn first(uids: &UidRanges, count: u64) -> UidRanges {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    uids.iter().take(count).collect()
}
