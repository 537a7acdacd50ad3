//! Moves into other accounts: begun and ended here, where the messages come from.
//!
//! A row says what is to go where for as long as that is under way. A second one has the time in
//! its key, so that moves which somebody left behind are found ([`crate::unfinished`]).
//!
//! What is under way may have arrived, so it is moved nowhere else meanwhile. It can be moved the
//! same way again: what has arrived there is recognised.

use bytes::Bytes;
use proto::v1::MailMoveRow;
use rows::{Fault, Rows};

use super::state::{Account, Mailbox};
use super::{Entry, Stop, import};
use crate::codec::pack_uids;
use crate::command::{Rejection, Reply};
use crate::keys::{self, AccountKey, Key};
use crate::layer::Layer;
use crate::limits;
use crate::moved::{EndedMove, NewMove, OpenMove};
use crate::query::open_move;
use crate::stored::decode;
use crate::types::{AccountId, MailboxId, UidRanges};

/// Says what will go where.
pub(super) fn begin<R: Rows>(entry: &mut Entry<'_, '_, R>, new: &NewMove) -> Result<Reply, Stop> {
    if new.uids.is_empty() || new.to_account == new.from.account {
        return Err(Rejection::Invalid.into());
    }
    if new.uids.len() > limits::APPEND_MESSAGES_MAX as u64 {
        return Err(Rejection::TooMany.into());
    }
    let account = Account::load(entry, new.from.account)?;
    let mailbox = Mailbox::load(entry, account.id, new.from.mailbox)?;
    if mailbox.row.uid_validity != new.from.uid_validity.0 {
        // It was deleted meanwhile, and restored.
        return Err(Rejection::NoMailbox.into());
    }
    let to = (new.to_account, new.to_mailbox);
    check_free(entry.rows, (account.id, mailbox.id), &new.uids, Some(to))?;
    let open = open(entry.rows, account.id)?;
    if open.iter().any(|open| open.new.id == new.id) {
        return Err(Rejection::Invalid.into());
    }
    if open.len() >= limits::MOVES_PER_ACCOUNT_MAX {
        return Err(Rejection::MoveLimit.into());
    }
    let row = MailMoveRow {
        time_ms: entry.time.0,
        actor: entry.actor.unwrap_or(account.id).0,
        mailbox: mailbox.id.0,
        uid_validity: mailbox.row.uid_validity,
        uids: pack_uids(&new.uids),
        to_account: new.to_account.0,
        to_mailbox: new.to_mailbox.0,
    };
    let by_time = Key::Move(entry.time, account.id, new.id);
    entry.rows.put(by_time.encode(), Bytes::new());
    let key = Key::Of(account.id, AccountKey::Move(new.id));
    entry.rows.put_row(key.encode(), &row);
    Ok(Reply::Nothing)
}

/// What has arrived goes, and with it the row. They can be restored like any that are expunged.
pub(super) fn end<R: Rows>(entry: &mut Entry<'_, '_, R>, ended: &EndedMove) -> Result<Reply, Stop> {
    let account = Account::load(entry, ended.account)?;
    let open = open(entry.rows, account.id)?;
    if let Some(open) = open.iter().find(|open| open.new.id == ended.id) {
        if open.new.from.mailbox != ended.mailbox {
            return Err(Rejection::Invalid.into());
        }
        forget(entry.rows, open);
    }
    match import::remove(entry, account.id, ended.mailbox, &ended.uids) {
        // Who has deleted the mailbox has deleted what was in it.
        Err(Stop::Rejected(Rejection::NoMailbox)) => Ok(Reply::Expunged {
            uids: UidRanges::new(),
            modseq: account.modseq(),
        }),
        removed => removed,
    }
}

/// Whether messages are being moved into another account; one way may be excepted.
pub(super) fn check_free<R: Rows>(
    rows: &Layer<'_, R>,
    (account, mailbox): (AccountId, MailboxId),
    uids: &UidRanges,
    except: Option<(AccountId, MailboxId)>,
) -> Result<(), Stop> {
    let is_in_the_way = |open: &OpenMove| {
        let new = &open.new;
        new.from.mailbox == mailbox
            && except != Some((new.to_account, new.to_mailbox))
            && !new.uids.intersect(uids).is_empty()
    };
    match open(rows, account)?.iter().any(is_in_the_way) {
        true => Err(Rejection::BeingMoved.into()),
        false => Ok(()),
    }
}

/// An account is deleted: nothing is moved out of it any more.
pub(super) fn forget_all<R: Rows>(
    rows: &mut Layer<'_, R>,
    account: AccountId,
) -> Result<(), Fault> {
    for open in open(rows, account)? {
        forget(rows, &open);
    }
    Ok(())
}

/// The moves out of an account that have not ended.
fn open<R: Rows>(rows: &Layer<'_, R>, account: AccountId) -> Result<Vec<OpenMove>, Fault> {
    let span = keys::moves(account);
    let found = rows.collect(&span, limits::MOVES_PER_ACCOUNT_MAX)?;
    let open = found.into_iter().map(|(key, value)| {
        let Key::Of(_, AccountKey::Move(id)) = Key::decode(&key)? else {
            return Err(Fault::row(&key, "not a move"));
        };
        open_move(&key, account, id, decode(&key, value)?)
    });
    open.collect()
}

fn forget<R: Rows>(rows: &mut Layer<'_, R>, open: &OpenMove) {
    let (account, id) = (open.new.from.account, open.new.id);
    rows.delete(Key::Move(open.begun, account, id).encode());
    rows.delete(Key::Of(account, AccountKey::Move(id)).encode());
}
