//! All rows on their way to another replica.
//!
//! Rows go in key order in chunks of about [`limits::CHUNK_BYTES`]. Each chunk is checked as it
//! comes in, and the whole when the last one did:
//!
//! ```text
//!   chunk  = magic "RR1" | last u8 | number u32 | rows u32 | row.. | [summary] | hash 16
//!   row    = key length u32 | value length u32 | key | value
//!   summary (last chunk only) = rows u64 | digest 16
//! ```
//!
//! Integers are big endian. `hash` is the beginning of the BLAKE3 hash of all bytes before it. The
//! summary's digest is the one counted over the rows sent, and must be the one their digest row
//! keeps: so rows that do not belong together are never loaded for good.
//!
//! Both ends share a [`Cursor`]. A transfer that broke goes on from the reader's, with any replica
//! that holds the same rows.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{DIGEST_KEY, Digest, END, Fault, Row, Rows, limits};

const MAGIC: &[u8; 3] = b"RR1";
const HASH_BYTES: usize = 16;

/// How far a transfer has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// The number of chunks done, which is the number of the next one.
    pub chunk: u32,
    /// The last key sent; empty before the first.
    pub after: Bytes,
    /// The rows sent.
    pub rows: u64,
    /// Their digest.
    pub digest: Digest,
    /// The digest that their digest row keeps, once that has passed.
    pub kept: Digest,
}

impl Cursor {
    fn take(&mut self, key: &Bytes, value: &Bytes) -> Result<(), SnapshotError> {
        if *key <= self.after {
            return Err(SnapshotError::Damaged("keys out of order"));
        }
        if key == DIGEST_KEY {
            let kept = value.as_ref().try_into();
            self.kept = Digest::from_bytes(kept.map_err(|_| SnapshotError::Damaged("digest row"))?);
        } else {
            self.digest.add(key, value);
        }
        self.after = key.clone();
        self.rows += 1;
        Ok(())
    }
}

/// Why a snapshot is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The chunk is not the one that comes next; ask again from the reader's cursor.
    #[error("chunk {found} came where {wanted} was due")]
    OutOfTurn {
        /// The number of the chunk that is due.
        wanted: u32,
        /// The number of the chunk that came.
        found: u32,
    },
    /// Another version wrote it, most likely a newer one: this one cannot read it.
    #[error("the snapshot has format {found:?}; this version knows {known:?}")]
    OtherFormat {
        /// The first bytes of the chunk.
        found: String,
        /// What they should be.
        known: &'static str,
    },
    /// The bytes are not what was written; start again.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
}

/// The chunks of `rows` from `cursor` on, [`Cursor::default`] for all of them.
///
/// Each is read when it is asked for, so `rows` must not change in between.
pub const fn write<R: Rows>(rows: &R, cursor: Cursor) -> Chunks<'_, R> {
    Chunks {
        rows,
        cursor,
        done: false,
    }
}

/// Makes the chunks of a snapshot; ends after the last one or an error.
#[derive(Debug)]
pub struct Chunks<'a, R> {
    rows: &'a R,
    cursor: Cursor,
    done: bool,
}

impl<R: Rows> Chunks<'_, R> {
    fn chunk(&mut self) -> Result<Bytes, Fault> {
        let mut rows = BytesMut::with_capacity(limits::CHUNK_BYTES + 1024);
        let (number, mut count, mut last) = (self.cursor.chunk, 0_u32, true);
        // The key itself is passed over; its successor would need another allocation.
        for row in self.rows.scan(&self.cursor.after, END)? {
            let (key, value) = row?;
            if key == self.cursor.after {
                continue;
            }
            if rows.len() >= limits::CHUNK_BYTES {
                last = false;
                break;
            }
            put_length(&mut rows, key.len());
            put_length(&mut rows, value.len());
            rows.put_slice(&key);
            rows.put_slice(&value);
            self.cursor
                .take(&key, &value)
                .map_err(|error| Fault::row(&key, error))?;
            count += 1;
        }
        self.cursor.chunk += 1;
        self.done = last;
        let mut chunk = BytesMut::with_capacity(rows.len() + 64);
        chunk.put_slice(MAGIC);
        chunk.put_u8(u8::from(last));
        chunk.put_u32(number);
        chunk.put_u32(count);
        chunk.put_slice(&rows);
        if last {
            chunk.put_u64(self.cursor.rows);
            chunk.put_slice(&self.cursor.digest.to_bytes());
        }
        let hash = hash(&chunk);
        chunk.put_slice(&hash);
        Ok(chunk.freeze())
    }
}

