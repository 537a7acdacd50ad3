//! Response codes: the part of a status response that clients read.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};

use super::data::flag_list;
use super::string::{id_set, string};
use crate::grammar::{CHARSETS, EVENTS, IdRange, Tag};

/// A response code (RFC 3501 section 7.1, RFC 5530, and as said).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// The text must be shown to the user.
    Alert,
    /// The name exists already.
    AlreadyExists,
    /// Where an appended message went (RFC 4315).
    AppendUid {
        /// UIDVALIDITY of the mailbox.
        uid_validity: u32,
        /// The messages' UIDs, in their order (RFC 4315 section 3); of one command they follow
        /// each other.
        uids: IdRange,
    },
    /// Login failed and says no more.
    AuthenticationFailed,
    /// Logged in, but not allowed to act as that user.
    AuthorizationFailed,
    /// An event of NOTIFY is unknown; those that are known are named (RFC 5465).
    BadEvent,
    /// SEARCH's charset is unknown; those that are known are named.
    BadCharset,
    /// A URL of CATENATE that names nothing that can be had (RFC 4469 section 4.1). It is echoed,
    /// what may not stand there as `?`.
    BadUrl(Bytes),
    /// Never possible here, such as renaming to an invalid name.
    Cannot,
    /// The capabilities, so that the client need not ask.
    Capability(Vec<String>),
    /// The client has a bug.
    ClientBug,
    /// The mailbox that was selected is so no more (RFC 7162).
    Closed,
    /// The connection is compressed already (RFC 4978).
    CompressionActive,
    /// An administrator must help.
    ContactAdmin,
    /// Where copied or moved messages went (RFC 4315). Both sets count the same.
    CopyUid {
        /// UIDVALIDITY of the target.
        uid_validity: u32,
        /// UIDs in the source, in the order of `to`.
        from: Vec<IdRange>,
        /// UIDs in the target.
        to: Vec<IdRange>,
    },
    /// Stored data is damaged.
    Corruption,
    /// The password has expired.
    Expired,
    /// Some of the messages are gone.
    ExpungeIssued,
    /// The mailbox has children and so cannot be deleted.
    HasChildren,
    /// The mailbox's highest mod-sequence (RFC 7162).
    HighestModSeq(u64),
    /// A command takes long (RFC 9585).
    InProgress {
        /// The command's.
        tag: Tag,
        /// How much is done, and of how much; the latter is not 0.
        progress: Option<(u64, u64)>,
    },
    /// Something else works on it now: try later.
    InUse,
    /// A limit of the server's, which no retry will change.
    Limit,
    /// The mailbox's id, as [`mailbox::MailboxId::object_id`] makes it (RFC 8474).
    MailboxId(String),
    /// More messages than one command may touch, how many it may, and the lowest UID that it did
    /// (RFC 9738).
    MessageLimit(u32, Option<u32>),
    /// The largest value that MAXSIZE has left out (RFC 5464).
    MetadataLongEntries(u64),
    /// The most bytes that a value may have (RFC 5464).
    MetadataMaxSize(u64),
    /// No more entries, or no more bytes of entries, can be set (RFC 5464).
    MetadataTooMany,
    /// Messages that failed UNCHANGEDSINCE: UIDs or sequence numbers as in the command (RFC 7162).
    Modified(Vec<IdRange>),
    /// The mailbox has no mod-sequences (RFC 7162).
    NoModSeq,
    /// The search with this tag is not followed by updates (RFC 5267).
    NoUpdate(String),
    /// No such mailbox, or none that this user may know of.
    NonExistent,
    /// More changes or mailboxes than NOTIFY can tell of: it tells nothing any more (RFC 5465).
    NotificationOverflow,
    /// The user lacks the right.
    NoPerm,
    /// Quota is or would be exceeded.
    OverQuota,
    /// A message cannot be parsed.
    Parse,
    /// Flags that the client may change for good.
    PermanentFlags {
        /// Flags as they are written.
        flags: Vec<String>,
        /// Whether new keywords may be made (`\*`).
        may_create: bool,
    },
    /// Only under TLS.
    PrivacyRequired,
    /// The mailbox is selected without the right to change it.
    ReadOnly,
    /// The mailbox is selected.
    ReadWrite,
    /// The server has a bug.
    ServerBug,
    /// A literal or message is too big (RFC 4469, RFC 7889).
    TooBig,
    /// A batch would be too small (RFC 10022).
    TooFew,
    /// Too many batches at once (RFC 10022).
    TooMany,
    /// The target does not exist: create it and try again.
    TryCreate,
    /// The next UID.
    UidNext(u32),
    /// UIDs of this mailbox do not last (RFC 4315).
    UidNotSticky,
    /// A sequence number where only UIDs are used (RFC 9586).
    UidRequired,
    /// UIDVALIDITY of the mailbox.
    UidValidity(u32),
    /// Not now: a part of the service is down.
    Unavailable,
    /// A part's transfer encoding is not known, or bytes cannot be stored (RFC 3516 section 4).
    UnknownCte,
    /// The sequence number of the first message without `\Seen`.
    Unseen(u32),
    /// An attribute of CREATE's USE is unknown or cannot be given (RFC 6154).
    UseAttr,
}

