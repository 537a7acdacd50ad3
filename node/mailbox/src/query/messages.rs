//! Messages, page by page.

use bytes::Bytes;
use proto::v1::{MailChunkRow, MailMessageRow};
use rows::{Fault, Rows};

use super::{Message, Messages, QueryError, folder_row, modseq};
use crate::keys;
use crate::keywords::Keywords;
use crate::limits;
use crate::select;
use crate::stored::{MessageState, StoredMessage, decode, peek_state};
use crate::types::{
    AccountId, Flags, MailboxId, Millis, ModSeq, Piece, SystemFlags, Uid, UidRanges, UploadId,
};

/// Which messages are asked for.
pub(super) struct Wanted<'a> {
    pub uids: &'a UidRanges,
    pub changed_since: Option<ModSeq>,
    pub limit: u32,
    pub include_expunged: bool,
}

/// The first messages of those that are wanted.
pub(super) fn page(
    rows: &impl Rows,
    account: AccountId,
    mailbox: MailboxId,
    wanted: &Wanted<'_>,
) -> Result<Messages, QueryError> {
    let modseq = modseq(rows, account)?;
    folder_row(rows, account, mailbox)?.ok_or(QueryError::NoMailbox)?;
    let keywords = Keywords::load(rows, account, mailbox)?;
    let limit = (wanted.limit as usize).clamp(1, limits::PAGE_MESSAGES_MAX);
    let mut page = Messages {
        modseq,
        ..Messages::default()
    };
    let (mut looked_at, mut bytes) = (0, 0);
    for (first, last) in select::spans(wanted.uids) {
        if looked_at >= limits::PAGE_ROWS_MAX {
            page.next = Some(first);
            return Ok(page);
        }
        looked_at += 1;
        let (from, to) = keys::messages(account, mailbox, first, last);
        for row in rows.scan(&from, &to)? {
            let (key, value) = row?;
            let uid = keys::uid_of(&key)?;
            let full = page.messages.len() == limit || bytes >= limits::PAGE_BYTES_MAX;
            if full || looked_at >= limits::PAGE_ROWS_MAX {
                page.next = Some(uid);
                return Ok(page);
            }
            looked_at += 1;
            let is_told = match peek_state(&key, &value)?.0 {
                MessageState::Live => true,
                MessageState::Expunged | MessageState::Moved => wanted.include_expunged,
                MessageState::Purged => false,
            };
            if !is_told || !wanted.uids.contains(uid) {
                continue;
            }
            let stored = StoredMessage::decode(&key, value)?;
            if wanted
                .changed_since
                .is_none_or(|since| stored.row.modseq > since.0)
            {
                let message = message(uid, &stored, &keywords)?;
                let words: usize = message.flags.keywords().iter().map(String::len).sum();
                bytes += message.prefix.len() + words;
                page.messages.push(message);
            }
        }
    }
    Ok(page)
}

/// The chunks of an upload, which have so many bytes together.
pub(super) fn chunks(
    rows: &impl Rows,
    upload: UploadId,
    length: u64,
) -> Result<Vec<Piece>, QueryError> {
    let (from, to) = keys::chunks(upload);
    let piece = |key: &Bytes, value: Bytes| -> Result<Piece, Fault> {
        let chunk: MailChunkRow = decode(key, value)?;
        Ok(Piece {
            index: chunk.index,
            term: chunk.term,
            length: chunk.length.into(),
        })
    };
    // Most have one chunk, and one row is found sooner than several.
    if let Some(value) = rows.get(&from)? {
        let first = piece(&from, value)?;
        if first.length >= length {
            return Ok(vec![first]);
        }
    }
    let pieces = rows.scan(&from, &to)?.map(|row| {
        let (key, value) = row?;
        piece(&key, value)
    });
    Ok(pieces.collect::<Result<_, Fault>>()?)
}

/// The flags of a message, its keywords by name.
pub(super) fn flags(
    system: SystemFlags,
    row: &MailMessageRow,
    keywords: &Keywords,
) -> Result<Flags, Fault> {
    let mut names = Vec::with_capacity(row.keywords.len());
    for number in &row.keywords {
        names.push(keywords.name(*number)?.to_owned());
    }
    Ok(Flags::new(system, names))
}

fn message(uid: Uid, stored: &StoredMessage, keywords: &Keywords) -> Result<Message, Fault> {
    Ok(Message {
        uid,
        modseq: ModSeq(stored.row.modseq),
        flags: flags(stored.system, &stored.row, keywords)?,
        internal_date: Millis(stored.row.internal_ms),
        save_date: Millis(stored.row.saved_ms),
        prefix: stored.row.prefix.clone(),
        body: stored.body()?,
        expunged: stored.state != MessageState::Live,
    })
}
