//! What FETCH tells of a message that depends on the bytes of its body alone: clients ask for the
//! same of the same messages again and again, so it is worked out once and remembered by whoever
//! owns the backend, under the hash of the body.
//!
//! What the server puts before a body as it delivers it is not in an ENVELOPE and changes no
//! structure; header fields are remembered if none of those is asked for.

use std::sync::Arc;

use bytes::Bytes;
use mailbox::Message;

use super::chunks::Chunks;
use super::items::Value;
use crate::backend::{Backend, DerivedKey};
use crate::grammar::{FetchItem, Section, SectionText};
use crate::limits;

/// Fields that the server writes itself (RFC 5321 section 4.4).
const TRACE: [&str; 3] = ["Return-Path", "Delivered-To", "Received"];

/// An item as it stands in keys, if what it is of a message may be remembered.
pub(super) fn remembered(item: &FetchItem) -> Option<Arc<FetchItem>> {
    let is_remembered = match item {
        FetchItem::Envelope
        | FetchItem::Body
        | FetchItem::BodyStructure
        | FetchItem::Preview { .. } => true,
        FetchItem::Section {
            section:
                Section {
                    part,
                    text:
                        Some(SectionText::HeaderFields {
                            except: false,
                            names,
                        }),
                },
            partial: None,
            ..
        } => part.is_empty() && !names.iter().any(is_trace),
        _ => false,
    };
    is_remembered.then(|| Arc::new(item.clone()))
}

fn is_trace(name: &Bytes) -> bool {
    let mut trace = TRACE.iter();
    trace.any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
}

/// What an item is of a message, if that is remembered.
pub(super) fn recall<B: Backend>(
    backend: &B,
    item: &Arc<FetchItem>,
    message: &Message,
) -> Option<Value> {
    let bytes = backend.derived(&key(item, message))?;
    Some(match **item {
        FetchItem::Section { .. } => Value::Bytes(bytes.len() as u64, Chunks::Held(bytes)),
        _ => Value::Rendered(bytes),
    })
}

/// Remembers what an item is of a message, unless it is long.
pub(super) fn remember<B: Backend>(
    backend: &B,
    item: &Arc<FetchItem>,
    message: &Message,
    value: &Value,
) {
    let (Value::Rendered(bytes) | Value::Bytes(_, Chunks::Held(bytes))) = value else {
        return;
    };
    if bytes.len() <= limits::DERIVED_BYTES_MAX {
        // A slice would keep the buffer around it in memory.
        backend.keep_derived(key(item, message), Bytes::copy_from_slice(bytes));
    }
}

fn key(item: &Arc<FetchItem>, message: &Message) -> DerivedKey {
    DerivedKey {
        hash: message.body.hash,
        length: message.body.length,
        item: Arc::clone(item),
    }
}
