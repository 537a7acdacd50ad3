//! What changed in a mailbox after a MODSEQ.
//!
//! Two sources, both cheap when little changed. Flags and expunges stand in the log of changes, by
//! MODSEQ. Arrivals do not: their MODSEQs rise with their UIDs, so they are the messages from one
//! UID on, which a search over a few rows finds. Below the log's floor all messages are looked at
//! instead, for each page; who may have much to catch up with asks for what is remembered, and
//! finds the flags in pages of messages.
//!
//! ```text
//!   UIDs      1 .............. boundary .......... UIDNEXT
//!             arrived by `since` |  arrived after it
//!   MODSEQs   since ............ upto ............ now
//!                   told here     |  more to ask
//! ```

use rows::{Fault, Rows};

use super::{Changes, QueryError, account_row, folder_row, folders, messages};
use crate::keys::{self, AccountKey, Key};
use crate::keywords::Keywords;
use crate::limits;
use crate::select;
use crate::stored::{StoredChange, StoredMessage, peek};
use crate::types::{AccountId, Flags, MailboxId, ModSeq, Uid, UidRanges};

/// What changed after `since`.
pub(super) fn since(
    rows: &impl Rows,
    account: AccountId,
    mailbox: MailboxId,
    since: ModSeq,
) -> Result<Changes, QueryError> {
    page(rows, account, mailbox, since, Forgotten::Scan)
}

/// The same without a look at all messages: up to the log's floor, which is told, no flags.
pub(super) fn remembered(
    rows: &impl Rows,
    account: AccountId,
    mailbox: MailboxId,
    since: ModSeq,
) -> Result<Changes, QueryError> {
    page(rows, account, mailbox, since, Forgotten::Omit)
}

/// What is done about flags that changed below the log's floor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Forgotten {
    /// All messages are looked at, for each page.
    Scan,
    /// They are left out.
    Omit,
}

fn page(
    rows: &impl Rows,
    account: AccountId,
    mailbox: MailboxId,
    since: ModSeq,
    forgotten: Forgotten,
) -> Result<Changes, QueryError> {
    let now = ModSeq(account_row(rows, account)?.modseq);
    let Some(folder) = folder_row(rows, account, mailbox)? else {
        return Ok(Changes {
            modseq: now,
            ..Changes::default()
        });
    };
    let mut answer = Changes {
        modseq: now,
        ..Changes::default()
    };
    if folder.highest_modseq > since.0 {
        let place = Place {
            rows,
            account,
            mailbox,
        };
        let uid_next = Uid(folder.uid_next);
        let boundary = if folder.arrived_modseq > since.0 {
            place.boundary(since, uid_next)?
        } else {
            uid_next
        };
        let arrivals = place.arrivals(boundary)?;
        let mut logged = place.logged(since)?;
        let floor = ModSeq(folder.change_floor);
        if since < floor && forgotten == Forgotten::Omit {
            answer.floor = floor;
        } else if since < floor {
            let scanned = place.scanned(since, boundary)?;
            logged.changed = scanned.changed;
            logged.upto = earlier(logged.upto, scanned.upto);
        }
        let upto = earlier(arrivals.upto, logged.upto).unwrap_or(now);
        answer.modseq = upto;
        answer.more = upto < now;
        answer.arrived = within(&arrivals.changed, upto);
        let old = UidRanges::range(Uid(1), Uid(boundary.0.saturating_sub(1)));
        answer.vanished = within(&logged.expunged, upto);
        let changed = within(&logged.changed, upto).intersect(&old);
        answer.flags = place.flags(&changed.union(&answer.arrived))?;
    }
    answer.folder = Some(folders::described(rows, account, mailbox, folder)?);
    Ok(answer)
}

/// UIDs by the MODSEQ of their change, ascending.
type Dated = Vec<(ModSeq, UidRanges)>;

/// A part of what changed.
#[derive(Default)]
struct Part {
    changed: Dated,
    expunged: Dated,
    /// It is complete up to here; `None` if it is complete.
    upto: Option<ModSeq>,
}

/// The earlier of two ends.
fn earlier(a: Option<ModSeq>, b: Option<ModSeq>) -> Option<ModSeq> {
    a.into_iter().chain(b).min()
}

fn within(dated: &Dated, upto: ModSeq) -> UidRanges {
    let told = dated.iter().take_while(|(modseq, _)| *modseq <= upto);
    let mut ranges: Vec<(Uid, Uid)> = told.flat_map(|(_, uids)| uids.ranges()).collect();
    ranges.sort_unstable();
    let mut uids = UidRanges::new();
    ranges
        .into_iter()
        .for_each(|(first, last)| uids.insert_range(first, last));
    uids
}

struct Place<'a, R: Rows> {
    rows: &'a R,
    account: AccountId,
    mailbox: MailboxId,
}

