//! The grammar of IMAP: from a stream of bytes to typed commands.
//!
//! Two steps, kept apart. The [`Framer`] finds where a command ends: a line, and as many literals
//! as its line announces, each followed by more line. It knows nothing of commands but one: it must
//! see that a literal is a message of an APPEND, for that one is streamed and never held. Then
//! [`parse`] reads the whole command, which lies in one piece, with a cursor that shares its bytes.
//!
//! ```text
//!   a1 LOGIN {5+}CRLF alice SP "secret" CRLF            ─► Item::Command(a1 Login)
//!   a2 APPEND INBOX (\Seen) {310}CRLF                   ─► Item::Append(a2), Item::Message(\Seen),
//!                                                          Item::Literal(310)
//!      the caller accepts, writes "+ OK", reads on      ─► Item::Body(..) Item::Body(..)
//!   CRLF                                                ─► Item::AppendEnd
//!   a3 SEARCH SUBJECT {99999999999}CRLF                 ─► Item::Bad(a3, too big): no "+" is sent
//!   a4 IDLE CRLF                                        ─► Item::Command(a4 Idle)
//!      the caller asks for a raw line                   ─► Item::Line("DONE")
//! ```
//!
//! The parser is lenient where clients are known to err and nothing can be misread (a bare LF ends
//! a line, spaces may trail, empty lines are skipped), and strict everywhere else: NUL nowhere, no
//! 8-bit bytes outside literals unless they are UTF-8 in quotes, no overflow, no value outside its
//! type. Strings that name mailboxes stay as they were sent; [`crate::names`] decodes them.
//!
//! `table` lists every command with the states in which it is valid, for the session's gate and for
//! tests that must not forget one. The types of a command's arguments live beside their parsers.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod acl;
mod append;
mod command;
pub mod date;
mod esearch;
mod fetch;
pub mod flag;
mod framer;
mod lexer;
mod list;
mod literal;
mod metadata;
mod notify;
mod qresync;
mod quota;
mod returns;
mod rights;
mod saved;
mod search;
pub mod sequence;
mod sort;
mod table;
mod uid_batches;
mod url;

pub use acl::{OfIdentifier, SetAcl};
pub use append::{AppendStart, AppendVerb, LiteralStart, MessageForm, MessageStart};
pub use command::{
    Command, CommandBody, Copy, Create, Id, Secret, Select, Store, StoreMode, Tag, parse,
};
pub use date::{Date, DateTime};
pub use esearch::{MultiSearch, SearchSource};
pub use fetch::{Fetch, FetchItem, Partial, Section, SectionText};
pub use flag::{Flag, Keyword};
pub use framer::{Bad, Framer, Item};
pub(crate) use lexer::{is_astring_char, is_atom_char};
pub use list::{List, ListReturn, ListSelection, Lsub, SpecialUse, Status, StatusItem};
pub use metadata::{Depth, GetMetadata, SetMetadata};
pub use notify::{EVENTS, EventGroup, Events, Notify, NotifyMailboxes, NotifySet};
pub use qresync::{QResync, SequenceMatch};
pub use quota::SetQuota;
pub use returns::{PartialRange, SearchReturn};
pub use rights::{Needs, On, RIGHTS, rights_of};
pub use saved::SavedKey;
pub use search::{CHARSETS, Charset, Search, SearchKey};
pub use sequence::{IdRange, SequenceSet};
pub use sort::{Sort, SortCriterion, SortKey, Thread, ThreadAlgorithm};
pub use table::{COMMANDS, CommandInfo, ValidIn};
pub use uid_batches::UidBatches;
pub use url::MessageUrl;
