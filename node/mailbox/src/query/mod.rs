//! What can be asked, and the answers.
//!
//! Queries are executed over the rows of the partition's leader, or of a replica that is new enough
//! for what is asked, and change nothing. Each reads a
//! bounded number of rows, or rows in proportion to its answer; long answers come in pages.
//!
//! ```text
//!   folders    Folders, Folder, Usage
//!   roster     Open, Marked: which messages are there, and which of them EXPUNGE removes
//!   changes    what changed after a MODSEQ: the log of changes, and arrivals by their UIDs
//!   messages   rows of messages, and where a chunked body is
//!   deleted    what can be restored
//!   quota      what is used and what may be; what EXPUNGE would free
//!   metadata   annotations
//!   grants     who has which rights on a mailbox
//!   moves      what has arrived from another account; which moves have not ended
//!   behalf     what a user asks of the account of another
//! ```

mod behalf;
mod changes;
mod deleted;
mod folders;
mod grants;
mod messages;
mod metadata;
mod moves;
mod quota;
mod roster;

pub use grants::effective;
pub(crate) use grants::rights_of;
pub(crate) use moves::open_move;
pub use moves::unfinished;
pub use roster::Roster;

use bytes::Bytes;
use proto::v1::{MailAccountRow, MailFolderRow, MailMetaRow, mail_account_row::State};
use rows::{Fault, Rows};

use crate::keys::{AccountKey, Key};
use crate::stored::read;
use crate::types::{
    AccountId, Body, EmailId, Flags, Hash16, MailboxId, Millis, ModSeq, Piece, Rights, SpecialUse,
    Uid, UidRanges, UidValidity, UploadId,
};

/// Answers a query from rows.
pub fn query(rows: &impl Rows, query: &Query) -> Result<Answer, QueryError> {
    Ok(match query {
        Query::Folders { account } => Answer::Folders(folders::all(rows, *account)?),
        Query::Folder { account, name } => Answer::Folder(folders::one(rows, *account, name)?),
        Query::Open { account, mailbox } => Answer::Opened(roster::open(rows, *account, *mailbox)?),
        Query::Changes {
            account,
            mailbox,
            since,
        } => Answer::Changes(changes::since(rows, *account, *mailbox, *since)?),
        Query::Remembered {
            account,
            mailbox,
            since,
        } => Answer::Changes(changes::remembered(rows, *account, *mailbox, *since)?),
        Query::Messages {
            account,
            mailbox,
            uids,
            changed_since,
            limit,
            include_expunged,
        } => {
            let wanted = messages::Wanted {
                uids,
                changed_since: *changed_since,
                limit: *limit,
                include_expunged: *include_expunged,
            };
            Answer::Messages(messages::page(rows, *account, *mailbox, &wanted)?)
        }
        Query::Locate { upload, length } => {
            Answer::Chunks(messages::chunks(rows, *upload, *length)?)
        }
        Query::Usage { account } => Answer::Usage(folders::usage(rows, *account)?),
        Query::Deleted {
            account,
            mailbox,
            from,
            limit,
        } => Answer::Deleted(deleted::messages(rows, *account, *mailbox, *from, *limit)?),
        Query::DeletedFolders { account, from } => {
            Answer::DeletedFolders(deleted::folders(rows, *account, *from)?)
        }
        Query::Quota { account } => Answer::Quota(quota::of(rows, *account)?),
        Query::Reclaimable { account, mailbox } => {
            Answer::Reclaimable(quota::reclaimable(rows, *account, *mailbox)?)
        }
        Query::Metadata {
            account,
            mailbox,
            user,
        } => Answer::Metadata(metadata::all(rows, *account, *mailbox, *user)?),
        Query::Marked { account, mailbox } => {
            Answer::Marked(roster::marked(rows, *account, *mailbox)?)
        }
        Query::Grants { account, mailbox } => {
            Answer::Grants(grants::all(rows, *account, *mailbox)?)
        }
        Query::Arrived {
            account,
            mailbox,
            origins,
        } => Answer::Arrived(moves::arrived(rows, *account, *mailbox, origins)?),
        Query::OnBehalf { actor, query } => behalf::answer(rows, *actor, query)?,
        Query::Digest => {
            let meta: MailMetaRow = read(rows, &Key::Meta.encode())?.unwrap_or_default();
            let digest = rows::Digest::kept(rows)?.to_bytes();
            Answer::Digest(Digest {
                applied_index: meta.index,
                digest,
            })
        }
    })
}

