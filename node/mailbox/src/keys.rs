//! The keys of rows.
//!
//! The order of the bytes is the order of the values, so that a scan finds the rows of an account,
//! the messages of a mailbox by UID and what is due by its time. Numbers are big-endian and of
//! fixed width.
//!
//! ```text
//!   1                                  the machine as a whole
//!   2 node boot lane                   a lane
//!   3 hash                             a delivery that is to be recognised
//!   4 upload                           an upload
//!   5 upload number                    a chunk of it
//!   6 time kind id ..                  what is due, by when
//!   7 account 0                        an account
//!   7 account 1 name                   a name: mailbox, subscription
//!   7 account 2 mailbox                a mailbox
//!   7 account 3 mailbox keyword        a keyword of it
//!   7 account 4 mailbox modseq part    what one command changed in it
//!   7 account 5 mailbox uid            a message
//!   7 account 6 name                   a name that a deleted mailbox left, and nobody has
//!   7 account 16 mailbox user name     an annotation; of mailbox 0, the account as a whole; of
//!                                      user 0, a shared one
//!   7 account 17 mailbox user          rights of a user on a mailbox; of user 0, of anyone
//!   7 account 18 move                  messages that are being moved into another account
//!   8 time account move                the same, by when that began
//! ```

use bytes::Bytes;
use rows::Fault;

use crate::types::{AccountId, Lane, MailboxId, Millis, ModSeq, MoveId, Uid, UploadId};

const META: u8 = 1;
const LANE: u8 = 2;
const DUPLICATE: u8 = 3;
const UPLOAD: u8 = 4;
const CHUNK: u8 = 5;
const DUE: u8 = 6;
const ACCOUNT: u8 = 7;
const MOVES: u8 = 8;

const STATE: u8 = 0;
const NAME: u8 = 1;
const FOLDER: u8 = 2;
const KEYWORD: u8 = 3;
const CHANGE: u8 = 4;
const MESSAGE: u8 = 5;
const VACANT: u8 = 6;
const METADATA: u8 = 16;
const GRANT: u8 = 17;
const MOVE: u8 = 18;

/// The first kind that no row of an account has.
const BEYOND: u8 = MOVE + 1;

/// The key of a row. Its order is the order of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The machine as a whole.
    Meta,
    /// A lane.
    Lane(Lane),
    /// A delivery: the hash of sender, recipient and body.
    Duplicate([u8; 16]),
    /// An upload.
    Upload(UploadId),
    /// A chunk of an upload.
    Chunk(UploadId, u32),
    /// Something to do when log time has come to it.
    Due(Millis, Due),
    /// A row of an account.
    Of(AccountId, AccountKey),
    /// A move out of an account that began then, and has not ended.
    Move(Millis, AccountId, MoveId),
}

/// What is to be done when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Old changes, or all of a deleted mailbox, can go.
    Folder(AccountId, MailboxId),
    /// All of a deleted account can go.
    Account(AccountId),
    /// The upload may have been left unfinished.
    Upload(UploadId),
    /// The account's retention became shorter: its mailboxes from this one on may be due earlier.
    Retention(AccountId, MailboxId),
    /// The same for all accounts from this one on that have no retention of their own.
    Retentions(AccountId, MailboxId),
}

/// The key of a row within its account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountKey {
    /// The account itself.
    State,
    /// A name.
    Name(String),
    /// A mailbox.
    Folder(MailboxId),
    /// A keyword of a mailbox, by its number.
    Keyword(MailboxId, u32),
    /// What one command changed in a mailbox, or a part of it.
    Change(MailboxId, ModSeq, u32),
    /// A message.
    Message(MailboxId, Uid),
    /// A name that a deleted mailbox left, and that no other one had since.
    Vacant(String),
    /// An annotation: of which mailbox (0 for the account as a whole), whose (0 for a shared one),
    /// and its name.
    Metadata(MailboxId, AccountId, String),
    /// The rights of a user on a mailbox; of user 0, those of anyone.
    Grant(MailboxId, AccountId),
    /// A move of messages into another account, which has not ended.
    Move(MoveId),
}

