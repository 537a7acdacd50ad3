//! What can be asked to be done, and what comes of it.
//!
//! A command is replicated history: ids, dates and randomness were chosen before, and the machine
//! decides the same thing from it on every replica (invariant M1). What is refused is an outcome
//! too.

use bytes::Bytes;

use crate::limits;
pub use crate::metadata::{Annotate, NewMetadata};
pub use crate::moved::{EndedMove, Home, Import, NewMove, OpenMove};
use crate::types::{
    AccountId, Flags, MailboxId, Millis, ModSeq, NewBody, Rights, SpecialUse, Stamp, Uid,
    UidRanges, UidValidity, UploadId,
};

/// A command as it stands in the log. A body that it brings rides beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Makes it run at most once. A [`Command::Tick`] needs none: its stamp is not looked at.
    pub stamp: Stamp,
    /// The leader's clock when it proposed the command. Log time is the highest of these.
    pub time: Millis,
    /// What is to be done.
    pub command: Command,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes an account with INBOX and `folders`, all subscribed. Done again, it changes nothing
    /// and answers the same. Answer: [`Reply::Created`] for INBOX.
    CreateAccount {
        /// Its id, from the directory.
        account: AccountId,
        /// Mailboxes to make beside INBOX.
        folders: Vec<NewFolder>,
        /// Bytes that its messages may have together; `None` for no limit.
        quota_bytes: Option<u64>,
    },
    /// Deletes an account with all that is in it. Its rows go after the retention.
    DeleteAccount {
        /// Which.
        account: AccountId,
    },
    /// CREATE: makes a mailbox, and superior ones that are missing. Answer: [`Reply::Created`].
    CreateMailbox {
        /// Whose.
        account: AccountId,
        /// Its name.
        name: String,
        /// What it is for (RFC 6154 section 3).
        special_use: Option<SpecialUse>,
    },
    /// DELETE: inferior mailboxes stay. Its messages go after the retention.
    DeleteMailbox {
        /// Whose.
        account: AccountId,
        /// Its name.
        name: String,
    },
    /// RENAME, with all inferior mailboxes. Mailboxes keep id and UIDVALIDITY. INBOX stays: its
    /// messages move to a new mailbox (RFC 9051 section 6.3.6). Answer: [`Reply::Created`] with the
    /// mailbox of the new name, or [`Reply::Nothing`] if there are inferior ones alone.
    RenameMailbox {
        /// Whose.
        account: AccountId,
        /// The name that it has.
        from: String,
        /// The name that it gets.
        to: String,
    },
    /// SUBSCRIBE and UNSUBSCRIBE. A name without a mailbox can be subscribed to.
    Subscribe {
        /// Whose.
        account: AccountId,
        /// The name.
        name: String,
        /// Subscribe, or unsubscribe.
        on: bool,
    },
    /// An LMTP transaction's part at this partition. Answer: [`Reply::Delivered`].
    Deliver(Deliver),
    /// A chunk of a body, 1 byte to 1 MiB, which rides in the entry.
    Chunk {
        /// The upload that it makes (number 0) or extends.
        upload: UploadId,
        /// Whose bound it counts against: of a delivery, the partition's first recipient.
        account: AccountId,
        /// 0, 1, 2 ..
        number: u32,
        /// Bytes in this chunk.
        length: u32,
    },
    /// Frees an upload that no message refers to.
    DropUpload {
        /// Which.
        upload: UploadId,
    },
    /// APPEND of one message. Answer: [`Reply::Appended`].
    Append {
        /// Whose.
        account: AccountId,
        /// Into which mailbox.
        mailbox: MailboxId,
        /// Its flags.
        flags: Flags,
        /// Its INTERNALDATE.
        date: Millis,
        /// Its bytes.
        body: NewBody,
    },
    /// MULTIAPPEND (RFC 3502) and REPLACE (RFC 8508): all or nothing. At most one body rides in the
    /// entry. Answer: [`Reply::Appended`] with the first UID; the others follow without a gap.
    AppendMany {
        /// Whose.
        account: AccountId,
        /// Into which mailbox.
        mailbox: MailboxId,
        /// What, in order; 1 to [`limits::APPEND_MESSAGES_MAX`].
        messages: Vec<NewMessage>,
        /// A message that is expunged at the same time, whatever its flags.
        replaced: Option<Replaced>,
    },
    /// STORE. A message whose flags are already so is not changed. Answer: [`Reply::Stored`].
    Store {
        /// Whose.
        account: AccountId,
        /// In which mailbox.
        mailbox: MailboxId,
        /// Which messages; those that do not exist are passed over.
        uids: UidRanges,
        /// What to do with the flags.
        mode: StoreMode,
        /// The flags.
        flags: Flags,
        /// Only messages that did not change after this (RFC 7162 section 3.1.3).
        unchanged_since: Option<ModSeq>,
    },
    /// COPY: all or nothing. Answer: [`Reply::Copied`].
    Copy {
        /// Whose.
        account: AccountId,
        /// From which mailbox.
        from: MailboxId,
        /// Into which, which may be the same.
        to: MailboxId,
        /// Which messages; those that do not exist are passed over.
        uids: UidRanges,
    },
    /// MOVE (RFC 6851): all or nothing. Answer: [`Reply::Moved`].
    Move {
        /// Whose.
        account: AccountId,
        /// From which mailbox.
        from: MailboxId,
        /// Into which, which may be the same.
        to: MailboxId,
        /// Which messages; those that do not exist are passed over.
        uids: UidRanges,
    },
    /// EXPUNGE, CLOSE and UID EXPUNGE: removes messages with `\Deleted`. Answer:
    /// [`Reply::Expunged`].
    Expunge {
        /// Whose.
        account: AccountId,
        /// In which mailbox.
        mailbox: MailboxId,
        /// Only these (RFC 4315 section 2.1); `None` for all.
        uids: Option<UidRanges>,
    },
    /// Sets for how long what an account deletes can be restored.
    SetRetention {
        /// Whose.
        account: AccountId,
        /// [`limits::RETENTION_MS_MIN`] to [`limits::RETENTION_MS_MAX`]; `None` for what the
        /// partition has for all.
        retention: Option<Millis>,
    },
    /// Sets it for all accounts that have no retention of their own.
    SetDefaultRetention {
        /// As above.
        retention: Millis,
    },
    /// Puts expunged messages back, without `\Deleted`, under new UIDs. A bounded number: the
    /// answer says where to go on. Answer: [`Reply::Restored`].
    Undelete {
        /// Whose.
        account: AccountId,
        /// From which mailbox they were expunged.
        from: MailboxId,
        /// Into which, which may be the same.
        to: MailboxId,
        /// Under which UIDs they were there; those that cannot be restored are passed over.
        uids: UidRanges,
        /// Only what was expunged at this log time or later.
        since: Option<Millis>,
    },
    /// Brings back a mailbox that was deleted, with its messages. Answer: [`Reply::Created`].
    RestoreMailbox {
        /// Whose.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
        /// Its name; `None` for the one that it had.
        name: Option<String>,
    },
    /// Removes for good, of a mailbox that is there, what was expunged or moved away; a deleted
    /// mailbox as a whole. A bounded number: the answer says where to go on. Answer:
    /// [`Reply::Purged`].
    Purge {
        /// Whose.
        account: AccountId,
        /// In which mailbox.
        mailbox: MailboxId,
        /// Messages from this UID on.
        from: Uid,
    },
    /// Sets what an account may have. What it has already stays.
    SetQuota {
        /// Whose.
        account: AccountId,
        /// Bytes that its messages may have together; `None` for no limit.
        bytes: Option<u64>,
        /// Messages in all its mailboxes; `None` for no limit.
        messages: Option<u64>,
    },
    /// SETMETADATA (RFC 5464 section 4.3): all or nothing, and no mod-sequence rises.
    SetMetadata {
        /// Whose.
        account: AccountId,
        /// Of which mailbox; `None` for the account as a whole.
        mailbox: Option<MailboxId>,
        /// Whose private entries are meant.
        user: AccountId,
        /// What to set, in this order.
        entries: Vec<NewMetadata>,
        /// What the mailbox shall be for (RFC 6154 section 4); `None` leaves that as it is.
        special_use: Option<Option<SpecialUse>>,
    },
    /// SETMETADATA of a mailbox, whose mod-sequence rises if something changes (RFC 7162 section
    /// 3.2).
    Annotate(Annotate),
    /// SETACL and DELETEACL (RFC 4314).
    SetGrant {
        /// Whose.
        account: AccountId,
        /// Which mailbox.
        mailbox: MailboxId,
        /// Who gets rights there, or loses them.
        grant: NewGrant,
    },
    /// What a user does in the account of another: done if he has the rights (`apply/behalf.rs`).
    OnBehalf {
        /// Who.
        actor: AccountId,
        /// One of those that concern mailboxes; never this one.
        command: Box<Command>,
    },
    /// MOVE from another account: appends all or nothing. Answer: [`Reply::Copied`], with no UIDs
    /// if one of them had come before.
    Import(Import),
    /// MOVE to another account begins: says what is to go where, before anything arrives there.
    BeginMove(NewMove),
    /// MOVE to another account ends: what has arrived goes. Answer: [`Reply::Expunged`].
    EndMove(EndedMove),
    /// MOVE to another account as it was before there was [`Command::BeginMove`]: messages that are
    /// there by now go, whatever their flags. Answer: [`Reply::Expunged`].
    Remove {
        /// Whose.
        account: AccountId,
        /// From which mailbox.
        mailbox: MailboxId,
        /// Which messages; those that do not exist are passed over.
        uids: UidRanges,
    },
    /// Lets log time expire what is due, a bounded number of rows. Proposed by the leader when
    /// [`crate::next_due`] has come.
    Tick,
}

