//! A message of a replica, read to be indexed: in pieces, never whole.

use std::ops::Range;

use bytes::Bytes;
use imap::mime::{self, MessageGrams, Scanner};
use mailbox::Message;

use super::limits::PIECE_BYTES;
use crate::replica::{BodyError, Replica};

/// The grams of a message. Blocks on the disk.
///
/// # Errors
/// [`BodyError`] where its bytes cannot be read now.
pub fn grams(replica: &Replica, message: &Message) -> Result<MessageGrams, BodyError> {
    let mut bytes = Pieces {
        replica,
        message,
        held: (0, Bytes::new()),
    };
    let (mut scanner, mut at) = (Scanner::new(), 0);
    while at < message.size() {
        let piece = bytes.piece(at..message.size())?;
        scanner.push(&piece);
        at += piece.len() as u64;
    }
    mime::grams(&scanner.finish(), |range| bytes.piece(range))
}

/// Prefix and body of a message as one.
struct Pieces<'m> {
    replica: &'m Replica,
    message: &'m Message,
    /// The piece of the body that was read last, and where in the body it begins.
    held: (u64, Bytes),
}

impl Pieces<'_> {
    /// Bytes from the beginning of a range that lies within the message, at least one.
    fn piece(&mut self, range: Range<u64>) -> Result<Bytes, BodyError> {
        let (prefix, body) = (&self.message.prefix, &self.message.body);
        let prefix_bytes = prefix.len() as u64;
        if range.start < prefix_bytes {
            let end = range.end.min(prefix_bytes);
            // Both are within the prefix, which is in memory.
            return Ok(prefix.slice(range.start as usize..end as usize));
        }
        let wanted = range.start - prefix_bytes..range.end - prefix_bytes;
        let (start, held) = &self.held;
        if !(*start..start + held.len() as u64).contains(&wanted.start) {
            let from = wanted.start - wanted.start % PIECE_BYTES;
            let to = body.length.min(from + PIECE_BYTES);
            self.held = (from, self.replica.body_range(body, from..to)?);
        }
        let (start, held) = &self.held;
        let end = wanted.end.min(start + held.len() as u64);
        if end <= wanted.start {
            return Err(BodyError::NoBody);
        }
        // Both are within the piece, which is in memory.
        Ok(held.slice((wanted.start - start) as usize..(end - start) as usize))
    }
}
