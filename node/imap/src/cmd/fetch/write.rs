//! The line of one message in the answer to a FETCH.

use std::sync::Arc;

use bytes::Bytes;
use mailbox::{Message, Millis};

use super::chunks::Chunks;
use super::derived;
use super::items::{self, Value};
use super::{Plan, Recalled};
use crate::backend::{Backend, BackendError, Transport};
use crate::cmd::uid_only::Line;
use crate::connection::Connection;
use crate::flags;
use crate::grammar::{DateTime, FetchItem};
use crate::limits;
use crate::source::Source;
use crate::state::{KeptStructure, Result, Session, Stop};

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// Tells one message, of which this is remembered. `is_seen` says that it was made `\Seen` just
    /// now. What cannot be decoded is left out; whether all could be told.
    pub(super) async fn fetch_message(
        &mut self,
        plan: &Plan,
        message: &Message,
        recalled: Recalled,
        is_seen: bool,
    ) -> Result<bool> {
        let tells_flags = is_seen || plan.items.contains(&FetchItem::Flags);
        if tells_flags {
            self.tell_keywords(&message.flags);
        }
        let shows_modseq = plan.items.contains(&FetchItem::ModSeq) || is_seen && self.condstore;
        if shows_modseq {
            self.selected()?.view.show(message.modseq);
        }
        let selected = self.selected.as_ref().ok_or(BackendError::Broken)?;
        let Some(line) = Line::of(&selected.view, message.uid, self.uid_only) else {
            return Ok(true);
        };
        let is_recent = selected.view.is_recent(message.uid);
        let row = Row { message, is_recent };
        let mut source = Source::new(&self.backend, message, plan.only_header);
        if let Some(kept) = self.structures.iter().find(|kept| kept.uid == message.uid) {
            source.set_structure(Arc::clone(&kept.structure));
        }
        let values = values(&mut source, plan, message, recalled).await?;
        let is_undecodable = |value: &Value| matches!(value, Value::Undecodable);
        let is_whole = !values.iter().any(is_undecodable);
        if !is_seen && values.iter().all(is_undecodable) {
            return Ok(false);
        }
        line.begin(&mut self.conn.out);
        let written = write(&mut self.conn, &mut source, &row, plan, values).await;
        let kept = keep(&source, message);
        written.map_err(Stop::in_response)?;
        if is_seen {
            let shows_uid = self.condstore && !self.uid_only;
            row.extra(&mut self.conn, plan, shows_uid, self.condstore);
        }
        self.conn.out.fetch_end();
        if is_seen {
            self.selected()?.view.told(message.modseq, [message.uid]);
        }
        if let Some(kept) = kept {
            self.keep_structure(kept);
        }
        self.conn.relieve().await?;
        Ok(is_whole)
    }

    fn keep_structure(&mut self, kept: KeptStructure) {
        if self.structures.iter().any(|known| known.uid == kept.uid) {
            return;
        }
        if self.structures.len() == limits::KEPT_STRUCTURES {
            self.structures.remove(0);
        }
        self.structures.push(kept);
    }
}

/// All that takes work or may fail, and the first bytes of what follows.
async fn values<B: Backend>(
    source: &mut Source<'_, B>,
    plan: &Plan,
    message: &Message,
    recalled: Recalled,
) -> Result<Vec<Value>> {
    let mut values = Vec::with_capacity(plan.items.len());
    let items = plan.items.iter().zip(&plan.remembered);
    for ((item, remembered), recalled) in items.zip(recalled) {
        if let Some(value) = recalled {
            values.push(value);
            continue;
        }
        let value = items::value(source, item).await?;
        if let Some(kept) = remembered {
            derived::remember(source.backend(), kept, message, &value);
        }
        values.push(value);
    }
    let first = values.iter().find_map(|value| match value {
        Value::Bytes(_, Chunks::Range(range)) if !range.is_empty() => Some(range.clone()),
        _ => None,
    });
    if let Some(first) = first {
        source.piece(first).await?;
    }
    Ok(values)
}