/// A message that is appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Its flags.
    pub flags: Flags,
    /// Its INTERNALDATE.
    pub date: Millis,
    /// Its bytes.
    pub body: NewBody,
}

/// A message that another one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// In which mailbox it is.
    pub mailbox: MailboxId,
    /// Under which UID.
    pub uid: Uid,
}

/// A mailbox that is made with the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFolder {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
}

/// Rights that somebody gets or loses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGrant {
    /// The account of the user; 0 for anyone. Never the owner.
    pub user: AccountId,
    /// The name of the user as it is shown; empty for anyone.
    pub name: String,
    /// Whether these are rights that he has not, whoever gives them.
    pub denies: bool,
    /// Whether the rights are more, fewer, or all.
    pub mode: StoreMode,
    /// The rights.
    pub rights: Rights,
}

/// An LMTP transaction's part at one partition: one body for all its recipients there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliver {
    /// The reverse-path of MAIL FROM, empty for the null one.
    pub sender: String,
    /// Each accepted RCPT TO, in order.
    pub recipients: Vec<Recipient>,
    /// The bytes of DATA as received.
    pub body: NewBody,
    /// When they were received: the INTERNALDATE.
    pub received: Millis,
    /// Whether the same sender, recipient and body are delivered only once.
    pub suppress_duplicates: bool,
    /// Deliveries of this node whose clients have seen the reply.
    pub confirmed: Vec<Confirmed>,
}