impl<R: Rows> Place<'_, R> {
    /// The lowest UID from which on all messages arrived after `since`.
    ///
    /// Steps back from UIDNEXT in doubling strides, then halves the last one: the cost is the
    /// logarithm of how many arrived.
    fn boundary(&self, since: ModSeq, uid_next: Uid) -> Result<Uid, Fault> {
        let (mut after, mut stride) = (uid_next.0, 1);
        let mut before = loop {
            let probe = after.saturating_sub(stride);
            if probe == 0 || !self.is_after(since, Uid(probe))? {
                break probe;
            }
            after = probe;
            stride = stride.saturating_mul(2);
        };
        // Messages from `after` on arrived after `since`, the first one from `before` on did not.
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.is_after(since, Uid(middle))? {
                after = middle;
            } else {
                before = middle;
            }
        }
        Ok(Uid(after))
    }

    /// Whether all messages from a UID on, expunged ones included, arrived after `since`.
    fn is_after(&self, since: ModSeq, uid: Uid) -> Result<bool, Fault> {
        let (from, to) = keys::messages(self.account, self.mailbox, uid, Uid::MAX);
        match self.rows.scan(&from, &to)?.next() {
            None => Ok(true),
            Some(row) => {
                let (key, value) = row?;
                Ok(StoredMessage::decode(&key, value)?.arrived() > since)
            }
        }
    }

    /// Messages from a UID on that are there, by their arrival.
    fn arrivals(&self, boundary: Uid) -> Result<Part, Fault> {
        let (from, to) = keys::messages(self.account, self.mailbox, boundary, Uid::MAX);
        let mut part = Part::default();
        let mut count = 0;
        for row in self.rows.scan(&from, &to)? {
            let (key, value) = row?;
            if peek(&key, &value)?.0 {
                continue;
            }
            let arrived = StoredMessage::decode(&key, value)?.arrived();
            if is_full(&part.changed, arrived, count) {
                part.upto = part.changed.last().map(|(modseq, _)| *modseq);
                break;
            }
            count += 1;
            date(&mut part.changed, arrived).insert(keys::uid_of(&key)?);
        }
        Ok(part)
    }

    /// What the log of changes says after `since`.
    fn logged(&self, since: ModSeq) -> Result<Part, Fault> {
        let (from, to) = keys::changes(self.account, self.mailbox, since);
        let mut part = Part::default();
        let mut count = 0;
        let mut last = since;
        for row in self.rows.scan(&from, &to)? {
            let (key, value) = row?;
            let Key::Of(_, AccountKey::Change(_, modseq, _)) = Key::decode(&key)? else {
                return Err(Fault::row(&key, "not a change"));
            };
            if count >= limits::PAGE_CHANGES_MAX as u64 && modseq > last {
                part.upto = Some(last);
                break;
            }
            last = modseq;
            let change = StoredChange::decode(&key, value)?;
            count += change.changed.len() + change.expunged.len();
            let changed = date(&mut part.changed, modseq);
            *changed = changed.union(&change.changed);
            let expunged = date(&mut part.expunged, modseq);
            *expunged = expunged.union(&change.expunged);
        }
        Ok(part)
    }

    /// What all messages below a UID say that changed after `since`.
    fn scanned(&self, since: ModSeq, boundary: Uid) -> Result<Part, Fault> {
        let below = Uid(boundary.0.saturating_sub(1));
        let (from, to) = keys::messages(self.account, self.mailbox, Uid(0), below);
        let mut changed: Vec<(ModSeq, Uid)> = Vec::new();
        for row in self.rows.scan(&from, &to)? {
            let (key, value) = row?;
            if peek(&key, &value)?.0 {
                continue;
            }
            let modseq = ModSeq(StoredMessage::decode(&key, value)?.row.modseq);
            if modseq > since {
                changed.push((modseq, keys::uid_of(&key)?));
            }
        }
        changed.sort_unstable();
        let mut part = Part::default();
        for (count, (modseq, uid)) in changed.into_iter().enumerate() {
            if is_full(&part.changed, modseq, count) {
                part.upto = part.changed.last().map(|(modseq, _)| *modseq);
                break;
            }
            date(&mut part.changed, modseq).insert(uid);
        }
        Ok(part)
    }

    /// The flags of those of `uids` that are there.
    fn flags(&self, uids: &UidRanges) -> Result<Vec<(Uid, ModSeq, Flags)>, Fault> {
        let keywords = Keywords::load(self.rows, self.account, self.mailbox)?;
        let mut all = Vec::new();
        for (first, last) in select::spans(uids) {
            let (from, to) = keys::messages(self.account, self.mailbox, first, last);
            for row in self.rows.scan(&from, &to)? {
                let (key, value) = row?;
                let uid = keys::uid_of(&key)?;
                if peek(&key, &value)?.0 || !uids.contains(uid) {
                    continue;
                }
                let message = StoredMessage::decode(&key, value)?;
                let flags = messages::flags(message.system, &message.row, &keywords)?;
                all.push((uid, ModSeq(message.row.modseq), flags));
            }
        }
        Ok(all)
    }
}

/// Whether the page is full and `modseq` begins what does not belong to it.
fn is_full(dated: &Dated, modseq: ModSeq, count: usize) -> bool {
    count >= limits::PAGE_CHANGES_MAX && dated.last().is_some_and(|(last, _)| *last < modseq)
}

/// The UIDs of a MODSEQ that is the last so far or comes after it.
fn date(dated: &mut Dated, modseq: ModSeq) -> &mut UidRanges {
    if dated.last().is_none_or(|(last, _)| *last != modseq) {
        dated.push((modseq, UidRanges::new()));
    }
    let last = dated
        .last_mut()
        .expect("one was just put there if there was none");
    &mut last.1
}