/// The structure of a message that was long to scan.
fn keep<B: Backend>(source: &Source<'_, B>, message: &Message) -> Option<KeptStructure> {
    let structure = source.found_structure().filter(|_| source.is_long())?;
    Some(KeptStructure {
        uid: message.uid,
        structure,
    })
}

async fn write<T: Transport, B: Backend>(
    conn: &mut Connection<'_, T>,
    source: &mut Source<'_, B>,
    row: &Row<'_>,
    plan: &Plan,
    values: Vec<Value>,
) -> Result<()> {
    for (item, value) in plan.items.iter().zip(values) {
        match value {
            Value::Row => row.write(conn, item),
            Value::Rendered(bytes) => conn.out.fetch_rendered(item, &bytes),
            Value::Absent => conn.out.fetch_text(item, None),
            Value::Number(number) => conn.out.fetch_binary_size(item, number),
            Value::Bytes(size, mut chunks) => {
                conn.out.fetch_body(item, size);
                let may_hold_nul = matches!(item, FetchItem::Binary { .. });
                while let Some(mut bytes) = chunks.next(source).await? {
                    if !may_hold_nul && bytes.contains(&0) {
                        bytes = without_nul(&bytes);
                    }
                    put(conn, bytes).await?;
                }
            }
            Value::Undecodable => {}
        }
        conn.relieve().await?;
    }
    Ok(())
}

/// The same number of bytes for a literal, in which NUL may not stand (RFC 3501 section 9). Mail
/// that was delivered may hold it.
fn without_nul(bytes: &[u8]) -> Bytes {
    let shown = |&byte: &u8| if byte == 0 { b'?' } else { byte };
    bytes.iter().map(shown).collect()
}

/// Sends bytes after what was written before: few together with it, many without a copy.
async fn put<T: Transport>(conn: &mut Connection<'_, T>, bytes: Bytes) -> Result<()> {
    if bytes.len() <= limits::COPIED_BYTES_MAX {
        conn.out.fetch_bytes(&bytes);
        return conn.relieve().await;
    }
    conn.send().await?;
    if !bytes.is_empty() {
        conn.write(bytes).await?;
    }
    Ok(())
}

fn date_time(time: Millis) -> DateTime {
    DateTime::new(i64::try_from(time.seconds()).unwrap_or(i64::MAX), 0)
}

/// What stands in a message's row.
struct Row<'m> {
    message: &'m Message,
    is_recent: bool,
}

impl Row<'_> {
    fn write<T>(&self, conn: &mut Connection<'_, T>, item: &FetchItem) {
        let (out, message) = (&mut conn.out, self.message);
        match item {
            FetchItem::Uid => out.fetch_uid(message.uid.0),
            FetchItem::Rfc822Size => out.fetch_size(message.size()),
            FetchItem::ModSeq => out.fetch_modseq(message.modseq.0),
            FetchItem::InternalDate => out.fetch_internal_date(date_time(message.internal_date)),
            FetchItem::SaveDate => out.fetch_save_date(date_time(message.save_date)),
            FetchItem::EmailId => out.fetch_email_id(&message.email_id().to_string()),
            FetchItem::ThreadId => out.fetch_thread_id(None),
            _ => out.fetch_flags(flags::names(&message.flags, self.is_recent)),
        }
    }

    /// What was not asked for and must be told, since the message was made `\Seen`: to who knows
    /// mod-sequences UID and MODSEQ as well (RFC 7162 section 3.2.4).
    fn extra<T>(&self, conn: &mut Connection<'_, T>, plan: &Plan, uid: bool, condstore: bool) {
        let extra = [
            (uid, FetchItem::Uid),
            (true, FetchItem::Flags),
            (condstore, FetchItem::ModSeq),
        ];
        for (_, item) in extra.into_iter().filter(|(is_told, _)| *is_told) {
            if !plan.items.contains(&item) {
                self.write(conn, &item);
            }
        }
    }
}
