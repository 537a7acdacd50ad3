//! Bodies: what a command brings, what came before it in chunks, and who refers to it.
//!
//! ```text
//!   Chunk 0, 1, 2 ..   an unfinished upload: counted against its account and the partition,
//!                      gone an hour after its last chunk
//!   a message          the upload is finished: it lives while any message refers to it,
//!                      expunged ones included (invariant R4)
//!   the last one goes  upload and chunks go
//! ```
//!
//! A body that rides in an entry has no row of its own; references to it are only told to whoever
//! keeps the bytes ([`BodyChange`]).

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::v1::{MailChunkRow, MailUploadRow};
use rows::{Fault, Rows};

use super::state::{Account, add_long};
use super::{Entry, Stop};
use crate::command::{Rejection, Reply};
use crate::event::BodyChange;
use crate::keys::{self, Due, Key};
use crate::layer::Layer;
use crate::limits;
use crate::stored::decode;
use crate::types::{AccountId, Body, BodyAt, BodySource, Millis, NewBody, UploadId};

/// Makes or extends an upload. A chunk that is there already is not taken again.
pub(super) fn chunk<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    upload: UploadId,
    account: AccountId,
    number: u32,
    length: u32,
) -> Result<Reply, Stop> {
    let bytes = u64::from(length);
    if bytes == 0 || bytes > limits::ENTRY_BODY_BYTES_MAX || bytes != entry.at.body_length {
        return Err(Rejection::Invalid.into());
    }
    let mut account = Account::load(entry, account)?;
    let key = Key::Upload(upload).encode();
    let known: Option<MailUploadRow> = entry.rows.row(&key)?;
    let is_new = known.is_none();
    let mut row = match known {
        Some(row) => row,
        None if number == 0 => MailUploadRow {
            account: account.id.0,
            ..Default::default()
        },
        None => return Err(Rejection::NoUpload.into()),
    };
    if row.account != account.id.0 || row.references > 0 || number > row.chunks {
        return Err(Rejection::NoUpload.into());
    }
    if number < row.chunks {
        return Ok(Reply::Nothing);
    }
    let uploads = account.row.uploads + u32::from(is_new);
    let meta = entry.rows.meta();
    if row.chunks >= limits::CHUNKS_MAX
        || uploads > limits::UPLOADS_PER_ACCOUNT_MAX
        || account.row.upload_bytes + bytes > limits::UPLOAD_BYTES_PER_ACCOUNT_MAX
        || meta.upload_bytes + bytes > limits::UPLOAD_BYTES_PER_PARTITION_MAX
    {
        return Err(Rejection::UploadLimit.into());
    }
    account.row.uploads = uploads;
    account.row.upload_bytes += bytes;
    account.save(entry.rows);
    entry.rows.meta_mut().upload_bytes += bytes;
    row.chunks += 1;
    row.bytes += bytes;
    row.time_ms = entry.time.0;
    entry.rows.put_row(key, &row);
    let chunk = MailChunkRow {
        index: entry.at.index,
        term: entry.at.term,
        length,
    };
    entry
        .rows
        .put_row(Key::Chunk(upload, number).encode(), &chunk);
    entry.rows.refer(change_of(&chunk, 1));
    if is_new {
        let due = entry.time.after(limits::UPLOAD_LIFE_MS);
        entry
            .rows
            .put(Key::Due(due, Due::Upload(upload)).encode(), Bytes::new());
    }
    Ok(Reply::Nothing)
}

/// Frees an upload that no message refers to; one that is gone is free.
pub(super) fn discard<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    upload: UploadId,
) -> Result<Reply, Stop> {
    let Some(row) = entry
        .rows
        .row::<MailUploadRow>(&Key::Upload(upload).encode())?
    else {
        return Ok(Reply::Nothing);
    };
    if row.references > 0 {
        return Err(Rejection::NotPermitted.into());
    }
    release(entry.rows, &row)?;
    remove(entry.rows, upload)?;
    Ok(Reply::Nothing)
}

