//! The search index of this node: it spares SEARCH the messages that cannot match.
//!
//! ```text
//!   a search ──mailbox──► searched
//!   replicas ──hints────► changed ──┐
//!      │                            ▼
//!      └──rows, bodies────► indexer (a thread) ──trigrams──► index   one for the node
//!                                                              │
//!   service ◄──── messages that lack a text ───────────────────┘
//! ```
//!
//! **What nobody searches costs nothing.** A mailbox is indexed from its first search on, which
//! still reads; most mail is never searched in its texts, and an index of it would be written for
//! nothing.
//!
//! **It leaves out, and decides nothing.** Of a message that is in it the index can tell that it
//! lacks a text; every other one is read. So a search finds the same with an index, without one,
//! and with one that is behind. What it says of a message stays true, since messages do not change
//! and their names are not used again (M2).
//!
//! **It is a cache**, made of what the replicas of this node have: lost, cut, of another version,
//! or with a bit that has flipped, it is thrown away and made again. Every block of its files has a
//! checksum that is looked at whenever it is read ([`files`]).
//!
//! **It is behind, and holds up nobody.** The indexer works on what was applied, at the lowest
//! priority, so many bytes a second at most, and commits every ten seconds. It has no log of its
//! own: which mailboxes, and which of their messages, are in the index, the index says. After a
//! start, and now and then, they are compared with it ([`indexer`]).
//!
//! **Its memory is bounded**: what is being written takes [`limits::WRITER_BYTES`] and what waits
//! in its queue, lists of messages are read when they are asked for, and held are the dictionaries
//! of its segments, some tens of MiB for millions of messages.
//!
//! Sessions on a node that holds no replica of their partition search without it.
//!
//! Read on: [`indexer`] for what is indexed when, [`index`] for how it is kept and asked,
//! [`message`] for what of a message.

pub mod limits;

pub mod files;
pub mod index;
pub mod indexer;
pub mod message;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use imap::mime::NeedleGrams;
use mailbox::{AccountId, MailboxId, UidRanges};
use parking_lot::{Mutex, RwLock};

use crate::replica::{Bell, Checkpointer, GroupId, Hint};
use index::{Index, Place};
use limits::{COMMIT_EVERY, FAILURE_PAUSE, MAILBOXES_MAX, READ_BYTES_PER_SECOND};

/// How the indexer works; tests are less patient.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a message waits at most, if the indexer keeps up.
    pub commit_every: Duration,
    /// How often it looks for what has come.
    pub poll_every: Duration,
    /// Bytes of mail a second that it reads.
    pub bytes_per_second: u64,
    /// How long it rests after a failure.
    pub failure_pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            commit_every: COMMIT_EVERY,
            poll_every: Duration::from_secs(1),
            bytes_per_second: READ_BYTES_PER_SECOND,
            failure_pause: FAILURE_PAUSE,
        }
    }
}

/// How much room the disk has for the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It may grow.
    Enough,
    /// It may stay.
    Little,
    /// Mail needs what it takes.
    None,
}

/// Tells how much room there is.
pub type HasRoom = Box<dyn Fn() -> Room + Send + Sync>;

/// The index of a node and what it is made of. For any thread.
pub struct Search {
    folder: PathBuf,
    replicas: Arc<Checkpointer>,
    room: HasRoom,
    pace: Pace,
    index: RwLock<Option<Arc<Index>>>,
    mailboxes: Mutex<Mailboxes>,
    bell: Bell,
    /// It could not be read as it should be: the indexer makes it anew.
    is_broken: AtomicBool,
    is_stopped: AtomicBool,
}

/// What is indexed.
#[derive(Default)]
struct Mailboxes {
    /// Those that were searched, [`MAILBOXES_MAX`] at most.
    searched: BTreeSet<Place>,
    /// Those of them that have changed since the indexer looked last.
    changed: BTreeSet<(GroupId, Place)>,
}