impl Key {
    /// The bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            Key::Meta => Bytes::from_static(&[META]),
            Key::Lane(lane) => build(LANE, &[&be(lane.node), &be(lane.boot), &be(lane.lane)]),
            Key::Duplicate(hash) => build(DUPLICATE, &[hash]),
            Key::Upload(upload) => build(UPLOAD, &[&upload.0.to_be_bytes()]),
            Key::Chunk(upload, number) => {
                build(CHUNK, &[&upload.0.to_be_bytes(), &number.to_be_bytes()])
            }
            Key::Due(time, Due::Folder(account, mailbox)) => {
                build(DUE, &[&be(time.0), &[0], &be(account.0), &be(mailbox.0)])
            }
            Key::Due(time, Due::Account(account)) => {
                build(DUE, &[&be(time.0), &[1], &be(account.0)])
            }
            Key::Due(time, Due::Upload(upload)) => {
                build(DUE, &[&be(time.0), &[2], &upload.0.to_be_bytes()])
            }
            Key::Due(time, Due::Retention(account, mailbox)) => {
                build(DUE, &[&be(time.0), &[3], &be(account.0), &be(mailbox.0)])
            }
            Key::Due(time, Due::Retentions(account, mailbox)) => {
                build(DUE, &[&be(time.0), &[4], &be(account.0), &be(mailbox.0)])
            }
            Key::Of(account, AccountKey::State) => account_key(*account, STATE, &[]),
            Key::Of(account, AccountKey::Name(name)) => name_key(*account, name),
            Key::Of(account, AccountKey::Folder(mailbox)) => {
                account_key(*account, FOLDER, &[&be(mailbox.0)])
            }
            Key::Of(account, AccountKey::Keyword(mailbox, number)) => {
                account_key(*account, KEYWORD, &[&be(mailbox.0), &number.to_be_bytes()])
            }
            Key::Of(account, AccountKey::Change(mailbox, modseq, part)) => account_key(
                *account,
                CHANGE,
                &[&be(mailbox.0), &be(modseq.0), &part.to_be_bytes()],
            ),
            Key::Of(account, AccountKey::Message(mailbox, uid)) => {
                message_key(*account, *mailbox, *uid)
            }
            Key::Of(account, AccountKey::Vacant(name)) => vacant_key(*account, name),
            Key::Of(account, AccountKey::Metadata(mailbox, user, name)) => account_key(
                *account,
                METADATA,
                &[&be(mailbox.0), &be(user.0), name.as_bytes()],
            ),
            Key::Of(account, AccountKey::Grant(mailbox, user)) => {
                account_key(*account, GRANT, &[&be(mailbox.0), &be(user.0)])
            }
            Key::Of(account, AccountKey::Move(id)) => {
                account_key(*account, MOVE, &[&id.0.to_be_bytes()])
            }
            Key::Move(time, account, id) => {
                build(MOVES, &[&be(time.0), &be(account.0), &id.0.to_be_bytes()])
            }
        }
    }

    /// The key with these bytes; [`Fault::Row`] if there is none.
    pub fn decode(bytes: &[u8]) -> Result<Key, Fault> {
        let mut rest = Reader(bytes);
        let key = rest.key().filter(|_| rest.0.is_empty());
        key.ok_or_else(|| Fault::row(bytes, "not a key of this version"))
    }
}

/// The key of a name, without the need to own the name.
pub(crate) fn name_key(account: AccountId, name: &str) -> Bytes {
    account_key(account, NAME, &[name.as_bytes()])
}

/// The key of a name that a deleted mailbox left, without the need to own the name.
pub(crate) fn vacant_key(account: AccountId, name: &str) -> Bytes {
    account_key(account, VACANT, &[name.as_bytes()])
}

/// The key of a message.
pub(crate) fn message_key(account: AccountId, mailbox: MailboxId, uid: Uid) -> Bytes {
    account_key(account, MESSAGE, &[&be(mailbox.0), &uid.0.to_be_bytes()])
}

/// The UID in the key of a message.
pub(crate) fn uid_of(key: &[u8]) -> Result<Uid, Fault> {
    match Key::decode(key)? {
        Key::Of(_, AccountKey::Message(_, uid)) => Ok(uid),
        _ => Err(Fault::row(key, "not a message")),
    }
}

/// From the first key to the first beyond, half open.
pub(crate) type Span = (Bytes, Bytes);

