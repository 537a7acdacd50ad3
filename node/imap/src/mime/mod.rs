//! Messages as IMAP sees them: where their parts lie, what their headers say, what they contain.
//!
//! One pass over a message's bytes finds all that FETCH and SEARCH need. Nothing is decoded on the
//! way, and nothing but a bounded extract of the headers is kept, so a message of any size is
//! scanned while it streams by.
//!
//! ```text
//!   prefix, body, in chunks ─► Scanner ─► Structure ─► write_body     BODY, BODYSTRUCTURE
//!                                            │  │ └──► section        the bytes of BODY[2.1.MIME]
//!                                            │  └────► Envelope       ENVELOPE
//!                                            └───────► pieces ─► PieceSearch   SEARCH BODY, TEXT
//!   a header's bytes ─► FieldFilter                    BODY[HEADER.FIELDS (..)]
//!                   └─► header_contains, field_value   SEARCH FROM, SUBJECT, HEADER
//!                              ├─► sent_date           SEARCH SENTBEFORE, SENTON, SENTSINCE
//!                              └─► base_subject, message_ids     SORT, THREAD
//!   all texts ─► grams                                 what an index keeps of a message
//!            └─► WordCounter                           SEARCH FUZZY: how well words match
//! ```
//!
//! The [`Structure`] is a list of parts in the order in which they begin, each with the ranges of
//! its header and body as offsets into the whole message (what we put before the body as received
//! counts: push that prefix first). A part that is a message/rfc822 has one child, the message
//! inside it, which is a part of its own with an [`Envelope`].
//!
//! ```text
//!   0 message, multipart/mixed      BODY[HEADER] is its header, BODY[TEXT] its body
//!   ├─ 1 text/plain                 BODY[1]
//!   └─ 2 message/rfc822             BODY[2]
//!      └─ 3 message, text/html      BODY[2.HEADER], BODY[2.TEXT]; its body is also BODY[2.1]
//! ```
//!
//! What always holds, for any bytes:
//!
//! - **Ranges nest.** A part's header ends where its body begins, and both lie within the body of
//!   its parent. Siblings do not overlap and are in order.
//! - **Chunks do not matter.** However a message is cut, its structure is the same.
//! - **Time is linear** in the bytes, memory is bounded by [`limits`] and not by the message. What
//!   lies beyond a limit is not an error: the message is stored, and its structure is cut short.
//! - **What is written is in the grammar.** A multipart without parts gets an empty one, and a
//!   Content-Type that cannot be read means text/plain (RFC 2045 section 5.2).
//!
//! Where the standards leave room, or real mail does not keep to them, this follows what Dovecot
//! and Cyrus do: a missing MIME-Version is not asked for, a field that stands twice counts once
//! (the first; addresses are joined), a line in a header that is no field is skipped, RFC 2231
//! continuations of a parameter are joined, a comment after an address is its name.
//!
//! It checks no signature, repairs nothing, and never changes a byte that is fetched.
//!
//! Read on in `scanner`, then [`Structure`] and `write`.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod limits;

mod structure;

mod fields;
mod lines;
mod scanner;

mod address;
mod content;
mod envelope;
mod lexer;
mod parameters;

mod section;
mod write;

mod date;
mod filter;
mod header;
mod words;

mod casemap;
mod charset;
mod fold;
mod preview;
mod search;
mod transfer;

mod grams;
mod texts;
mod tokens;

mod msgid;
mod subject;

pub use address::Address;
pub use casemap::collate;
pub use charset::TextDecoder;
pub use content::{Disposition, MediaType};
pub use date::sent_date;
pub use envelope::{Envelope, envelope};
pub use filter::{FieldFilter, header_fields};
pub use fold::Needle;
pub use grams::{Gram, MessageGrams, NeedleGrams, grams};
pub use header::{Field, Fields, field_value, fields};
pub use msgid::message_ids;
pub use parameters::Param;
pub use preview::{Preview, preview_parts};
pub use scanner::{Scanner, scan};
pub use search::{Piece, PieceSearch, Scope, header_contains, pieces, search_text};
pub use section::{PartText, part_of, section};
pub use structure::{Kind, Part, Structure};
pub use subject::{BaseSubject, base_subject};
pub use texts::{PieceTexts, Text, header_texts, texts};
pub use tokens::{Hits, WordCounter, words};
pub use transfer::PartDecoder;
pub use words::decode_words;
pub use write::write_body;
