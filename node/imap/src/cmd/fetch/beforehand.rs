//! What a client will ask for of new messages, worked out while it says nothing.
//!
//! ```text
//!   FETCH ─► what is asked for, as far as it is remembered      Usual
//!   EXISTS ─► which messages are new ─► one after the other ─► remembered (`derived`)
//! ```
//!
//! A client that was told of new messages asks at once for what it shows of them, which is what it
//! asked for of others. So it is worked out for those whose client is connected here, after it was
//! told of them and while the session waits for it. Nothing waits for this: what the client says
//! and what others do comes first, and the backend says when there is room for it
//! ([`Backend::spare`]). Messages whose turn did not come are worked out when they are asked for.
//!
//! Whoever owns the backends may do the same with [`work_out`] for what arrives, for everybody,
//! where it knows what most will ask for.

use std::sync::Arc;
use std::time::Duration;

use mailbox::{Answer, MailboxId, Message, ModSeq, Query, Uid, UidRanges};

use super::derived;
use super::items::{needs_header_at_most, value};
use crate::backend::{Backend, BackendError, Content, Transport};
use crate::connection::Woken;
use crate::grammar::FetchItem;
use crate::limits;
use crate::source::Source;
use crate::state::{Result, Session};

/// What the client asks for of messages, the newest last.
#[derive(Default)]
pub(crate) struct Usual(Vec<Arc<FetchItem>>);

impl Usual {
    /// The client has asked for these, as far as they are remembered.
    pub(super) fn note<'i>(&mut self, items: impl Iterator<Item = &'i Arc<FetchItem>>) {
        for item in items {
            self.0.retain(|known| known != item);
            self.0.push(Arc::clone(item));
        }
        let more = self.0.len().saturating_sub(limits::USUAL_ITEMS_MAX);
        self.0.drain(..more);
    }
}

/// A new message, and what is to be worked out of it.
pub(crate) struct Next {
    mailbox: MailboxId,
    uid: Uid,
    seen: ModSeq,
    items: Vec<Arc<FetchItem>>,
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// The client is told of messages that have arrived in the selected mailbox.
    pub(crate) fn note_fresh(&mut self, arrived: &UidRanges) {
        let Some(selected) = self.selected.as_mut().filter(|_| !self.usual.0.is_empty()) else {
            return;
        };
        if arrived.is_empty() {
            return;
        }
        let fresh = selected.fresh.union(arrived);
        let more = fresh.len().saturating_sub(limits::FRESH_MESSAGES_MAX);
        let oldest = fresh
            .iter()
            .take(usize::try_from(more).unwrap_or(usize::MAX));
        selected.fresh = fresh.subtract(&oldest.collect());
    }

    /// The client asks for these itself.
    pub(super) fn forget_fresh(&mut self, uids: &UidRanges) {
        if let Some(selected) = self.selected.as_mut().filter(|it| !it.fresh.is_empty()) {
            selected.fresh = selected.fresh.subtract(uids);
        }
    }

    /// What is worth being worked out now.
    pub(crate) fn next_fresh(&self) -> Option<Next> {
        let selected = self.selected.as_ref()?;
        Some(Next {
            mailbox: selected.mailbox,
            uid: selected.fresh.first()?,
            seen: selected.view.seen(),
            items: self.usual.0.clone(),
        })
    }

    /// The first one is done, or is given up.
    pub(crate) fn done_fresh(&mut self) {
        if let Some(selected) = &mut self.selected
            && let Some(uid) = selected.fresh.first()
        {
            selected.fresh = selected.fresh.subtract(&UidRanges::range(uid, uid));
        }
    }

    /// Whether something is worth being worked out now.
    pub(crate) fn has_fresh(&self) -> bool {
        let selected = self.selected.as_ref();
        selected.is_some_and(|selected| !selected.fresh.is_empty())
    }

    /// Works out all there is, or until the client says something.
    pub(crate) async fn work_out_fresh(&mut self) -> Result<()> {
        while let Some(next) = self.next_fresh() {
            if self.conn.framer.buffered() > 0 {
                break;
            }
            self.conn.flush().await?;
            let long = Duration::from_secs(limits::FRESH_SECONDS_MAX);
            let mut timer = Box::pin(self.conn.transport.sleep(long));
            let work = next.work(&self.opened);
            let none: &[&B] = &[];
            match self.conn.wait(none, work, timer.as_mut()).await? {
                Woken::Read(bytes) => self.conn.push(bytes)?,
                _ => self.done_fresh(),
            }
        }
        Ok(())
    }
}

impl Next {
    /// Works it out, unless it is remembered. What fails will fail again when it is asked for.
    pub(crate) async fn work<B: Backend>(self, backend: &B) {
        let _spare = backend.spare().await;
        drop(self.try_to(backend).await);
    }

    async fn try_to<B: Backend>(&self, backend: &B) -> std::result::Result<(), BackendError> {
        let query = Query::Messages {
            account: backend.account(),
            mailbox: self.mailbox,
            uids: UidRanges::range(self.uid, self.uid),
            changed_since: None,
            limit: 1,
            include_expunged: false,
        };
        let Answer::Messages(page) = backend.read_near(query, self.seen).await? else {
            return Err(BackendError::Broken);
        };
        for message in &page.messages {
            work_out(backend, message, &self.items).await?;
        }
        Ok(())
    }
}

/// Works out what these items are of a message, and remembers it, unless it is remembered already
/// or takes long.
///
/// # Errors
///
/// Where its bytes cannot be read now.
pub async fn work_out<C: Content>(
    content: &C,
    message: &Message,
    items: &[Arc<FetchItem>],
) -> std::result::Result<(), BackendError> {
    let is_small = message.body.length <= limits::FRESH_BYTES_MAX;
    let wanted = items.iter();
    let wanted = wanted.filter(|item| is_small || needs_header_at_most(item));
    let missing = wanted.filter(|item| derived::recall(content, item, message).is_none());
    let missing: Vec<_> = missing.collect();
    let only_header = missing.iter().all(|item| needs_header_at_most(item));
    let mut source = Source::new(content, message, only_header);
    for item in missing {
        let value = value(&mut source, item).await?;
        derived::remember(content, item, message, &value);
    }
    Ok(())
}