/// The MODSEQ of an account: all of its changes up to it are in the rows.
///
/// # Errors
///
/// As [`query`].
pub fn modseq(rows: &impl Rows, account: AccountId) -> Result<ModSeq, QueryError> {
    Ok(ModSeq(account_row(rows, account)?.modseq))
}

/// The row of an account that is here and in use.
fn account_row(rows: &impl Rows, id: AccountId) -> Result<MailAccountRow, QueryError> {
    let row: Option<MailAccountRow> = read(rows, &Key::Of(id, AccountKey::State).encode())?;
    let row = row.ok_or(QueryError::NoAccount)?;
    match row.state() {
        State::Active => Ok(row),
        State::Deleted => Err(QueryError::NoAccount),
        State::Moved => Err(QueryError::Moved),
    }
}

/// The row of a mailbox, unless it was deleted.
fn folder_row(
    rows: &impl Rows,
    account: AccountId,
    id: MailboxId,
) -> Result<Option<MailFolderRow>, Fault> {
    let row: Option<MailFolderRow> =
        read(rows, &Key::Of(account, AccountKey::Folder(id)).encode())?;
    Ok(row.filter(|row| row.deleted_ms == 0))
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// All mailboxes, and subscribed names without one, sorted by name.
    Folders {
        /// Whose.
        account: AccountId,
    },
    /// One mailbox or subscribed name.
    Folder {
        /// Whose.
        account: AccountId,
        /// The name, in any spelling of INBOX.
        name: String,
    },
    /// All that a session needs to open a mailbox.
    Open {
        /// Whose.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
    },
    /// What changed in a mailbox after a MODSEQ.
    Changes {
        /// Whose.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
        /// Changes at or below this are known.
        since: ModSeq,
    },
    /// The same, as far as it is remembered: no messages are looked at to find out what changed at
    /// or below [`Changes::floor`], so all pages together cost what they tell.
    Remembered {
        /// Whose.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
        /// Changes at or below this are known.
        since: ModSeq,
    },
    /// A page of messages, in the order of UIDs.
    Messages {
        /// Whose.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
        /// Of these, those that exist.
        uids: UidRanges,
        /// Only those that changed after this.
        changed_since: Option<ModSeq>,
        /// At most so many; the machine's own limit holds as well.
        limit: u32,
        /// Also those that were expunged and are not yet gone.
        include_expunged: bool,
    },
    /// The chunks of an upload, in order.
    Locate {
        /// Which.
        upload: UploadId,
        /// Its bytes: no more chunks are looked for than have these.
        length: u64,
    },
    /// How much an account uses.
    Usage {
        /// Whose.
        account: AccountId,
    },
    /// A page of expunged messages that can be restored, in the order of UIDs.
    Deleted {
        /// Whose.
        account: AccountId,
        /// From which mailbox, one that is there.
        mailbox: MailboxId,
        /// From this UID on.
        from: Uid,
        /// At most so many; the machine's own limit holds as well.
        limit: u32,
    },
    /// A page of deleted mailboxes that can be restored, in the order of their ids.
    DeletedFolders {
        /// Whose.
        account: AccountId,
        /// From this one on.
        from: MailboxId,
    },
    /// How much an account uses, and how much it may.
    Quota {
        /// Whose.
        account: AccountId,
    },
    /// Which messages have `\Deleted`.
    Marked {
        /// Whose.
        account: AccountId,
        /// In which mailbox.
        mailbox: MailboxId,
    },
    /// How many bytes the messages with `\Deleted` have.
    Reclaimable {
        /// Whose.
        account: AccountId,
        /// In which mailbox.
        mailbox: MailboxId,
    },
    /// Annotations: all of a mailbox, of the account as a whole (mailbox 0), or of all mailboxes.
    Metadata {
        /// Whose.
        account: AccountId,
        /// Of which mailbox; `None` for all.
        mailbox: Option<MailboxId>,
        /// Whose private ones are told beside the shared ones.
        user: AccountId,
    },
    /// Who has which rights on a mailbox.
    Grants {
        /// Whose.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
    },
    /// Of messages that are moved into a mailbox from another account, which have arrived, whether
    /// or not they are still there, and the mailbox is. It is remembered for some days
    /// ([`crate::limits::DUPLICATE_LIFE_MS`]).
    Arrived {
        /// Whose.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
        /// What they are recognised by.
        origins: Vec<Hash16>,
    },
    /// What a user asks of the account of another: told if he has the right. The answer is that to
    /// the query in it; mailboxes that he may not know of are left out, and the folders in it say
    /// what he may do ([`Folder::guest`]).
    OnBehalf {
        /// Who.
        actor: AccountId,
        /// What; never one of these.
        query: Box<Query>,
    },
    /// The digest of all rows.
    Digest,
}

