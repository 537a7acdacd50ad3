//! What changed while a client was away (RFC 7162 sections 3.2.5 and 3.2.6): the parameter QRESYNC
//! of SELECT and EXAMINE, and the modifier VANISHED of UID FETCH.
//!
//! ```text
//!   vanished  the log of changes, exact ───────────────┐ asked about, and not in the view
//!             below its floor: all that is not there ──┴─► VANISHED (EARLIER), before any FETCH
//!   flags     the log of changes; if it is long, rows again in pages ─► FETCH
//!             below its floor: rows of all messages, in pages ────────► FETCH
//! ```
//!
//! The view was read before the changes are, with NOTIFY long before. What was expunged in between
//! still has its sequence number, so it is told later, without EARLIER; what arrived in between has
//! none yet, and is there all the same.

use mailbox::{Answer, Changes, Flags, Folder, Message, ModSeq, Query, Uid, UidRanges};

use crate::backend::{Backend, BackendError, Transport};
use crate::cmd::no_mailbox;
use crate::cmd::store::chunks;
use crate::grammar::{IdRange, QResync, SequenceMatch, SequenceSet};
use crate::limits;
use crate::state::{Reading, Result, Session, Stop};
use crate::sync::Expunges;
use crate::view::News;

/// What changed after a mod-sequence.
struct Missed {
    /// The mailbox as it is now.
    folder: Folder,
    /// What was expunged; `None` if that is remembered no more.
    vanished: Option<UidRanges>,
    changed: Changed,
}

/// Which messages changed or arrived.
enum Changed {
    /// Few: with their flags.
    Flags(Vec<(Uid, ModSeq, Flags)>),
    /// Many, or it is not remembered which: they are among these.
    Uids(UidRanges),
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// Tells what a client missed of the mailbox that it has just selected. If that is not the one
    /// that it remembers, it missed everything, and nothing is told (RFC 7162 section 3.2.5.1).
    pub(super) async fn resynchronise(&mut self, known: &QResync) -> Result<()> {
        if known.uid_validity != self.selected()?.uid_validity.0 {
            return Ok(());
        }
        let result = self.tell_missed(known).await;
        if let Err(Stop::No(..)) = result {
            self.unselect()?;
        }
        result
    }

    async fn tell_missed(&mut self, known: &QResync) -> Result<()> {
        let since = ModSeq(known.modseq);
        let missed = self.missed(since).await?;
        let given = given(&missed.folder);
        let asked = match &known.known {
            Some(set) => uids(&set.normalise(0)).intersect(&given),
            None => given,
        };
        self.tell_gone(&missed, &asked, &known.matches).await?;
        match missed.changed {
            Changed::Flags(flags) => {
                for (uid, modseq, flags) in flags {
                    if asked.contains(uid) {
                        self.tell_flags(uid, modseq, &flags, true);
                        self.conn.relieve().await?;
                    }
                }
                Ok(())
            }
            Changed::Uids(changed) => self.tell_rows(since, &changed.intersect(&asked)).await,
        }
    }

    /// UID FETCH with VANISHED: tells which UIDs of the set are gone since (RFC 7162 section
    /// 3.2.6). What the client still has sequence numbers for is told first, as VANISHED, also if
    /// it wants to hear of no changes otherwise.
    pub(super) async fn tell_vanished_of(
        &mut self,
        set: &SequenceSet,
        since: ModSeq,
    ) -> Result<()> {
        self.refresh(Expunges::Tell).await?;
        let missed = self.missed(since).await?;
        let given = given(&missed.folder);
        // The last message may be gone, and who says `*` wants to hear of that too.
        let last = given.last().unwrap_or_default();
        let asked = uids(&set.normalise(last.0)).intersect(&given);
        let gone = self.vanished_among(&missed, &asked, &[]).await?;
        let earlier = gone.subtract(self.selected()?.view.uids());
        if self.is_hushed() {
            // The view stands still, but of these it is asked (RFC 5465 section 5).
            self.selected()?.view.lose(&gone);
            Box::pin(self.tell(News::default(), Expunges::Tell)).await?;
        }
        self.tell_vanished(true, &earlier).await
    }

    /// Tells which of the UIDs that are asked about are gone, of those without a sequence number.
    async fn tell_gone(
        &mut self,
        missed: &Missed,
        asked: &UidRanges,
        matches: &[SequenceMatch],
    ) -> Result<()> {
        let gone = self.vanished_among(missed, asked, matches).await?;
        let earlier = gone.subtract(self.selected()?.view.uids());
        self.tell_vanished(true, &earlier).await
    }

    /// Which of the UIDs that are asked about are gone. Where it is not remembered what was
    /// expunged since, that is all that are not there (RFC 7162 section 3.2.5.1), except those up
    /// to which sequence numbers show that nothing was. The view does not say what is there: there
    /// may be messages that it does not show yet.
    async fn vanished_among(
        &mut self,
        missed: &Missed,
        asked: &UidRanges,
        matches: &[SequenceMatch],
    ) -> Result<UidRanges> {
        if let Some(vanished) = &missed.vanished {
            return Ok(vanished.intersect(asked));
        }
        let unchanged = self.selected()?.view.unchanged_up_to(matches);
        let above = UidRanges::range(Uid(unchanged.0.saturating_add(1)), Uid::MAX);
        let present = self.present().await?;
        Ok(above.intersect(asked).subtract(&present))
    }