/// What a tick does when an upload may have been left: removes it, or says when to look again.
pub(super) fn expire<R: Rows>(
    rows: &mut Layer<'_, R>,
    upload: UploadId,
    now: Millis,
) -> Result<Option<Millis>, Fault> {
    let Some(row) = rows.row::<MailUploadRow>(&Key::Upload(upload).encode())? else {
        return Ok(None);
    };
    if row.references > 0 {
        return Ok(None);
    }
    let due = Millis(row.time_ms).after(limits::UPLOAD_LIFE_MS);
    if due > now {
        return Ok(Some(due));
    }
    release(rows, &row)?;
    remove(rows, upload)?;
    Ok(None)
}

/// The body that a command brings, as rows will keep it; `None` if its upload is gone or other than
/// the command says.
pub(super) fn admit<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    new: &NewBody,
) -> Result<Option<Body>, Stop> {
    let at = match new.source {
        BodySource::Inline => {
            let fits = new.length <= limits::ENTRY_BODY_BYTES_MAX;
            if !fits || new.length != entry.at.body_length {
                return Err(Rejection::Invalid.into());
            }
            BodyAt::Entry {
                index: entry.at.index,
                term: entry.at.term,
            }
        }
        BodySource::Upload(upload) => {
            match entry
                .rows
                .row::<MailUploadRow>(&Key::Upload(upload).encode())?
            {
                Some(row) if row.bytes == new.length => BodyAt::Upload(upload),
                _ => return Ok(None),
            }
        }
    };
    Ok(Some(Body {
        hash: new.hash,
        length: new.length,
        at,
    }))
}

/// References to bodies that a command makes or drops.
///
/// An upload's account may be the one that the command has in hand, so references are settled when
/// it was saved.
#[derive(Default)]
pub(super) struct References {
    uploads: BTreeMap<UploadId, i64>,
}

impl References {
    /// Counts references to one body.
    pub fn add<R: Rows>(&mut self, rows: &mut Layer<'_, R>, body: &Body, change: i64) {
        match body.at {
            BodyAt::Entry { index, term } => {
                rows.refer(BodyChange {
                    index,
                    term,
                    length: body.length,
                    change,
                });
            }
            BodyAt::Upload(upload) => *self.uploads.entry(upload).or_default() += change,
        }
    }

    /// Writes them to the uploads. Says how many rows went with the last reference to theirs.
    pub fn settle<R: Rows>(self, rows: &mut Layer<'_, R>) -> Result<usize, Fault> {
        let mut removed = 0;
        for (upload, change) in self.uploads.into_iter().filter(|(_, change)| *change != 0) {
            let key = Key::Upload(upload).encode();
            let row = rows.row::<MailUploadRow>(&key)?;
            let mut row = row.ok_or_else(|| {
                Fault::invariant(format!("upload {upload} is gone while referred to (R4)"))
            })?;
            if row.references == 0 {
                release(rows, &row)?;
            }
            add_long(&mut row.references, change)?;
            if row.references == 0 {
                removed += remove(rows, upload)?;
            } else {
                rows.put_row(key, &row);
            }
        }
        Ok(removed)
    }
}

/// An upload is no longer unfinished: it counts no more against the bounds for these.
fn release<R: Rows>(rows: &mut Layer<'_, R>, row: &MailUploadRow) -> Result<(), Fault> {
    let bytes = i64::try_from(row.bytes).unwrap_or(i64::MAX);
    add_long(&mut rows.meta_mut().upload_bytes, -bytes)?;
    let id = AccountId(row.account);
    if let Some(mut account) = Account::row(rows, id)?.map(|row| Account { id, row }) {
        account.row.uploads = account.row.uploads.saturating_sub(1);
        add_long(&mut account.row.upload_bytes, -bytes)?;
        account.save(rows);
    }
    Ok(())
}

/// Removes an upload and its chunks, at most [`limits::CHUNKS_MAX`] rows and one.
fn remove<R: Rows>(rows: &mut Layer<'_, R>, upload: UploadId) -> Result<usize, Fault> {
    let chunks = rows.collect(&keys::chunks(upload), usize::MAX)?;
    let removed = chunks.len() + 1;
    for (key, value) in chunks {
        let chunk: MailChunkRow = decode(&key, value.clone())?;
        rows.refer(change_of(&chunk, -1));
        rows.delete(key);
    }
    rows.delete(Key::Upload(upload).encode());
    Ok(removed)
}

fn change_of(chunk: &MailChunkRow, change: i64) -> BodyChange {
    BodyChange {
        index: chunk.index,
        term: chunk.term,
        length: chunk.length.into(),
        change,
    }
}
