//! Delivery of one body to any number of recipients (LMTP, RFC 2033).
//!
//! Every recipient has a result of its own. A retry by an MTA that did not see the reply is
//! recognised by sender, recipient and body, and is answered as delivered. A body is stored once.

use bytes::Bytes;
use prost::Message as _;
use proto::v1::{MailDuplicateRow, MailLaneRow, MailMessageRow};
use rows::{Fault, Rows};

use super::folders::name_row;
use super::state::{Account, Mailbox};
use super::uploads::{self, References};
use super::{Entry, Stop, sweep};
use crate::command::{Confirmed, Deliver, Delivered, Recipient, Rejection, Reply};
use crate::event::EventKind;
use crate::keys::Key;
use crate::limits;
use crate::stored::{MessageState, StoredMessage};
use crate::types::{AccountId, Body, Hash16, Lane, MailboxId, Millis, ModSeq, SystemFlags, names};

/// Delivers to every recipient.
pub(super) fn run<R: Rows>(entry: &mut Entry<'_, '_, R>, deliver: &Deliver) -> Result<Reply, Stop> {
    check(deliver)?;
    for confirmed in &deliver.confirmed {
        confirm(entry, *confirmed)?;
    }
    let body = uploads::admit(entry, &deliver.body)?;
    let mut results = Vec::with_capacity(deliver.recipients.len());
    let mut given: Vec<(AccountId, ModSeq)> = Vec::new();
    for recipient in &deliver.recipients {
        let seen = duplicate_key(&deliver.sender, &recipient.address, &deliver.body.hash);
        if deliver.suppress_duplicates && was_delivered(entry, seen)? {
            entry.duplicates.extend_from_slice(&seen);
            results.push(Delivered::Duplicate);
            continue;
        }
        let result = match &body {
            None => Delivered::NoUpload,
            Some(body) => to_recipient(entry, recipient, body, deliver.received, &mut given)?,
        };
        if deliver.suppress_duplicates && matches!(result, Delivered::Stored { .. }) {
            remember(entry, seen)?;
        }
        results.push(result);
    }
    if let Some(body) = &body {
        let stored = results
            .iter()
            .filter(|result| matches!(result, Delivered::Stored { .. }));
        let mut references = References::default();
        references.add(entry.rows, body, stored.count() as i64);
        references.settle(entry.rows)?;
    }
    Ok(Reply::Delivered(results))
}

fn check(deliver: &Deliver) -> Result<(), Rejection> {
    let address = |address: &str| address.len() <= limits::ADDRESS_BYTES_MAX;
    let recipient = |recipient: &Recipient| {
        address(&recipient.address) && recipient.prefix.len() <= limits::PREFIX_BYTES_MAX
    };
    let ok = (1..=limits::RECIPIENTS_MAX).contains(&deliver.recipients.len())
        && deliver.confirmed.len() <= limits::CONFIRMED_MAX
        && address(&deliver.sender)
        && deliver.recipients.iter().all(recipient);
    if ok { Ok(()) } else { Err(Rejection::Invalid) }
}

fn to_recipient<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    recipient: &Recipient,
    body: &Body,
    received: Millis,
    given: &mut Vec<(AccountId, ModSeq)>,
) -> Result<Delivered, Stop> {
    let mut account = match Account::load(entry, recipient.account) {
        Ok(account) => account,
        Err(Stop::Rejected(_)) => return Ok(Delivered::NoAccount),
        Err(Stop::Moved) => return Ok(Delivered::Moved),
        Err(fault) => return Err(fault),
    };
    let mailbox = choose(entry, &account, recipient.folder.as_deref())?;
    let mut mailbox = Mailbox::load(entry, account.id, mailbox)?;
    if account.lacks_room(1, recipient.prefix.len() as u64 + body.length) {
        return Ok(Delivered::OverQuota);
    }
    if !mailbox.has_uids(1) {
        return Ok(Delivered::MailboxFull);
    }
    // An account that two recipients name still sees one change.
    let modseq = match given.iter().find(|(id, _)| *id == account.id) {
        Some((_, modseq)) => *modseq,
        None => {
            let modseq = account.next_modseq();
            given.push((account.id, modseq));
            modseq
        }
    };
    let mut message = StoredMessage {
        state: MessageState::Live,
        system: SystemFlags::NONE,
        row: MailMessageRow {
            internal_ms: received.0,
            saved_ms: entry.stamp.issued.0,
            prefix: recipient.prefix.clone(),
            ..MailMessageRow::default()
        },
    };
    message.set_body(body);
    let uid = mailbox.arrive(entry.rows, &mut account, message, modseq)?;
    mailbox.save(entry.rows);
    account.save(entry.rows);
    entry.hint(account.id, mailbox.id, modseq, EventKind::Arrived);
    Ok(Delivered::Stored {
        mailbox: mailbox.id,
        uid,
    })
}

