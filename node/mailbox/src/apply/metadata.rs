//! Annotations of mailboxes and accounts (RFC 5464).
//!
//! Those of a mailbox belong to its id: they move with RENAME, go with DELETE, and are back when it
//! is restored. They count against bounds of their own and not against the quota.

use proto::v1::MailMetadataRow;
use rows::{Fault, Rows};

use super::state::{Account, Mailbox, add_long, signed};
use super::{Entry, Stop};
use crate::codec::use_number;
use crate::command::{Annotate, NewMetadata, Rejection, Reply};
use crate::event::EventKind;
use crate::keys::{self, AccountKey, Key};
use crate::layer::Layer;
use crate::limits;
use crate::metadata;
use crate::stored::decode;
use crate::types::{AccountId, MailboxId, SpecialUse};

/// SETMETADATA; of a mailbox as it was done before [`annotate`].
pub(super) fn set<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    of: (AccountId, Option<MailboxId>),
    user: AccountId,
    entries: &[NewMetadata],
    special_use: Option<Option<SpecialUse>>,
) -> Result<Reply, Stop> {
    let (account, _) = put(entry, of, user, entries, special_use)?;
    let id = of.1.unwrap_or(MailboxId(0));
    entry.hint(account.id, id, account.modseq(), EventKind::Folders);
    Ok(Reply::Nothing)
}

/// SETMETADATA of a mailbox: a change raises its mod-sequence (RFC 7162 section 3.2), by which a
/// client learns of it.
pub(super) fn annotate<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    annotate: &Annotate,
) -> Result<Reply, Stop> {
    let Annotate {
        account,
        mailbox: id,
        user,
        ref entries,
        special_use,
    } = *annotate;
    let (mut account, is_changed) = put(entry, (account, Some(id)), user, entries, special_use)?;
    if is_changed {
        let mut mailbox = Mailbox::load(entry, account.id, id)?;
        mailbox.row.highest_modseq = account.next_modseq().0;
        mailbox.save(entry.rows);
        account.save(entry.rows);
    }
    entry.hint(account.id, id, account.modseq(), EventKind::Folders);
    Ok(Reply::Nothing)
}

/// The account afterwards, and whether anything changed.
fn put<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    (account, mailbox): (AccountId, Option<MailboxId>),
    user: AccountId,
    entries: &[NewMetadata],
    special_use: Option<Option<SpecialUse>>,
) -> Result<(Account, bool), Stop> {
    let mut account = Account::load(entry, account)?;
    check(mailbox, user, entries, special_use)?;
    let id = mailbox.unwrap_or(MailboxId(0));
    let mut change = Change::default();
    if let Some(id) = mailbox {
        let mut mailbox = Mailbox::load(entry, account.id, id)?;
        if let Some(special_use) = special_use {
            let number = use_number(special_use);
            change.is_any |= mailbox.row.special_use != number;
            mailbox.row.special_use = number;
            mailbox.save(entry.rows);
        }
    }
    let span = keys::metadata(account.id, id);
    let limit = limits::METADATA_ENTRIES_MAX;
    let before = entry.rows.collect(&span, limit + 1)?.len();
    for one in entries {
        change.put(entry.rows, account.id, id, user, one)?;
    }
    add_long(&mut account.row.metadata_bytes, change.weight)?;
    // What was too much before, under other limits, may still become less.
    let is_full = change.entries > 0 && before.saturating_add_signed(change.entries) > limit;
    let is_heavy =
        change.weight > 0 && account.row.metadata_bytes > limits::METADATA_BYTES_PER_ACCOUNT_MAX;
    if is_full || is_heavy {
        return Err(Rejection::MetadataLimit.into());
    }
    account.save(entry.rows);
    Ok((account, change.is_any))
}

fn check(
    mailbox: Option<MailboxId>,
    user: AccountId,
    entries: &[NewMetadata],
    special_use: Option<Option<SpecialUse>>,
) -> Result<(), Rejection> {
    let is_possible = |entry: &NewMetadata| {
        let length = entry.value.as_ref().map_or(0, |value| value.len());
        metadata::is_valid(&entry.name)
            && length <= limits::METADATA_VALUE_BYTES_MAX
            // What a mailbox is for has one place only.
            && (mailbox.is_none() || entry.name != metadata::SPECIAL_USE)
    };
    let is_named = mailbox != Some(MailboxId(0)) && user != AccountId(0);
    let is_mailbox = mailbox.is_some() || special_use.is_none();
    let fits = entries.len() <= limits::METADATA_ENTRIES_MAX;
    if is_named && is_mailbox && fits && entries.iter().all(is_possible) {
        Ok(())
    } else {
        Err(Rejection::Invalid)
    }
}

/// How the number of annotations and their weight change, and whether any value does.
#[derive(Default)]
struct Change {
    entries: isize,
    weight: i64,
    is_any: bool,
}

impl Change {
    fn put<R: Rows>(
        &mut self,
        rows: &mut Layer<'_, R>,
        account: AccountId,
        mailbox: MailboxId,
        user: AccountId,
        new: &NewMetadata,
    ) -> Result<(), Fault> {
        let owner = metadata::owner(&new.name, user);
        let key = AccountKey::Metadata(mailbox, owner, new.name.clone());
        let key = Key::Of(account, key).encode();
        let old: Option<MailMetadataRow> = rows.row(&key)?;
        self.is_any |= old.as_ref().map(|old| &old.value) != new.value.as_ref();
        if let Some(old) = old {
            self.entries -= 1;
            self.weight -= signed(metadata::weight(&new.name, &old.value))?;
        }
        match &new.value {
            Some(value) => {
                self.entries += 1;
                self.weight += signed(metadata::weight(&new.name, value))?;
                let value = value.clone();
                rows.put_row(key, &MailMetadataRow { value });
            }
            None => rows.delete(key),
        }
        Ok(())
    }
}

/// What the annotations of a mailbox weigh.
pub(super) fn weight_of<R: Rows>(
    rows: &Layer<'_, R>,
    account: AccountId,
    mailbox: MailboxId,
) -> Result<u64, Fault> {
    let (from, to) = keys::metadata(account, mailbox);
    let mut weight = 0;
    for row in rows.scan(&from, &to)? {
        let (key, value) = row?;
        let Key::Of(_, AccountKey::Metadata(_, _, name)) = Key::decode(&key)? else {
            return Err(Fault::row(&key, "not an annotation"));
        };
        let row: MailMetadataRow = decode(&key, value)?;
        weight += metadata::weight(&name, &row.value);
    }
    Ok(weight)
}
