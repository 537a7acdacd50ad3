//! EXPUNGE (RFC 9051 section 6.4.3, RFC 4315 section 2.1).

use rows::Rows;

use super::state::{Account, Found, Leaving, Mailbox};
use super::{Entry, Stop};
use crate::command::Reply;
use crate::event::EventKind;
use crate::types::{AccountId, MailboxId, SystemFlags, UidRanges};

/// Expunges messages that have `\Deleted`. Their rows stay for the retention.
pub(super) fn run<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    mailbox: MailboxId,
    uids: Option<&UidRanges>,
) -> Result<Reply, Stop> {
    let account = Account::load(entry, account)?;
    let mailbox = Mailbox::load(entry, account.id, mailbox)?;
    let found = if mailbox.row.deleted == 0 {
        Vec::new()
    } else {
        let all = UidRanges::all();
        let deleted = |system: SystemFlags| system.has(SystemFlags::DELETED);
        mailbox.find(entry, uids.unwrap_or(&all), deleted)?
    };
    expunge(entry, account, mailbox, found)
}

/// Expunges what was found in a mailbox.
pub(super) fn expunge<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    mut account: Account,
    mut mailbox: Mailbox,
    found: Vec<Found>,
) -> Result<Reply, Stop> {
    if found.is_empty() {
        return Ok(Reply::Expunged {
            uids: UidRanges::new(),
            modseq: account.modseq(),
        });
    }
    let modseq = account.next_modseq();
    let uids: UidRanges = found.iter().map(|one| one.uid).collect();
    let leaving = Leaving::Expunged(entry.time);
    for one in found {
        mailbox.depart(entry.rows, &mut account, one, leaving)?;
    }
    mailbox.log(entry, &account, &UidRanges::new(), &uids)?;
    mailbox.save(entry.rows);
    account.save(entry.rows);
    entry.hint(account.id, mailbox.id, modseq, EventKind::Expunged);
    Ok(Reply::Expunged { uids, modseq })
}
