//! Bodies on their way out: from this node's replica if it has the bytes, else from another.
//!
//! A call for one small body costs as much as one for many, so a session says which it will ask for
//! next ([`Ahead`]). What is read ahead is held until it is asked for, or until more is read.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use mailbox::{Body, BodyAt};
use parking_lot::Mutex;

use super::Service;
use super::call::{Answer, Call, Failure};
use super::limits::{AHEAD_PARTS_MAX, BODY_READ_MAX};
use crate::replica::GroupId;

/// Beginnings of bodies that were read before they were asked for, in the order in which they will
/// be.
#[derive(Default)]
pub struct Ahead {
    held: Mutex<VecDeque<(BodyAt, Bytes)>>,
}

impl Ahead {
    /// A part of a body, if all of it is held. It and what comes before it are let go.
    fn take(&self, body: &Body, range: &Range<u64>) -> Option<Bytes> {
        let mut held = self.held.lock();
        let at = held.iter().position(|(at, _)| *at == body.at)?;
        let (_, bytes) = held.drain(..=at).next_back()?;
        if range.end > bytes.len() as u64 {
            return None;
        }
        // Both are within the bytes, which are in memory.
        Some(bytes.slice(range.start as usize..range.end as usize))
    }
}

impl Service {
    /// A part of a body: from the beginning of `range`, and at most to its end; shorter where it is
    /// too much for one answer.
    ///
    /// # Errors
    ///
    /// When the bytes are nowhere to be had.
    pub async fn read_body(
        &self,
        group: GroupId,
        body: &Body,
        range: Range<u64>,
        ahead: &Ahead,
        wait: Duration,
    ) -> Result<Bytes, Failure> {
        let end = range
            .end
            .min(body.length)
            .min(range.start.saturating_add(BODY_READ_MAX));
        let range = range.start..end;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if let Some(bytes) = ahead.take(body, &range) {
            return Ok(bytes);
        }
        let read = self.read_parts(group, vec![(*body, range)], wait).await?;
        let first = read.into_iter().next();
        first.ok_or_else(|| Failure::Invalid("an answer without a part".into()))
    }

    /// Reads the beginnings of bodies, of each so many bytes, in the order in which they will be
    /// asked for. Says for how many of them that was tried: no more than go into one answer.
    /// Whatever fails is told when it is asked for.
    pub async fn read_ahead(
        &self,
        group: GroupId,
        wanted: &[(Body, u64)],
        ahead: &Ahead,
        wait: Duration,
    ) -> usize {
        let mut bytes = 0;
        let fits = |(_, length): &&(Body, u64)| {
            bytes += length;
            bytes <= BODY_READ_MAX
        };
        let wanted = wanted.iter().take(AHEAD_PARTS_MAX).take_while(fits);
        let parts: Vec<(Body, Range<u64>)> = wanted
            .map(|(body, length)| (*body, 0..body.length.min(*length)))
            .collect();
        let tried = parts.len();
        if tried > 1
            && let Ok(read) = self.read_parts(group, parts.clone(), wait).await
        {
            let parts = parts.iter().map(|(body, _)| body.at);
            *ahead.held.lock() = parts.zip(read).collect();
        }
        tried.max(1)
    }

    async fn read_parts(
        &self,
        group: GroupId,
        parts: Vec<(Body, Range<u64>)>,
        wait: Duration,
    ) -> Result<Vec<Bytes>, Failure> {
        match self.ask_any(group, Call::Bodies(parts), wait).await? {
            Answer::Bodies(read) => Ok(read),
            _ => Err(Failure::Invalid("unexpected answer".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailbox::Hash16;

    fn body(index: u64, text: &str) -> (Body, Bytes) {
        let body = Body {
            hash: Hash16::of(text.as_bytes()),
            length: text.len() as u64,
            at: BodyAt::Entry { index, term: 1 },
        };
        (body, Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn what_was_read_ahead_is_given_once() {
        let texts = [body(1, "first"), body(2, "second"), body(3, "third")];
        let ahead = Ahead::default();
        let beginnings = texts
            .iter()
            .map(|(body, text)| (body.at, text.slice(..4.min(text.len()))));
        ahead.held.lock().extend(beginnings);
        let [first, second, third] = texts.map(|(body, _)| body);
        assert_eq!(ahead.take(&second, &(1..4)).as_deref(), Some(&b"eco"[..]));
        assert_eq!(ahead.take(&second, &(1..4)), None, "it was given");
        assert_eq!(ahead.take(&first, &(0..1)), None, "its turn is over");
        assert_eq!(ahead.take(&third, &(0..5)), None, "not all of it is held");
        assert!(ahead.held.lock().is_empty());
    }
}