/// The answer to a [`Query`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Query::Folders`].
    Folders(Vec<Folder>),
    /// To [`Query::Folder`]; `None` if the name has neither a mailbox nor a subscription.
    Folder(Option<Folder>),
    /// To [`Query::Open`].
    Opened(Opened),
    /// To [`Query::Changes`] and [`Query::Remembered`].
    Changes(Changes),
    /// To [`Query::Messages`].
    Messages(Messages),
    /// To [`Query::Locate`]; empty if there is no such upload.
    Chunks(Vec<Piece>),
    /// To [`Query::Usage`].
    Usage(Usage),
    /// To [`Query::Deleted`].
    Deleted(Deleted),
    /// To [`Query::DeletedFolders`].
    DeletedFolders(DeletedFolders),
    /// To [`Query::Quota`].
    Quota(Quota),
    /// To [`Query::Marked`].
    Marked(UidRanges),
    /// To [`Query::Reclaimable`].
    Reclaimable(u64),
    /// To [`Query::Metadata`], sorted by mailbox; shared ones come first.
    Metadata(Vec<Annotation>),
    /// To [`Query::Grants`], in the order of users; anyone comes first.
    Grants(Vec<Grant>),
    /// To [`Query::Arrived`], for each of the origins.
    Arrived(Vec<bool>),
    /// To [`Query::Digest`].
    Digest(Digest),
}

/// What an account uses, and what it may. Mailboxes have a limit that is the same for all,
/// [`crate::limits::MAILBOXES_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all messages, prefixes included.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Bytes that it may have; `None` for no limit.
    pub bytes_max: Option<u64>,
    /// Messages that it may have; `None` for no limit.
    pub messages_max: Option<u64>,
}

/// The rights of a user on a mailbox (RFC 4314).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who; 0 for anyone.
    pub user: AccountId,
    /// His name when it was given; empty for anyone.
    pub name: String,
    /// What he may do.
    pub given: Rights,
    /// What he may not, whoever gives it.
    pub denied: Rights,
}

/// An annotation (RFC 5464).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Of which mailbox; 0 for the account as a whole.
    pub mailbox: MailboxId,
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: Bytes,
}

/// A mailbox, or a subscribed name that has none (`exists` is false and every number 0).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Its id.
    pub id: MailboxId,
    /// Its name.
    pub name: String,
    /// Its UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// Its UIDNEXT. 2^32 - 1 is never given to a message, so this is always a UID.
    pub uid_next: Uid,
    /// Its HIGHESTMODSEQ: the MODSEQ of its last change.
    pub highest_modseq: ModSeq,
    /// Messages in it.
    pub messages: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// Bytes of all messages, prefixes included.
    pub bytes: u64,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// Whether the name is subscribed to.
    pub subscribed: bool,
    /// What was expunged at or below this is no longer remembered: a client that knows less gets
    /// every absent UID it asks about as vanished (RFC 7162 section 3.2.5.1).
    pub vanished_floor: ModSeq,
    /// Whether there is a mailbox of this name.
    pub exists: bool,
    /// What whoever asked may do; `None` for the owner, who may do everything.
    pub guest: Option<Rights>,
}

/// A mailbox that is being opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The mailbox.
    pub folder: Folder,
    /// The UIDs of its messages.
    pub uids: UidRanges,
    /// The lowest UID without `\Seen`.
    pub first_unseen: Option<Uid>,
    /// The keywords that were ever used in it, in the order of their first use.
    pub keywords: Vec<String>,
    /// The account's MODSEQ: what to ask [`Query::Changes`] since.
    pub modseq: ModSeq,
}

