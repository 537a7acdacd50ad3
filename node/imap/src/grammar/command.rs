//! Whole commands: the types, and the dispatch by name.

use std::fmt;

use bytes::Bytes;

use super::acl::{self, OfIdentifier, SetAcl};
use super::esearch::{self, MultiSearch};
use super::fetch::{self, Fetch};
use super::flag::{self, Flag};
use super::framer::Bad;
use super::lexer::{Cursor, ascii};
use super::list::{self, List, Lsub, SpecialUse, Status};
use super::metadata::{self, GetMetadata, SetMetadata};
use super::notify::{self, Notify};
use super::qresync::{self, QResync};
use super::quota::{self, SetQuota};
use super::search::{self, Search};
use super::sequence::{self, SequenceSet};
use super::sort::{self, Sort, Thread};
use super::uid_batches::{self, UidBatches};
use crate::error::{Error, Result};
use crate::limits;

/// A command's tag: 1 to [`limits::TAG_BYTES_MAX`] printable ASCII characters, safe to echo.
#[derive(Clone, PartialEq, Eq)]
pub struct Tag(Bytes);

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        ascii(&self.0)
    }

    /// The tag at a command's start.
    pub(super) fn read(cursor: &mut Cursor) -> Result<Tag> {
        cursor
            .tag()
            .map(Tag)
            .ok_or(Error::Syntax("a command begins with a tag"))
    }

    /// The tag that `text` begins with, if a space shows where it ends.
    pub(super) fn at_start_of(text: &[u8]) -> Option<Tag> {
        let head = text.get(..limits::TAG_BYTES_MAX + 1).unwrap_or(text);
        let end = head.iter().position(|&byte| byte == b' ')?;
        Cursor::new(Bytes::copy_from_slice(head.get(..end)?))
            .tag()
            .map(Tag)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A password or a SASL response: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Bytes);

