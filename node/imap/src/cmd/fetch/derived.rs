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
use crate::backend::{Content, DerivedKey};
use crate::grammar::{FetchItem, Section, SectionText};
use crate::limits;

/// Fields that the server writes itself (RFC 5321 section 4.4).
const TRACE: [&str; 3] = ["Return-Path", "Delivered-To", "Received"];

/// An item as it stands in keys, if what it is of a message may be remembered. It holds nothing of
/// the buffer that the command came in.
pub(super) fn remembered(item: &FetchItem) -> Option<Arc<FetchItem>> {
    let item = match item {
        FetchItem::Envelope
        | FetchItem::Body
        | FetchItem::BodyStructure
        | FetchItem::Preview { .. } => item.clone(),
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
            peek,
        } if part.is_empty() && are_few(names) && !names.iter().any(is_trace) => {
            FetchItem::Section {
                section: Section {
                    part: Vec::new(),
                    text: Some(SectionText::HeaderFields {
                        except: false,
                        names: names.iter().map(|n| Bytes::copy_from_slice(n)).collect(),
                    }),
                },
                partial: None,
                peek: *peek,
            }
        }
        _ => return None,
    };
    Some(Arc::new(item))
}

/// Whether names of fields take little to be kept.
fn are_few(names: &[Bytes]) -> bool {
    let bytes: usize = names.iter().map(Bytes::len).sum();
    names.len() <= limits::DERIVED_FIELDS_MAX && bytes <= limits::DERIVED_FIELDS_BYTES_MAX
}

fn is_trace(name: &Bytes) -> bool {
    let mut trace = TRACE.iter();
    trace.any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
}

/// What an item is of a message, if that is remembered.
pub(super) fn recall<B: Content>(
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
pub(super) fn remember<B: Content>(
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An item as a command has it: its names are parts of one buffer.
    fn fields(names: &[&str]) -> FetchItem {
        let buffer = Bytes::from(names.concat());
        let mut at = 0;
        let names = names.iter().map(|name| {
            at += name.len();
            buffer.slice(at - name.len()..at)
        });
        FetchItem::Section {
            section: Section {
                part: Vec::new(),
                text: Some(SectionText::HeaderFields {
                    except: false,
                    names: names.collect(),
                }),
            },
            partial: None,
            peek: true,
        }
    }

    #[test]
    fn what_is_remembered_holds_no_buffer() {
        let item = fields(&["From", "To"]);
        assert!(!item.field_names().iter().all(Bytes::is_unique));
        let kept = remembered(&item).unwrap();
        assert_eq!(*kept, item);
        assert!(kept.field_names().iter().all(Bytes::is_unique));
    }

    #[test]
    fn long_lists_of_fields_are_not_remembered() {
        let is_kept = |names: &[&str]| remembered(&fields(names)).is_some();
        assert!(is_kept(&["x"; limits::DERIVED_FIELDS_MAX]));
        assert!(!is_kept(&["x"; limits::DERIVED_FIELDS_MAX + 1]));
        let long = "x".repeat(limits::DERIVED_FIELDS_BYTES_MAX);
        assert!(is_kept(&[&long]));
        assert!(!is_kept(&[&long, "y"]));
        assert!(!is_kept(&["From", "received"]));
    }

    /// What takes more is charged more, and never less than it takes.
    #[test]
    fn names_are_charged() {
        let bytes = |names: &[&str]| {
            let item = remembered(&fields(names)).unwrap();
            let key = DerivedKey {
                hash: mailbox::Hash16([0; 16]),
                length: 0,
                item,
            };
            key.names_bytes()
        };
        assert_eq!(bytes(&["From", "To"]), bytes(&["From"]) + bytes(&["To"]));
        assert!(bytes(&["From"]) >= size_of::<Bytes>() + 4);
        assert_eq!(bytes(&["Subject"]), bytes(&["From"]) + 3);
    }
}
