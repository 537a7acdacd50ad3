//! STORE (RFC 9051 section 6.4.6, RFC 7162 section 3.1.3).

use rows::Rows;

use super::state::{Account, Mailbox};
use super::{Entry, Stop};
use crate::access::FlagRights;
use crate::command::{Rejection, Reply, StoreMode};
use crate::event::EventKind;
use crate::keywords::Keywords;
use crate::limits;
use crate::stored::StoredMessage;
use crate::types::{self, AccountId, Flags, MailboxId, ModSeq, UidRanges};

/// What STORE does to each message.
pub(super) struct Change<'a> {
    pub mode: StoreMode,
    pub flags: &'a Flags,
    pub unchanged_since: Option<ModSeq>,
}

/// Refuses keywords that no mailbox takes.
pub(super) fn check(flags: &Flags) -> Result<(), Rejection> {
    let few = flags.keywords().len() <= limits::KEYWORDS_PER_MESSAGE_MAX;
    if few
        && flags
            .keywords()
            .iter()
            .all(|keyword| types::is_keyword(keyword))
    {
        return Ok(());
    }
    Err(Rejection::KeywordLimit)
}

/// Changes flags. Only messages whose flags differ afterwards get a new MODSEQ.
pub(super) fn store<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    mailbox: MailboxId,
    uids: &UidRanges,
    change: &Change<'_>,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    let mut mailbox = Mailbox::load(entry, account.id, mailbox)?;
    check(change.flags)?;
    let allowed = entry.flags;
    let change = &Change {
        flags: &allowed.of(change.flags).ok_or(Rejection::NoRight)?,
        ..*change
    };
    let mut modified = UidRanges::new();
    let mut wanted = Vec::new();
    for found in mailbox.find(entry, uids, |_| true)? {
        let message = found.decode()?;
        if change
            .unchanged_since
            .is_some_and(|since| message.row.modseq > since.0)
        {
            modified.insert(found.uid);
        } else {
            wanted.push((found, message));
        }
    }
    let numbers = if wanted.is_empty() || change.flags.keywords().is_empty() {
        Vec::new()
    } else {
        numbers(entry, &mailbox, change)?
    };
    let mut changed = UidRanges::new();
    let modseq = ModSeq(account.row.modseq + 1);
    for (found, mut message) in wanted {
        let before = (message.system, message.row.keywords.clone());
        set(&mut message, change, &numbers, allowed);
        if (message.system, &message.row.keywords) == (before.0, &before.1) {
            continue;
        }
        if message.row.keywords.len() > limits::KEYWORDS_PER_MESSAGE_MAX {
            return Err(Rejection::KeywordLimit.into());
        }
        mailbox.count_flags(before.0, -1)?;
        mailbox.count_flags(message.system, 1)?;
        message.row.modseq = modseq.0;
        entry.rows.put(found.key, message.encode());
        changed.insert(found.uid);
    }
    if changed.is_empty() {
        return Ok(Reply::Stored {
            modseq: account.modseq(),
            modified,
        });
    }
    account.next_modseq();
    mailbox.log(entry, &account, &changed, &UidRanges::new())?;
    mailbox.save(entry.rows);
    account.save(entry.rows);
    entry.hint(account.id, mailbox.id, modseq, EventKind::Flags);
    Ok(Reply::Stored { modseq, modified })
}

/// The numbers of a change's keywords, ascending.
fn numbers<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    mailbox: &Mailbox,
    change: &Change<'_>,
) -> Result<Vec<u32>, Stop> {
    let mut known = Keywords::load(entry.rows, mailbox.account, mailbox.id)?;
    let words = change.flags.keywords();
    match change.mode {
        // A keyword that the mailbox does not know is not set anywhere.
        StoreMode::Remove => {
            let mut numbers: Vec<u32> =
                words.iter().filter_map(|word| known.number(word)).collect();
            numbers.sort_unstable();
            Ok(numbers)
        }
        StoreMode::Add | StoreMode::Replace => Ok(known.ensure_all(entry.rows, words)?),
    }
}

/// Sets those of a message's flags that may be changed; `numbers` are those of the change's
/// keywords, ascending.
fn set(message: &mut StoredMessage, change: &Change<'_>, numbers: &[u32], allowed: FlagRights) {
    let system = change.flags.system;
    let keywords = &mut message.row.keywords;
    match change.mode {
        StoreMode::Add => {
            message.system = message.system.with(system);
            keywords.extend_from_slice(numbers);
            keywords.sort_unstable();
            keywords.dedup();
        }
        StoreMode::Remove => {
            message.system = message.system.without(system);
            keywords.retain(|number| numbers.binary_search(number).is_err());
        }
        StoreMode::Replace => {
            message.system = message.system.without(allowed.system).with(system);
            if allowed.keywords {
                keywords.clear();
                keywords.extend_from_slice(numbers);
            }
        }
    }
}