impl Code {
    /// Writes what stands between the brackets.
    pub(super) fn write(&self, out: &mut BytesMut) {
        out.extend_from_slice(self.name().as_bytes());
        match self {
            Code::AppendUid { uid_validity, uids } => {
                put(out, &[uid_validity]);
                out.extend_from_slice(b" ");
                id_set(out, &[*uids]);
            }
            Code::BadCharset => list(out, CHARSETS),
            Code::BadEvent => list(out, EVENTS),
            Code::BadUrl(url) => {
                out.extend_from_slice(b" ");
                out.extend(url.iter().map(|&byte| match byte {
                    b' '..=b'~' if byte != b']' => byte,
                    _ => b'?',
                }));
            }
            Code::Capability(names) => {
                for name in names {
                    out.extend_from_slice(b" ");
                    out.extend_from_slice(name.as_bytes());
                }
            }
            Code::CopyUid {
                uid_validity,
                from,
                to,
            } => {
                put(out, &[uid_validity]);
                for set in [from, to] {
                    out.extend_from_slice(b" ");
                    id_set(out, set);
                }
            }
            Code::NoUpdate(tag) => {
                out.extend_from_slice(b" ");
                string(out, tag.as_bytes());
            }
            Code::HighestModSeq(modseq) => put(out, &[modseq]),
            Code::MailboxId(id) => list(out, &[id]),
            Code::InProgress { tag, progress } => {
                out.extend_from_slice(b" (\"");
                out.extend_from_slice(tag.as_str().as_bytes());
                match progress {
                    Some((done, goal)) => write!(out, "\" {done} {goal})"),
                    None => write!(out, "\" NIL NIL)"),
                }
                .expect("a buffer in memory takes all");
            }
            Code::MetadataLongEntries(bytes) | Code::MetadataMaxSize(bytes) => put(out, &[bytes]),
            Code::Modified(set) => {
                out.extend_from_slice(b" ");
                id_set(out, set);
            }
            Code::PermanentFlags { flags, may_create } => {
                out.extend_from_slice(b" ");
                let create = may_create.then_some("\\*");
                flag_list(out, flags.iter().map(String::as_str).chain(create));
            }
            Code::MessageLimit(limit, Some(lowest)) => put(out, &[limit, lowest]),
            Code::MessageLimit(number, None)
            | Code::UidNext(number)
            | Code::UidValidity(number)
            | Code::Unseen(number) => {
                put(out, &[number]);
            }
            _ => {}
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Code::Alert => "ALERT",
            Code::AlreadyExists => "ALREADYEXISTS",
            Code::AppendUid { .. } => "APPENDUID",
            Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Code::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Code::BadCharset => "BADCHARSET",
            Code::BadEvent => "BADEVENT",
            Code::BadUrl(_) => "BADURL",
            Code::Cannot => "CANNOT",
            Code::Capability(_) => "CAPABILITY",
            Code::ClientBug => "CLIENTBUG",
            Code::Closed => "CLOSED",
            Code::CompressionActive => "COMPRESSIONACTIVE",
            Code::ContactAdmin => "CONTACTADMIN",
            Code::CopyUid { .. } => "COPYUID",
            Code::Corruption => "CORRUPTION",
            Code::Expired => "EXPIRED",
            Code::ExpungeIssued => "EXPUNGEISSUED",
            Code::HasChildren => "HASCHILDREN",
            Code::HighestModSeq(_) => "HIGHESTMODSEQ",
            Code::InProgress { .. } => "INPROGRESS",
            Code::InUse => "INUSE",
            Code::Limit => "LIMIT",
            Code::MailboxId(_) => "MAILBOXID",
            Code::MessageLimit(..) => "MESSAGELIMIT",
            Code::MetadataLongEntries(_) => "METADATA LONGENTRIES",
            Code::MetadataMaxSize(_) => "METADATA MAXSIZE",
            Code::MetadataTooMany => "METADATA TOOMANY",
            Code::Modified(_) => "MODIFIED",
            Code::NoModSeq => "NOMODSEQ",
            Code::NonExistent => "NONEXISTENT",
            Code::NotificationOverflow => "NOTIFICATIONOVERFLOW",
            Code::NoPerm => "NOPERM",
            Code::NoUpdate(_) => "NOUPDATE",
            Code::OverQuota => "OVERQUOTA",
            Code::Parse => "PARSE",
            Code::PermanentFlags { .. } => "PERMANENTFLAGS",
            Code::PrivacyRequired => "PRIVACYREQUIRED",
            Code::ReadOnly => "READ-ONLY",
            Code::ReadWrite => "READ-WRITE",
            Code::ServerBug => "SERVERBUG",
            Code::TooBig => "TOOBIG",
            Code::TooFew => "TOOFEW",
            Code::TooMany => "TOOMANY",
            Code::TryCreate => "TRYCREATE",
            Code::UidNext(_) => "UIDNEXT",
            Code::UidNotSticky => "UIDNOTSTICKY",
            Code::UidRequired => "UIDREQUIRED",
            Code::UidValidity(_) => "UIDVALIDITY",
            Code::Unavailable => "UNAVAILABLE",
            Code::UnknownCte => "UNKNOWN-CTE",
            Code::Unseen(_) => "UNSEEN",
            Code::UseAttr => "USEATTR",
        }
    }
}

/// Words in parentheses.
fn list(out: &mut BytesMut, words: &[&str]) {
    out.extend_from_slice(b" (");
    out.extend_from_slice(words.join(" ").as_bytes());
    out.extend_from_slice(b")");
}

/// Numbers, a space before each.
fn put(out: &mut BytesMut, numbers: &[&dyn std::fmt::Display]) {
    for number in numbers {
        write!(out, " {number}").expect("a buffer in memory takes all");
    }
}