/// All rows of the machine.
pub(crate) fn everything() -> Span {
    let first = Bytes::from_static(&[META]);
    (first, Bytes::from_static(&[MOVES + 1]))
}

/// All lanes after a key.
pub(crate) fn lanes_after(key: &[u8]) -> Span {
    (after_or(key, LANE), Bytes::from_static(&[LANE + 1]))
}

/// All duplicates after a key.
pub(crate) fn duplicates_after(key: &[u8]) -> Span {
    (
        after_or(key, DUPLICATE),
        Bytes::from_static(&[DUPLICATE + 1]),
    )
}

/// All chunks of an upload.
pub(crate) fn chunks(upload: UploadId) -> Span {
    let first = Key::Chunk(upload, 0).encode();
    (first, Key::Chunk(upload, u32::MAX).encode())
}

/// All that is due at `now` or earlier.
pub(crate) fn due_by(now: Millis) -> Span {
    let end = build(DUE, &[&be(now.0.saturating_add(1))]);
    (Bytes::from_static(&[DUE]), end)
}

/// All that will ever be due.
pub(crate) fn due() -> Span {
    (Bytes::from_static(&[DUE]), Bytes::from_static(&[DUE + 1]))
}

/// All rows of an account but its own.
pub(crate) fn inside(account: AccountId) -> Span {
    (
        account_key(account, NAME, &[]),
        account_key(account, BEYOND, &[]),
    )
}

/// All names of an account.
pub(crate) fn names(account: AccountId) -> Span {
    (
        account_key(account, NAME, &[]),
        account_key(account, FOLDER, &[]),
    )
}

/// All names of an account below `name`.
pub(crate) fn names_below(account: AccountId, name: &str) -> Span {
    let below = |end: u8| account_key(account, NAME, &[name.as_bytes(), &[end]]);
    (below(b'/'), below(b'/' + 1))
}

/// All mailboxes of an account from one on, deleted ones included.
pub(crate) fn folders(account: AccountId, first: MailboxId) -> Span {
    (
        account_key(account, FOLDER, &[&be(first.0)]),
        account_key(account, KEYWORD, &[]),
    )
}

/// All rows of the accounts after one.
pub(crate) fn accounts_after(account: AccountId) -> Span {
    let from = account_key(account, BEYOND, &[]);
    (from, Bytes::from_static(&[ACCOUNT + 1]))
}

/// All annotations of a mailbox; of mailbox 0, those of the account as a whole.
pub(crate) fn metadata(account: AccountId, mailbox: MailboxId) -> Span {
    of_mailbox(account, METADATA, mailbox)
}

/// All grants of a mailbox.
pub(crate) fn grants(account: AccountId, mailbox: MailboxId) -> Span {
    of_mailbox(account, GRANT, mailbox)
}

/// All grants of an account.
pub(crate) fn all_grants(account: AccountId) -> Span {
    (
        account_key(account, GRANT, &[]),
        account_key(account, GRANT + 1, &[]),
    )
}

/// All moves out of an account that have not ended.
pub(crate) fn moves(account: AccountId) -> Span {
    (
        account_key(account, MOVE, &[]),
        account_key(account, MOVE + 1, &[]),
    )
}

/// All moves after one that began at `until` or earlier and have not ended.
pub(crate) fn moves_begun(after: Option<(Millis, AccountId, MoveId)>, until: Millis) -> Span {
    let first = match after {
        Some((time, account, id)) => self::after(&Key::Move(time, account, id).encode()),
        None => Bytes::from_static(&[MOVES]),
    };
    (first, build(MOVES, &[&be(until.0.saturating_add(1))]))
}

/// All annotations of an account.
pub(crate) fn all_metadata(account: AccountId) -> Span {
    (
        account_key(account, METADATA, &[]),
        account_key(account, METADATA + 1, &[]),
    )
}

/// All keywords of a mailbox.
pub(crate) fn keywords(account: AccountId, mailbox: MailboxId) -> Span {
    of_mailbox(account, KEYWORD, mailbox)
}

/// All changes of a mailbox after a MODSEQ.
pub(crate) fn changes(account: AccountId, mailbox: MailboxId, since: ModSeq) -> Span {
    let from = account_key(
        account,
        CHANGE,
        &[&be(mailbox.0), &be(since.0.saturating_add(1))],
    );
    (from, of_mailbox(account, CHANGE, mailbox).1)
}

