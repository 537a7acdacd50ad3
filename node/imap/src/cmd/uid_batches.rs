//! UIDBATCHES (RFC 10022): ranges of UIDs that hold equally many messages each.
//!
//! ```text
//!   UIDs      1 ... 7 8 9 ...... 20 21 ..... 40      messages 7 8 20 40, two a batch
//!   batches   └── 2 ──────┘└──────── 1 ──────┘       40:20,19:1
//! ```
//!
//! The first batch has the newest messages. All of them together cover all UIDs up to the highest
//! one, so that a message which is expunged meanwhile is in the range that it was in.

use crate::backend::{Backend, Transport};
use crate::grammar::{IdRange, Tag, UidBatches};
use crate::limits;
use crate::respond::Code;
use crate::state::{Done, Result, Session, Stop};
use crate::sync::Expunges;
use crate::view::View;

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn uid_batches(&mut self, tag: &Tag, wanted: &UidBatches) -> Result<Done> {
        if wanted.size < limits::BATCH_MESSAGES_MIN {
            return Err(Stop::no(Code::TooFew, "A batch has 500 messages at least"));
        }
        if let Some((first, last)) = wanted.batches {
            if first > last {
                let text = "Batches are counted from the newest messages on";
                return Err(Stop::BadCode(Code::ClientBug, text));
            }
            let batches = u64::from(last - first) + 1;
            if batches.saturating_mul(wanted.size.into()) > limits::BATCHED_MESSAGES_MAX {
                return Err(Stop::no(Code::TooMany, "Ask for fewer batches at once"));
            }
        }
        self.refresh(Expunges::Tell).await?;
        let batches = batches(&self.selected()?.view, wanted);
        self.conn.out.uid_batches(tag, &batches);
        Ok(Done::text("UIDBATCHES completed"))
    }
}

/// The batches that are wanted, the newest first.
fn batches(view: &View, wanted: &UidBatches) -> Vec<IdRange> {
    let (first, last) = wanted.batches.unwrap_or((1, u32::MAX));
    let messages = u64::from(view.messages());
    let size = u64::from(wanted.size);
    let number = |before: u64| u32::try_from(messages - before).unwrap_or(u32::MAX);
    let mut batches = Vec::new();
    // How many messages are before the batch, from the newest on.
    let mut before = u64::from(first - 1).saturating_mul(size);
    while before < messages && batches.len() < last as usize - first as usize + 1 {
        // The range goes on to where the one before it ends.
        let newest = match before {
            0 => view.uid(number(0)),
            _ => view
                .uid(number(before - 1))
                .map(|uid| mailbox::Uid(uid.0 - 1)),
        };
        before = before.saturating_add(size);
        let oldest = match before < messages {
            true => view.uid(number(before - 1)),
            false => Some(mailbox::Uid(1)),
        };
        let (Some(newest), Some(oldest)) = (newest, oldest) else {
            break;
        };
        batches.push(IdRange {
            first: oldest.0,
            last: newest.0,
        });
    }
    batches
}
