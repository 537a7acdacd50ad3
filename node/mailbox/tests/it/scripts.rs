//! Goldenscripts: one behaviour a file, in `tests/scripts`.
//!
//! Accounts are called by their names here; a mailbox is `account/name`. After every command
//! everything must add up.
//!
//! ```text
//!   account NAME.. [folders=A,B] [quota=BYTES]     delete-account NAME
//!   create|delete|subscribe|unsubscribe ACCOUNT/NAME [use=Sent]
//!   rename ACCOUNT/NAME NEW-NAME
//!   deliver ACCOUNT[+FOLDER].. [size=N] [content=N] [upload=N] [sender=S] [always=true]
//!   append ACCOUNT/NAME [size=N] [flags=Seen,word] [upload=N]
//!   store ACCOUNT/NAME UIDS add|remove|replace [FLAG..] [since=MODSEQ]
//!   copy|move ACCOUNT/NAME UIDS TO-NAME            expunge ACCOUNT/NAME [UIDS]
//!   chunk ACCOUNT UPLOAD NUMBER SIZE               drop UPLOAD
//!   as ACCOUNT COMMAND ..                          what a user does in the account of another
//!   again                                          the last command once more
//!   lane N    advance 7d|2h|5s    tick
//!   what was deleted: see `deleted_scripts`; quota and annotations: see `granted_scripts`; into
//!   other accounts: see `move_scripts`
//!   list|usage ACCOUNT    status|open|fetch ACCOUNT/NAME    changes ACCOUNT/NAME MODSEQ
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;

use goldenscript::{ArgumentConsumer, Context};
use mailbox::{
    AccountId, Answer, Command, Delivered, Event, Flags, Folder, MailboxId, ModSeq, NewFolder,
    Outcome, Query, Reply, SpecialUse, Stamp, StoreMode, SystemFlags, Uid, UidRanges, UploadId,
};

use crate::deleted_scripts::deleted_text;
use crate::machine::{Machine, delivery, inline, uploaded};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub struct Runner {
    pub machine: Machine,
    pub accounts: BTreeMap<String, AccountId>,
    last: Option<(Stamp, Command, u64)>,
}

impl goldenscript::Runner for Runner {
    type Command = goldenscript::Command;

    fn run(&mut self, command: &goldenscript::Command, _context: &Context) -> Result<String> {
        let mut args = command.consume_args();
        let output = self.command(&command.name, &mut args)?;
        args.reject_next()?;
        self.machine.check();
        Ok(output)
    }
}

