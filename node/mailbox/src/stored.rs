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
    /// Whether it was expunged, and stays for the retention.
    pub expunged: bool,
    /// Its system flags.
    pub system: SystemFlags,
    /// The rest.
    pub row: MailMessageRow,
}

const LIVE: u8 = 1;
const EXPUNGED: u8 = 2;

impl StoredMessage {
    /// The row's value.
    pub fn encode(&self) -> Bytes {
        let mut value = Vec::with_capacity(2 + self.row.encoded_len());
        value.put_u8(if self.expunged { EXPUNGED } else { LIVE });
        value.put_u8(self.system.bits());
        self.row
            .encode(&mut value)
            .expect("a vector grows as needed");
        value.into()
    }

    /// The message of a row.
    pub fn decode(key: &Bytes, mut value: Bytes) -> Result<StoredMessage, Fault> {
        let (expunged, system) = peek(key, &value)?;
        value.advance(2);
        Ok(StoredMessage {
            expunged,
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

    /// Its body.
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

/// Of a message's row: whether it was expunged, and its system flags.
pub(crate) fn peek(key: &Bytes, value: &[u8]) -> Result<(bool, SystemFlags), Fault> {
    let known = match value {
        [LIVE, bits, ..] => SystemFlags::from_bits(*bits).map(|flags| (false, flags)),
        [EXPUNGED, bits, ..] => SystemFlags::from_bits(*bits).map(|flags| (true, flags)),
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
