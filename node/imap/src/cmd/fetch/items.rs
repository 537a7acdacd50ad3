//! What the items of a FETCH are for one message.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::backend::{Backend, BackendError};
use crate::grammar::{FetchItem, Partial, Section, SectionText};
use crate::limits;
use crate::mime::{self, FieldFilter, PartText};
use crate::source::Source;

/// The value of an item.
pub(super) enum Value {
    /// It stands in the message's row.
    Row,
    /// It is written as it is.
    Rendered(Bytes),
    /// Bytes of the message.
    Range(Range<u64>),
    /// Header fields that were picked out.
    Fields(Bytes),
    /// Header fields that are too long to be held: picked out once more while they are sent.
    Refiltered(Refiltered),
    /// There is no such part.
    Absent,
}

/// A long header of which some fields are sent.
pub(super) struct Refiltered {
    pub(super) header: Range<u64>,
    /// The wanted bytes of the filter's output.
    pub(super) wanted: Range<u64>,
}

/// Whether an item can be told without reading beyond the header.
pub(super) fn needs_header_at_most(item: &FetchItem) -> bool {
    match item {
        FetchItem::Body | FetchItem::BodyStructure | FetchItem::Rfc822 | FetchItem::Rfc822Text => {
            false
        }
        FetchItem::Section { section, .. } => {
            let of_header = |text: &SectionText| {
                matches!(text, SectionText::Header | SectionText::HeaderFields { .. })
            };
            section.part.is_empty() && section.text.as_ref().is_some_and(of_header)
        }
        _ => true,
    }
}

/// Works out an item.
pub(super) async fn value<B: Backend>(
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
            Ok(Value::Rendered(out.freeze()))
        }
        FetchItem::Envelope => {
            let mut out = BytesMut::new();
            source.header_structure().await?.envelope().write(&mut out);
            Ok(Value::Rendered(out.freeze()))
        }
        FetchItem::Rfc822 => whole(source, PartText::Whole).await,
        FetchItem::Rfc822Header => whole(source, PartText::Header).await,
        FetchItem::Rfc822Text => whole(source, PartText::Text).await,
        FetchItem::Section {
            section, partial, ..
        } => self::section(source, section, *partial).await,
    }
}

async fn whole<B: Backend>(
    source: &mut Source<'_, B>,
    text: PartText,
) -> Result<Value, BackendError> {
    let range = source.section(&[], text).await?;
    Ok(range.map_or(Value::Absent, Value::Range))
}

async fn section<B: Backend>(
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
    match filter(section) {
        Some(filter) => fields(source, range, filter, partial).await,
        None => Ok(Value::Range(cut(range, partial))),
    }
}

/// The filter of HEADER.FIELDS and HEADER.FIELDS.NOT.
pub(super) fn filter(section: &Section) -> Option<FieldFilter> {
    match &section.text {
        Some(SectionText::HeaderFields { except, names }) => Some(FieldFilter::new(names, *except)),
        _ => None,
    }
}

/// Picks fields out of a header, and holds them unless they are very long.
async fn fields<B: Backend>(
    source: &mut Source<'_, B>,
    header: Range<u64>,
    mut filter: FieldFilter,
    partial: Option<Partial>,
) -> Result<Value, BackendError> {
    let (mut held, mut size, mut at) = (Vec::new(), 0, header.start);
    while at < header.end {
        let piece = source.piece(at..header.end).await?;
        at += piece.len() as u64;
        let before = held.len();
        filter.push(&piece, &mut held);
        size += (held.len() - before) as u64;
        if size > limits::HELD_FIELDS_BYTES as u64 {
            held.clear();
        }
    }
    let before = held.len();
    filter.finish(&mut held);
    size += (held.len() - before) as u64;
    let wanted = cut(0..size, partial);
    if size > limits::HELD_FIELDS_BYTES as u64 {
        return Ok(Value::Refiltered(Refiltered { header, wanted }));
    }
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    Ok(Value::Fields(
        Bytes::from(held).slice(place(wanted.start)..place(wanted.end)),
    ))
}

/// What a partial range leaves of a section.
fn cut(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else { return range };
    let start = range.start.saturating_add(partial.offset).min(range.end);
    start..start.saturating_add(partial.len).min(range.end)
}