impl Runner {
    fn command(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Result<String> {
        match name {
            "lane" => {
                self.machine.lane = text(args)?.parse()?;
                Ok(String::new())
            }
            "advance" => {
                self.machine.advance(span(text(args)?)?);
                Ok(String::new())
            }
            "tick" => Ok(format!("{} ticks", self.machine.settle())),
            "again" => {
                let (stamp, command, length) = self.last.clone().ok_or("nothing to repeat")?;
                Ok(self.propose(stamp, command, length))
            }
            "list" | "usage" | "status" | "open" | "fetch" | "changes" => self.ask(name, args),
            "deleted" | "deleted-mailboxes" => self.ask_deleted(name, args),
            "quota" | "reclaimable" | "grants" | "annotations" | "all-annotations" => {
                self.ask_granted(name, args)
            }
            "arrived" | "unfinished" => self.ask_moves(name, args),
            _ => {
                let (command, length) = self.change(name, args)?;
                let stamp = self.machine.stamp();
                self.last = Some((stamp, command.clone(), length));
                Ok(self.propose(stamp, command, length))
            }
        }
    }

    fn propose(&mut self, stamp: Stamp, command: Command, length: u64) -> String {
        let (outcome, events) = self.machine.run_as(stamp, command, length);
        let hints: Vec<String> = events.iter().map(|event| self.hint(event)).collect();
        let hints = if hints.is_empty() {
            String::new()
        } else {
            format!(" [{}]", hints.join(" "))
        };
        format!("{}{hints}", outcome_text(&outcome))
    }

    fn hint(&self, event: &Event) -> String {
        let name = self.accounts.iter().find(|(_, id)| **id == event.account);
        let name = name.map_or("?", |(name, _)| name);
        format!("{name}/{}@{}:{:?}", event.mailbox, event.modseq, event.kind)
    }

    fn change(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Result<(Command, u64)> {
        let mut length = 0;
        let command = match name {
            "account" => self.create_account(args)?,
            "delete-account" => Command::DeleteAccount {
                account: self.account(text(args)?)?,
            },
            "create" => {
                let (account, name) = self.place(text(args)?)?;
                let special_use = args.take_key("use").map(special_use).transpose()?;
                Command::CreateMailbox {
                    account,
                    name,
                    special_use,
                }
            }
            "delete" => {
                let (account, name) = self.place(text(args)?)?;
                Command::DeleteMailbox { account, name }
            }
            "rename" => {
                let (account, from) = self.place(text(args)?)?;
                Command::RenameMailbox {
                    account,
                    from,
                    to: text(args)?.to_owned(),
                }
            }
            "subscribe" | "unsubscribe" => {
                let (account, on) = (self.place(text(args)?)?, name == "subscribe");
                Command::Subscribe {
                    account: account.0,
                    name: account.1,
                    on,
                }
            }
            "drop" => Command::DropUpload {
                upload: UploadId(text(args)?.parse()?),
            },
            "chunk" => {
                let account = self.account(text(args)?)?;
                let upload = UploadId(text(args)?.parse()?);
                let number = text(args)?.parse()?;
                let size = text(args)?.parse()?;
                length = u64::from(size);
                Command::Chunk {
                    upload,
                    account,
                    number,
                    length: size,
                }
            }
            "deliver" => self.deliver(args, &mut length)?,
            "append" => self.append(args, &mut length)?,
            "append-many" => {
                crate::append_scripts::many(args, &self.machine, &mut length, |name| {
                    self.mailbox(name)
                })?
            }
            "undelete" | "restore" | "purge" | "purge-mailbox" | "retention" => {
                self.change_deleted(name, args)?
            }
            "limit" | "annotate" | "grant" | "deny" => self.change_granted(name, args)?,
            "begin-move" | "end-move" | "import" => self.change_moves(name, args, &mut length)?,
            "as" => {
                let actor = self.account(text(args)?)?;
                let name = text(args)?;
                let (command, riding) = self.change(name, args)?;
                length = riding;
                let command = Box::new(command);
                Command::OnBehalf { actor, command }
            }
            _ => self.on_messages(name, args)?,
        };
        Ok((command, length))
    }

    fn create_account(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<Command> {
        let next = AccountId(self.accounts.len() as u64 + 1);
        let account = *self.accounts.entry(text(args)?.to_owned()).or_insert(next);
        let folders = args.take_key("folders").unwrap_or_default().split(',');
        let folder = |name: &str| NewFolder {
            name: name.to_owned(),
            special_use: None,
        };
        let folders = folders
            .filter(|name| !name.is_empty())
            .map(folder)
            .collect();
        let quota_bytes = args.take_key("quota").map(str::parse).transpose()?;
        Ok(Command::CreateAccount {
            account,
            folders,
            quota_bytes,
        })
    }

    fn deliver(&self, args: &mut ArgumentConsumer<'_>, length: &mut u64) -> Result<Command> {
        let size = number(args, "size", 100)?;
        // What is not told apart is another message.
        let content = number(args, "content", 1_000_000 + self.machine.index)?;
        let mut command = delivery(&[], content, size, self.machine.now);
        let Command::Deliver(deliver) = &mut command else {
            unreachable!("a delivery")
        };
        *length = size;
        if let Some(upload) = args.take_key("upload") {
            deliver.body = uploaded(UploadId(upload.parse()?), size);
            *length = 0;
        }
        if let Some(sender) = args.take_key("sender") {
            deliver.sender = sender.to_owned();
        }
        deliver.suppress_duplicates = args.take_key("always").is_none();
        while let Some(to) = args.next_pos() {
            let (name, folder) = match to.split_once('+') {
                Some((name, folder)) => (name, Some(folder.to_owned())),
                None => (to, None),
            };
            let account = self.account(name).unwrap_or(AccountId(999));
            deliver.recipients.push(mailbox::Recipient {
                account,
                address: format!("{to}@example.com"),
                folder,
                prefix: b"Delivered-To: x\r\n".as_slice().into(),
            });
        }
        Ok(command)
    }

    fn append(&self, args: &mut ArgumentConsumer<'_>, length: &mut u64) -> Result<Command> {
        let (account, mailbox) = self.mailbox(text(args)?)?;
        let size = number(args, "size", 100)?;
        let words = args.take_key("flags").unwrap_or_default().split(',');
        let flags = flags(words.filter(|word| !word.is_empty()));
        *length = size;
        let mut body = inline(size, size);
        if let Some(upload) = args.take_key("upload") {
            body = uploaded(UploadId(upload.parse()?), size);
            *length = 0;
        }
        Ok(Command::Append {
            account,
            mailbox,
            flags,
            date: self.machine.now,
            body,
        })
    }

    fn on_messages(&self, name: &str, args: &mut ArgumentConsumer<'_>) -> Result<Command> {
        let (account, mailbox) = self.mailbox(text(args)?)?;
        Ok(match name {
            "store" => {
                let uids = uids(text(args)?)?;
                let mode = mode(text(args)?)?;
                let since = args.take_key("since").map(str::parse).transpose()?;
                let flags = flags(std::iter::from_fn(|| args.next_pos()));
                let unchanged_since = since.map(ModSeq);
                Command::Store {
                    account,
                    mailbox,
                    uids,
                    mode,
                    flags,
                    unchanged_since,
                }
            }
            "expunge" => {
                let uids = args.next_pos().map(uids).transpose()?;
                Command::Expunge {
                    account,
                    mailbox,
                    uids,
                }
            }
            "copy" | "move" => {
                let uids = uids(text(args)?)?;
                let to = self.id(account, text(args)?)?;
                if name == "copy" {
                    Command::Copy {
                        account,
                        from: mailbox,
                        to,
                        uids,
                    }
                } else {
                    Command::Move {
                        account,
                        from: mailbox,
                        to,
                        uids,
                    }
                }
            }
            other => return Err(format!("no command {other}").into()),
        })
    }

    fn ask(&self, name: &str, args: &mut ArgumentConsumer<'_>) -> Result<String> {
        let mut output = String::new();
        match name {
            "list" => {
                for folder in self.machine.folders(self.account(text(args)?)?) {
                    writeln!(output, "{}", folder_text(&folder))?;
                }
            }
            "usage" => {
                let account = self.account(text(args)?)?;
                let Answer::Usage(usage) = self.machine.ask(&Query::Usage { account }) else {
                    unreachable!("usage");
                };
                write!(output, "{} messages, {} bytes", usage.messages, usage.bytes)?;
                if let Some(quota) = usage.quota_bytes {
                    write!(output, " of {quota}")?;
                }
                if usage.held_messages > 0 {
                    let (messages, bytes) = (usage.held_messages, usage.held_bytes);
                    write!(output, ", held: {messages} messages, {bytes} bytes")?;
                }
            }
            "status" => {
                let (account, name) = self.place(text(args)?)?;
                write!(
                    output,
                    "{}",
                    folder_text(&self.machine.folder(account, &name))
                )?;
            }
            "open" => {
                let (account, mailbox) = self.mailbox(text(args)?)?;
                let opened = self.machine.open(account, mailbox);
                write!(
                    output,
                    "{} uids={}",
                    folder_text(&opened.folder),
                    opened.uids
                )?;
                if let Some(uid) = opened.first_unseen {
                    write!(output, " first-unseen={uid}")?;
                }
                write!(
                    output,
                    " keywords={:?} at={}",
                    opened.keywords, opened.modseq
                )?;
            }
            "fetch" => {
                let (account, mailbox) = self.mailbox(text(args)?)?;
                for message in self.machine.messages(account, mailbox, true) {
                    let gone = if message.expunged { " expunged" } else { "" };
                    writeln!(
                        output,
                        "uid={} modseq={} size={} ({}){gone}",
                        message.uid,
                        message.modseq,
                        message.size(),
                        message.flags
                    )?;
                }
            }
            _ => self.changes(args, &mut output)?,
        }
        Ok(output)
    }

    fn changes(&self, args: &mut ArgumentConsumer<'_>, output: &mut String) -> Result<()> {
        let (account, mailbox) = self.mailbox(text(args)?)?;
        let since = ModSeq(text(args)?.parse()?);
        let changes = self.machine.changes(account, mailbox, since);
        write!(output, "up to {}", changes.modseq)?;
        if !changes.arrived.is_empty() {
            write!(output, " arrived={}", changes.arrived)?;
        }
        if !changes.vanished.is_empty() {
            write!(output, " vanished={}", changes.vanished)?;
        }
        for (uid, modseq, flags) in changes.flags {
            write!(output, " {uid}@{modseq}({flags})")?;
        }
        if changes.more {
            write!(output, " more")?;
        }
        Ok(())
    }

    pub fn account(&self, name: &str) -> Result<AccountId> {
        self.accounts
            .get(name)
            .copied()
            .ok_or_else(|| format!("no account {name}").into())
    }

    fn place(&self, place: &str) -> Result<(AccountId, String)> {
        let (account, name) = place.split_once('/').ok_or("ACCOUNT/NAME expected")?;
        Ok((self.account(account)?, name.to_owned()))
    }

    pub fn mailbox(&self, place: &str) -> Result<(AccountId, MailboxId)> {
        let (account, name) = self.place(place)?;
        Ok((account, self.id(account, &name)?))
    }

    /// Also of a mailbox that is not there, to see what comes of that.
    pub fn id(&self, account: AccountId, name: &str) -> Result<MailboxId> {
        match self.machine.try_ask(&Query::Folder {
            account,
            name: name.into(),
        }) {
            Ok(Answer::Folder(folder)) => Ok(folder.map_or(MailboxId(999), |folder| folder.id)),
            other => Err(format!("{other:?}").into()),
        }
    }
}

pub fn text<'a>(args: &mut ArgumentConsumer<'a>) -> Result<&'a str> {
    args.next_pos()
        .ok_or_else(|| "an argument is missing".into())
}

fn number(args: &mut ArgumentConsumer<'_>, key: &str, otherwise: u64) -> Result<u64> {
    Ok(args
        .take_key(key)
        .map(str::parse)
        .transpose()?
        .unwrap_or(otherwise))
}

pub fn mode(text: &str) -> Result<StoreMode> {
    Ok(match text {
        "add" => StoreMode::Add,
        "remove" => StoreMode::Remove,
        "replace" => StoreMode::Replace,
        other => return Err(format!("cannot {other} anything").into()),
    })
}

pub fn span(text: &str) -> Result<u64> {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "d" => 86_400_000,
        "h" => 3_600_000,
        "s" => 1_000,
        _ => return Err("a time ends with d, h or s".into()),
    };
    Ok(number.parse::<u64>()? * unit)
}