impl<R: Rows> Iterator for Chunks<'_, R> {
    type Item = Result<Bytes, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let chunk = self.chunk();
        self.done |= chunk.is_err();
        Some(chunk)
    }
}

/// Takes the chunks of a snapshot, from the beginning.
#[must_use]
pub fn read() -> Reader {
    Reader {
        cursor: Cursor::default(),
        done: false,
    }
}

/// Takes the chunks of a snapshot.
///
/// Rows that it gave out may be kept beside the old ones at once, but only [`Reader::finish`] says
/// that they are whole.
#[derive(Debug)]
pub struct Reader {
    cursor: Cursor,
    done: bool,
}

impl Reader {
    /// Goes on with a snapshot, from where another reader of it stands.
    #[must_use]
    pub const fn at(cursor: Cursor) -> Self {
        Self {
            cursor,
            done: false,
        }
    }

    /// Where another writer shall go on.
    #[must_use]
    pub const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Whether the last chunk has come.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// Checks the next chunk and gives its rows, which share its memory.
    ///
    /// # Errors
    /// [`SnapshotError`]; the reader is unchanged and none of the chunk's rows may be kept.
    pub fn push(&mut self, chunk: &Bytes) -> Result<Vec<Row>, SnapshotError> {
        let mut body = checked(chunk)?;
        let last = body.get_u8() == 1;
        let (number, count) = (body.get_u32(), body.get_u32());
        if self.done || number != self.cursor.chunk {
            return Err(SnapshotError::OutOfTurn {
                wanted: self.cursor.chunk,
                found: number,
            });
        }
        let mut cursor = self.cursor.clone();
        let mut rows = Vec::new();
        for _ in 0..count {
            let (key, value) = row(&mut body)?;
            cursor.take(&key, &value)?;
            rows.push((key, value));
        }
        if last {
            if body.len() != 24 {
                return Err(SnapshotError::Damaged("length of the summary"));
            }
            let (count, mut digest) = (body.get_u64(), [0; 16]);
            body.copy_to_slice(&mut digest);
            let digest = Digest::from_bytes(digest);
            if count != cursor.rows || digest != cursor.digest || digest != cursor.kept {
                return Err(SnapshotError::Damaged("rows and digest differ"));
            }
        } else if !body.is_empty() || count == 0 {
            return Err(SnapshotError::Damaged("length of the rows"));
        }
        cursor.chunk += 1;
        (self.cursor, self.done) = (cursor, last);
        Ok(rows)
    }

    /// Says that all rows came: gives their digest.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] if the last chunk is missing.
    pub fn finish(self) -> Result<Digest, SnapshotError> {
        if self.done {
            Ok(self.cursor.digest)
        } else {
            Err(SnapshotError::Damaged("the last chunk is missing"))
        }
    }
}

/// What lies between magic and hash, at least the fixed fields, once the hash was found right.
fn checked(chunk: &Bytes) -> Result<Bytes, SnapshotError> {
    let fixed = MAGIC.len() + 9 + HASH_BYTES;
    if !(fixed..=limits::CHUNK_BYTES_MAX).contains(&chunk.len()) {
        return Err(SnapshotError::Damaged("length of a chunk"));
    }
    let (body, found) = chunk.split_at(chunk.len() - HASH_BYTES);
    if hash(body) != found {
        return Err(SnapshotError::Damaged("hash of a chunk"));
    }
    if !body.starts_with(MAGIC) {
        // It is what was written, so it was written otherwise.
        return Err(SnapshotError::OtherFormat {
            found: body[..MAGIC.len()].escape_ascii().to_string(),
            known: "RR1",
        });
    }
    Ok(chunk.slice(MAGIC.len()..body.len()))
}

fn row(body: &mut Bytes) -> Result<Row, SnapshotError> {
    const SHORT: SnapshotError = SnapshotError::Damaged("a row is cut short");
    let key = body.try_get_u32().map_err(|_| SHORT)? as usize;
    let value = body.try_get_u32().map_err(|_| SHORT)? as usize;
    if key > limits::KEY_BYTES_MAX || value > limits::VALUE_BYTES_MAX || key + value > body.len() {
        return Err(SHORT);
    }
    Ok((body.split_to(key), body.split_to(value)))
}

fn put_length(buffer: &mut BytesMut, length: usize) {
    buffer.put_u32(u32::try_from(length).expect("rows are bounded by the limits"));
}

fn hash(bytes: &[u8]) -> [u8; HASH_BYTES] {
    let mut first = [0; HASH_BYTES];
    blake3::Hasher::new()
        .update(bytes)
        .finalize_xof()
        .fill(&mut first);
    first
}
