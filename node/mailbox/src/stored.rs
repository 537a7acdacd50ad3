//! What the values of rows say.
//!
//! Most values are messages of `proto/v1/row.proto`; a message's row has two bytes before it, so
//! that a scan over a large mailbox can tell messages, expunged messages and system flags apart
//! without decoding.

use bytes::{Buf, BufMut, Bytes};
use prost::Message as _;
use proto::v1::{MailChangeRow, MailMessageRow};
use rows::{Fault, Rows};

use crate::codec::{hash_of, pack_uids, unpack_uids, upload_bytes, upload_of};
use crate::types::{Body, BodyAt, Millis, ModSeq, SystemFlags, UidRanges};

/// The value that is a message of `row.proto`.
pub(crate) fn decode<M: prost::Message + Default>(key: &Bytes, value: Bytes) -> Result<M, Fault> {
    let length = value.len();
    match M::decode(value) {
        // What this version does not know was dropped, so the message is shorter now.
        Ok(message) if message.encoded_len() == length => Ok(message),
        _ => Err(Fault::row(key, "value is not of this version")),
    }
}

/// A row that may be missing.
pub(crate) fn read<M: prost::Message + Default>(
    rows: &impl Rows,
    key: &Bytes,
) -> Result<Option<M>, Fault> {
    rows.get(key)?.map(|value| decode(key, value)).transpose()
}

/// A message as its row has it: keywords by number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredMessage {
    /// Whether it is there.
    pub state: MessageState,
    /// Its system flags.
    pub system: SystemFlags,
    /// The rest.
    pub row: MailMessageRow,
}

/// Whether a message is there. What is not stays for the retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageState {
    /// It is.
    Live,
    /// It was expunged, and can be restored.
    Expunged,
    /// It is elsewhere: it was moved away, or restored under another UID.
    Moved,
    /// It was expunged or moved away, and purged: its row only says that it was there.
    Purged,
}

impl MessageState {
    fn byte(self) -> u8 {
        match self {
            MessageState::Live => 1,
            MessageState::Expunged => 2,
            MessageState::Moved => 3,
            MessageState::Purged => 4,
        }
    }

    fn of(byte: u8) -> Option<MessageState> {
        let all = [
            MessageState::Live,
            MessageState::Expunged,
            MessageState::Moved,
            MessageState::Purged,
        ];
        all.into_iter().find(|state| state.byte() == byte)
    }
}

impl StoredMessage {
    /// The row's value.
    pub fn encode(&self) -> Bytes {
        let mut value = Vec::with_capacity(2 + self.row.encoded_len());
        value.put_u8(self.state.byte());
        value.put_u8(self.system.bits());
        self.row
            .encode(&mut value)
            .expect("a vector grows as needed");
        value.into()
    }

    /// The message of a row.
    pub fn decode(key: &Bytes, mut value: Bytes) -> Result<StoredMessage, Fault> {
        let (state, system) = peek_state(key, &value)?;
        value.advance(2);
        Ok(StoredMessage {
            state,
            system,
            row: decode(key, value)?,
        })
    }

    /// RFC822.SIZE.
    pub fn size(&self) -> u64 {
        self.row.length + self.row.prefix.len() as u64
    }

    /// The MODSEQ of its arrival.
    pub fn arrived(&self) -> ModSeq {
        ModSeq(self.row.arrived)
    }

    /// The body that its row refers to: none if it was purged.
    pub fn referred(&self) -> Result<Option<Body>, Fault> {
        match self.state {
            MessageState::Purged => Ok(None),
            _ => self.body().map(Some),
        }
    }

    /// What is left when it is purged.
    pub fn purged(&self) -> StoredMessage {
        StoredMessage {
            state: MessageState::Purged,
            system: SystemFlags::NONE,
            row: MailMessageRow {
                modseq: self.row.modseq,
                arrived: self.row.arrived,
                ..MailMessageRow::default()
            },
        }
    }

    /// Its body, unless it was purged.
    pub fn body(&self) -> Result<Body, Fault> {
        let at = if self.row.upload.is_empty() {
            BodyAt::Entry {
                index: self.row.index,
                term: self.row.term,
            }
        } else {
            BodyAt::Upload(upload_of(&self.row.upload)?)
        };
        Ok(Body {
            hash: hash_of(&self.row.hash)?,
            length: self.row.length,
            at,
        })
    }

    /// Sets where its body is.
    pub fn set_body(&mut self, body: &Body) {
        self.row.hash = Bytes::copy_from_slice(&body.hash.0);
        self.row.length = body.length;
        match body.at {
            BodyAt::Entry { index, term } => (self.row.index, self.row.term) = (index, term),
            BodyAt::Upload(upload) => self.row.upload = upload_bytes(upload),
        }
    }
}

/// Of a message's row: whether it is there no more, and its system flags.
pub(crate) fn peek(key: &Bytes, value: &[u8]) -> Result<(bool, SystemFlags), Fault> {
    peek_state(key, value).map(|(state, system)| (state != MessageState::Live, system))
}

/// Of a message's row: whether it is there, and its system flags.
pub(crate) fn peek_state(key: &Bytes, value: &[u8]) -> Result<(MessageState, SystemFlags), Fault> {
    let known = match value {
        [state, bits, ..] => MessageState::of(*state).zip(SystemFlags::from_bits(*bits)),
        _ => None,
    };
    known.ok_or_else(|| Fault::row(key, "not a message of this version"))
}

/// What a command changed in a mailbox.
pub(crate) struct StoredChange {
    /// When, in log time.
    pub time: Millis,
    /// Messages with other flags.
    pub changed: UidRanges,
    /// Messages that went away.
    pub expunged: UidRanges,
}

impl StoredChange {
    /// The row's value.
    pub fn encode(&self) -> Bytes {
        let row = MailChangeRow {
            time_ms: self.time.0,
            changed: pack_uids(&self.changed),
            expunged: pack_uids(&self.expunged),
        };
        row.encode_to_vec().into()
    }

    /// The change of a row.
    pub fn decode(key: &Bytes, value: Bytes) -> Result<StoredChange, Fault> {
        let row: MailChangeRow = decode(key, value)?;
        let bad = |_| Fault::row(key, "not sets of UIDs");
        Ok(StoredChange {
            time: Millis(row.time_ms),
            changed: unpack_uids(&row.changed).map_err(bad)?,
            expunged: unpack_uids(&row.expunged).map_err(bad)?,
        })
    }
}
