//! What SORT and THREAD read of a message: the one place where they read its bytes.

use mailbox::Message;

use crate::backend::{Backend, BackendError};
use crate::limits;
use crate::mime::{self, Address, Envelope};
use crate::pace::Pace;
use crate::source::Source;

/// Fields of a message's header. It depends on the message's bytes alone, so it could be kept under
/// their hash.
pub(super) struct Header {
    envelope: Envelope,
    references: Option<Vec<u8>>,
}

impl Header {
    /// Reads it, at most [`limits::SEARCHED_HEADER_BYTES`] of the header. What is read of one
    /// message after the other is counted together.
    pub(super) async fn read<B: Backend>(
        backend: &B,
        message: &Message,
        pace: &mut Pace,
    ) -> Result<Header, BackendError> {
        let mut source = Source::new(backend, message, true);
        let end = source.header_size().await?;
        let header = source.read(0..end, limits::SEARCHED_HEADER_BYTES).await?;
        pace.spend(source.unspent()).await;
        Ok(Header {
            envelope: mime::envelope(&header),
            references: mime::field_value(&header, b"References"),
        })
    }

    /// When the message was sent, in Unix seconds; when it arrived if it does not say (RFC 5256
    /// section 2.2).
    pub(super) fn sent(&self, message: &Message) -> i64 {
        let date = self.envelope.date.as_deref().and_then(mime::sent_date);
        date.map_or_else(|| arrived(message), |date| date.unix_seconds())
    }

    /// The value of Subject, empty if there is none.
    pub(super) fn subject(&self) -> &[u8] {
        self.envelope.subject.as_deref().unwrap_or_default()
    }

    /// The first address of From.
    pub(super) fn from(&self) -> Option<&Address> {
        self.envelope.from.first()
    }

    /// The first address of To.
    pub(super) fn to(&self) -> Option<&Address> {
        self.envelope.to.first()
    }

    /// The first address of Cc.
    pub(super) fn cc(&self) -> Option<&Address> {
        self.envelope.cc.first()
    }

    /// Its message id, if it has a valid one.
    pub(super) fn message_id(&self) -> Option<Vec<u8>> {
        mime::message_ids(self.envelope.message_id.as_deref().unwrap_or_default()).next()
    }

    /// The ids of the messages that it follows, the oldest first: those of References, or if it has
    /// none the first one of In-Reply-To (RFC 5256 section 3, REFERENCES, step 1).
    pub(super) fn references(&self) -> Vec<Vec<u8>> {
        let value = self.references.as_deref().unwrap_or_default();
        let skipped = mime::message_ids(value).count();
        let skipped = skipped.saturating_sub(limits::REFERENCES_MAX);
        let mut ids: Vec<_> = mime::message_ids(value).skip(skipped).collect();
        if ids.is_empty() {
            let value = self.envelope.in_reply_to.as_deref().unwrap_or_default();
            ids.extend(mime::message_ids(value).next());
        }
        ids
    }
}

/// When a message arrived, in Unix seconds.
pub(super) fn arrived(message: &Message) -> i64 {
    i64::try_from(message.internal_date.seconds()).unwrap_or(i64::MAX)
}