    /// The messages that are in the selected mailbox now.
    async fn present(&mut self) -> Result<UidRanges> {
        let account = self.backend.account();
        let selected = self.selected()?;
        let (mailbox, uid_validity) = (selected.mailbox, selected.uid_validity);
        let query = Query::Open { account, mailbox };
        let opened = self.ask(query, |answer| match answer {
            Answer::Opened(opened) => Some(opened),
            _ => None,
        });
        let opened = opened.await?;
        if opened.folder.uid_validity != uid_validity {
            return Err(no_mailbox());
        }
        Ok(opened.uids)
    }

    /// Reads what changed in the selected mailbox after a mod-sequence. Flags are kept as long as
    /// they are those of one page.
    async fn missed(&mut self, since: ModSeq) -> Result<Missed> {
        let uid_validity = self.selected()?.uid_validity;
        let (mut vanished, mut changed) = (Vec::new(), Vec::new());
        let (mut from, mut is_whole) = (since, true);
        loop {
            let page = self.remembered(from).await?;
            let folder = page.folder.ok_or_else(no_mailbox)?;
            if folder.uid_validity != uid_validity {
                return Err(no_mailbox());
            }
            let is_first = from == since;
            is_whole &= page.floor == ModSeq(0);
            vanished.extend(page.vanished.ranges());
            if is_first && is_whole && !page.more {
                return Ok(Missed {
                    vanished: known_whole(&folder, since, vanished),
                    folder,
                    changed: Changed::Flags(page.flags),
                });
            }
            if since < folder.vanished_floor {
                // Further pages would tell only flags.
                return Ok(Missed {
                    vanished: None,
                    folder,
                    changed: Changed::Uids(self.selected()?.view.uids().clone()),
                });
            }
            changed.extend(page.flags.into_iter().map(|(uid, ..)| (uid, uid)));
            if !page.more {
                let changed = match is_whole {
                    true => union(changed),
                    false => self.selected()?.view.uids().clone(),
                };
                return Ok(Missed {
                    vanished: known_whole(&folder, since, vanished),
                    folder,
                    changed: Changed::Uids(changed),
                });
            }
            from = page.modseq;
        }
    }

    /// The next page of what is remembered of changes. An earlier version does not know what it is
    /// asked, and may answer while nodes are replaced one by one: it looks at all messages instead.
    async fn remembered(&mut self, since: ModSeq) -> Result<Changes> {
        let (account, mailbox) = (self.backend.account(), self.selected()?.mailbox);
        let remembered = Query::Remembered {
            account,
            mailbox,
            since,
        };
        let answer = match self.backend.read(remembered).await {
            Err(BackendError::Broken) => {
                let changes = Query::Changes {
                    account,
                    mailbox,
                    since,
                };
                self.backend.read(changes).await?
            }
            answer => answer?,
        };
        match answer {
            Answer::Changes(changes) => Ok(changes),
            _ => Err(BackendError::Broken.into()),
        }
    }

    /// Tells the flags of messages that changed, page by page.
    async fn tell_rows(&mut self, since: ModSeq, changed: &UidRanges) -> Result<()> {
        // What did not change is told by nobody, so a page may reach far.
        for mut uids in chunks(changed, limits::REACH_MESSAGES) {
            while !uids.is_empty() {
                let page = self.rows(&mut uids, Some(since)).await?;
                for message in page {
                    self.tell_flags(message.uid, message.modseq, &message.flags, true);
                    self.conn.relieve().await?;
                }
            }
        }
        Ok(())
    }

    /// The next page of messages that are there, and takes what it covers out of `uids`.
    pub(super) async fn rows(
        &mut self,
        uids: &mut UidRanges,
        changed_since: Option<ModSeq>,
    ) -> Result<Vec<Message>> {
        let query = Query::Messages {
            account: self.backend.account(),
            mailbox: self.selected()?.mailbox,
            uids: uids.clone(),
            changed_since,
            limit: limits::PAGE_MESSAGES,
            include_expunged: false,
        };
        let page = self.ask_selected(Reading::Near, query, |answer| match answer {
            Answer::Messages(page) => Some(page),
            _ => None,
        });
        let page = page.await?;
        self.selected()?.view.see(page.modseq);
        *uids = match page.next {
            Some(next) => UidRanges::range(next, Uid::MAX).intersect(uids),
            None => UidRanges::new(),
        };
        Ok(page.messages)
    }
}

/// All UIDs that were ever given in a mailbox.
fn given(folder: &Folder) -> UidRanges {
    UidRanges::range(Uid(1), Uid(folder.uid_next.0.saturating_sub(1)))
}

/// What was expunged after a mod-sequence, if that is remembered whole.
fn known_whole(folder: &Folder, since: ModSeq, ranges: Vec<(Uid, Uid)>) -> Option<UidRanges> {
    (since >= folder.vanished_floor).then(|| union(ranges))
}

fn union(mut ranges: Vec<(Uid, Uid)>) -> UidRanges {
    ranges.sort_unstable();
    let mut uids = UidRanges::new();
    for (first, last) in ranges {
        uids.insert_range(first, last);
    }
    uids
}

/// Sorted ranges that do not touch, as a set.
fn uids(ranges: &[IdRange]) -> UidRanges {
    union(
        ranges
            .iter()
            .map(|range| (Uid(range.first), Uid(range.last)))
            .collect(),
    )
}