impl Secret {
    /// The bytes as sent.
    pub fn expose(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A command, whole and syntactically valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// To be echoed in the tagged response.
    pub tag: Tag,
    /// What to do.
    pub body: CommandBody,
}

/// Every command but those that append, which come as [`super::Item::Append`]. Mailbox names are
/// as sent: [`crate::names::decode`] reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandBody {
    /// CAPABILITY
    Capability,
    /// NOOP
    Noop,
    /// LOGOUT
    Logout,
    /// ID (RFC 2971): `None` for NIL.
    Id(Option<Id>),
    /// STARTTLS. The caller must call [`super::Framer::discard_buffered`] before the handshake.
    StartTls,
    /// AUTHENTICATE
    Authenticate {
        /// The SASL mechanism, in upper case.
        mechanism: String,
        /// The initial response (RFC 4959) in base64 as sent, not decoded; empty for `=`.
        initial: Option<Secret>,
    },
    /// LOGIN
    Login {
        /// The user's name, any bytes but NUL.
        user: Bytes,
        /// The password, any bytes but NUL.
        password: Secret,
    },
    /// SELECT
    Select(Select),
    /// EXAMINE
    Examine(Select),
    /// CREATE
    Create(Create),
    /// DELETE
    Delete {
        /// The mailbox.
        mailbox: Bytes,
    },
    /// RENAME
    Rename {
        /// The mailbox.
        from: Bytes,
        /// Its new name.
        to: Bytes,
    },
    /// SUBSCRIBE
    Subscribe {
        /// The mailbox.
        mailbox: Bytes,
    },
    /// UNSUBSCRIBE
    Unsubscribe {
        /// The mailbox.
        mailbox: Bytes,
    },
    /// LIST
    List(List),
    /// LSUB
    Lsub(Lsub),
    /// STATUS
    Status(Status),
    /// NAMESPACE (RFC 2342)
    Namespace,
    /// GETQUOTA (RFC 9208)
    GetQuota {
        /// The quota root.
        root: Bytes,
    },
    /// GETQUOTAROOT (RFC 9208)
    GetQuotaRoot {
        /// The mailbox, which need not exist.
        mailbox: Bytes,
    },
    /// SETQUOTA (RFC 9208)
    SetQuota(SetQuota),
    /// SETACL (RFC 4314)
    SetAcl(SetAcl),
    /// DELETEACL (RFC 4314)
    DeleteAcl(OfIdentifier),
    /// GETACL (RFC 4314)
    GetAcl {
        /// The mailbox.
        mailbox: Bytes,
    },
    /// LISTRIGHTS (RFC 4314)
    ListRights(OfIdentifier),
    /// MYRIGHTS (RFC 4314)
    MyRights {
        /// The mailbox.
        mailbox: Bytes,
    },
    /// GETMETADATA (RFC 5464)
    GetMetadata(GetMetadata),
    /// SETMETADATA (RFC 5464)
    SetMetadata(SetMetadata),
    /// ENABLE (RFC 5161): capability names in upper case, known or not.
    Enable {
        /// At least one.
        capabilities: Vec<String>,
    },
    /// COMPRESS (RFC 4978). The caller compresses from the end of its answer on.
    Compress {
        /// In upper case, known or not.
        algorithm: String,
    },
    /// UNAUTHENTICATE (RFC 8437)
    Unauthenticate,
    /// IDLE (RFC 2177). The caller answers `+` and calls [`super::Framer::expect_line`] for DONE.
    Idle,
    /// NOTIFY (RFC 5465)
    Notify(Notify),
    /// CHECK
    Check,
    /// CLOSE
    Close,
    /// UNSELECT (RFC 3691)
    Unselect,
    /// EXPUNGE
    Expunge,
    /// UID EXPUNGE (RFC 4315)
    UidExpunge {
        /// UIDs.
        set: SequenceSet,
    },
    /// SEARCH and UID SEARCH
    Search(Search),
    /// ESEARCH (RFC 7377)
    MultiSearch(MultiSearch),
    /// CANCELUPDATE (RFC 5267): the tags of searches, at least one.
    CancelUpdate(Vec<Tag>),
    /// SORT and UID SORT (RFC 5256)
    Sort(Sort),
    /// THREAD and UID THREAD (RFC 5256)
    Thread(Thread),
    /// FETCH and UID FETCH
    Fetch(Fetch),
    /// STORE and UID STORE
    Store(Store),
    /// COPY and UID COPY
    Copy(Copy),
    /// MOVE and UID MOVE (RFC 6851)
    Move(Copy),
    /// UIDBATCHES (RFC 10022)
    UidBatches(UidBatches),
}

/// The arguments of SELECT and EXAMINE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// The mailbox.
    pub mailbox: Bytes,
    /// Whether CONDSTORE was asked for (RFC 7162 section 3.1.8).
    pub condstore: bool,
    /// What the client remembers of the mailbox, if it wants to be told what changed since.
    pub qresync: Option<QResync>,
}

/// The arguments of CREATE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// The mailbox; a separator at the end says that only children are planned.
    pub mailbox: Bytes,
    /// What it shall be for (RFC 6154 section 3); `None` for an attribute that we do not know, to
    /// be answered NO with USEATTR.
    pub special_use: Vec<Option<SpecialUse>>,
}

/// The arguments of STORE and UID STORE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Whether the set names UIDs.
    pub uid: bool,
    /// The messages.
    pub set: SequenceSet,
    /// Only messages with a mod-sequence of at most this (RFC 7162 section 3.1.3): 0 fails for
    /// every message.
    pub unchanged_since: Option<u64>,
    /// What to do with the flags.
    pub mode: StoreMode,
    /// Whether the client wants no FETCH in answer.
    pub silent: bool,
    /// The flags, possibly none, at most [`limits::FLAGS_MAX`].
    pub flags: Vec<Flag>,
}