impl Search {
    /// The index in a folder of the data directory, of the replicas that are open on this node.
    #[must_use]
    pub fn new(folder: &Path, replicas: Arc<Checkpointer>, room: HasRoom, pace: Pace) -> Self {
        Self {
            folder: folder.to_owned(),
            replicas,
            room,
            pace,
            index: RwLock::default(),
            mailboxes: Mutex::default(),
            bell: Bell::default(),
            is_broken: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// Takes the hints of an applied entry: the indexer will look there. Does not wait.
    pub fn note(&self, group: GroupId, hints: &[Hint]) {
        let mut mailboxes = self.mailboxes.lock();
        for hint in hints {
            let place = (AccountId(hint.account), MailboxId(hint.mailbox));
            if mailboxes.searched.contains(&place) {
                mailboxes.changed.insert((group, place));
            }
        }
    }

    /// For each text the messages of a mailbox of a partition that certainly lack it: some or none
    /// of them. From now on the mailbox is indexed. Blocks on the disk.
    #[must_use]
    pub fn lacking(&self, group: GroupId, place: Place, texts: &[NeedleGrams]) -> Vec<UidRanges> {
        self.want(group, place);
        let Some(index) = self.index.read().clone() else {
            return Vec::new();
        };
        index.lacking(place, texts).unwrap_or_else(|error| {
            tracing::error!(%error, "the search index cannot be read");
            self.is_broken.store(true, Relaxed);
            *self.index.write() = None;
            self.bell.ring();
            Vec::new()
        })
    }

    /// Has a mailbox indexed.
    fn want(&self, group: GroupId, place: Place) {
        let mut mailboxes = self.mailboxes.lock();
        let is_full = mailboxes.searched.len() >= MAILBOXES_MAX;
        if !is_full && mailboxes.searched.insert(place) {
            mailboxes.changed.insert((group, place));
            self.bell.ring();
        }
    }

    /// These are in the index.
    fn remember(&self, places: impl IntoIterator<Item = Place>) {
        let searched = &mut self.mailboxes.lock().searched;
        for place in places {
            if searched.len() >= MAILBOXES_MAX {
                break;
            }
            searched.insert(place);
        }
    }

    /// What is indexed.
    fn mailboxes(&self) -> Vec<Place> {
        self.mailboxes.lock().searched.iter().copied().collect()
    }

    /// A mailbox is not indexed any more.
    fn forget(&self, place: Place) {
        self.mailboxes.lock().searched.remove(&place);
    }

    /// What has changed since the last call.
    fn take_changed(&self) -> BTreeSet<(GroupId, Place)> {
        std::mem::take(&mut self.mailboxes.lock().changed)
    }

    /// Messages in the index; `None` while there is none.
    #[must_use]
    pub fn messages(&self) -> Option<u64> {
        self.index.read().as_ref().map(|index| index.messages())
    }

    /// Indexes until [`Search::stop`]. Blocks: for a thread of its own.
    pub fn run(&self) {
        let mut failures = 0;
        while !self.is_stopped.load(Relaxed) {
            let worked = self.open().and_then(|index| {
                *self.index.write() = Some(Arc::clone(&index));
                indexer::work(self, &index, &mut failures)
            });
            *self.index.write() = None;
            let Err(error) = worked else { return };
            if let index::Error::NoRoom = error {
                tracing::warn!("the search index makes room for mail");
                self.set_aside();
                continue;
            }
            metrics::counter!("rookery_search_failures_total").increment(1);
            tracing::warn!(%error, "the search index does not go on");
            failures += 1;
            // What fails twice in a row with room on the disk is not the disk's fault.
            let is_bad = failures > 1 && (self.room)() == Room::Enough;
            if self.is_broken.swap(false, Relaxed) || is_bad {
                self.set_aside();
            }
            self.bell.wait(self.pace.failure_pause);
        }
    }

    /// Opens the index; one that cannot be opened is made anew.
    fn open(&self) -> Result<Arc<Index>, index::Error> {
        let opened = Index::open(&self.folder).or_else(|error| {
            tracing::warn!(%error, "the search index is made anew");
            self.set_aside();
            Index::open(&self.folder)
        });
        opened.map(Arc::new)
    }

    /// Gives the files of the index up.
    fn set_aside(&self) {
        metrics::counter!("rookery_search_rebuilds_total").increment(1);
        if let Err(error) = remove(&self.folder) {
            tracing::error!(%error, "the search index cannot be set aside");
        }
    }

    /// Ends [`Search::run`]. Nothing is lost by it: what was not committed is indexed again.
    pub fn stop(&self) {
        self.is_stopped.store(true, Relaxed);
        self.bell.ring();
    }
}

/// Removes the index in a folder; it is whole or away, also if this is interrupted.
///
/// # Errors
/// When a file cannot be removed.
pub fn remove(folder: &Path) -> io::Result<()> {
    let aside = folder.with_extension("damaged");
    for left in [&aside, folder] {
        if !left.try_exists()? {
            continue;
        }
        if left == folder {
            fs::rename(folder, &aside)?;
        }
        fs::remove_dir_all(&aside)?;
    }
    Ok(())
}