pub fn uids(text: &str) -> Result<UidRanges> {
    let mut uids = UidRanges::new();
    for range in text.split(',') {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        uids.insert_range(Uid(first.parse()?), Uid(last.parse()?));
    }
    Ok(uids)
}

fn flags<'a>(words: impl Iterator<Item = &'a str>) -> Flags {
    let mut system = SystemFlags::NONE;
    let mut keywords = Vec::new();
    for word in words {
        match SystemFlags::NAMES
            .iter()
            .find(|(_, name)| name[1..] == *word)
        {
            Some((flag, _)) => system = system.with(*flag),
            None => keywords.push(word.to_owned()),
        }
    }
    Flags::new(system, keywords)
}

pub fn special_use(word: &str) -> Result<SpecialUse> {
    let found = SpecialUse::ALL
        .into_iter()
        .find(|known| known.to_string()[1..] == *word);
    found.ok_or_else(|| format!("no special use {word}").into())
}

fn folder_text(folder: &Folder) -> String {
    let mut text = folder.name.clone();
    if folder.exists {
        let Folder {
            id,
            uid_next,
            messages,
            unseen,
            deleted,
            bytes,
            highest_modseq,
            ..
        } = folder;
        text += &format!(
            " id={id} exists={messages} unseen={unseen} deleted={deleted} bytes={bytes} \
             uidnext={uid_next} modseq={highest_modseq}"
        );
    } else {
        text += " (no mailbox)";
    }
    if let Some(special_use) = folder.special_use {
        text += &format!(" {special_use}");
    }
    if folder.subscribed {
        text += " subscribed";
    }
    if folder.vanished_floor > ModSeq(0) {
        text += &format!(" vanished-floor={}", folder.vanished_floor);
    }
    text
}

fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rejected(rejection) => format!("NO {rejection}"),
        Outcome::Forgotten => "forgotten".into(),
        Outcome::Moved => "moved away".into(),
        Outcome::Done(reply) => reply_text(reply),
    }
}

fn reply_text(reply: &Reply) -> String {
    match reply {
        Reply::Nothing => "done".into(),
        Reply::Created {
            mailbox,
            uid_validity,
        } => {
            format!("mailbox {mailbox} uidvalidity={uid_validity}")
        }
        Reply::Delivered(results) => {
            let result = |result: &Delivered| match result {
                Delivered::Stored { mailbox, uid } => format!("stored {mailbox}:{uid}"),
                other => format!("{other:?}"),
            };
            results.iter().map(result).collect::<Vec<_>>().join(", ")
        }
        Reply::Appended { uid, modseq, .. } => format!("appended uid={uid} modseq={modseq}"),
        Reply::Stored { modseq, modified } if modified.is_empty() => {
            format!("stored modseq={modseq}")
        }
        Reply::Stored { modseq, modified } => {
            format!("stored modseq={modseq} modified={modified}")
        }
        Reply::Copied { from, to, .. } => format!("copied {from} to {to}"),
        Reply::Moved {
            from, to, modseq, ..
        } => format!("moved {from} to {to} modseq={modseq}"),
        Reply::Expunged { uids, modseq } => format!("expunged {uids} modseq={modseq}"),
        Reply::Restored { .. } | Reply::Purged { .. } => deleted_text(reply),
    }
}

#[test]
fn scripts() -> std::io::Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths {
        let (machine, accounts) = (Machine::new(), BTreeMap::new());
        goldenscript::run(
            &mut Runner {
                machine,
                accounts,
                last: None,
            },
            &path,
        )?;
    }
    Ok(())
}