/// What STORE does with its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// The arguments of COPY and MOVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Whether the set names UIDs.
    pub uid: bool,
    /// The messages.
    pub set: SequenceSet,
    /// Where to.
    pub mailbox: Bytes,
}

/// The pairs of ID: field name and value, in the client's order.
pub type Id = Vec<(Bytes, Option<Bytes>)>;

/// What is answered to a command that there is not.
pub(super) const UNKNOWN: Error = Error::Syntax("unknown command");

/// Parses a whole command: a line without its line end, literals inline.
///
/// # Errors
/// What to answer, with the tag if one could be read. Only `Syntax` and `TooBig` occur.
pub fn parse(text: Bytes) -> std::result::Result<Command, Bad> {
    let mut cursor = Cursor::new(text);
    let tag = Tag::read(&mut cursor).map_err(|error| Bad { tag: None, error })?;
    match body(&mut cursor) {
        Ok(body) => Ok(Command { tag, body }),
        Err(error) => Err(Bad {
            tag: Some(tag),
            error,
        }),
    }
}

fn body(cursor: &mut Cursor) -> Result<CommandBody> {
    cursor.expect(b' ', "a command's name expected")?;
    let name = cursor.word();
    if let Some(body) = without_arguments(&name) {
        cursor.end()?;
        return Ok(body);
    }
    match name.as_str() {
        "ID" => id(cursor),
        "AUTHENTICATE" => authenticate(cursor),
        "LOGIN" => {
            let user = argument(cursor)?;
            let password = Secret(last_argument(cursor)?);
            Ok(CommandBody::Login { user, password })
        }
        "SELECT" => select(cursor).map(CommandBody::Select),
        "EXAMINE" => select(cursor).map(CommandBody::Examine),
        "CREATE" => create(cursor).map(CommandBody::Create),
        "DELETE" => Ok(CommandBody::Delete {
            mailbox: last_argument(cursor)?,
        }),
        "RENAME" => {
            let from = argument(cursor)?;
            Ok(CommandBody::Rename {
                from,
                to: last_argument(cursor)?,
            })
        }
        "SUBSCRIBE" => Ok(CommandBody::Subscribe {
            mailbox: last_argument(cursor)?,
        }),
        "UNSUBSCRIBE" => Ok(CommandBody::Unsubscribe {
            mailbox: last_argument(cursor)?,
        }),
        "LIST" => list::list(cursor).map(CommandBody::List),
        "LSUB" => list::lsub(cursor).map(CommandBody::Lsub),
        "STATUS" => list::status(cursor).map(CommandBody::Status),
        "ENABLE" => enable(cursor),
        "ESEARCH" => esearch::multi_search(cursor).map(CommandBody::MultiSearch),
        "CANCELUPDATE" => esearch::cancel_update(cursor).map(CommandBody::CancelUpdate),
        "UIDBATCHES" => uid_batches::uid_batches(cursor).map(CommandBody::UidBatches),
        "COMPRESS" => compress(cursor),
        "SETACL" => acl::set_acl(cursor).map(CommandBody::SetAcl),
        "DELETEACL" => acl::of_identifier(cursor).map(CommandBody::DeleteAcl),
        "GETACL" => Ok(CommandBody::GetAcl {
            mailbox: last_argument(cursor)?,
        }),
        "LISTRIGHTS" => acl::of_identifier(cursor).map(CommandBody::ListRights),
        "MYRIGHTS" => Ok(CommandBody::MyRights {
            mailbox: last_argument(cursor)?,
        }),
        "GETQUOTA" => Ok(CommandBody::GetQuota {
            root: last_argument(cursor)?,
        }),
        "GETQUOTAROOT" => Ok(CommandBody::GetQuotaRoot {
            mailbox: last_argument(cursor)?,
        }),
        "SETQUOTA" => quota::set_quota(cursor).map(CommandBody::SetQuota),
        "GETMETADATA" => metadata::get_metadata(cursor).map(CommandBody::GetMetadata),
        "NOTIFY" => notify::notify(cursor).map(CommandBody::Notify),
        "SETMETADATA" => metadata::set_metadata(cursor).map(CommandBody::SetMetadata),
        "UID" => {
            cursor.space()?;
            let name = cursor.word();
            by_messages(cursor, &name, true)
        }
        _ => by_messages(cursor, &name, false),
    }
}

