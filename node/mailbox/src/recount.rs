//! Counting everything anew, in one pass over all rows in the order of their keys.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proto::v1::{
    MailAccountRow, MailChunkRow, MailDuplicateRow, MailFolderRow, MailGrantRow, MailKeywordRow,
    MailLaneRow, MailMetaRow, MailMetadataRow, MailMoveRow, MailNameRow, MailUploadRow,
    MailVacantRow, mail_account_row::State,
};
use rows::Fault;

use crate::codec::decode_outcome;
use crate::keys::{AccountKey, Due, Key};
use crate::limits;
use crate::metadata;
use crate::query::{open_move, rights_of};
use crate::stored::{MessageState, StoredChange, StoredMessage, decode};
use crate::types::{
    AccountId, BodyAt, MailboxId, Millis, ModSeq, MoveId, SystemFlags, Uid, UidRanges, UploadId,
};

/// What was counted so far.
#[derive(Default)]
pub(crate) struct Recount {
    meta: MailMetaRow,
    lanes: u64,
    duplicates: u64,
    uploads: BTreeMap<UploadId, Upload>,
    due: BTreeSet<(Millis, Due)>,
    accounts: BTreeMap<AccountId, Account>,
    /// Moves that have not ended, by when they began.
    moves: BTreeSet<(Millis, AccountId, MoveId)>,
    problems: Vec<String>,
}

#[derive(Default)]
struct Upload {
    row: MailUploadRow,
    chunks: u32,
    bytes: u64,
    references: u64,
}

#[derive(Default)]
struct Account {
    row: MailAccountRow,
    names: BTreeMap<String, MailNameRow>,
    folders: BTreeMap<MailboxId, Folder>,
    vacant: BTreeMap<String, MailboxId>,
    /// Of each mailbox: how many annotations, and what they weigh.
    metadata: BTreeMap<MailboxId, (usize, u64)>,
    /// Of each mailbox, how many have rights on it.
    grants: BTreeMap<MailboxId, usize>,
    moves: BTreeSet<(Millis, MoveId)>,
}

#[derive(Default)]
struct Folder {
    row: MailFolderRow,
    keywords: u32,
    messages: u32,
    unseen: u32,
    deleted: u32,
    bytes: u64,
    held_messages: u32,
    held_bytes: u64,
    last: Uid,
    arrived: u64,
    highest: u64,
    /// Expunged messages that are there, and those that changes say are.
    expunged: UidRanges,
    logged: UidRanges,
    changes: usize,
}

impl Recount {
    /// Counts one row.
    pub fn row(&mut self, key: &Bytes, value: Bytes) -> Result<(), Fault> {
        match Key::decode(key)? {
            Key::Meta => self.meta = decode(key, value)?,
            Key::Lane(_) => {
                decode_outcome(&decode::<MailLaneRow>(key, value)?.outcome)?;
                self.lanes += 1;
            }
            Key::Duplicate(_) => {
                decode::<MailDuplicateRow>(key, value)?;
                self.duplicates += 1;
            }
            Key::Upload(upload) => {
                let row = decode(key, value)?;
                self.uploads.insert(
                    upload,
                    Upload {
                        row,
                        ..Upload::default()
                    },
                );
            }
            Key::Chunk(upload, number) => {
                let chunk: MailChunkRow = decode(key, value)?;
                let upload = self.uploads.entry(upload).or_default();
                if number != upload.chunks {
                    self.problems
                        .push(format!("{key:?}: a chunk is missing before it"));
                }
                upload.chunks += 1;
                upload.bytes += u64::from(chunk.length);
            }
            Key::Due(time, due) => {
                self.due.insert((time, due));
            }
            Key::Of(account, inner) => self.of_account(key, account, inner, value)?,
            Key::Move(time, account, id) => {
                self.moves.insert((time, account, id));
            }
        }
        Ok(())
    }