/// One recipient of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The account.
    pub account: AccountId,
    /// The address as RCPT TO gave it.
    pub address: String,
    /// The mailbox that the address names; INBOX if there is none of that name.
    pub folder: Option<String>,
    /// What stands before the body in this recipient's message, at most 1 KiB.
    pub prefix: Bytes,
}

/// A delivery whose reply its client has seen. The lane is one of the same node and boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The lane's number.
    pub lane: u64,
    /// The delivery's sequence. It counts only while it is the lane's last command.
    pub sequence: u64,
}

/// What STORE does with the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done(Reply),
    /// It was refused; nothing changed.
    Rejected(Rejection),
    /// It was not run now, and whether it ran before is no longer known.
    Forgotten,
    /// The account was moved to another partition; nothing changed.
    Moved,
}

/// What a command that was done answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing more to say.
    Nothing,
    /// A mailbox was made or renamed.
    Created {
        /// Its id.
        mailbox: MailboxId,
        /// Its UIDVALIDITY.
        uid_validity: UidValidity,
    },
    /// What became of each recipient, in the order of the command.
    Delivered(Vec<Delivered>),
    /// A message was appended, or several.
    Appended {
        /// The mailbox's UIDVALIDITY.
        uid_validity: UidValidity,
        /// Its UID; of several, that of the first.
        uid: Uid,
        /// Its MODSEQ, and theirs.
        modseq: ModSeq,
    },
    /// Flags were stored.
    Stored {
        /// The MODSEQ of the changed messages; the account's last if none changed.
        modseq: ModSeq,
        /// What was not stored, because it changed after `unchanged_since`.
        modified: UidRanges,
    },
    /// Messages were copied. The n-th UID of `from` became the n-th of `to`. Both are empty if
    /// nothing was copied, and if a repeated command is answered whose UIDs were too many to keep.
    Copied {
        /// The UIDVALIDITY of the target.
        uid_validity: UidValidity,
        /// UIDs in the source.
        from: UidRanges,
        /// UIDs in the target.
        to: UidRanges,
    },
    /// Messages were moved; as [`Reply::Copied`].
    Moved {
        /// The UIDVALIDITY of the target.
        uid_validity: UidValidity,
        /// UIDs that were in the source.
        from: UidRanges,
        /// UIDs in the target.
        to: UidRanges,
        /// The MODSEQ of the expunge in the source and of the arrival in the target.
        modseq: ModSeq,
    },
    /// Messages were expunged.
    Expunged {
        /// Which; empty if none was, and if a repeated command is answered whose UIDs were too many
        /// to keep.
        uids: UidRanges,
        /// The MODSEQ of the expunge; the account's last if none was.
        modseq: ModSeq,
    },
    /// Expunged messages were put back. The n-th UID of `from` became the n-th of `to`; both are
    /// empty if a repeated command is answered whose UIDs were too many to keep.
    Restored {
        /// The UIDVALIDITY of the target.
        uid_validity: UidValidity,
        /// UIDs that they had.
        from: UidRanges,
        /// UIDs that they have.
        to: UidRanges,
        /// The MODSEQ of their arrival; the account's last if there was none.
        modseq: ModSeq,
        /// How many.
        messages: u32,
        /// The UID from which on to go on; `None` if all was looked at.
        next: Option<Uid>,
    },
    /// What was deleted is gone for good.
    Purged {
        /// Messages that could have been restored before.
        messages: u64,
        /// Their bytes.
        bytes: u64,
        /// The UID from which on to go on; `None` if all was looked at.
        next: Option<Uid>,
    },
}