fn without_arguments(name: &str) -> Option<CommandBody> {
    Some(match name {
        "CAPABILITY" => CommandBody::Capability,
        "NOOP" => CommandBody::Noop,
        "LOGOUT" => CommandBody::Logout,
        "STARTTLS" => CommandBody::StartTls,
        "NAMESPACE" => CommandBody::Namespace,
        "IDLE" => CommandBody::Idle,
        "UNAUTHENTICATE" => CommandBody::Unauthenticate,
        "CHECK" => CommandBody::Check,
        "CLOSE" => CommandBody::Close,
        "UNSELECT" => CommandBody::Unselect,
        "EXPUNGE" => CommandBody::Expunge,
        _ => return None,
    })
}

/// The commands that may have UID before them.
fn by_messages(cursor: &mut Cursor, name: &str, uid: bool) -> Result<CommandBody> {
    match name {
        "SEARCH" => search::search(cursor, uid).map(CommandBody::Search),
        "SORT" => sort::sort(cursor, uid).map(CommandBody::Sort),
        "THREAD" => sort::thread(cursor, uid).map(CommandBody::Thread),
        "FETCH" => fetch::fetch(cursor, uid).map(CommandBody::Fetch),
        "STORE" => store(cursor, uid).map(CommandBody::Store),
        "COPY" => copy(cursor, uid).map(CommandBody::Copy),
        "MOVE" => copy(cursor, uid).map(CommandBody::Move),
        "EXPUNGE" if uid => {
            cursor.space()?;
            let set = sequence::set(cursor)?;
            cursor.end()?;
            Ok(CommandBody::UidExpunge { set })
        }
        _ => Err(UNKNOWN),
    }
}

fn argument(cursor: &mut Cursor) -> Result<Bytes> {
    cursor.space()?;
    cursor.astring()
}

fn last_argument(cursor: &mut Cursor) -> Result<Bytes> {
    let argument = argument(cursor)?;
    cursor.end()?;
    Ok(argument)
}

fn authenticate(cursor: &mut Cursor) -> Result<CommandBody> {
    cursor.space()?;
    let mechanism = cursor.atom("a SASL mechanism expected")?;
    let mut initial = None;
    if cursor.eat(b' ') {
        if cursor.eat(b'=') {
            initial = Some(Secret(Bytes::new()));
        } else {
            let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
            let response = cursor.take_while(is_base64);
            initial = (!response.is_empty()).then_some(Secret(response));
        }
    }
    cursor.end()?;
    Ok(CommandBody::Authenticate {
        mechanism: ascii(&mechanism).to_ascii_uppercase(),
        initial,
    })
}

fn id(cursor: &mut Cursor) -> Result<CommandBody> {
    cursor.space()?;
    let pairs = if cursor.peek() == Some(b'(') {
        Some(cursor.list_or_empty(limits::ID_PAIRS_MAX, id_pair)?)
    } else if cursor.eat_word("NIL") {
        None
    } else {
        return Err(Error::Syntax("a list of fields or NIL expected"));
    };
    cursor.end()?;
    Ok(CommandBody::Id(pairs))
}

fn id_pair(cursor: &mut Cursor) -> Result<(Bytes, Option<Bytes>)> {
    let field = cursor.string()?;
    cursor.space()?;
    let value = cursor.nstring()?;
    let is_long = value
        .as_ref()
        .is_some_and(|value| value.len() > limits::ID_VALUE_BYTES_MAX);
    if field.len() > limits::ID_FIELD_BYTES_MAX || is_long {
        return Err(Error::Syntax("a field of ID is too long"));
    }
    Ok((field, value))
}