    fn of_account(
        &mut self,
        key: &Bytes,
        id: AccountId,
        inner: AccountKey,
        value: Bytes,
    ) -> Result<(), Fault> {
        let account = self.accounts.entry(id).or_default();
        let folder = |account: &mut Account, mailbox| {
            std::mem::take(account.folders.entry(mailbox).or_default())
        };
        match inner {
            AccountKey::State => account.row = decode(key, value)?,
            AccountKey::Name(name) => {
                account.names.insert(name, decode(key, value)?);
            }
            AccountKey::Vacant(name) => {
                let row: MailVacantRow = decode(key, value)?;
                account.vacant.insert(name, MailboxId(row.mailbox));
            }
            AccountKey::Metadata(mailbox, owner, name) => {
                let row: MailMetadataRow = decode(key, value)?;
                let counted = account.metadata.entry(mailbox).or_default();
                counted.0 += 1;
                counted.1 += metadata::weight(&name, &row.value);
                let named = metadata::is_valid(&name) && metadata::owner(&name, owner) == owner;
                if !named {
                    self.problems.push(format!("{key:?}: no annotation"));
                }
            }
            AccountKey::Grant(mailbox, user) => {
                let row: MailGrantRow = decode(key, value)?;
                rights_of(key, row.given)?;
                rights_of(key, row.denied)?;
                *account.grants.entry(mailbox).or_default() += 1;
                let is_empty = row.given == 0 && row.denied == 0;
                if user == id || is_empty || row.name.is_empty() != (user == AccountId(0)) {
                    self.problems.push(format!("{key:?}: no grant"));
                }
            }
            AccountKey::Move(moved) => {
                let row: MailMoveRow = decode(key, value)?;
                let open = open_move(key, id, moved, row)?;
                account.moves.insert((open.begun, moved));
                let count = open.new.uids.len();
                let fits = (1..=limits::APPEND_MESSAGES_MAX as u64).contains(&count);
                if !fits || open.new.to_account == id {
                    self.problems.push(format!("{key:?}: no move"));
                }
            }
            AccountKey::Folder(mailbox) => {
                account.folders.entry(mailbox).or_default().row = decode(key, value)?;
            }
            AccountKey::Keyword(mailbox, _) => {
                decode::<MailKeywordRow>(key, value)?;
                account.folders.entry(mailbox).or_default().keywords += 1;
            }
            AccountKey::Change(mailbox, modseq, _) => {
                let mut counted = folder(account, mailbox);
                counted.change(modseq, &StoredChange::decode(key, value)?);
                account.folders.insert(mailbox, counted);
            }
            AccountKey::Message(mailbox, uid) => {
                let message = StoredMessage::decode(key, value)?;
                let mut counted = folder(account, mailbox);
                counted.message(key, uid, &message, &mut self.problems);
                account.folders.insert(mailbox, counted);
                if let Some(body) = message.referred()?
                    && let BodyAt::Upload(upload) = body.at
                {
                    self.uploads.entry(upload).or_default().references += 1;
                }
            }
        }
        Ok(())
    }