/// What became of a delivery to one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It was stored.
    Stored {
        /// In which mailbox.
        mailbox: MailboxId,
        /// Under which UID.
        uid: Uid,
    },
    /// It was delivered before: an OK without a second copy.
    Duplicate,
    /// There is no such account here.
    NoAccount,
    /// The account was moved to another partition.
    Moved,
    /// The account has no room.
    OverQuota,
    /// The upload is gone, or is not what the command says.
    NoUpload,
    /// The mailbox cannot take one message more: its UIDs are used up.
    MailboxFull,
}

/// Why a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Rejection {
    /// There is no such account.
    #[error("no such account")]
    NoAccount,
    /// There is no such mailbox.
    #[error("no such mailbox")]
    NoMailbox,
    /// There is no such message any more.
    #[error("no such message")]
    NoMessage,
    /// There is such a mailbox already.
    #[error("mailbox exists")]
    Exists,
    /// INBOX cannot be deleted; a mailbox cannot become its own inferior.
    #[error("not permitted")]
    NotPermitted,
    /// No mailbox can have this name.
    #[error("invalid mailbox name")]
    NameInvalid,
    /// The account has no room.
    #[error("over quota")]
    OverQuota,
    /// More than [`limits::MESSAGES_PER_COMMAND_MAX`] messages.
    #[error("more than {} messages at once", limits::MESSAGES_PER_COMMAND_MAX)]
    TooMany,
    /// The upload is gone, or is not what the command says.
    #[error("upload is gone")]
    NoUpload,
    /// Too many unfinished uploads, or one that is too large.
    #[error("too much is being uploaded")]
    UploadLimit,
    /// Too many keywords in the mailbox or on a message, or one that no message can have.
    #[error("keyword limit reached")]
    KeywordLimit,
    /// Too many mailboxes or names.
    #[error("mailbox limit reached")]
    MailboxLimit,
    /// The mailbox's UIDs are used up.
    #[error("mailbox is full")]
    MailboxFull,
    /// The lane used this sequence for another command.
    #[error("sequence used before")]
    SequenceUsed,
    /// Too many annotations, or too large ones.
    #[error("annotation limit reached")]
    MetadataLimit,
    /// Too many users have rights on the mailbox.
    #[error("too many have rights")]
    GrantLimit,
    /// They are being moved into another account, and may have arrived there.
    #[error("messages are being moved elsewhere")]
    BeingMoved,
    /// Too many moves into other accounts have not ended.
    #[error("too many moves have not ended")]
    MoveLimit,
    /// The user has not been given the right.
    #[error("no right to do this")]
    NoRight,
    /// The command does not fit the limits or the entry that it came in: its origin is at fault.
    #[error("invalid command")]
    Invalid,
}
