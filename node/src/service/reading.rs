//! Bodies on their way out: from this node's replica if it has the bytes, else from another.
//!
//! A call for one small body costs as much as one for many, so a session says which it will ask for
//! next ([`Ahead`]). What is read ahead is held until it is asked for, or until more is read; and
//! while it is sent to the client, what comes after it is read.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use mailbox::{Body, BodyAt};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::Service;
use super::call::{Answer, Call, Failure};
use super::limits::{AHEAD_PARTS_MAX, BODY_READ_MAX};
use crate::replica::GroupId;

/// Beginnings of bodies that were read before they were asked for, in the order in which they will
/// be.
#[derive(Default)]
pub struct Ahead {
    held: Mutex<VecDeque<(BodyAt, Bytes)>>,
    coming: Mutex<Option<Coming>>,
}

type Part = (Body, Range<u64>);

/// What comes after that, being read.
struct Coming {
    parts: Vec<Part>,
    read: JoinHandle<Result<Vec<Bytes>, Failure>>,
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.read.abort();
    }
}

impl Coming {
    async fn wait(mut self) -> Result<Vec<Bytes>, Failure> {
        let read = (&mut self.read).await;
        read.unwrap_or_else(|error| Err(Failure::Broken(error.to_string())))
    }
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
    /// asked for. Says for how many of them that was tried: no more than go into one answer. As
    /// many of the next are read from now on, for the call that begins with them. Whatever fails is
    /// told when it is asked for.
    pub async fn read_ahead(
        &self,
        group: GroupId,
        wanted: &[(Body, u64)],
        ahead: &Ahead,
        wait: Duration,
    ) -> usize {
        let parts = one_answer(wanted);
        let tried = parts.len();
        let coming = ahead.coming.lock().take();
        let read = match coming.filter(|coming| coming.parts == parts) {
            Some(coming) => coming.wait().await,
            None if tried > 1 => self.read_parts(group, parts.clone(), wait).await,
            None => return tried.max(1),
        };
        let next = one_answer(&wanted[tried..]);
        if next.len() > 1 {
            let (service, parts) = (self.clone(), next.clone());
            let read = async move { service.read_parts(group, parts, wait).await };
            *ahead.coming.lock() = Some(Coming {
                parts: next,
                read: tokio::spawn(read),
            });
        }
        if let Ok(read) = read {
            let parts = parts.iter().map(|(body, _)| body.at);
            *ahead.held.lock() = parts.zip(read).collect();
        }
        tried.max(1)
    }

    async fn read_parts(
        &self,
        group: GroupId,
        parts: Vec<Part>,
        wait: Duration,
    ) -> Result<Vec<Bytes>, Failure> {
        match self.ask_any(group, Call::Bodies(parts), wait).await? {
            Answer::Bodies(read) => Ok(read),
            _ => Err(Failure::Invalid("unexpected answer".into())),
        }
    }
}

/// The first of these beginnings of bodies, as many as go into one answer.
fn one_answer(wanted: &[(Body, u64)]) -> Vec<Part> {
    let mut bytes = 0;
    let parts = wanted.iter().take(AHEAD_PARTS_MAX);
    let parts = parts.map(|(body, length)| (*body, 0..body.length.min(*length)));
    let fits = |(_, range): &Part| {
        bytes += range.end;
        bytes <= BODY_READ_MAX
    };
    parts.take_while(fits).collect()
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
    fn an_answer_holds_as_many_bodies_as_fit() {
        let (small, _) = body(1, "small");
        let half = Body {
            length: BODY_READ_MAX / 2,
            ..small
        };
        let parts = |wanted: &[(Body, u64)]| one_answer(wanted).len();
        assert_eq!(parts(&[(small, BODY_READ_MAX); 1000]), AHEAD_PARTS_MAX);
        assert_eq!(parts(&[(half, BODY_READ_MAX); 3]), 2);
        assert_eq!(parts(&[(half, 4); 3]), 3, "no more than is wanted");
        assert_eq!(parts(&[]), 0);
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