/// The mailbox that the address names, or INBOX.
fn choose<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    account: &Account,
    folder: Option<&str>,
) -> Result<MailboxId, Fault> {
    let Some(folder) = folder else {
        return Ok(MailboxId::INBOX);
    };
    let name = names::canonical(folder);
    if !names::is_valid(&name) {
        return Ok(MailboxId::INBOX);
    }
    let named = name_row(entry, account.id, &name)?.mailbox;
    Ok(if named == 0 {
        MailboxId::INBOX
    } else {
        MailboxId(named)
    })
}

/// What a delivery to one recipient is recognised by.
fn duplicate_key(sender: &str, address: &str, body: &Hash16) -> [u8; 16] {
    let mut hashed = Vec::with_capacity(24 + sender.len() + address.len());
    hashed.extend_from_slice(&(sender.len() as u64).to_be_bytes());
    hashed.extend_from_slice(sender.as_bytes());
    hashed.extend_from_slice(&body.0);
    hashed.extend_from_slice(address.as_bytes());
    Hash16::of(&hashed).0
}

fn was_delivered<R: Rows>(entry: &mut Entry<'_, '_, R>, seen: [u8; 16]) -> Result<bool, Fault> {
    let row = entry
        .rows
        .row::<MailDuplicateRow>(&Key::Duplicate(seen).encode())?;
    Ok(row.is_some_and(|row| row.expires_ms > entry.time.0))
}

fn remember<R: Rows>(entry: &mut Entry<'_, '_, R>, seen: [u8; 16]) -> Result<(), Fault> {
    let key = Key::Duplicate(seen).encode();
    if entry.rows.get(&key)?.is_none() {
        sweep::make_room_for_duplicate(entry.rows)?;
        entry.rows.meta_mut().duplicates += 1;
        sweep::schedule(entry.rows, entry.time);
    }
    let expires_ms = entry.time.after(limits::DUPLICATE_LIFE_MS).0;
    entry
        .rows
        .put_row(key, &MailDuplicateRow { expires_ms, uid: 0 });
    entry.duplicates.extend_from_slice(&seen);
    Ok(())
}

/// The client of a lane has seen the reply to its last delivery: that need not be recognised for
/// long any more.
fn confirm<R: Rows>(entry: &mut Entry<'_, '_, R>, confirmed: Confirmed) -> Result<(), Fault> {
    let lane = Lane {
        lane: confirmed.lane,
        ..entry.stamp.lane
    };
    let Some(row) = entry.rows.row::<MailLaneRow>(&Key::Lane(lane).encode())? else {
        return Ok(());
    };
    if row.sequence != confirmed.sequence {
        return Ok(());
    }
    let soon = entry.time.after(limits::CONFIRMED_DUPLICATE_LIFE_MS).0;
    let (keys, _) = row.duplicates.as_chunks::<16>();
    for seen in keys {
        let key = Key::Duplicate(*seen).encode();
        match entry.rows.row::<MailDuplicateRow>(&key)? {
            Some(duplicate) if duplicate.expires_ms > soon => {
                let shorter = MailDuplicateRow {
                    expires_ms: soon,
                    ..duplicate
                };
                entry.rows.put(key, Bytes::from(shorter.encode_to_vec()));
            }
            _ => {}
        }
    }
    Ok(())
}