/// The messages of a mailbox from one UID to another, both included.
pub(crate) fn messages(account: AccountId, mailbox: MailboxId, first: Uid, last: Uid) -> Span {
    let from = message_key(account, mailbox, first);
    let to = match last.0.checked_add(1) {
        Some(beyond) => message_key(account, mailbox, Uid(beyond)),
        None => of_mailbox(account, MESSAGE, mailbox).1,
    };
    (from, to)
}

/// All rows of one kind of a mailbox.
fn of_mailbox(account: AccountId, kind: u8, mailbox: MailboxId) -> Span {
    // Mailboxes are numbered from 1 by adding 1, so the number after it exists.
    let from = |id: u64| account_key(account, kind, &[&be(id)]);
    (from(mailbox.0), from(mailbox.0.saturating_add(1)))
}

/// The lowest key above another.
pub(crate) fn after(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

fn after_or(key: &[u8], table: u8) -> Bytes {
    if key.is_empty() {
        build(table, &[])
    } else {
        after(key)
    }
}

fn account_key(account: AccountId, kind: u8, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut key = Vec::with_capacity(10 + length);
    key.push(ACCOUNT);
    key.extend_from_slice(&be(account.0));
    key.push(kind);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key.into()
}

fn build(table: u8, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut key = Vec::with_capacity(1 + length);
    key.push(table);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key.into()
}

fn be(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// What is left of a key.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn key(&mut self) -> Option<Key> {
        Some(match self.byte()? {
            META => Key::Meta,
            LANE => Key::Lane(Lane {
                node: self.u64()?,
                boot: self.u64()?,
                lane: self.u64()?,
            }),
            DUPLICATE => Key::Duplicate(self.array()?),
            UPLOAD => Key::Upload(self.upload()?),
            CHUNK => Key::Chunk(self.upload()?, self.u32()?),
            DUE => {
                let time = Millis(self.u64()?);
                let what = match self.byte()? {
                    0 => Due::Folder(AccountId(self.u64()?), MailboxId(self.u64()?)),
                    1 => Due::Account(AccountId(self.u64()?)),
                    2 => Due::Upload(self.upload()?),
                    3 => Due::Retention(AccountId(self.u64()?), MailboxId(self.u64()?)),
                    4 => Due::Retentions(AccountId(self.u64()?), MailboxId(self.u64()?)),
                    _ => return None,
                };
                Key::Due(time, what)
            }
            ACCOUNT => Key::Of(AccountId(self.u64()?), self.account_key()?),
            MOVES => Key::Move(Millis(self.u64()?), AccountId(self.u64()?), self.r#move()?),
            _ => return None,
        })
    }

    fn account_key(&mut self) -> Option<AccountKey> {
        Some(match self.byte()? {
            STATE => AccountKey::State,
            NAME => AccountKey::Name(self.text()?),
            FOLDER => AccountKey::Folder(MailboxId(self.u64()?)),
            KEYWORD => AccountKey::Keyword(MailboxId(self.u64()?), self.u32()?),
            CHANGE => AccountKey::Change(MailboxId(self.u64()?), ModSeq(self.u64()?), self.u32()?),
            MESSAGE => AccountKey::Message(MailboxId(self.u64()?), Uid(self.u32()?)),
            VACANT => AccountKey::Vacant(self.text()?),
            METADATA => {
                AccountKey::Metadata(MailboxId(self.u64()?), AccountId(self.u64()?), self.text()?)
            }
            GRANT => AccountKey::Grant(MailboxId(self.u64()?), AccountId(self.u64()?)),
            MOVE => AccountKey::Move(self.r#move()?),
            _ => return None,
        })
    }

    /// All that is left.
    fn text(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.0);
        std::str::from_utf8(rest).ok().map(str::to_owned)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn upload(&mut self) -> Option<UploadId> {
        self.array().map(|id| UploadId(u128::from_be_bytes(id)))
    }

    fn r#move(&mut self) -> Option<MoveId> {
        self.array().map(|id| MoveId(u128::from_be_bytes(id)))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }
}