/// What changed in a mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The mailbox as it is now; `None` if it is gone.
    pub folder: Option<Folder>,
    /// UIDs that were expunged after `since`, also of messages that arrived after it: a client may
    /// know of them all the same. Complete only if `since` is at or above the folder's
    /// `vanished_floor`.
    pub vanished: UidRanges,
    /// UIDs of messages that arrived and are still there.
    pub arrived: UidRanges,
    /// Existing messages that changed or arrived, sorted by UID. A message that changed again after
    /// `modseq` may stand here early, with its newest flags, and will again.
    pub flags: Vec<(Uid, ModSeq, Flags)>,
    /// Changes up to here are told: what to ask since the next time.
    pub modseq: ModSeq,
    /// Whether there is more to ask for at once.
    pub more: bool,
    /// Which flags changed up to here is not told, because it is remembered no more. 0 to
    /// [`Query::Changes`].
    pub floor: ModSeq,
}

/// A page of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// The messages, sorted by UID.
    pub messages: Vec<Message>,
    /// If the page is not the last: the UID from which on to ask for the rest.
    pub next: Option<Uid>,
    /// The account's MODSEQ, as of which the page is.
    pub modseq: ModSeq,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its UID.
    pub uid: Uid,
    /// Its MODSEQ.
    pub modseq: ModSeq,
    /// Its flags.
    pub flags: Flags,
    /// Its INTERNALDATE.
    pub internal_date: Millis,
    /// Its SAVEDATE (RFC 8514).
    pub save_date: Millis,
    /// What stands before the body.
    pub prefix: Bytes,
    /// The body.
    pub body: Body,
    /// Whether it was expunged.
    pub expunged: bool,
}

impl Message {
    /// RFC822.SIZE: bytes of prefix and body.
    pub fn size(&self) -> u64 {
        self.prefix.len() as u64 + self.body.length
    }

    /// Its EMAILID (RFC 8474 section 4.2).
    pub fn email_id(&self) -> EmailId {
        EmailId::of(&self.prefix, self.body.hash, self.body.length)
    }
}

/// How much an account uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all messages, prefixes included; expunged ones do not count.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
    /// Bytes that it may have; `None` for no limit.
    pub quota_bytes: Option<u64>,
    /// Bytes of what was deleted and can be restored.
    pub held_bytes: u64,
    /// Messages of it.
    pub held_messages: u64,
    /// For how long what is deleted can be restored.
    pub retention: Millis,
    /// Whether that is the account's own, and not that of all.
    pub own_retention: bool,
}

/// A page of expunged messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The messages, sorted by UID.
    pub messages: Vec<DeletedMessage>,
    /// If there may be more: the UID from which on to ask for them.
    pub next: Option<Uid>,
}

/// An expunged message that can be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletedMessage {
    /// The UID that it had.
    pub uid: Uid,
    /// RFC822.SIZE.
    pub size: u64,
    /// Its INTERNALDATE.
    pub internal_date: Millis,
    /// When it was expunged, in log time.
    pub expunged: Millis,
    /// When it goes.
    pub deadline: Millis,
}

/// A page of deleted mailboxes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedFolders {
    /// The mailboxes, sorted by id.
    pub folders: Vec<DeletedFolder>,
    /// If there may be more: from which on to ask for them.
    pub next: Option<MailboxId>,
}

/// A deleted mailbox that can be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedFolder {
    /// Its id.
    pub id: MailboxId,
    /// The name that it had.
    pub name: String,
    /// Messages that come back with it.
    pub messages: u32,
    /// Their bytes.
    pub bytes: u64,
    /// When it was deleted, in log time.
    pub deleted: Millis,
    /// When it goes.
    pub deadline: Millis,
}

/// The state of a machine in 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// The index of the last entry that was applied to the rows.
    pub applied_index: u64,
    /// The digest of all rows. Equal on all replicas at the same index.
    pub digest: [u8; 16],
}

/// Why a query has no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// There is no such account.
    #[error("no such account")]
    NoAccount,
    /// There is no such mailbox.
    #[error("no such mailbox")]
    NoMailbox,
    /// The user has not been given the right.
    #[error("no right to see this")]
    NoRight,
    /// The account was moved to another partition.
    #[error("account was moved")]
    Moved,
    /// The rows cannot be read: the replica must stop (invariant R3).
    #[error(transparent)]
    Fault(#[from] Fault),
}
