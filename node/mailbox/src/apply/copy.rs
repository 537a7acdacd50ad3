//! COPY (RFC 9051 section 6.4.7) and MOVE (RFC 6851): all or nothing.
//!
//! A copy has the body, flags and INTERNALDATE of its original, under a new UID and with a SAVEDATE
//! of its own. A move is a copy and an expunge under one MODSEQ.

use rows::Rows;

use super::state::{Account, Found, Leaving, Mailbox};
use super::uploads::References;
use super::{Entry, Stop, moves};
use crate::command::{Rejection, Reply};
use crate::event::EventKind;
use crate::keywords::Keywords;
use crate::types::{AccountId, MailboxId, ModSeq, SystemFlags, UidRanges, UidValidity};

/// COPY.
pub(super) fn copy<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    from: MailboxId,
    to: MailboxId,
    uids: &UidRanges,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    let source = Mailbox::load(entry, account.id, from)?;
    let found = source.find(entry, uids, |_| true)?;
    let mut bytes = 0;
    for one in &found {
        bytes += one.decode()?.size();
    }
    if account.lacks_room(found.len(), bytes) {
        return Err(Rejection::OverQuota.into());
    }
    let nothing = SystemFlags::NONE;
    let copied = place(entry, &mut account, (from, to), &found, nothing)?;
    account.save(entry.rows);
    copied.references.settle(entry.rows)?;
    Ok(Reply::Copied {
        uid_validity: copied.uid_validity,
        from: copied.from,
        to: copied.to,
    })
}

/// MOVE.
pub(super) fn transfer<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    from: MailboxId,
    to: MailboxId,
    uids: &UidRanges,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    let source = Mailbox::load(entry, account.id, from)?;
    let found = source.find(entry, uids, |_| true)?;
    let leaving = found.iter().map(|one| one.uid).collect();
    moves::check_free(entry.rows, (account.id, from), &leaving, None)?;
    let nothing = SystemFlags::NONE;
    let copied = place(entry, &mut account, (from, to), &found, nothing)?;
    let modseq = copied.modseq;
    if !found.is_empty() {
        // Loaded anew: it may be the target too, which has changed.
        let mut source = Mailbox::load(entry, account.id, from)?;
        for one in found {
            source.depart(entry.rows, &mut account, one, Leaving::Moved)?;
        }
        source.log(entry, &account, &UidRanges::new(), &copied.from)?;
        source.save(entry.rows);
        entry.hint(account.id, from, modseq, EventKind::Expunged);
    }
    account.save(entry.rows);
    copied.references.settle(entry.rows)?;
    let uid_validity = copied.uid_validity;
    Ok(Reply::Moved {
        uid_validity,
        from: copied.from,
        to: copied.to,
        modseq,
    })
}

/// What was placed into the target.
pub(super) struct Placed {
    pub uid_validity: UidValidity,
    pub from: UidRanges,
    pub to: UidRanges,
    /// Of the arrivals; the account's last if nothing arrived.
    pub modseq: ModSeq,
    /// To be settled when the account was saved.
    pub references: References,
}

/// Puts copies of messages of one mailbox into another, or into the same, without some of their
/// flags. The caller saves the account.
pub(super) fn place<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: &mut Account,
    (from, to): (MailboxId, MailboxId),
    found: &[Found],
    without: SystemFlags,
) -> Result<Placed, Stop> {
    let mut target = Mailbox::load(entry, account.id, to)?;
    let mut placed = Placed {
        uid_validity: UidValidity(target.row.uid_validity),
        from: UidRanges::new(),
        to: UidRanges::new(),
        modseq: account.modseq(),
        references: References::default(),
    };
    if found.is_empty() {
        return Ok(placed);
    }
    if !target.has_uids(found.len()) {
        return Err(Rejection::MailboxFull.into());
    }
    placed.modseq = account.next_modseq();
    let allowed = entry.flags;
    let mut translation = Translation::new(entry, account.id, from, to)?;
    for one in found {
        let mut message = one.decode()?;
        if !allowed.keywords {
            message.row.keywords.clear();
        }
        translation.translate(entry, &mut message.row.keywords)?;
        message.system = message.system.only(allowed.system).without(without);
        message.row.saved_ms = entry.stamp.issued.0;
        placed.references.add(entry.rows, &message.body()?, 1);
        let uid = target.arrive(entry.rows, account, message, placed.modseq)?;
        placed.from.insert(one.uid);
        placed.to.insert(uid);
    }
    target.save(entry.rows);
    entry.hint(account.id, to, placed.modseq, EventKind::Arrived);
    Ok(placed)
}

/// Numbers of keywords in one mailbox to those of the same keywords in another.
struct Translation {
    source: Keywords,
    target: Keywords,
    /// By the source's number; `None` until it is needed.
    known: Vec<Option<u32>>,
    same: bool,
}

impl Translation {
    fn new<R: Rows>(
        entry: &Entry<'_, '_, R>,
        account: AccountId,
        from: MailboxId,
        to: MailboxId,
    ) -> Result<Translation, Stop> {
        let source = Keywords::load(entry.rows, account, from)?;
        let target = Keywords::load(entry.rows, account, to)?;
        let known = vec![None; source.names.len()];
        Ok(Translation {
            source,
            target,
            known,
            same: from == to,
        })
    }

    fn translate<R: Rows>(
        &mut self,
        entry: &mut Entry<'_, '_, R>,
        numbers: &mut [u32],
    ) -> Result<(), Stop> {
        if self.same {
            return Ok(());
        }
        for number in numbers.iter_mut() {
            let name = self.source.name(*number)?;
            let known = self.known.get_mut(*number as usize);
            let known = known.expect("as many as names, and there is a name");
            *number = match *known {
                Some(there) => there,
                None => *known.insert(self.target.ensure(entry.rows, name)?),
            };
        }
        numbers.sort_unstable();
        Ok(())
    }
}