fn compress(cursor: &mut Cursor) -> Result<CommandBody> {
    cursor.space()?;
    let algorithm = cursor.atom("an algorithm expected")?;
    cursor.end()?;
    Ok(CommandBody::Compress {
        algorithm: ascii(&algorithm).to_ascii_uppercase(),
    })
}

fn enable(cursor: &mut Cursor) -> Result<CommandBody> {
    let mut capabilities = Vec::new();
    while cursor.has_argument() {
        cursor.space()?;
        if capabilities.len() == limits::ENABLE_MAX {
            return Err(Error::TooBig("too many capabilities in one ENABLE"));
        }
        let atom = cursor.atom("a capability expected")?;
        capabilities.push(ascii(&atom).to_ascii_uppercase());
    }
    if capabilities.is_empty() {
        return Err(Error::Syntax("a capability expected"));
    }
    cursor.end()?;
    Ok(CommandBody::Enable { capabilities })
}

fn select(cursor: &mut Cursor) -> Result<Select> {
    let mut select = Select {
        mailbox: argument(cursor)?,
        condstore: false,
        qresync: None,
    };
    qresync::select_parameters(cursor, &mut select)?;
    cursor.end()?;
    Ok(select)
}

fn create(cursor: &mut Cursor) -> Result<Create> {
    let mailbox = argument(cursor)?;
    let mut special_use = Vec::new();
    if cursor.peek() == Some(b' ') && cursor.peek_second() == Some(b'(') {
        cursor.space()?;
        cursor.list(1, |cursor| {
            if !cursor.eat_word("USE") {
                return Err(Error::Syntax("unknown parameter of CREATE"));
            }
            cursor.space()?;
            special_use = list::special_uses(cursor)?;
            Ok(())
        })?;
    }
    cursor.end()?;
    Ok(Create {
        mailbox,
        special_use,
    })
}

fn store(cursor: &mut Cursor, uid: bool) -> Result<Store> {
    cursor.space()?;
    let set = sequence::set(cursor)?;
    cursor.space()?;
    let mut unchanged_since = None;
    if cursor.eat(b'(') {
        if !cursor.eat_word("UNCHANGEDSINCE") {
            return Err(Error::Syntax("unknown store modifier"));
        }
        cursor.space()?;
        unchanged_since = Some(cursor.number64()?);
        cursor.expect(b')', "only UNCHANGEDSINCE may be given")?;
        cursor.space()?;
    }
    let mode = if cursor.eat(b'+') {
        StoreMode::Add
    } else if cursor.eat(b'-') {
        StoreMode::Remove
    } else {
        StoreMode::Replace
    };
    let silent = match cursor.word().as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return Err(Error::Syntax("FLAGS, +FLAGS or -FLAGS expected")),
    };
    cursor.space()?;
    let flags = match cursor.peek() {
        Some(b'(') => cursor.list_or_empty(limits::FLAGS_MAX, flag::flag)?,
        _ => bare_flags(cursor)?,
    };
    cursor.end()?;
    Ok(Store {
        uid,
        set,
        unchanged_since,
        mode,
        silent,
        flags,
    })
}

/// STORE's flags without parentheses.
fn bare_flags(cursor: &mut Cursor) -> Result<Vec<Flag>> {
    let mut flags = vec![flag::flag(cursor)?];
    while cursor.has_argument() {
        cursor.space()?;
        if flags.len() == limits::FLAGS_MAX {
            return Err(Error::TooBig("too many flags"));
        }
        flags.push(flag::flag(cursor)?);
    }
    Ok(flags)
}

fn copy(cursor: &mut Cursor, uid: bool) -> Result<Copy> {
    cursor.space()?;
    let set = sequence::set(cursor)?;
    let mailbox = last_argument(cursor)?;
    Ok(Copy { uid, set, mailbox })
}
