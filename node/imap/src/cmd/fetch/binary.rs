//! BINARY, BINARY.PEEK and BINARY.SIZE (RFC 3516): parts with their transfer encoding undone.
//!
//! A part is decoded while it is read, a piece at a time; nothing of it is held. Its decoded size,
//! which the literal begins with, takes a pass of its own.

use crate::backend::{BackendError, Content};
use crate::grammar::Partial;
use crate::mime::{PartDecoder, PartText, part_of};
use crate::source::Source;

use super::chunks::{Chunks, Maker};
use super::items::{Value, cut};

/// `BINARY[part]<partial>`.
pub(super) async fn content<B: Content>(
    source: &mut Source<'_, B>,
    part: &[u32],
    partial: Option<Partial>,
) -> Result<Value, BackendError> {
    let Some(range) = source.section(part, PartText::Whole).await? else {
        return Ok(Value::Absent);
    };
    let Some(decoder) = decoder(source, part).await? else {
        return Ok(Value::Undecodable);
    };
    if decoder.is_identity() {
        let range = cut(range, partial);
        return Ok(Value::Bytes(range.end - range.start, Chunks::Range(range)));
    }
    // What lies behind the wanted bytes need not be decoded.
    let reach = partial.map_or(u64::MAX, |partial| {
        partial.offset.saturating_add(partial.len)
    });
    let counted = Chunks::made(range.clone(), Maker::Decoder(decoder), 0..reach);
    let size = count(source, counted).await?;
    let Some(again) = self::decoder(source, part).await? else {
        return Ok(Value::Undecodable);
    };
    let wanted = cut(0..size, partial);
    let length = wanted.end - wanted.start;
    let chunks = Chunks::made(range, Maker::Decoder(again), wanted);
    Ok(Value::Bytes(length, chunks))
}

/// `BINARY.SIZE[part]`: exact, as RFC 3516 section 4.3 wants it; 0 for a part that is not there.
pub(super) async fn size<B: Content>(
    source: &mut Source<'_, B>,
    part: &[u32],
) -> Result<Value, BackendError> {
    let Some(range) = source.section(part, PartText::Whole).await? else {
        return Ok(Value::Number(0));
    };
    let Some(decoder) = decoder(source, part).await? else {
        return Ok(Value::Undecodable);
    };
    if decoder.is_identity() {
        return Ok(Value::Number(range.end - range.start));
    }
    let chunks = Chunks::made(range, Maker::Decoder(decoder), 0..u64::MAX);
    count(source, chunks).await.map(Value::Number)
}

async fn decoder<B: Content>(
    source: &mut Source<'_, B>,
    part: &[u32],
) -> Result<Option<PartDecoder>, BackendError> {
    let structure = source.structure().await?;
    if part.is_empty() {
        // The message with its header: there is nothing to undo.
        return Ok(Some(PartDecoder::identity()));
    }
    Ok(part_of(&structure, part).and_then(PartDecoder::new))
}

async fn count<B: Content>(
    source: &mut Source<'_, B>,
    mut chunks: Chunks,
) -> Result<u64, BackendError> {
    let mut size = 0;
    while let Some(bytes) = chunks.next(source).await? {
        size += bytes.len() as u64;
    }
    Ok(size)
}