    /// Compares all that was counted. [`Fault::Invariant`] with the first problems.
    pub fn finish(mut self) -> Result<(), Fault> {
        let (lanes, duplicates) = (self.lanes, self.duplicates);
        self.compare("lanes", self.meta.lanes, lanes);
        self.compare("duplicates", self.meta.duplicates, duplicates);
        let scheduled = self.meta.sweep_ms.is_some();
        self.expect(scheduled || lanes + duplicates == 0, || {
            "nothing is ever swept".into()
        });
        self.uploads();
        let accounts = std::mem::take(&mut self.accounts);
        self.moves(&accounts);
        for (id, account) in &accounts {
            match account.row.state() {
                State::Active | State::Moved => self.account(*id, account),
                State::Deleted => {
                    let due = self.due.iter().any(|(_, due)| *due == Due::Account(*id));
                    self.expect(due, || format!("deleted account {id} never goes"));
                }
            }
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        self.problems.truncate(10);
        Err(Fault::invariant(self.problems.join("; ")))
    }

    fn uploads(&mut self) {
        let uploads = std::mem::take(&mut self.uploads);
        let mut unfinished: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
        let mut total = 0;
        for (id, upload) in &uploads {
            let what = |part: &str| format!("upload {id}: {part}");
            self.compare(&what("chunks"), upload.row.chunks, upload.chunks);
            self.compare(&what("bytes"), upload.row.bytes, upload.bytes);
            self.compare(
                &what("references (R4)"),
                upload.row.references,
                upload.references,
            );
            if upload.row.references == 0 {
                total += upload.bytes;
                let of_account = unfinished.entry(upload.row.account).or_default();
                of_account.0 += 1;
                of_account.1 += upload.bytes;
                let due = self.due.iter().any(|(_, due)| *due == Due::Upload(*id));
                self.expect(due, || what("never expires"));
            }
        }
        self.compare("bytes of uploads", self.meta.upload_bytes, total);
        let accounts = std::mem::take(&mut self.accounts);
        for (id, account) in &accounts {
            let (count, bytes) = unfinished.get(&id.0).copied().unwrap_or_default();
            self.compare(
                &format!("account {id}: uploads"),
                account.row.uploads,
                count,
            );
            self.compare(
                &format!("account {id}: upload bytes"),
                account.row.upload_bytes,
                bytes,
            );
        }
        self.accounts = accounts;
    }

    fn moves(&mut self, accounts: &BTreeMap<AccountId, Account>) {
        let mut moves = BTreeSet::new();
        for (id, account) in accounts {
            let may = match account.row.state() {
                State::Deleted => 0,
                State::Active | State::Moved => limits::MOVES_PER_ACCOUNT_MAX,
            };
            self.expect(account.moves.len() <= may, || {
                format!("account {id}: too many moves")
            });
            moves.extend(
                account
                    .moves
                    .iter()
                    .map(|(time, moved)| (*time, *id, *moved)),
            );
        }
        self.expect(self.moves == moves, || {
            "moves are not found by their time".into()
        });
    }

    fn account(&mut self, id: AccountId, account: &Account) {
        let what = |part: &str| format!("account {id}: {part}");
        let (mut mailboxes, mut messages, mut bytes) = (0, 0, 0);
        let (mut held_messages, mut held_bytes) = (0, 0);
        for (mailbox, folder) in &account.folders {
            self.folder(id, *mailbox, account, folder);
            if folder.row.going {
                continue;
            }
            held_messages += u64::from(folder.held_messages);
            held_bytes += folder.held_bytes;
            if folder.row.deleted_ms == 0 {
                mailboxes += 1;
                messages += u64::from(folder.messages);
                bytes += folder.bytes;
            } else {
                held_messages += u64::from(folder.messages);
                held_bytes += folder.bytes;
            }
        }
        for (name, mailbox) in &account.vacant {
            let left = account.folders.get(mailbox).is_some_and(|folder| {
                let row = &folder.row;
                row.deleted_ms != 0 && !row.going && &row.name == name
            });
            let named = account.names.get(name).is_some_and(|row| row.mailbox != 0);
            self.expect(left && !named, || {
                what(&format!("{name:?} was not left by mailbox {mailbox}"))
            });
        }
        self.annexes(id, account);
        let held = account.row.held_messages;
        self.compare(&what("held messages (M5)"), held, held_messages);
        let held = account.row.held_bytes;
        self.compare(&what("held bytes (M5)"), held, held_bytes);
        self.compare(
            &what("names"),
            account.row.names,
            account.names.len() as u64,
        );
        self.compare(&what("mailboxes"), account.row.mailboxes, mailboxes);
        self.compare(&what("messages (M5)"), account.row.messages, messages);
        self.compare(&what("bytes (M5)"), account.row.bytes, bytes);
        for (name, row) in &account.names {
            let folder = account.folders.get(&MailboxId(row.mailbox));
            let agrees = folder.is_some_and(|folder| &folder.row.name == name);
            self.expect(row.mailbox == 0 || agrees, || {
                what(&format!("{name:?} has no mailbox"))
            });
            self.expect(row.mailbox != 0 || row.subscribed, || {
                what(&format!("{name:?} is idle"))
            });
        }
    }

    fn annexes(&mut self, id: AccountId, account: &Account) {
        let what = |part: &str| format!("account {id}: {part}");
        let mut weight = 0;
        for (mailbox, (entries, bytes)) in &account.metadata {
            let folder = account.folders.get(mailbox);
            let is_there = *mailbox == MailboxId(0) || folder.is_some();
            self.expect(is_there, || what("an annotation of no mailbox"));
            self.expect(*entries <= limits::METADATA_ENTRIES_MAX, || {
                what("too many annotations of one mailbox")
            });
            if folder.is_none_or(|folder| !folder.row.going) {
                weight += bytes;
            }
        }
        for (mailbox, users) in &account.grants {
            let is_there = account.folders.contains_key(mailbox);
            self.expect(is_there && *users <= limits::GRANTS_PER_MAILBOX_MAX, || {
                what("grants on no mailbox, or too many")
            });
        }
        let kept = account.row.metadata_bytes;
        self.compare(&what("weight of annotations (M5)"), kept, weight);
    }

    fn folder(&mut self, id: AccountId, mailbox: MailboxId, account: &Account, folder: &Folder) {
        let what = |part: &str| format!("account {id}, mailbox {mailbox}: {part}");
        let row = &folder.row;
        let due = self
            .due
            .contains(&(Millis(row.due_ms), Due::Folder(id, mailbox)));
        self.expect(due == (row.due_ms != 0), || {
            what("has not the due row that it says")
        });
        self.expect(row.due_ms != 0 || folder.changes == 0, || {
            what("is never trimmed")
        });
        self.expect(row.deleted_ms == 0 || row.due_ms != 0, || {
            what("is deleted and never goes")
        });
        if row.going {
            // What is left of it goes bit by bit.
            return;
        }
        let held = folder.held_messages;
        self.compare(&what("held messages (M5)"), row.held_messages, held);
        self.compare(&what("held bytes (M5)"), row.held_bytes, folder.held_bytes);
        self.compare(&what("messages (M5)"), row.messages, folder.messages);
        self.compare(&what("unseen (M5)"), row.unseen, folder.unseen);
        self.compare(&what("deleted (M5)"), row.deleted, folder.deleted);
        self.compare(&what("bytes (M5)"), row.bytes, folder.bytes);
        self.expect(folder.last.0 < row.uid_next, || {
            what("a UID is not below UIDNEXT (M2)")
        });
        self.expect(folder.highest <= row.highest_modseq, || {
            what("HIGHESTMODSEQ is low (M3)")
        });
        self.expect(row.highest_modseq <= account.row.modseq, || {
            what("MODSEQ is high (M3)")
        });
        self.expect(folder.arrived <= row.arrived_modseq, || {
            what("an arrival is not told")
        });
        self.expect(row.uid_validity <= account.row.uid_validity, || {
            what("UIDVALIDITY (M2)")
        });
        self.expect(mailbox.0 <= account.row.last_mailbox, || {
            what("its id is too high")
        });
        self.expect(folder.expunged == folder.logged, || {
            what(&format!(
                "expunged {}, logged {}",
                folder.expunged, folder.logged
            ))
        });
        if row.deleted_ms != 0 {
            return;
        }
        let named = account
            .names
            .get(&row.name)
            .is_some_and(|name| name.mailbox == mailbox.0);
        self.expect(named, || what("its name is not its own"));
    }

    fn compare<T: PartialEq + std::fmt::Display>(&mut self, what: &str, kept: T, counted: T) {
        self.expect(kept == counted, || {
            format!("{what}: {kept} kept, {counted} counted")
        });
    }

    fn expect(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }
}

impl Folder {
    fn change(&mut self, modseq: ModSeq, change: &StoredChange) {
        self.changes += 1;
        self.highest = self.highest.max(modseq.0);
        for (first, last) in change.expunged.ranges() {
            self.logged.insert_range(first, last);
        }
    }

    fn message(
        &mut self,
        key: &Bytes,
        uid: Uid,
        message: &StoredMessage,
        problems: &mut Vec<String>,
    ) {
        self.last = uid;
        if message.row.arrived < self.arrived {
            problems.push(format!("{key:?}: it arrived before the one before it (M3)"));
        }
        if message
            .row
            .keywords
            .iter()
            .any(|number| *number >= self.keywords)
        {
            problems.push(format!("{key:?}: unknown keyword"));
        }
        if message.row.modseq < message.row.arrived {
            problems.push(format!("{key:?}: it changed before it arrived (M3)"));
        }
        self.arrived = message.row.arrived;
        self.highest = self.highest.max(message.row.modseq);
        if message.state == MessageState::Expunged {
            self.held_messages += 1;
            self.held_bytes += message.size();
        }
        if message.state != MessageState::Live {
            self.expunged.insert(uid);
            return;
        }
        self.messages += 1;
        self.bytes += message.size();
        self.unseen += u32::from(!message.system.has(SystemFlags::SEEN));
        self.deleted += u32::from(message.system.has(SystemFlags::DELETED));
    }
}
