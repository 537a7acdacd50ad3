//! Tests that read a message's bytes.

use std::pin::Pin;

use bytes::Bytes;
use mailbox::Message;

use super::test::Test;
use crate::backend::{Backend, BackendError};
use crate::limits;
use crate::mime::{self, Needle, PieceSearch, PieceTexts, Scope, Text};
use crate::pace::Pace;
use crate::source::Source;
use crate::view::View;

/// A message that is being tried.
pub(super) struct Content<'m, B> {
    source: Source<'m, B>,
    message: &'m Message,
    view: &'m View,
    /// The header, once it was read.
    header: Option<Bytes>,
    pace: Pace,
}

type Result<T> = std::result::Result<T, BackendError>;

impl<'m, B: Backend> Content<'m, B> {
    pub(super) fn new(
        backend: &'m B,
        message: &'m Message,
        view: &'m View,
        only_header: bool,
    ) -> Content<'m, B> {
        let source = Source::new(backend, message, only_header);
        Content {
            source,
            message,
            view,
            header: None,
            pace: Pace::default(),
        }
    }

    /// Bytes that were gone through since others had their turn.
    pub(super) fn unspent(&self) -> usize {
        self.source.unspent() + self.pace.unspent()
    }

    /// Whether the message matches. Recurses as deep as the parser allows.
    pub(super) fn matches<'t>(
        &'t mut self,
        test: &'t Test,
    ) -> Pin<Box<dyn Future<Output = Result<bool>> + Send + 't>> {
        Box::pin(async move {
            match test {
                Test::And(tests) => {
                    for test in tests {
                        if !self.matches(test).await? {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                }
                Test::Or(one, other) => Ok(self.matches(one).await? || self.matches(other).await?),
                Test::Not(test) => Ok(!self.matches(test).await?),
                Test::Sent(when, date) => {
                    let header = self.header().await?;
                    let sent = mime::field_value(&header, b"Date");
                    let sent = sent.and_then(|value| mime::sent_date(&value));
                    Ok(sent.is_some_and(|sent| when.holds(sent.date(), *date)))
                }
                Test::Field { .. } | Test::Text { .. } if test.is_lacking(self.message.uid) => {
                    Ok(false)
                }
                Test::Field { name, needle, .. } => {
                    let header = self.header().await?;
                    Ok(mime::header_contains(&header, name, needle))
                }
                Test::Text { scope, needle, .. } => self.has_text(*scope, needle).await,
                _ => Ok(test.by_row(self.message, self.view).unwrap_or(false)),
            }
        })
    }

    /// The header, to be gone through once.
    async fn header(&mut self) -> Result<Bytes> {
        if let Some(header) = &self.header {
            self.pace.spend(header.len()).await;
            return Ok(header.clone());
        }
        let end = self.source.header_size().await?;
        let header = self
            .source
            .read(0..end, limits::SEARCHED_HEADER_BYTES)
            .await?;
        self.header = Some(header.clone());
        Ok(header)
    }

    /// Hands over the texts of the message; of its header alone unless `is_whole`.
    pub(super) async fn texts(
        &mut self,
        is_whole: bool,
        read: &mut (impl FnMut(Text<'_>) + Send),
    ) -> Result<()> {
        if !is_whole {
            mime::header_texts(&self.header().await?, true, read);
            return Ok(());
        }
        let structure = self.source.structure().await?;
        for piece in mime::pieces(&structure, Scope::Text) {
            let mut texts = PieceTexts::new(&structure, &piece);
            let mut at = piece.range.start;
            while at < piece.range.end {
                let bytes = self.source.piece(at..piece.range.end).await?;
                at += bytes.len() as u64;
                texts.push(&bytes, read);
            }
            texts.finish(read);
        }
        Ok(())
    }

    async fn has_text(&mut self, scope: Scope, needle: &Needle) -> Result<bool> {
        if needle.is_empty() {
            return Ok(true);
        }
        let structure = self.source.structure().await?;
        for piece in mime::pieces(&structure, scope) {
            let mut search = PieceSearch::new(&structure, &piece, needle);
            let mut at = piece.range.start;
            let mut is_found = false;
            while at < piece.range.end && !is_found {
                let bytes = self.source.piece(at..piece.range.end).await?;
                at += bytes.len() as u64;
                is_found = search.push(&bytes);
            }
            if is_found || search.finish() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
