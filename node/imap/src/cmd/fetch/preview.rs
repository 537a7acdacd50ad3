//! PREVIEW (RFC 8970): the first words of a message.
//!
//! However large the message, a bounded beginning of it is looked at. That is cheap enough to be
//! done for `(LAZY)` as well, so NIL is never sent.

use crate::backend::{BackendError, Content};
use crate::limits;
use crate::mime::{Preview, TextDecoder, preview_parts};
use crate::source::Source;

/// The preview of a message; empty if nothing in it can be shown (RFC 8970 section 3.1).
pub(super) async fn preview<B: Content>(
    source: &mut Source<'_, B>,
) -> Result<String, BackendError> {
    let structure = source.structure_within(limits::PREVIEW_SCAN_BYTES).await?;
    let parts = preview_parts(&structure);
    for part in parts.into_iter().take(limits::PREVIEW_PARTS_MAX) {
        let part = structure.part(part);
        let mut preview = Preview::new(part, limits::PREVIEW_CHARS_MAX);
        let mut decoder = TextDecoder::new(part);
        let mut at = part.body.start;
        let end = part.body.end.min(at + limits::PREVIEW_PART_BYTES);
        while at < end && !preview.is_full() {
            let piece = source.piece(at..end).await?;
            at += piece.len() as u64;
            decoder.push(&piece, |text| preview.push(text));
        }
        decoder.finish(|text| preview.push(text));
        let text = preview.finish();
        if !text.is_empty() {
            return Ok(text);
        }
    }
    Ok(String::new())
}
