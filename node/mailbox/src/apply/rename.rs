//! RENAME (RFC 9051 section 6.3.6).

use std::collections::BTreeSet;

use proto::v1::MailNameRow;
use rows::{Fault, Rows};

use super::folders::{make, name_row, set_name};
use super::state::{Account, Mailbox};
use super::{Entry, Stop, copy};
use crate::command::{Rejection, Reply};
use crate::event::EventKind;
use crate::keys::{self, AccountKey, Key};
use crate::stored::decode;
use crate::types::{AccountId, MailboxId, UidRanges, UidValidity, names};

/// A mailbox that gets another name.
struct Renamed {
    mailbox: MailboxId,
    from: String,
    to: String,
}

/// Renames a mailbox and all below it. INBOX gives its messages to a new mailbox instead.
pub(super) fn run<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    from: &str,
    to: &str,
) -> Result<Reply, Stop> {
    let mut account = Account::load(entry, account)?;
    let (from, to) = (names::canonical(from), names::canonical(to));
    if !names::is_valid(&to) {
        return Err(Rejection::NameInvalid.into());
    }
    if name_row(entry, account.id, &to)?.mailbox != 0 {
        return Err(Rejection::Exists.into());
    }
    if from == names::INBOX {
        return empty_inbox(entry, account, &to);
    }
    if names::is_below(&to, &from) {
        return Err(Rejection::NotPermitted.into());
    }
    let renamed = affected(entry, account.id, &from, &to)?;
    check(entry, account.id, &renamed)?;
    let modseq = account.next_modseq();
    for one in &renamed {
        give_name(entry, &mut account, &one.from, None)?;
    }
    if let Some(superior) = names::superiors(&to).last() {
        make(entry, &mut account, superior, None, false)?;
    }
    let mut reply = Reply::Nothing;
    for one in &renamed {
        give_name(entry, &mut account, &one.to, Some(one.mailbox))?;
        let mut mailbox = Mailbox::load(entry, account.id, one.mailbox)?;
        mailbox.row.name.clone_from(&one.to);
        mailbox.save(entry.rows);
        if one.from == from {
            let uid_validity = UidValidity(mailbox.row.uid_validity);
            reply = Reply::Created {
                mailbox: one.mailbox,
                uid_validity,
            };
        }
        entry.hint(account.id, one.mailbox, modseq, EventKind::Folders);
    }
    account.save(entry.rows);
    Ok(reply)
}

/// RENAME of INBOX: its messages move to a new mailbox; inferior ones are left alone.
fn empty_inbox<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    mut account: Account,
    to: &str,
) -> Result<Reply, Stop> {
    let modseq = account.next_modseq();
    let target = make(entry, &mut account, to, None, false)?;
    account.save(entry.rows);
    entry.hint(account.id, target.id, modseq, EventKind::Folders);
    copy::transfer(
        entry,
        account.id,
        MailboxId::INBOX,
        target.id,
        &UidRanges::all(),
    )?;
    let uid_validity = UidValidity(target.row.uid_validity);
    Ok(Reply::Created {
        mailbox: target.id,
        uid_validity,
    })
}

/// The mailbox of a name and all below it. A name may have inferior mailboxes alone.
fn affected<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    from: &str,
    to: &str,
) -> Result<Vec<Renamed>, Stop> {
    let mut renamed = Vec::new();
    let own = name_row(entry, account, from)?;
    if own.mailbox != 0 {
        let mailbox = MailboxId(own.mailbox);
        renamed.push(Renamed {
            mailbox,
            from: from.to_owned(),
            to: to.to_owned(),
        });
    }
    let (first, end) = keys::names_below(account, from);
    for found in entry.rows.scan(&first, &end)? {
        let (key, value) = found?;
        let row: MailNameRow = decode(&key, value)?;
        let Key::Of(_, AccountKey::Name(name)) = Key::decode(&key)? else {
            return Err(Fault::row(&key, "not a name").into());
        };
        if row.mailbox != 0 {
            let below = name.get(from.len()..).unwrap_or_default();
            let to = format!("{to}{below}");
            renamed.push(Renamed {
                mailbox: MailboxId(row.mailbox),
                from: name,
                to,
            });
        }
    }
    if renamed.is_empty() {
        Err(Rejection::NoMailbox.into())
    } else {
        Ok(renamed)
    }
}

/// Every new name must be possible and free, or become free.
fn check<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: AccountId,
    renamed: &[Renamed],
) -> Result<(), Stop> {
    let freed: BTreeSet<&str> = renamed.iter().map(|one| one.from.as_str()).collect();
    for one in renamed {
        if !names::is_valid(&one.to) {
            return Err(Rejection::NameInvalid.into());
        }
        let taken = name_row(entry, account, &one.to)?.mailbox;
        if taken != 0 && !freed.contains(one.to.as_str()) {
            return Err(Rejection::Exists.into());
        }
    }
    Ok(())
}

fn give_name<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: &mut Account,
    name: &str,
    mailbox: Option<MailboxId>,
) -> Result<(), Stop> {
    let mut row = name_row(entry, account.id, name)?;
    row.mailbox = mailbox.map_or(0, |mailbox| mailbox.0);
    set_name(entry, account, name, &row)
}
