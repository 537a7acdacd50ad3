//! What the items of a FETCH are for one message.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::binary;
use super::chunks::{Chunks, Maker};
use crate::backend::{BackendError, Content};
use crate::grammar::{FetchItem, Partial, Section, SectionText};
use crate::limits;
use crate::mime::{self, FieldFilter, PartText};
use crate::respond::string;
use crate::source::Source;

/// The value of an item.
pub(crate) enum Value {
    /// It stands in the message's row.
    Row,
    /// It is written as it is.
    Rendered(Bytes),
    /// So many bytes.
    Number(u64),
    /// So many bytes, which follow.
    Bytes(u64, Chunks),
    /// There is no such part.
    Absent,
    /// There is such a part, and nobody knows how it is encoded (RFC 3516 section 4.3).
    Undecodable,
}

/// Whether an item can be told without reading beyond the header.
pub(super) fn needs_header_at_most(item: &FetchItem) -> bool {
    match item {
        FetchItem::Body
        | FetchItem::BodyStructure
        | FetchItem::Rfc822
        | FetchItem::Rfc822Text
        | FetchItem::Binary { .. }
        | FetchItem::BinarySize { .. }
        | FetchItem::Preview { .. } => false,
        FetchItem::Section { section, .. } => {
            let of_header = |text: &SectionText| {
                matches!(text, SectionText::Header | SectionText::HeaderFields { .. })
            };
            section.part.is_empty() && section.text.as_ref().is_some_and(of_header)
        }
        _ => true,
    }
}

/// Whether an item stands in the message's row.
fn is_in_row(item: &FetchItem) -> bool {
    matches!(
        item,
        FetchItem::Flags
            | FetchItem::InternalDate
            | FetchItem::Rfc822Size
            | FetchItem::Uid
            | FetchItem::ModSeq
            | FetchItem::EmailId
            | FetchItem::ThreadId
            | FetchItem::SaveDate
    )
}

/// Whether an item is made of a message's bytes, from the first ones on.
pub(super) fn reads_beginning(item: &FetchItem) -> bool {
    match item {
        FetchItem::Section { partial, .. } | FetchItem::Binary { partial, .. } => {
            partial.is_none_or(|partial| partial.offset == 0)
        }
        item => !is_in_row(item),
    }
}

/// Works out an item.
pub(crate) async fn value<B: Content>(
    source: &mut Source<'_, B>,
    item: &FetchItem,
) -> Result<Value, BackendError> {
    match item {
        FetchItem::Flags
        | FetchItem::InternalDate
        | FetchItem::Rfc822Size
        | FetchItem::Uid
        | FetchItem::ModSeq
        | FetchItem::EmailId
        | FetchItem::ThreadId
        | FetchItem::SaveDate => Ok(Value::Row),
        FetchItem::Body | FetchItem::BodyStructure => {
            let mut out = BytesMut::new();
            let is_extended = *item == FetchItem::BodyStructure;
            mime::write_body(source.structure().await?.as_ref(), is_extended, &mut out);
            source.spend(out.len()).await;
            Ok(Value::Rendered(out.freeze()))
        }
        FetchItem::Envelope => {
            let mut out = BytesMut::new();
            source.header_structure().await?.envelope().write(&mut out);
            source.spend(out.len()).await;
            Ok(Value::Rendered(out.freeze()))
        }
        FetchItem::Preview { .. } => {
            let mut out = BytesMut::new();
            string(&mut out, super::preview::preview(source).await?.as_bytes());
            Ok(Value::Rendered(out.freeze()))
        }
        FetchItem::Rfc822 => whole(source, PartText::Whole).await,
        FetchItem::Rfc822Header => whole(source, PartText::Header).await,
        FetchItem::Rfc822Text => whole(source, PartText::Text).await,
        FetchItem::Section {
            section, partial, ..
        } => self::section(source, section, *partial).await,
        FetchItem::Binary { part, partial, .. } => binary::content(source, part, *partial).await,
        FetchItem::BinarySize { part } => binary::size(source, part).await,
    }
}

async fn whole<B: Content>(
    source: &mut Source<'_, B>,
    text: PartText,
) -> Result<Value, BackendError> {
    let range = source.section(&[], text).await?;
    Ok(range.map_or(Value::Absent, range_of))
}

async fn section<B: Content>(
    source: &mut Source<'_, B>,
    section: &Section,
    partial: Option<Partial>,
) -> Result<Value, BackendError> {
    let text = match section.text {
        None => PartText::Whole,
        Some(SectionText::Header | SectionText::HeaderFields { .. }) => PartText::Header,
        Some(SectionText::Text) => PartText::Text,
        Some(SectionText::Mime) => PartText::Mime,
    };
    let Some(range) = source.section(&section.part, text).await? else {
        return Ok(Value::Absent);
    };
    match section.text {
        Some(SectionText::HeaderFields { .. }) => fields(source, range, section, partial).await,
        _ => Ok(range_of(cut(range, partial))),
    }
}

fn range_of(range: Range<u64>) -> Value {
    Value::Bytes(range.end - range.start, Chunks::Range(range))
}

/// The filter of HEADER.FIELDS and HEADER.FIELDS.NOT.
fn filter(section: &Section) -> Option<FieldFilter> {
    match &section.text {
        Some(SectionText::HeaderFields { except, names }) => Some(FieldFilter::new(names, *except)),
        _ => None,
    }
}

/// Picks fields out of a header, and holds them unless they are very long: then they are picked
/// out once more while they are sent.
async fn fields<B: Content>(
    source: &mut Source<'_, B>,
    header: Range<u64>,
    section: &Section,
    partial: Option<Partial>,
) -> Result<Value, BackendError> {
    let Some(filter_once) = filter(section) else {
        return Err(BackendError::Broken);
    };
    let (mut held, mut size) = (Vec::new(), 0);
    let mut chunks = Chunks::made(header.clone(), Maker::Fields(filter_once), 0..u64::MAX);
    while let Some(bytes) = chunks.next(source).await? {
        size += bytes.len() as u64;
        if size <= limits::HELD_FIELDS_BYTES as u64 {
            held.extend_from_slice(&bytes);
        } else {
            held = Vec::new();
        }
    }
    let wanted = cut(0..size, partial);
    let length = wanted.end - wanted.start;
    if size <= limits::HELD_FIELDS_BYTES as u64 {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = Bytes::from(held).slice(place(wanted.start)..place(wanted.end));
        return Ok(Value::Bytes(length, Chunks::Held(bytes)));
    }
    let Some(filter_again) = filter(section) else {
        return Err(BackendError::Broken);
    };
    let chunks = Chunks::made(header, Maker::Fields(filter_again), wanted);
    Ok(Value::Bytes(length, chunks))
}

/// What a partial range leaves of a section.
pub(super) fn cut(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else { return range };
    let start = range.start.saturating_add(partial.offset).min(range.end);
    start..start.saturating_add(partial.len).min(range.end)
}
